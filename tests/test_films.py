"""The films of the documentation: each is written, with the frames that are asked for, and they differ."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SCRIPT = Path(__file__).parent.parent / "docs" / "films.py"


@pytest.fixture(scope="module")
def films():
    specification = importlib.util.spec_from_file_location("films", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["three_lives", "clusters", "learned_metric"])
def test_a_film_of_the_documentation_is_written(films, tmp_path, name):
    with Image.open(films.FILMS[name](tmp_path / f"{name}.gif", frames=3)) as film:
        assert film.n_frames == 3
        frames = [np.asarray(film.convert("L")) for k in range(3) if film.seek(k) is None]
    assert (frames[0] != frames[2]).any()
    assert (SCRIPT.parent / "films" / f"{name}.gif").exists()
