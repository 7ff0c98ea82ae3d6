"""Claims: what may be declared, what follows by default, and controls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged_ladders import make_claim

from attnflow.errors import ConfigError
from attnflow.judge.claims import covered


def test_margins_default_by_kind() -> None:
    assert make_claim().margin == 0.05
    assert make_claim(kind="constant", predicted=-4.0).margin == pytest.approx(0.2)
    assert make_claim(margin=0.1).margin == 0.1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "exponnent"}, "Did you mean 'exponent'"),
        ({"kind": "identity"}, "margin"),
        ({"kind": "constant", "predicted": 0.0}, "margin"),
        ({"margin": -0.1}, "margin"),
        ({"margin": 0.0}, "margin"),
        ({"kind": "flag", "margin": 0.1}, "margin"),
        ({"predicted": float("nan")}, "predicted"),
        ({"predicted": "one"}, "predicted"),
        ({"id": " "}, "id"),
        ({"quantity": None}, "quantity"),
        ({"control_of": "bias/circle"}, "control_of"),
        ({"floor": -1.0}, "floor"),
        ({"floor": [[1.0]]}, "floor"),
        ({"kind": "constant", "floor": 1e-9}, "floor"),
        ({"statistic": "rms"}, "statistic"),
        ({"kind": "constant", "statistic": "median"}, "statistic"),
        ({"correction_power": 0.0}, "correction_power"),
        ({"kind": "identity", "margin": 1e-9, "correction_power": 2.0}, "applies to exponents and constants only"),
        ({"kind": "identity", "margin": -1e-9}, "must not be negative"),
    ],
)
def test_a_claim_that_does_not_fit_its_kind_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_claim(**changes)


def test_claims_are_plain_values() -> None:
    assert make_claim(floor=[1e-9, 1e-8]) == make_claim(floor=(1e-9, 1e-8))
    assert len({make_claim(), make_claim()}) == 1


# Controls


def test_a_control_is_the_claim_but_for_what_is_named() -> None:
    claim = make_claim(id="bias/circle/long", margin=0.02, floor=1e-9, correction_power=2.0)
    control = claim.control(statement="of order eps^2", quantity="other", predicted=2.0)
    same = dict(id=claim.id, statement=claim.statement, quantity="bias", predicted=1.0, control_of=None)
    assert replace(control, **same) == claim
    assert (control.id, control.control_of) == ("bias-control/circle/long", claim.id)
    assert make_claim(id="depth").control(statement="s", quantity="other").id == "depth-control"
    assert claim.control(statement="s", quantity="other", id="valley/circle").id == "valley/circle"


def test_a_default_margin_of_a_control_is_that_of_its_own_prediction() -> None:
    claim = make_claim(kind="constant", predicted=2.0)
    assert claim.control(statement="s", quantity="other", predicted=4.0).margin == pytest.approx(0.2)
    assert claim.control(statement="s", quantity="other", predicted=4.0, margin=0.3).margin == 0.3
    stated = make_claim(kind="constant", predicted=2.0, margin=0.03)
    assert stated.control(statement="s", quantity="other", predicted=4.0).margin == 0.03
    assert make_claim(kind="identity", margin=1e-9).control(statement="s", quantity="other").margin == 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "reads the numbers of its claim, 'bias', once more. Name another `quantity`"),
        ({"margin": 0.1, "hypotheses": "none"}, "Name another `quantity`"),
        ({"predicted": 2.0}, "Name another `quantity`"),
        ({"quantity": "bias", "predicted": 2.0}, "Name another `quantity`"),
        ({"quantty": "error"}, "Did you mean 'quantity'"),
        ({"quantity": "other", "control_of": "x"}, "control_of"),
    ],
)
def test_a_control_that_differs_in_nothing_that_is_measured_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_claim().control(statement="the same", **changes)


@pytest.mark.parametrize(
    ("kind", "predicted", "given", "expected"),
    [
        ("exponent", 1.0, {"truth": 0}, (0.0, 0.05)),
        ("constant", 1.0, {"truth": 4.0}, (4.0, pytest.approx(0.2))),
        ("constant", 1.0, {"truth": 0.0, "truth_margin": 0.01}, (0.0, 0.01)),
        ("identity", 0.0, {"truth": 0.5, "truth_margin": 0.1}, (0.5, 0.1)),
        ("flag", True, {"truth": False}, (0.0, 0.0)),
    ],
)
def test_a_control_says_what_its_number_is_in_truth(kind, predicted, given, expected) -> None:
    claim = make_claim(kind=kind, predicted=predicted, margin={"identity": 1e-9}.get(kind))
    control = claim.control(statement="s", quantity="other", **given)
    assert (control.truth, control.truth_margin) == expected
    assert (control.predicted, control.margin) == (claim.predicted, claim.margin)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"truth": 1.09}, "apart from `predicted` by more than both margins, got 1.09 \\+- 0.05 and 1 \\+- 0.05"),
        ({"truth": 1.5, "truth_margin": 0.46}, "apart from `predicted`"),
        ({"truth": float("nan")}, "predicted"),
        ({"truth": 0.0, "truth_margin": -1.0}, "`truth_margin` must be positive"),
        ({"truth_margin": 0.1}, "`truth_margin` belongs to a `truth`"),
        ({"truth": 0.0, "kind": "identity", "margin": 0.1}, "`truth_margin` of an identity must be stated"),
    ],
)
def test_a_truth_that_is_no_gap_is_refused(given: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_claim().control(statement="s", quantity="other", **given)


def test_a_claim_is_true_as_it_stands() -> None:
    with pytest.raises(ConfigError, match="`truth` is for controls"):
        make_claim(truth=0.0)


# Lives


def test_a_claim_that_measures_no_life_is_a_derivation_and_one_that_says_nothing_is_not() -> None:
    assert make_claim(measures=()).derivation
    assert not make_claim().derivation
    claim = make_claim(measures=["empirical", "limit"])
    assert (claim.measures, claim.derivation) == (("empirical", "limit"), False)
    assert claim.control(statement="s", quantity="other").measures == claim.measures


@pytest.mark.parametrize(
    ("measures", "message"),
    [
        (["emprical"], "Did you mean 'empirical'"),
        ("empirical", "must be a list of lives, got 'empirical'"),
        (3, "must be a list"),
    ],
)
def test_lives_that_there_are_none_of_are_refused(measures, message) -> None:
    with pytest.raises(ConfigError, match=message):
        make_claim(measures=measures)


# Claims that another control covers


def test_claims_without_a_control_are_covered_by_the_one_that_is_named() -> None:
    claim, other, third = make_claim(), make_claim(id="bias/sphere"), make_claim(id="bias/torus")
    control = claim.control(statement="s", quantity="other")
    made = covered([claim, control, other, third], by={"bias/sphere": control.id, "bias/torus": "noise-control/circle"})
    assert [each.covered_by for each in made] == [None, None, control.id, "noise-control/circle"]
    assert made[2].control(statement="s", quantity="other").covered_by is None


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ({}, "a control that covers 'bias/sphere', got None"),
        ("bias/circle", "a control that covers 'bias/sphere', got 'bias/circle'"),
        ({"bias/circle": "bias-control/circle"}, "claims without a control of their own, got 'bias/circle'"),
        ({"bias/sphre": "bias-control/circle"}, "claims without a control of their own, got 'bias/sphre'"),
    ],
)
def test_a_cover_that_is_none_is_refused(by, message) -> None:
    claim = make_claim()
    with pytest.raises(ConfigError, match=message):
        covered([claim, claim.control(statement="s", quantity="other"), make_claim(id="bias/sphere")], by=by)


def test_a_control_is_not_covered() -> None:
    with pytest.raises(ConfigError, match="`covered_by` is for claims"):
        make_claim(control_of="noise", covered_by="bias-control/circle")
