"""What `attnflow list` keeps: nothing is loaded anew that has not changed, and everything that has."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from attnflow.errors import ConfigError
from attnflow.lab.finding import found_files
from attnflow.lab.listing import listing

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "studies").mkdir()
    for name in ("one", "two"):
        (tmp_path / "studies" / f"{name}.py").write_text(f"import helper\nstudy = {name!r}")
    (tmp_path / "studies" / "helper.py").write_text("x = 1")
    return tmp_path


@pytest.fixture
def said(folder):
    """A function that lists, and returns the lines and which files were loaded for it."""

    def ask(**changes):
        loaded = []

        def describe(path):
            loaded.append(path.stem)
            return {
                "name": path.stem,
                "claims": [f"{path.stem}/claim"],
                "lines": [f"{path.stem} {len(loaded)}"],
            } | changes

        files = found_files(folder / "studies")
        cache = folder / "cache" / "list.json"
        lines = listing(files, folder / "studies", folder / "out", master_seed=0, describe=describe, cache=cache)
        return lines, loaded

    return ask


def test_what_has_not_changed_is_not_loaded_again(said):
    assert said() == (["one 1", "two 2"], ["one", "two"])
    assert said() == (["one 1", "two 2"], [])


def test_a_study_that_has_changed_is_loaded_again_alone(said, folder):
    said()
    (folder / "studies" / "two.py").write_text("import helper\nstudy = 'other'")
    assert said() == (["one 1", "two 1"], ["two"])


def test_what_studies_import_counts_as_theirs(said, folder):
    said()
    (folder / "studies" / "helper.py").write_text("x = 2")
    assert said()[1] == ["one", "two"]


def test_a_record_more_or_written_anew_is_noticed(said, folder):
    said()
    record = folder / "out" / "records" / "one" / "a.h5"
    record.parent.mkdir(parents=True)
    record.write_bytes(b"1")
    assert said()[1] == ["one"]
    os.utime(record, ns=(1, 1))
    assert said()[1] == ["one"]
    record.unlink()
    assert said()[1] == ["one"]
    assert said()[1] == []


def test_a_study_that_is_gone_is_not_listed_and_not_kept(said, folder):
    said()
    (folder / "studies" / "one.py").unlink()
    (folder / "studies" / "two.py").write_text("import helper\nstudy = 2")
    assert said()[0] == ["two 1"]
    assert [Path(path).stem for path in json.loads((folder / "cache" / "list.json").read_text())] == ["two"]


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"a": '])
def test_a_damaged_list_is_made_anew(said, folder, text):
    said()
    (folder / "cache" / "list.json").write_text(text)
    assert said()[1] == ["one", "two"]


def test_where_nothing_can_be_kept_all_is_loaded(said, folder):
    (folder / "cache").write_text("a file, where a folder would have to be")
    assert said() == said() == (["one 1", "two 2"], ["one", "two"])


@pytest.mark.parametrize("changes", [{"name": "one"}, {"claims": ["one/claim"]}])
def test_equal_names_are_told_also_where_they_come_from_the_list(said, changes):
    for _ in range(2):
        with pytest.raises(ConfigError, match=r"holds 2 (studies|claims) with the name 'one"):
            said(**changes)


def test_a_list_that_is_known_needs_no_jax(tmp_path):
    """The whole of the command, twice: the second time nothing is loaded."""
    code = "import sys; from attnflow.cli import main; main(sys.argv[1:]); print('jax' in sys.modules)"
    words = [sys.executable, "-c", code, "list", "--studies", str(ROOT / "studies" / "noise")]
    how = dict(cwd=tmp_path, capture_output=True, text=True, check=True)
    env = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    first, second = (subprocess.run(words, env=env, **how).stdout.splitlines() for _ in range(2))
    assert (first[-1], second[-1]) == ("True", "False")
    assert first[:-1] == second[:-1]
    assert any(line.startswith("noise: 0 of ") for line in first)
