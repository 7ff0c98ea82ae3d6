"""Jump processes: closed forms; positivity, mass and constants in floating point, where an implicit step errs."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from attnflow.equations.semigroups import positive
from attnflow.equations.semigroups.positive import Jumps, poisson
from attnflow.errors import ConvergenceError


def ring(n, seed=0):
    """Jumps around a ring and across it, with rates over five decades, and the law that they keep."""
    generator = np.random.default_rng(seed)
    tails = np.concatenate([np.arange(n), np.arange(n // 3)])
    heads = np.concatenate([(np.arange(n) + 1) % n, np.arange(n // 3) + n // 2])
    law = np.exp(generator.normal(size=n))
    flows = 10 ** generator.uniform(-2, 1, size=len(tails))
    jumps = Jumps(n, tails=tails, heads=heads, forward=flows / law[tails], backward=flows / law[heads])
    return jumps, law / law.sum()


def random_walk(n, rate):
    tails = np.arange(n)
    return Jumps(n, tails=tails, heads=(tails + 1) % n, forward=np.full(n, rate), backward=np.full(n, rate))


@pytest.mark.parametrize("mean", [0.0, 0.3, 7.0, 1234.5, 3e5])
def test_poisson_weights_are_those_of_scipy(mean):
    start, weights = poisson(mean)
    assert weights.sum() == pytest.approx(1, abs=1e-15)
    # scipy's logarithms of factorials leave 1e-16 of 3e5 log 3e5
    np.testing.assert_allclose(weights, scipy.stats.poisson.pmf(start + np.arange(len(weights)), mean), atol=1e-13)


@pytest.mark.parametrize("n", [16, 700])  # below and above where matrices are squared
def test_waves_on_a_ring_decay_as_they_should(n):
    jumps, places = random_walk(n, 3.0), 2 * np.pi * np.arange(n) / n
    times = np.array([40.0, 0.0, 1.3])
    found = jumps.propagate(np.cos(3 * places)[:, None], times=times)
    expected = np.exp(-6 * np.outer(times, [1 - np.cos(3 * places[1])])) * np.cos(3 * places)
    np.testing.assert_allclose(found.states[:, :, 0], expected, rtol=0, atol=found.error)
    assert found.error < 1e-12


@pytest.mark.parametrize("adjoint", [False, True])
@pytest.mark.parametrize("size", [0, 40])  # the largest matrix that may be squared
def test_both_ways_agree_with_the_exponential(monkeypatch, adjoint, size):
    monkeypatch.setattr(positive, "_DENSE", size)
    jumps, _ = ring(40)
    initial = np.random.default_rng(3).normal(size=(40, 2))
    times = np.array([0.02, 5.0])
    matrix = jumps.matrix.toarray()
    expected = np.stack([scipy.linalg.expm(time * (matrix.T if adjoint else matrix)) @ initial for time in times])
    found = jumps.propagate(initial, times=times, adjoint=adjoint)
    np.testing.assert_allclose(found.states, expected, rtol=0, atol=1e-12)  # expm rounds to 1e-16 of 5 * 300


def test_nothing_becomes_negative_where_crank_nicolson_does():
    jumps, _ = ring(60)
    start = np.zeros((60, 1))
    start[17] = 1.0
    for time in (1e-6, 0.01, 0.3, 1e5):
        assert jumps.propagate(start, times=np.array([time]), adjoint=True).states.min() >= 0
        assert jumps.propagate(start, times=np.array([time])).states.min() >= 0
    half = 0.5 * 0.3 * jumps.matrix.toarray().T
    assert np.linalg.solve(np.eye(60) - half, (np.eye(60) + half) @ start).min() < -0.1


@pytest.mark.parametrize("n", [60, 600])
def test_mass_and_constants_are_kept_and_entropy_does_not_rise(n):
    jumps, law = ring(n)
    start = np.random.default_rng(5).gamma(0.3, size=n) + 1e-12
    times = np.linspace(0, 30, 40)
    masses = jumps.propagate(start[:, None], times=times, adjoint=True).states[:, :, 0]
    np.testing.assert_allclose(masses.sum(axis=1), start.sum(), rtol=1e-13)
    entropy = np.sum(masses * np.log(masses / start.sum() / law), axis=1)
    assert np.all(np.diff(entropy) < 1e-13 * start.sum())  # its rounding
    assert entropy[0] > 2 * entropy[-1]
    ones = jumps.propagate(np.ones((n, 1)), times=times).states
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-14)


def test_too_many_jumps_are_refused():
    with pytest.raises(ConvergenceError, match="fewer cells, or shorter times"):
        random_walk(700, 1e6).propagate(np.ones((700, 1)), times=np.array([10.0]))
