"""Pairs without weight, as masks leave them, take no part in a derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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


@pytest.mark.parametrize("cost", [infinite, logarithm_of_zero, compact])
@pytest.mark.parametrize("compiled", [False, True])
def test_the_gradient_is_that_of_the_attention_without_masked_pairs(cost, compiled):
    # Against central differences, whose error is about h^2 = 1e-10 relative to third derivatives up to 1e3.
    known = Partial(loss, cost)
    gradient = jax.grad(lambda *given: known(*given), argnums=tuple(range(6)))
    found = (jax.jit(gradient) if compiled else gradient)(*map(jnp.asarray, GIVEN))
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
