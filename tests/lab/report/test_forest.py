"""The forest puts every measurement on one axis, in margins, and nothing that misses falls off its ends."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attnflow.judge.verdicts import Verdict
from attnflow.lab.report.forest import EDGE, WIDTH, axis, marks, place


def verdict(measured, low=None, high=None, *, predicted=1.0, margin=0.05, control=False):
    return Verdict(
        id="a", source="RZ", kind="constant", control=control, control_of="b" if control else None,
        verdict="supported", predicted=predicted, measured=measured, low=low, high=high, margin=margin, levels=8,
        dropped=0, seconds=1.0, reason="measured",
    )  # fmt: skip


@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=2))
def test_the_axis_keeps_the_order_and_its_ends(margins):
    left, right = map(place, sorted(margins))
    assert EDGE <= left <= right <= WIDTH - EDGE
    assert place(-margins[0]) == pytest.approx(WIDTH - place(margins[0]), abs=0.11)  # tenths are rounded


def test_within_the_margin_it_is_linear_and_half_of_the_row():
    inside = [place(k / 4) for k in range(-4, 5)]
    assert {round(b - a, 6) for a, b in itertools.pairwise(inside)} == {(WIDTH - 2 * EDGE) / 16}
    assert place(100) - place(1) == pytest.approx(place(1e4) - place(100))  # logarithmic beyond
    assert [at for at, _ in axis()] == sorted({at for at, _ in axis()})


def test_an_interval_that_lies_inside_the_margin_is_drawn_between_the_bars():
    (mark,) = marks(verdict(1.01, 0.98, 1.04), [])
    assert place(-1) < mark.low < mark.at < mark.high < place(1)
    assert mark.beyond == 0


@pytest.mark.parametrize(("measured", "beyond"), [(1e9, 1), (-1e9, -1), (1.0, 0), (501.0, 0), (1002.0, 1)])
def test_what_lies_beyond_the_axis_is_an_arrow_at_its_end(measured, beyond):
    (mark,) = marks(verdict(measured), [])
    assert mark.beyond == beyond
    if beyond:
        assert mark.at == place(math.inf * beyond)


def test_a_control_is_drawn_under_its_claim_in_its_own_margins():
    control = verdict(0.0, predicted=2.0, margin=0.5, control=True)
    first, second = marks(verdict(1.0), [control])
    assert (first.verdict.control, first.at) == (True, place(-4))
    assert (second.verdict.control, second.at) == (False, place(0))


def test_a_flag_that_fails_misses_without_bound_and_one_that_holds_is_at_zero():
    (fails,), (holds,) = (marks(verdict(measured, predicted=1.0, margin=0.0), []) for measured in (0.0, 1.0))
    assert (fails.beyond, holds.at) == (-1, place(0))


def test_what_was_not_measured_is_not_drawn():
    assert marks(verdict(None), []) == []
