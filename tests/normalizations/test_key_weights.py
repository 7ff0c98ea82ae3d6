"""Key weights of order 1/eps: part of the cost, and a jump in the limit."""

import jax.numpy as jnp
import numpy as np
import pytest
from instances import density

import attnflow as af
from attnflow.errors import ConfigError

RNG = np.random.default_rng(3)
CLOUD = RNG.gamma(2.0, size=(60, 2))


def potential(y):
    return 0.3 * y[0] - 0.2 * y[1]


def attention(bandwidth, **changes):
    weights = af.KeyWeights(potential, per_bandwidth=True)
    return af.Attention(af.SquaredDistance(), bandwidth=bandwidth, normalization=weights, **changes)


@pytest.mark.parametrize("bandwidth", [0.5, 1e-4])
def test_they_are_the_weights_e_to_b_over_eps(bandwidth):
    values = CLOUD[:, 0] ** 2
    found = af.EmpiricalAttention(attention(bandwidth), CLOUD).layer(values)
    logits = (0.3 * CLOUD[:, 0] - 0.2 * CLOUD[:, 1] - ((CLOUD[:, None] - CLOUD) ** 2).sum(axis=2) / 2) / bandwidth
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    expected = weights @ values / weights.sum(axis=1)
    # Logits of up to 10^5 at the smaller bandwidth, rounded to 1e-11.
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_limit_is_the_jump_to_where_the_tilted_cost_is_least():
    expansion = af.LaplaceExpansion(attention(0.1), density("circle"))
    x = np.array([[0.6, 0.8], [-1.0, 0.0]])
    target = x + np.array([0.3, -0.2])  # |x - y|^2 / 2 - b = 1 - <x + c, y> on the circle
    expected = target / np.linalg.norm(target, axis=1, keepdims=True)
    np.testing.assert_allclose(expansion.minimizer(x), expected, rtol=0, atol=1e-7)
    with pytest.raises(ConfigError, match=r"minimiser of Tilted is not the query: y\*\(x\) jumps by"):
        af.DriftDiffusion(attention(0.1), density("circle"))


def test_the_population_tends_to_that_jump():
    x = np.array([[0.6, 0.8], [-1.0, 0.0]])
    expected = af.LaplaceExpansion(attention(0.1), density("circle")).minimizer(x)[:, 1]
    misses = [
        np.abs(af.PopulationAttention(attention(eps), density("circle")).layer(lambda y: y[1], at=x) - expected).max()
        for eps in (0.02, 0.01)
    ]
    assert misses[0] / misses[1] == pytest.approx(2, rel=0.05)  # order eps; without b they would tend to a constant


def test_only_the_gaussian_profile_has_them():
    with pytest.raises(ConfigError, match="for the Gaussian profile alone"):
        attention(0.1, profile="exponential")
    with pytest.raises(ConfigError, match="`per_bandwidth` must be True or False"):
        af.KeyWeights(lambda y: jnp.sum(y), per_bandwidth=1)
