"""Logits of any size: equal costs share alike, the nearest keys win, and what rounding hides is said."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from witnesses import direct

import attnflow as af
from attnflow.errors import DataError, DegenerateKernelError, PrecisionError
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.large_logits import LargeLogitSum

POINTS = np.random.default_rng(3).gamma(2.0, size=(40, 3))
QUERIES = np.random.default_rng(4).gamma(2.0, size=(9, 3))
VALUES = np.random.default_rng(5).standard_normal(40)


def quadratic(x, y):
    return jnp.sum((x - 1.2 * y) ** 2) + 0.3 * y[0]


COSTS = {
    "distance": (af.SquaredDistance(), lambda x, y: ((x - y) ** 2).sum(axis=-1)),
    "product": (af.DotProduct(), lambda x, y: -2 * (x * y).sum(axis=-1)),
    "quadratic": (
        af.CustomPseudoMetric(quadratic),
        lambda x, y: ((x - np.longdouble(1.2) * y) ** 2).sum(axis=-1) + np.longdouble(0.3) * y[..., 0],
    ),
}


def particles(cost, bandwidth, points=POINTS, **options):
    return af.EmpiricalAttention(af.Attention(cost, bandwidth), points, **options)


def precise_average(cost, queries, keys, values, *, bandwidth, log_weights=0.0):
    """Averages in extended precision, shifted exactly."""
    x, y = queries[:, None, :].astype(np.longdouble), keys[None, :, :].astype(np.longdouble)
    logits = -COSTS[cost][1](x, y) / (2 * np.longdouble(bandwidth)) + log_weights
    return direct.softmax(logits) @ values


def constant_cost(x, y):
    return 1e18 + 0 * (x[0] * y[0])


EQUAL = af.CustomPseudoMetric(constant_cost)


@pytest.mark.parametrize("bandwidth", [0.1, 0.3, 1.0, 1e-5])
def test_equal_costs_share_alike_however_large(bandwidth):
    points, values = POINTS[:4], np.array([1.0, 2.0, 3.0, 4.0])
    with pytest.warns(RuntimeWarning, match="kernel is constant"):
        np.testing.assert_allclose(particles(EQUAL, bandwidth, points).layer(values), 2.5, rtol=1e-15)
    compiled = jax.jit(lambda eps: particles(EQUAL, eps, points).layer(values))(bandwidth)
    np.testing.assert_allclose(compiled, 2.5, rtol=1e-15)


@pytest.mark.parametrize("cost", COSTS)
def test_the_limit_of_a_small_bandwidth_is_the_nearest_token(cost):
    metric, formula = COSTS[cost]
    alone = np.where(np.eye(40, dtype=bool), np.inf, formula(POINTS[:, None, :], POINTS[None, :, :]))
    costs = formula(QUERIES[:, None, :], POINTS[None, :, :])
    compiled = jax.jit(lambda eps: particles(metric, eps).layer(VALUES, at=QUERIES))
    for bandwidth in (1e-12, 1e-30, 1e-300):
        life = particles(metric, bandwidth)
        nearest = VALUES[costs.argmin(axis=1)]
        np.testing.assert_allclose(life.layer(VALUES, at=QUERIES), nearest, rtol=1e-15)
        np.testing.assert_allclose(life.effective_sample_size(at=QUERIES), 1.0, rtol=1e-14)
        assert life.solver_error < 1e-12
        np.testing.assert_allclose(compiled(bandwidth), nearest, rtol=1e-15)
        without = particles(metric, bandwidth, include_self=False)
        np.testing.assert_allclose(without.layer(VALUES), VALUES[alone.argmin(axis=1)], rtol=1e-15)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_limit_is_the_mean_of_the_nearest_tokens_where_they_are_several(dtype):
    points = np.vstack([POINTS, POINTS[:3]])
    values = np.arange(43.0)
    nearest = ((QUERIES[:, None] - points) ** 2).sum(axis=-1)
    tied = nearest == nearest.min(axis=1, keepdims=True)
    life = particles(af.SquaredDistance(), 1e-20, points, dtype=dtype, rtol=1e-4)
    np.testing.assert_allclose(life.layer(values, at=QUERIES), tied @ values / tied.sum(axis=1), rtol=1e-14)
    np.testing.assert_allclose(life.effective_sample_size(at=QUERIES), tied.sum(axis=1), rtol=1e-14)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), cost=st.sampled_from(sorted(COSTS)), exponent=st.floats(-14, -1))
def test_the_error_of_a_careful_sum_stays_below_the_declared_one(seed, cost, exponent):
    rng = np.random.default_rng(seed)
    keys, queries = rng.gamma(2.0, size=(30, 3)), 10 ** rng.uniform(0, 4) * rng.gamma(2.0, size=(5, 3))
    log_weights, values = rng.normal(0, 3, 30), rng.choice([-1.0, 1.0], 30)
    attention = af.Attention(COSTS[cost][0], bandwidth=10**exponent)
    sums = LargeLogitSum(attention, points=keys, log_weights=log_weights).of_rows(values[:, None], Rows(queries, None))
    given_all = dict(bandwidth=10**exponent, log_weights=log_weights)
    error = np.abs(sums.weighted[:, 0] / sums.total - precise_average(cost, queries, keys, values, **given_all))
    # The reference is rounded as well, at 1e-19 of its logits, for a cost that is declared at 2e-16 of them or 1e-19.
    assert (error <= 1.1 * sums.error + 1e-15).all()


def test_an_average_that_rounding_decides_is_refused_or_warned_of():
    cost = COSTS["quadratic"][0]  # a user's function is rounded as it comes, at 1e-16 of its value
    far = 1e4 * QUERIES
    with pytest.raises(PrecisionError, match=r"uncertain by .* above `rtol` = 1e-08.*Pass a larger `bandwidth`"):
        particles(cost, 1e-4, 1e-9 * POINTS).layer(VALUES, at=far)
    life = particles(cost, 10.0, 1e-3 * POINTS)
    with pytest.warns(RuntimeWarning, match="above `rtol` = 1e-08"):
        found = life.layer(VALUES, at=far)
    assert life.solver_error > 1e-8
    expected = precise_average("quadratic", far, 1e-3 * POINTS, VALUES, bandwidth=10.0)
    assert np.abs(found - expected).max() <= life.solver_error * np.abs(VALUES).max()
    with pytest.warns(RuntimeWarning, match="above `rtol`"):
        life.effective_sample_size(at=far)
    life.log_normalizer(at=far)  # relative to its own size it is exact


def test_the_declared_rounding_of_logits_is_reached_within_a_factor_of_ten():
    # Two keys of nearly equal weight and opposite values: what their logits are off by is seen in full.
    rng = np.random.default_rng(0)
    keys, queries = np.array([[-1000.123], [1000.456]]), 0.1665 + 1e-3 * rng.standard_normal((20000, 1))
    values = np.array([1.0, -1.0])
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 1.0), keys, rtol=1e-3)
    error = np.abs(life.layer(values, at=queries) - precise_average("distance", queries, keys, values, bandwidth=1.0))
    assert 0.1 * life.solver_error < error.max() <= life.solver_error


@pytest.mark.parametrize("include_self", [True, False])
def test_key_weights_that_span_more_than_the_range_of_numbers_keep_every_key(include_self):
    # e^{|y|^2 / 2 eps} turns the distance into the product; at eps = 1e-3 the weights span e^{1e5}.
    weighted = af.Attention(af.SquaredDistance(), 1e-3, af.KeyWeights(lambda y: jnp.sum(y**2) / 2e-3))
    product = af.Attention(af.DotProduct(), 1e-3)
    both = [
        af.EmpiricalAttention(a, 0.3 * POINTS, include_self=include_self).layer(VALUES) for a in (weighted, product)
    ]
    np.testing.assert_allclose(*both, rtol=0, atol=1e-9)


@pytest.mark.parametrize(("value", "error"), [(jnp.inf, DegenerateKernelError), (jnp.nan, DataError)])
def test_a_row_of_infinite_costs_is_zero_by_zero_and_a_nan_is_no_cost(value, error):
    cost = af.CustomPseudoMetric(lambda x, y: jnp.where(x[0] > 1e3, value, jnp.sum((x - y) ** 2)))
    at = np.vstack([QUERIES, 1e4 * QUERIES[:1]])
    life = particles(cost, 0.3)
    for ask in (
        lambda: life.layer(VALUES, at=at),
        lambda: life.log_normalizer(at=at),
        lambda: jax.grad(lambda v: life.layer(v, at=at).sum())(VALUES),
    ):
        with pytest.raises(error, match="query"):
            ask()
