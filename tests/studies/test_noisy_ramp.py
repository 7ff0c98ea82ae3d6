"""Ramps of the noise of tokens: what is read off them, and what the stable ordered laws say."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.special import iv

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module")
def ramp():
    sys.path.insert(0, str(FOLDER))
    try:
        import noisy_ramp

        yield noisy_ramp
    finally:
        sys.path.remove(str(FOLDER))


def test_an_end_is_the_smallest_noise_at_which_order_is_under_a_half(ramp):
    s = np.array([0.8, 0.9, 1.0, 1.1])
    found = ramp.first_below(s, np.array([[0.9, 0.4, 0.6, 0.3], [0.9, 0.9, 0.6, 0.2], [0.9, 0.9, 0.9, 0.5]]))
    assert found[:2].tolist() == [0.9, 1.1]
    assert np.isnan(found[2])  # it was never lost: no number stands for that


def test_a_loop_has_an_area_only_where_the_branch_turns_back(ramp):
    assert ramp.area(1.0) == 0.0
    s, r = ramp.upper(6.0)
    # r falls along the stable laws: the area lies between rectangles of its ends
    assert s[-1] > 1.17
    assert (s[-1] - 1) * r[-1] < ramp.area(6.0) < (s[-1] - 1) * np.interp(1.0, s, r)


def test_order_ends_at_the_law_with_order_a_half_or_where_the_branch_turns_back(ramp):
    # by the law e^{(a_1 / kappa) r cos} alone, whose order is I_1 / I_0 of its exponent, from below and within
    # 10 %: the second wave adds what q_2 = .24 of m_2 = .13 makes of it
    a = 2 * iv(1, 1.0)
    exponents = np.linspace(0.1, 3, 2000)
    exponent = np.interp(0.5, iv(1, exponents) / iv(0, exponents), exponents)
    alone = a * 0.5 / exponent / (a / 2)
    assert alone < ramp.lost_at(1.0) < 1.1 * alone
    assert ramp.lost_at(6.0) == ramp.upper(6.0)[0][-1]


def test_tokens_go_into_order_and_out_of_it_in_a_loop(ramp, monkeypatch):
    monkeypatch.setattr(ramp, "TOP", 1.6)  # few tokens keep their order for longer
    s, falling, rising = ramp.loops("above", 40, [jax.random.key(seed) for seed in range(4)])
    assert s[0] == ramp.BOTTOM
    assert (np.diff(s) > 0).all()
    assert falling.shape == rising.shape == (4, len(s))
    # at the bottom both ends meet in one step, in order but for single tokens of 40; at the top tokens began even
    assert falling[:, 0] == pytest.approx(rising[:, 0], abs=0.1)
    assert falling[:, 0].min() > 0.6
    assert falling[:, -1].max() < 0.5
