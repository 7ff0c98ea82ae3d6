"""What `attnflow show` says of a study, a claim or a family, before and after there are records."""

from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.lab import provenance

STUDY = '''
"""Does the error fall?

Each of n terms adds one part in n, so that the sum has an error of

    error = 1 / n = n^(-1),    which is what the claim says of a long line of words    [RZ, Theorem 3].

Nothing of this paragraph is shown.
"""
import numpy as np
import attnflow as af

def measure(case, keys):
    return {"error": np.full(len(keys), 1 / case["n"]), "kept": np.ones(len(keys))}

def picture(records):
    raise NotImplementedError

rate = af.Claim(
    id="fall/line", source="RZ", statement=r"the error is of order $n^{-1}$", kind="exponent", quantity="error",
    size="n", hypotheses="terms without correlation", predicted=-1.0, measures=("population",),
)
late = af.Claim(
    id="late", source="derived", statement="the error vanishes", kind="constant", quantity="error", size="n",
    hypotheses="none", predicted=0.0, margin=0.1, measures=(),
)
study = af.Study(
    name="fall", measure=measure, ladder=[{"n": 8 * 2**i} for i in range(8)], quick=6, figures=[picture],
    claims=[rate, rate.control(statement="what is kept falls as well", quantity="kept", truth=0.0)],
    full_claims=[late],
)
'''
BIBLIOGRAPHY = """@misc{RZ,
  author = {Ruan, Tianyu and Zhang, Shihua},
  title = {Towards understanding how attention mechanism works},
  year = {2024},
}
"""


@pytest.fixture
def shown(tmp_path, monkeypatch, capsys):
    """Show something, and return its paragraphs; in a folder with the study `fall`, in a narrow window."""
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "fall.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "60")

    def show(*words):
        capsys.readouterr()
        assert main(["show", *words]) == 0
        out = capsys.readouterr().out
        assert max(map(len, out.splitlines())) <= 60
        return out.rstrip("\n").split("\n\n")

    return show


def fields(paragraph):
    """The fields of a claim by their names, each on one line."""
    found = {}
    for line in paragraph.splitlines()[1:]:
        name = line[2:14].strip() or name  # noqa: F821, the name above
        found[name] = f"{found.get(name, '')} {line[14:].strip()}".strip()
    return found


def test_a_study_is_shown_with_its_question_and_every_claim(shown):
    head, title, first, equation, rate, control, late = shown("fall")
    assert head == "fall: 0 of 8 records, no run complete"
    assert title == "  Does the error fall?"
    assert " ".join(first.split()) == "Each of n terms adds one part in n, so that the sum has an error of"
    assert equation.splitlines()[0] == "      error = 1 / n = n^(-1),"  # too long for one line
    assert equation.splitlines()[-1] == "      [RZ, Theorem 3]."
    assert [part.splitlines()[0] for part in (rate, control, late)] == ["fall/line", "fall-control/line", "late"]


def test_before_a_run_a_claim_says_what_it_predicts_and_what_to_run(shown):
    *_, rate, control, late = map(fields, shown("fall"))
    assert rate == {
        "statement": "the error is of order $n^{-1}$",
        "hypotheses": "terms without correlation",
        "source": "RZ",
        "measures": "population",
        "predicted": "−1 ± 0.05 (exponent: error over n)",
        "verdict": "not yet: attnflow verify fall/line",
    }
    assert control == {  # what it shares with its claim is not said twice
        "control of": "fall/line",
        "statement": "what is kept falls as well",
        "predicted": "−1 ± 0.05 (exponent: kept over n)",
        "in truth": "0 ± 0.05",
        "gap": "1 stated",
        "verdict": "not yet: attnflow verify fall/line",
    }
    assert late["source"] == "derived, in the docstring of the study"
    assert late["measures"] == "nothing: a derivation, a formula against a formula"
    assert late["verdict"] == "not yet: attnflow verify late --full"


def test_after_a_run_it_shows_the_numbers_of_the_row(shown):
    main(["verify"])
    head, *_, rate, control, late = shown("fall")
    assert head == "fall: 6 of 8 records, quick run complete"
    rate, control, late = map(fields, (rate, control, late))
    assert rate["measured"].startswith("−1")
    assert "from 6 levels in 0." in rate["measured"]
    assert rate["verdict"] == "● supported (quick run)"
    assert rate["figures"] == "not yet: attnflow plot fall"
    assert control["gap"] == "1 stated, 1 measured: supported"
    assert control["verdict"] == "✕ refuted, as a control must be (quick run)"
    assert "figures" not in control
    assert late["verdict"] == "not yet: attnflow verify late --full"


def test_a_control_that_misses_its_gap_says_so(shown):
    path = Path("studies/fall.py")
    path.write_text(path.read_text().replace("truth=0.0", "truth=1.0"))
    main(["verify"])
    control = fields(shown("fall")[-2])
    assert control["gap"] == "2 stated, 1 measured: refuted"
    assert control["verdict"] == "✕ control refuted, by another gap (quick run)"


@pytest.mark.parametrize(
    ("word", "ids"),
    [
        ("fall/line", ["fall/line", "fall-control/line"]),
        ("fall-control", ["fall-control/line"]),
        ("late", ["late"]),
    ],
)
def test_a_claim_is_shown_with_its_control_and_without_others(shown, word, ids):
    assert [part.splitlines()[0] for part in shown(word)[4:]] == ids


def test_the_bibliography_and_the_figures_that_there_are_are_named(shown):
    Path("REFERENCES.bib").write_text(BIBLIOGRAPHY)
    Path("figures/fall").mkdir(parents=True)
    for name in ("fall-line.svg", "fall-line.png", "picture.svg", "other.svg"):
        Path("figures/fall", name).touch()
    main(["verify"])
    parts = shown("fall")
    assert "  figures     figures/fall/picture.svg" in parts
    rate = fields(parts[-3])
    assert rate["source"] == "RZ: Ruan and Zhang (2024), Towards understanding how attention mechanism works"
    assert rate["figures"] == "figures/fall/fall-line.svg, figures/fall/fall-line.png"


def test_records_of_other_code_are_told(shown, monkeypatch):
    main(["verify"])
    monkeypatch.setattr(provenance, "code_digest", lambda: "newer")
    assert any("6 of 6 records were computed by another" in part for part in shown("fall"))


def test_what_is_not_there_is_told_with_what_is_near(shown, capsys):
    assert main(["show", "fall/lin"]) == 2
    assert "Did you mean 'fall/line'" in capsys.readouterr().err
