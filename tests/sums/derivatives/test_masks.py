"""Pairs without weight, as masks leave them, take no part in a derivative."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given as varied
from hypothesis import settings
from hypothesis import strategies as st
from jax.tree_util import Partial

import attnflow as af

RNG = np.random.default_rng(4)
POINTS = np.column_stack([RNG.normal(size=(12, 2)), np.arange(12)])  # the last coordinate is the place in a sequence
QUERIES = POINTS[3:] + np.array([0.1, 0.2, 0.0])
VALUES, MASSES = RNG.normal(size=12), RNG.uniform(0.5, 2.0, 12)
PARAMETERS = np.array([1.3, 0.7])
GIVEN = [0.3, POINTS, VALUES, MASSES, PARAMETERS, QUERIES]


def seen(x, y):
    return x[2] >= y[2]


def distance(a, x, y):
    return a[0] * jnp.sum((x[:2] - y[:2]) ** 2) + a[1] * x[0] * y[1]


def infinite(a, x, y):
    return jnp.where(seen(x, y), distance(a, x, y), jnp.inf)


def logarithm_of_zero(a, x, y):
    return distance(a, x, y) - jnp.log(jnp.where(seen(x, y), 1.0, 0.0) * a[1])


def compact(a, x, y):
    return -jnp.log(jnp.maximum(1 - a[0] * jnp.sum((x[:2] - y[:2]) ** 2) / 3, 0.0)) + a[1] * x[0] * y[1]


def loss(cost, bandwidth, points, values, masses, parameters, queries):
    attention = af.Attention(af.CustomPseudoMetric(Partial(cost, parameters)), bandwidth)
    life = af.EmpiricalAttention(attention, af.DiscreteMeasure(points, masses), method="dense")
    return jnp.sum(life.layer(values, at=queries) ** 2) + 0.1 * jnp.sum(life.log_normalizer(at=queries))


@functools.cache
def gradient_of(cost, *, compiled):
    gradient = jax.grad(lambda *given: loss(cost, *given), argnums=tuple(range(6)))
    return jax.jit(gradient) if compiled else gradient


@pytest.mark.parametrize("cost", [infinite, logarithm_of_zero, compact])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_is_that_of_the_attention_without_masked_pairs(cost, compiled):
    # Against central differences, whose error is about h^2 = 1e-10 relative to third derivatives up to 1e3.
    known = Partial(loss, cost)
    found = gradient_of(cost, compiled=compiled)(*map(jnp.asarray, GIVEN))
    for place, (given, slope) in enumerate(zip(GIVEN, found, strict=True)):
        direction = RNG.normal(size=np.shape(given))
        if np.ndim(given) == 2:
            direction[:, 2] = 0.0  # who sees whom does not change
        step = 1e-5 * direction
        up, down = (
            float(known(*GIVEN[:place], given + sign * step, *GIVEN[place + 1 :])) for sign in (1.0, -1.0)
        )  # fmt: skip
        assert np.isfinite(slope).all()
        np.testing.assert_allclose(np.sum(slope * direction), (up - down) / 2e-5, rtol=1e-6, atol=1e-6)


def loss_of_seen_pairs(bandwidth, points, values, masses, parameters, queries):
    """The same loss for `infinite`, without JAX: pairs that are not seen have the weight zero."""
    x, y = queries[:, None], points[None]
    squares = (x[..., 0] - y[..., 0]) ** 2 + (x[..., 1] - y[..., 1]) ** 2
    logits = -(parameters[0] * squares + parameters[1] * x[..., 0] * y[..., 1]) / (2 * bandwidth)
    is_seen = x[..., 2].real >= y[..., 2].real
    shift = np.where(is_seen, logits.real, -np.inf).max(axis=1, keepdims=True)
    weights = np.where(is_seen, np.exp(np.where(is_seen, logits - shift, 0.0)) * masses, 0.0)
    totals = weights.sum(axis=1)
    return np.sum((weights @ values / totals) ** 2) + 0.1 * np.sum(np.log(totals) + shift[:, 0])


@settings(max_examples=100, deadline=None, derandomize=True)
@varied(seed=st.integers(0, 2**32 - 1), exponent=st.floats(-3, 3), scale=st.floats(-2, 2))
def test_the_gradient_along_a_random_direction_is_that_of_the_seen_pairs(seed, exponent, scale):
    rng = np.random.default_rng(seed)
    points = np.column_stack([10**scale * rng.normal(size=(12, 2)), rng.permutation(12)])
    queries = np.column_stack([10**scale * rng.normal(size=(9, 2)), rng.integers(0, 12, 9)])
    bandwidth = 10**exponent * max(1.0, 10 ** (2 * scale))
    given = [bandwidth, points, rng.normal(size=12), rng.uniform(0.5, 2, 12), rng.uniform(0.5, 2, 2), queries]
    directions = [np.asarray(rng.normal(size=np.shape(one)) * np.abs(one)) for one in given]
    for place in (1, 5):
        directions[place][:, 2] = 0.0  # who sees whom does not change
    found = gradient_of(infinite, compiled=True)(*map(jnp.asarray, given))
    assert all(np.isfinite(slope).all() for slope in found)
    parts = [np.sum(slope * direction) for slope, direction in zip(found, directions, strict=True)]
    steps = [one + 1e-30j * direction for one, direction in zip(given, directions, strict=True)]
    exact = loss_of_seen_pairs(*steps).imag / 1e-30  # a complex step: exact up to rounding
    # Rounding of logits up to 1e3 / 2 in either, relative to the largest part.
    assert abs(sum(parts) - exact) <= 1e-11 * (np.abs(parts).max() + 1)
