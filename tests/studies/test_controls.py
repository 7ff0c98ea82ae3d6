"""A control runs what differs from its claim by one term, and says by which gap it is false; one notation for all."""

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest
from matplotlib.mathtext import MathTextParser

import attnflow as af
from attnflow.lab.finding import separate_subjects
from attnflow.lab.loading import find_studies

FOLDER = Path(__file__).parents[2] / "studies"
STUDIES = {
    study.name: study
    for subject in (None, *separate_subjects(FOLDER))
    for study in find_studies(FOLDER, subject=subject)
}
CLAIMS = {claim.id: claim for study in STUDIES.values() for claim in study.all_claims}
CONTROLS = [claim for claim in CLAIMS.values() if claim.control_of]
TWO_TERMS = {
    # a logarithm has no exponent, so the claim is a constant; the rate of one layer is an exponent
    "depth-best-control/torus-2": {"kind", "quantity", "predicted"},
    # the step of length one is taken with infinitely many points, the claim holds for all three lives
    "maximum-principle-control/circle": {"quantity", "hypotheses"},
    # what differs is the data: in those of the control a line finds what there is
    "L-regression-control/diabetes": {"quantity", "hypotheses"},
    # what differs is the place: a circle has no ends, S^3 another dimension, other mixtures barriers that are unlike,
    # a closed curve extrema
    "boundary-control/L1": {"quantity", "hypotheses"},
    "boundary-depth-control/neumann": {"quantity", "hypotheses"},
    "boundary-eigenvalue-control": {"quantity", "hypotheses"},
    "RZ4-m2-control/sphere": {"quantity", "hypotheses"},
    "clusters-control/population": {"quantity", "hypotheses"},
    "RZ-GAT-control/interval": {"quantity", "hypotheses"},
}
NAMED_OTHERWISE = {"valley-control/sphere", "L-regression-control/diabetes"}  # one for three, two for one
TEXTS = sorted(
    {text for claim in CLAIMS.values() for text in (claim.statement, claim.hypotheses)}
    | {label for study in STUDIES.values() for label in study.labels.values()}
)


def id_of(claim: af.Claim) -> str:
    return claim.id


def outside(text: str) -> str:
    """Return what stands outside the dollars."""
    return " ".join(text.split("$")[::2])


@pytest.mark.parametrize("control", CONTROLS, ids=id_of)
def test_a_control_is_its_claim_but_for_one_quantity_with_a_gap_that_is_predicted(control):
    claim = CLAIMS[control.control_of]
    names = [field.name for field in fields(af.Claim)]
    differing = {name for name in names if getattr(claim, name) != getattr(control, name)}
    of_its_own = {"measures", "truth", "truth_margin"}
    named = differing - {"id", "statement", "control_of", "margin"} - of_its_own
    assert named == TWO_TERMS.get(control.id, {"quantity"})
    # margins that follow from the predictions are no difference of their own, others are
    changes = {name: getattr(control, name) for name in named | of_its_own}
    assert claim.control(statement=control.statement, id=control.id, **changes) == control
    assert claim.statement != control.statement
    assert control.truth is not None


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=id_of)
def test_a_claim_says_which_lives_it_measures(claim):
    assert claim.measures is not None


@pytest.mark.parametrize("control", CONTROLS, ids=id_of)
def test_a_control_stands_beside_its_claim_under_its_name(control):
    (study,) = [study for study in STUDIES.values() if control in study.all_claims]
    (claim,) = [claim for claim in study.all_claims if claim.id == control.control_of]
    assert claim.control_of is None
    name = "-control/".join(claim.id.split("/", 1)) if "/" in claim.id else f"{claim.id}-control"
    assert (control.id != name) == (control.id in NAMED_OTHERWISE)


def test_exceptions_are_controls_that_there_are():
    assert TWO_TERMS.keys() | NAMED_OTHERWISE <= {control.id for control in CONTROLS}


@pytest.mark.parametrize("text", TEXTS)
def test_formulas_stand_between_dollars_and_can_be_drawn(text):
    assert text.count("$") % 2 == 0
    MathTextParser("path").parse(text)  # raises ValueError for what it does not know
    assert re.fullmatch(r"[A-Za-z0-9 ,.:;()'+/-]*", outside(text)), "symbols belong between the dollars"


def test_a_formula_that_cannot_be_drawn_is_noticed():
    with pytest.raises(ValueError, match="Unknown symbol"):
        MathTextParser("path").parse(r"$\nosuchsymbol$")


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_every_quantity_of_a_claim_has_a_label(study):
    assert {claim.quantity for claim in study.all_claims} == set(study.labels) - {
        claim.size for claim in study.all_claims
    }


@pytest.mark.parametrize("study", STUDIES.values(), ids=lambda study: study.name)
def test_docstrings_are_ascii(study):
    documented = [
        node
        for node in ast.walk(ast.parse(study.source))
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef)
    ]
    texts = [ast.get_docstring(node) for node in documented]
    assert all(text is None or text.isascii() for text in texts)
