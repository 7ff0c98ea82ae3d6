"""`attnflow new` writes a study that runs as it is, and never over anything."""

import json
from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.lab.loading import load_study


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_study_has_a_claim_that_is_supported_and_a_control_that_is_refuted_by_its_gap(empty, capsys):
    assert main(["new", "first-one"]) == 0
    written, *commands = capsys.readouterr().out.splitlines()
    assert written.startswith("studies/first-one.py is ")
    assert [command.split() for command in commands] == [
        ["attnflow", "verify", "first-one"],
        ["attnflow", "show", "first-one"],
        ["attnflow", "plot", "first-one"],
    ]
    assert main([*commands[0].split()[1:], "--json", "rows.json", "--jobs", "1"]) == 0
    rows = json.loads(Path("rows.json").read_text())
    assert [(row["id"], row["verdict"], row["gap"]) for row in rows] == [
        ("first-one/rate", "supported", None),
        ("first-one-control/rate", "refuted", "supported"),
    ]
    capsys.readouterr()
    assert main(commands[1].split()[1:]) == 0
    assert "● supported" in capsys.readouterr().out
    assert main(commands[2].split()[1:]) == 0
    assert Path("figures/first-one/first-one-rate.svg").is_file()


def test_a_new_study_is_short_and_two_of_them_live_side_by_side(empty):
    for name in ("one", "2"):
        assert main(["new", name]) == 0
        lines = [line for line in Path(f"studies/{name}.py").read_text().splitlines() if line.strip()]
        assert 20 <= len(lines) <= 30
        assert max(map(len, lines)) <= 120
        assert load_study(f"studies/{name}.py").name == name
    assert main(["list"]) == 0


def test_a_new_study_goes_where_it_is_told_and_says_so(empty, capsys):
    assert main(["new", "one", "--studies", "my work/of today"]) == 0
    assert (empty / "my work" / "of today" / "one.py").is_file()
    assert "attnflow verify one --studies 'my work/of today'" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("deep", "`NAME` must be new, got 'deep': there is studies/below/deep.py"),
        ("One", "`NAME` may hold only a-z, 0-9, _ and -, got 'One'"),
        ("../one", "`NAME` may hold only a-z"),
        ("one.py", "`NAME` may hold only a-z"),
        ("", "`NAME` may hold only a-z"),
        ("_one", "`NAME` must begin with a letter or a digit"),  # such files are no studies
        ("numpy", "`NAME` must not be that of an installed package"),  # `import numpy` beside it would find it
    ],
)
def test_a_name_that_cannot_be_is_refused_and_nothing_is_written(empty, capsys, name, message):
    (empty / "studies" / "below").mkdir(parents=True)
    (empty / "studies" / "below" / "deep.py").write_text("kept")
    assert main(["new", name]) == 2
    assert message in capsys.readouterr().err
    assert [path.read_text() for path in empty.rglob("*.py")] == ["kept"]


def test_a_folder_that_cannot_be_made_is_told(empty, capsys):
    (empty / "studies").write_text("a file")
    assert main(["new", "one"]) == 2
    assert "could not write studies/one.py" in capsys.readouterr().err
