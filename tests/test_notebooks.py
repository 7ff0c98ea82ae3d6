"""Every notebook runs from its first cell to its last, and shows the pictures that it speaks of."""

import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
# Of each notebook, how many of its cells show a picture.
PICTURES = {"three_lives": 3, "own_study": 2, "own_data": 2, "tokens_and_their_pde": 3, "learned_metric": 1}
BOOKS = {path.stem: nbformat.read(path, as_version=4) for path in FOLDER.glob("*.ipynb")}


def execute(path, folder):
    """A notebook is run by a process of its own, as `make notebooks` does."""
    command = [sys.executable, FOLDER / "execute.py", folder, path]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def test_every_notebook_is_tested():
    assert set(BOOKS) == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_is_short_stored_without_outputs_and_begins_with_what_it_is_about(name):
    book = BOOKS[name]
    nbformat.validate(book)
    assert book.cells[0].cell_type == "markdown"
    assert book.cells[0].source.startswith("# ")
    assert [cell.outputs for cell in code(book)] == [[]] * len(code(book))
    assert {cell.execution_count for cell in code(book)} == {None}
    assert sum(len(cell.source.splitlines()) for cell in code(book)) < 45


@pytest.mark.parametrize("name", PICTURES)
def test_a_notebook_runs_and_shows_its_pictures(name, tmp_path):
    done = execute(FOLDER / f"{name}.ipynb", tmp_path)
    assert done.returncode == 0, done.stderr
    outputs = [
        output for cell in code(nbformat.read(tmp_path / f"{name}.ipynb", as_version=4)) for output in cell.outputs
    ]
    assert not [output.text for output in outputs if output.output_type == "stream" and output.name == "stderr"]
    shown = [output.data for output in outputs if "data" in output]
    pictures = ["image/png" in data or "<img" in data.get("text/html", "") for data in shown]
    assert sum(pictures) == PICTURES[name]
    assert not any(" at 0x" in data["text/plain"] for data in shown)  # nothing is told by its address


def test_a_cell_that_fails_is_told_and_its_notebook_is_kept(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("import attnflow as af\naf.Sphere(-1)")])
    nbformat.write(book, tmp_path / "wrong.ipynb")
    done = execute(tmp_path / "wrong.ipynb", tmp_path / "out")
    assert done.returncode != 0
    assert "ConfigError" in done.stderr
    (output,) = nbformat.read(tmp_path / "out" / "wrong.ipynb", as_version=4).cells[0].outputs
    assert output.ename == "ConfigError"
