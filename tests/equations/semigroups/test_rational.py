"""The rational semigroup against all eigenpairs of a small system."""

import numpy as np
import pytest
import scipy.linalg
from scipy.sparse import csc_array

from attnflow.equations.semigroups import rational
from attnflow.equations.semigroups.rational import RationalSemigroup
from attnflow.errors import ConvergenceError

RNG = np.random.default_rng(8)


def chain(n=160):
    """Springs of very different strength along a chain, on masses that overlap: rates from 1e-1 to 1e6."""
    springs = np.exp(1.5 * RNG.standard_normal(n - 1)) * n
    differences = np.diff(np.eye(n), axis=0)
    stiffness = differences.T @ (springs[:, None] * differences)
    weights = np.exp(RNG.standard_normal(n - 1)) / n
    middles = np.abs(differences)
    mass = middles.T @ (weights[:, None] * middles) / 6 + np.diag(middles.T @ weights) / 6
    return stiffness, mass


STIFFNESS, MASS = chain()
SEMIGROUP = RationalSemigroup(csc_array(STIFFNESS), csc_array(MASS))
LOADS = np.column_stack([MASS @ RNG.standard_normal(160), MASS @ np.sign(np.arange(160) - 70.5), RNG.random(160)])
TIMES = np.array([0.3, 1e-7, 9.0, 0.02, 1e-3, 1.0])


def exact(times):
    rates, modes = scipy.linalg.eigh(STIFFNESS, MASS)
    decays = np.exp(-np.multiply.outer(times, rates - rates[0]))  # the first is zero but for rounding
    return np.einsum("ik,tk,kc->tic", modes, decays, modes.T @ LOADS)


def norms(states):
    return np.sqrt(np.einsum("...ic,ij,...jc->...c", states, MASS, states))


@pytest.mark.parametrize("rtol", [1e-4, 1e-8, 1e-12])
def test_every_time_is_answered_to_the_tolerance(rtol):
    states = SEMIGROUP.propagate(LOADS, times=TIMES, rtol=rtol)
    initial = norms(np.linalg.solve(MASS, LOADS))
    # Eigenvalues of a matrix as large as 1e6 are known to 1e-10 only.
    assert (norms(states - exact(TIMES)) < (rtol + 1e-10 * TIMES[:, None] + 1e-13) * initial).all()


def test_masses_are_conserved_and_constants_kept():
    states = SEMIGROUP.propagate(LOADS, times=TIMES, rtol=1e-4)
    masses = np.einsum("ij,tjc->tc", MASS, states)
    sizes = np.abs(LOADS).sum(axis=0)
    assert (np.abs(masses - LOADS.sum(axis=0)) < 1e-14 * sizes).all()
    ones = SEMIGROUP.propagate(MASS.sum(axis=0)[:, None], times=TIMES, rtol=1e-4)
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-13)


def test_the_order_of_times_and_other_loads_do_not_matter():
    together = SEMIGROUP.propagate(LOADS, times=TIMES, rtol=1e-10)
    alone = SEMIGROUP.propagate(LOADS[:, 1:2], times=TIMES[::-1], rtol=1e-10)
    np.testing.assert_allclose(together[:, :, 1], alone[::-1, :, 0], rtol=0, atol=1e-11)  # products are summed anew


def test_too_few_steps_are_an_error(monkeypatch):
    monkeypatch.setattr(rational, "_STEPS", 8)
    with pytest.raises(ConvergenceError, match=r"at t = 1e-07 is off by .* of f after 8 steps, 1e-08 is asked"):
        SEMIGROUP.propagate(LOADS, times=TIMES, rtol=1e-8)
