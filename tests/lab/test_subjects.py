"""Studies of a separate subject: left out, and not even imported, unless the subject or something in it is named."""

import json
from contextlib import nullcontext
from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.errors import ConfigError
from attnflow.lab import launchers
from attnflow.lab.loading import find_named, find_studies, separate_subjects, study_files

STUDY = """
import numpy as np
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study

def measure(case, keys):
    return {"error": np.full(len(keys), 1 / case["n"])}

study = Study(
    name="NAME", measure=measure, ladder=[{"n": 8 * 2**i} for i in range(8)], quick=6,
    claims=[Claim(
        id="NAME/rate", source="RZ", statement="of order 1/n", kind="exponent", quantity="error", size="n",
        hypotheses="none", predicted=-1.0,
    )],
)
"""
MISSING = "from attnflow.errors import ConfigError\nraise ConfigError('this needs more. Install it.')\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the studies `plain`, in a folder, `above`, and `trained`, which is separate; commands run there."""
    for place in ("above", "noise/plain", "learned/trained"):
        path = tmp_path / "studies" / f"{place}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(STUDY.replace("NAME", path.stem))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(path="rows.json"):
    return [row["id"] for row in json.loads(Path(path).read_text())]


def names(studies):
    return [study.name for study in studies]


def break_the_separate_study(folder):
    (folder / "studies" / "learned" / "trained.py").write_text(MISSING)


def test_a_separate_subject_is_loaded_only_when_it_is_named(folder):
    break_the_separate_study(folder)
    assert names(find_studies("studies")) == ["above", "plain"]
    for words in (["verify"], ["verify", "above"], ["list"], ["export", "plain"]):
        assert main(words) == 0, words
    with pytest.raises(ConfigError, match="this needs more"):
        find_studies("studies", subject="learned")


def test_any_folder_of_studies_may_be_named_as_a_subject(folder):
    assert names(find_studies("studies", subject="learned")) == ["trained"]
    assert names(find_studies("studies", subject="noise")) == ["plain"]
    assert main(["verify", "--subject", "learned", "--json", "rows.json"]) == 0
    assert ids() == ["trained/rate"]
    assert main(["verify", "--subject", "noise", "--json", "rows.json"]) == 0
    assert ids() == ["plain/rate"]


@pytest.mark.parametrize("word", ["trained", "trained/rate"])
def test_a_claim_of_a_separate_subject_is_found_where_it_is_named(folder, word):
    assert main(["verify", word, "above", "--json", "rows.json"]) == 0
    assert ids() == ["above/rate", "trained/rate"]


def test_a_study_of_a_separate_subject_is_found_where_it_is_named(folder, capsys):
    main(["verify", "--subject", "learned"])
    assert main(["export", "trained", "-o", "trained.csv"]) == 0
    assert main(["plot", "--all"]) == 0
    assert not (folder / "figures").exists()
    capsys.readouterr()
    assert main(["plot", "--all", "--subject", "learned"]) == 0
    assert capsys.readouterr().out.split() == ["figures/trained/trained-rate.svg"]


def test_what_is_named_in_one_subject_is_sought_in_no_other(folder, capsys):
    assert main(["verify", "above", "--subject", "learned"]) == 2
    assert "`NAME` must be one of 'trained/rate', 'trained', got 'above'" in capsys.readouterr().err


def test_list_ends_with_one_line_for_each_subject_that_was_left_out(folder, capsys):
    main(["list"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "Learned metrics: left out, see `attnflow list --subject learned`"
    assert not any("trained" in line for line in lines)
    main(["list", "--subject", "learned"])
    assert capsys.readouterr().out.splitlines() == [
        "trained: 0 of 8 records, no run complete",
        "    trained/rate (exponent): not yet",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["verify", "--subject", "lerned"], "one of 'learned', 'noise', got 'lerned'. Did you mean 'learned'?"),
        (["verify", "--subject", "questions"], "`--subject` must be one of 'learned', 'noise', got 'questions'."),
        (["verify", "--subject", "above.py"], "`--subject` must be one of"),
        (["verify", "trainde"], "got 'trainde'. Did you mean 'trained'?"),
        (["plot", "trainde"], "got 'trainde'. Did you mean 'trained'?"),
        (["verify", "--subject", "learned", "--studies", "nowhere"], "no study in nowhere. Pass the folder"),
    ],
)  # fmt: skip
def test_what_is_no_subject_and_in_none_is_told(folder, capsys, words, message):
    assert main(words) == 2
    assert message in capsys.readouterr().err


def test_what_a_subject_needs_is_told_whole(folder, capsys):
    break_the_separate_study(folder)
    needs = "trained.py is no working study: ConfigError: this needs more. Install it."
    assert main(["verify", "--subject", "learned"]) == 2
    assert capsys.readouterr().err == f"attnflow: studies/learned/{needs}\n"
    assert main(["verify", "trained"]) == 2  # which may well be there
    told = capsys.readouterr().err
    assert told == f"attnflow: 'trained' was not found, and 'learned' cannot be searched: studies/learned/{needs}\n"


def test_a_folder_with_nothing_but_a_separate_subject_says_how_to_run_it(folder):
    for path in ("above.py", "noise/plain.py"):
        (folder / "studies" / path).unlink()
    with pytest.raises(ConfigError, match=r"no study in studies\. Pass a subject with `--subject learned`"):
        find_studies("studies")


def test_two_claims_of_one_name_in_two_subjects_are_told_apart_by_none(folder):
    (folder / "studies" / "learned" / "trained.py").write_text(STUDY.replace("NAME", "plain"))
    assert names(find_studies("studies", subject="learned")) == ["plain"]
    with pytest.raises(ConfigError, match="holds 2 studies with the name 'plain'"):
        find_named("studies", ["unknown"], names=lambda study: [study.name])


def test_only_folders_right_below_that_of_the_studies_are_subjects(folder):
    (folder / "studies" / "noise" / "learned").mkdir()
    (folder / "studies" / "noise" / "learned" / "deeper.py").write_text(STUDY.replace("NAME", "deeper"))
    (folder / "studies" / "learned.py").write_text(STUDY.replace("NAME", "learned"))
    assert names(find_studies("studies")) == ["above", "learned", "deeper", "plain"]
    assert [path.name for path in study_files("studies", subject="noise")] == ["deeper.py", "plain.py"]
    assert separate_subjects("studies") == ["learned"]


def test_further_processes_are_told_the_subject(folder, monkeypatch):
    told = []
    monkeypatch.setattr(launchers, "launchers", lambda count, words, after: told.append(words) or nullcontext())
    main(["verify", "--subject", "learned"])
    main(["verify"])
    assert [words[-2:] for words in told] == [["--subject", "learned"], ["--out", ".attnflow"]]
