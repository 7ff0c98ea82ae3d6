"""Claims: what may be declared, what follows by default, and controls."""

from __future__ import annotations

from dataclasses import replace

import pytest
from judged_ladders import make_claim

from attnflow.errors import ConfigError


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
    control = claim.control(statement="of order eps^2", predicted=2.0)
    assert replace(control, id=claim.id, statement=claim.statement, predicted=1.0, control_of=None) == claim
    assert (control.id, control.control_of) == ("bias-control/circle/long", claim.id)
    assert make_claim(id="depth").control(statement="s", predicted=2.0).id == "depth-control"
    assert claim.control(statement="s", quantity="other", id="valley/circle").id == "valley/circle"


def test_a_default_margin_of_a_control_is_that_of_its_own_prediction() -> None:
    claim = make_claim(kind="constant", predicted=2.0)
    assert claim.control(statement="s", predicted=4.0).margin == pytest.approx(0.2)
    assert claim.control(statement="s", predicted=4.0, margin=0.3).margin == 0.3
    stated = make_claim(kind="constant", predicted=2.0, margin=0.03)
    assert stated.control(statement="s", predicted=4.0).margin == 0.03
    assert make_claim(kind="identity", margin=1e-9).control(statement="s", quantity="other").margin == 1e-9


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "Change `quantity` or `predicted`"),
        ({"margin": 0.1, "hypotheses": "none"}, "Change `quantity` or `predicted`"),
        ({"quantty": "error"}, "Did you mean 'quantity'"),
        ({"predicted": 2.0, "control_of": "x"}, "control_of"),
    ],
)
def test_a_control_that_differs_in_nothing_that_is_measured_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_claim().control(statement="the same", **changes)
