"""One noun on the command line: a study, a claim and a family of claims are named alike in every command."""

import json
from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.errors import ConfigError
from attnflow.lab.loading import find_studies
from attnflow.lab.naming import check_words, claims_named, studies_named, words_of

STUDY = """
import numpy as np
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study

def measure(case, keys):
    return {"error": np.full(len(keys), 1 / case["n"])}

def claim(id, predicted=-1.0, control_of=None):
    return Claim(
        id=id, source="RZ", statement="of order 1/n", kind="exponent", quantity="error", size="n",
        hypotheses="none", predicted=predicted, control_of=control_of,
    )

study = Study(name="NAME", measure=measure, ladder=[{"n": 8 * 2**i} for i in range(8)], quick=6, claims=[CLAIMS])
"""
CLAIMS = {  # `bias` is a study, and a family that two studies share
    "bias": 'claim("bias/circle"), claim("bias-control/circle", -2.0, "bias/circle"), claim("spread")',
    "curved": 'claim("bias/sphere")',
    "apart": 'claim("apart/line")',
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with three studies, in which the commands run."""
    (tmp_path / "studies").mkdir()
    for name, claims in CLAIMS.items():
        (tmp_path / "studies" / f"{name}.py").write_text(STUDY.replace("NAME", name).replace("[CLAIMS]", f"[{claims}]"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(studies):
    return [study.name for study in studies]


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (["bias/circle"], {"bias/circle", "bias-control/circle"}),
        (["bias-control"], {"bias-control/circle"}),
        (["bias"], {"bias/circle", "bias-control/circle", "bias/sphere", "spread"}),  # the family and the study
        (["curved"], {"bias/sphere"}),
        (["spread", "apart"], {"spread", "apart/line"}),
    ],
)
def test_a_claim_is_named_by_its_id_its_family_or_its_study(folder, words, ids):
    assert claims_named(words, find_studies("studies")) == ids


def test_with_a_claim_comes_the_control_that_covers_it(folder):
    text = (folder / "studies" / "bias.py").read_text()
    text = text.replace(
        '"bias/circle"), claim("spread")', '"bias/circle"), replace(claim("spread"), covered_by="bias-control/circle")'
    )
    (folder / "studies" / "bias.py").write_text("from dataclasses import replace\n" + text)
    assert claims_named(["spread"], find_studies("studies")) == {"spread", "bias-control/circle"}


def test_without_words_every_claim_is_meant(folder):
    assert len(claims_named([], find_studies("studies"))) == 5


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["curved", "apart"], ["curved", "apart"]),  # in the order of the words
        (["bias/sphere"], ["curved"]),
        (["bias"], ["bias"]),  # the name of a study comes first
        (["bias-control", "spread"], ["bias"]),
        (["apart", "bias/sphere", "curved"], ["apart", "curved"]),
    ],
)
def test_a_study_is_named_by_its_name_or_by_what_it_decides(folder, words, found):
    assert names(studies_named(words, find_studies("studies"))) == found


def test_what_names_nothing_is_told_with_what_is_near(folder):
    studies = find_studies("studies")
    check_words([word for study in studies for word in words_of(study)], studies)
    for word, near in (("bias/spere", "bias/sphere"), ("curve", "curved")):
        for asked in (claims_named, studies_named):
            with pytest.raises(ConfigError, match=f"`NAME` must be one of .* Did you mean '{near}'"):
                asked([word], studies)


def test_every_command_takes_every_name(folder, capsys):
    for word in ("curved", "bias/sphere"):
        assert main(["run", word, "--quick"]) == 0
        assert main(["verify", word, "--json", "rows.json"]) == 0
        assert [row["id"] for row in json.loads(Path("rows.json").read_text())] == ["bias/sphere"]
        assert main(["plot", word]) == 0
        assert main(["export", word, "-o", f"{word.partition('/')[0]}.csv"]) == 0
    for path in (folder / "curved.csv", folder / "bias.csv"):
        assert len(path.read_text().splitlines()) == 1 + 6
    assert [path.name for path in folder.glob("figures/*/*")] == ["bias-sphere.svg"]
    assert {path.name for path in folder.glob(".attnflow/records/*")} == {"curved"}


def test_run_takes_a_file_and_of_a_family_all_its_studies(folder, capsys):
    assert main(["run", "studies/bias.py"]) == 0
    for name in ("apart", "curved"):
        text = STUDY.replace("NAME", name).replace("[CLAIMS]", f"[claim('shared/{name}')]")
        (folder / "studies" / f"{name}.py").write_text(text)
    capsys.readouterr()
    assert main(["run", "shared", "--quick"]) == 0
    assert "12 records computed, 0 reused, 0 failed." in capsys.readouterr().out
    assert main(["export", "shared"]) == 2  # two studies do not fit into one file
    told = capsys.readouterr().err
    assert "`NAME` must be of one study, got 'shared', of apart, curved. Name one of these." in told


def test_a_file_is_not_mistaken_for_a_name(folder, capsys):
    assert main(["run", "curved.py"]) == 2
    assert "could not read the study curved.py" in capsys.readouterr().err
    assert main(["run", "curvd"]) == 2
    assert "Did you mean 'curved'" in capsys.readouterr().err
