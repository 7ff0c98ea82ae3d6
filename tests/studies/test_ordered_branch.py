"""Ordered laws of noisy tokens: where the branch begins, and that its laws are at rest."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.special import iv

FOLDER = Path(__file__).parents[2] / "studies" / "questions"


@pytest.fixture(scope="module")
def ordered_branch():
    sys.path.insert(0, str(FOLDER))
    try:
        import ordered_branch

        yield ordered_branch
    finally:
        sys.path.remove(str(FOLDER))


@pytest.mark.parametrize("dim", [1, 2])
def test_coefficients_sum_to_the_kernel(ordered_branch, dim):
    p, uniform = ordered_branch.waves(dim)
    heights = p[0]
    found = ordered_branch.coefficients(dim, 2.0) @ p
    kernel = np.exp(2.0 * heights) / 2.0
    # 32 waves leave less than I_33(2) = 1e-37 of it
    assert np.allclose(found, kernel - kernel @ uniform, rtol=0, atol=1e-13)


def test_the_branch_begins_at_the_critical_noise(ordered_branch):
    law = ordered_branch.branch(1, 1.5, np.array([1e-3]))[0]
    # I_1(beta) / beta, from which it is off by some r^2
    assert law.noise == pytest.approx(iv(1, 1.5) / 1.5, rel=1e-6)


@pytest.mark.parametrize("dim", [1, 2])
def test_a_law_of_the_branch_has_the_moments_that_it_is_made_from(ordered_branch, dim):
    law = ordered_branch.branch(dim, 3.0, np.array([0.1, 0.3, 0.5]))[-1]
    p, uniform = ordered_branch.waves(dim)
    weights = uniform * np.exp(law.potential @ p)
    assert p @ weights / weights.sum() == pytest.approx(law.moments, abs=1e-12)
    assert law.moments[0] == 0.5


def test_an_order_that_no_law_has_is_refused(ordered_branch):
    with pytest.raises(ArithmeticError, match="Take closer sizes"):
        ordered_branch.branch(1, 3.0, np.array([0.5, 1.5]))
