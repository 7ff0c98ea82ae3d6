"""A layer under the switches of NumPy and JAX that a program may have set, and through pickle."""

import contextlib
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af

POINTS = np.vstack([np.random.default_rng(0).normal(size=(50, 2)), [[9.0, 9.0]]])
VALUES = POINTS[:, 0]


def stretched(matrix, x, y):
    return jnp.sum((matrix @ (x - y)) ** 2)


CUSTOM = af.CustomPseudoMetric(Partial(stretched, np.array([[1.0, 0.2], [0.0, 0.8]])))
COSTS = {"distance": af.SquaredDistance(), "product": af.DotProduct(), "custom": CUSTOM}


def answers(cost, method):
    """What can be asked of 51 points, one of them far away."""
    attention = af.Attention(COSTS[cost], 0.1)
    life = af.EmpiricalAttention(attention, POINTS, method=method)
    weighted = af.EmpiricalAttention(attention.replace(normalization=af.AlphaNormalization(0.5)), POINTS, method=method)
    without = af.EmpiricalAttention(attention, POINTS[:-1], method=method, include_self=False)
    gradient = jax.grad(lambda eps: af.EmpiricalAttention(attention.replace(bandwidth=eps), POINTS).layer(VALUES)[3])
    return [
        life.layer(VALUES), life.layer(VALUES, at=POINTS[:3] + 0.1), life.log_normalizer(), weighted.layer(VALUES),
        without.layer(VALUES[:-1]), life.evolve(VALUES, times=0.3).values, life.spectrum(3).eigenvalues, gradient(0.1),
        life.effective_sample_size(),
    ]  # fmt: skip


@pytest.mark.parametrize(("cost", "method"), [("product", "dense"), ("distance", "cutoff"), ("distance", "fourier")])
def test_underflow_on_purpose_is_no_error(cost, method):
    expected = answers(cost, method)
    with np.errstate(all="raise"):
        found = answers(cost, method)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@contextlib.contextmanager
def switched(**options):
    before = {name: getattr(jax.config, name) for name in options}
    try:
        for name, setting in options.items():
            jax.config.update(name, setting)
        yield
    finally:
        for name, setting in before.items():
            jax.config.update(name, setting)


@pytest.mark.parametrize("option", [{"jax_numpy_rank_promotion": "raise"}, {"jax_debug_nans": True}])
def test_switches_of_jax_change_nothing(option):
    expected = answers("custom", "dense")
    with switched(**option):
        jax.clear_caches()
        for ours, theirs in zip(answers("custom", "dense"), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_particles_and_their_spectrum_can_be_pickled():
    life = af.EmpiricalAttention(af.Attention(CUSTOM, 0.1, af.AlphaNormalization(0.5)), POINTS, rtol=1e-9)
    life.layer(VALUES)
    spectrum = life.spectrum(3)
    other, copied = pickle.loads(pickle.dumps((life, spectrum)))
    assert other.solver_error == life.solver_error
    np.testing.assert_array_equal(other.layer(VALUES), life.layer(VALUES))
    np.testing.assert_array_equal(copied.eigenfunctions(POINTS[:4]), spectrum.eigenfunctions(POINTS[:4]))


def test_a_cost_may_hold_a_constant_of_another_precision():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((jnp.array([[1.0, 0.2], [0.0, 0.8]]) @ (x - y)) ** 2))
    single = af.EmpiricalAttention(af.Attention(cost, 0.3), POINTS, dtype="float32", rtol=1e-4).layer(VALUES)
    double = af.EmpiricalAttention(af.Attention(cost, 0.3), POINTS).layer(VALUES)
    np.testing.assert_allclose(single, double, rtol=0, atol=1e-4 * np.abs(VALUES).max())
