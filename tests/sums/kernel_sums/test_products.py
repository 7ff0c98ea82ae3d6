"""Sums whose logits are products of matrices, against extended precision: values, declared errors, fall-backs."""

import numpy as np
import pytest

import attnflow as af
from attnflow.pseudometrics.exchanged import Exchanged
from attnflow.sums.kernel_sums import products
from attnflow.sums.kernel_sums.dense import DenseSum
from attnflow.sums.kernel_sums.products import ProductSum
from attnflow.sums.planning.planner import PlannedSum

COSTS = {"distance": af.SquaredDistance(), "product": af.DotProduct()}
FLOAT64, FLOAT32 = np.dtype(np.float64), np.dtype(np.float32)


def tokens(n, dim, seed=0):
    """Lopsided points, two of them alike."""
    rng = np.random.default_rng([n, dim, seed])
    points = rng.standard_normal((n, dim)) * rng.uniform(0.5, 1.5, dim) + rng.uniform(-0.5, 0.5, dim)
    points[1] = points[0]
    return points


def rows(cost, queries, keys, weights, bandwidth, own=None):
    """The kernel in extended precision, 64 bits."""
    x, y = queries.astype(np.longdouble), keys.astype(np.longdouble)
    products_ = x @ y.T
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * products_
    logits = products_ / bandwidth if cost == "product" else -squares / (2 * bandwidth)
    if own is not None:
        logits[np.arange(len(x)), own] = -np.inf
    kernel = weights * np.exp(logits - logits.max(axis=1, keepdims=True))
    return kernel, kernel.sum(axis=1), logits.max(axis=1)


def off(sums, cost, queries, keys, weights, values, bandwidth, own=None):
    """Return by what averages are off relative to the largest value, and logarithms of totals."""
    kernel, total, shift = rows(cost, queries, keys, weights, bandwidth, own)
    average = (sums.weighted / sums.total[:, None]) - (kernel @ values) / total[:, None]
    normalizer = sums.shift + np.log(sums.total) - (shift + np.log(total))
    return np.abs(average).max(axis=1, initial=0) / np.abs(values).max(initial=1e-300), np.abs(normalizer)


def product_sum(cost, points, weights, bandwidth, dtype=FLOAT64, rtol=1e-8):
    attention = af.Attention(COSTS[cost], bandwidth)
    with np.errstate(divide="ignore"):
        logs = np.log(weights)
    return ProductSum(attention, points=points, log_weights=logs, dtype=dtype, rtol=rtol)


# Tiles of 512, blocks of 1024 and 16384; up to 36 columns in a pass of nine coordinates.
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize(
    ("n", "q", "dim", "channels"), [(2, 1, 9, 3), (513, 70, 9, 50), (1100, 1025, 33, 1), (16400, 3, 8, 65)]
)
def test_averages_and_totals_are_within_their_declared_errors(cost, n, q, dim, channels):
    points, queries = tokens(n, dim), tokens(q + 1, dim, seed=1)[1:]
    rng = np.random.default_rng(4)
    weights, values = rng.gamma(1.0, size=n), rng.choice([-1.0, 1.0], (n, channels))
    weights[0] = 0.0
    sums = product_sum(cost, points, weights, 2.0)(values, queries)
    averages, normalizers = off(sums, cost, queries, points, weights, values, 2.0)
    assert (averages <= sums.error).all()
    assert (normalizers <= sums.error).all()
    assert sums.error.max() < 1e-11


@pytest.mark.parametrize("cost", COSTS)
def test_a_token_is_left_out_also_beside_keys_without_mass(cost):
    points = tokens(700, 12)
    weights = np.where(np.arange(700) % 3 == 1, 0.0, 1.0)
    values = np.random.default_rng(2).standard_normal((700, 2))
    sums = product_sum(cost, points, weights, 1.5)(values, exclude_self=True)
    averages, _ = off(sums, cost, points, points, weights, values, 1.5, own=np.arange(700))
    assert (averages <= sums.error).all()


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("bandwidth", [0.02, 1e-3])
def test_large_logits_are_shifted_and_take_the_way_that_keeps_their_digits(cost, bandwidth):
    points = tokens(300, 10)
    values = np.random.default_rng(2).choice([-1.0, 1.0], (300, 1))
    attention = af.Attention(COSTS[cost], bandwidth)
    sums = PlannedSum(attention, points=points, log_weights=np.zeros(300), dtype=FLOAT64, rtol=1e-11)(values)
    averages, _ = off(sums, cost, points, points, np.ones(300), values, bandwidth)
    assert (averages <= sums.error).all()
    # Logits of up to 4e4, of products to 3e4: in float64 products would be off by 3e4 * 22 * 1e-16, eighty times this.
    assert sums.error.max() < 1e-11


def test_the_same_values_come_from_separate_coordinates():
    points = tokens(600, 16)
    values = np.random.default_rng(2).standard_normal((600, 3))
    attention = af.Attention(af.SquaredDistance(), 4.0)
    given = dict(points=points, log_weights=np.zeros(600), dtype=FLOAT64)
    apart, together = DenseSum(attention, **given)(values), ProductSum(attention, rtol=1e-8, **given)(values)
    difference = np.abs(apart.weighted / apart.total[:, None] - together.weighted / together.total[:, None])
    # Both declare about 1e-13.
    assert difference.max() < 1e-13 * np.abs(values).max()
    assert difference.max() > 0  # they do differ


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("dim", [64, 200])
def test_single_precision_declares_what_some_rows_show(cost, dim):
    points = tokens(900, dim)
    values = np.random.default_rng(5).choice([-1.0, 1.0], (900, 2))
    bandwidth = float(np.sqrt(dim))
    found = product_sum(cost, points, np.ones(900), bandwidth, FLOAT32, rtol=1e-4)
    sums = found(values)
    averages, _ = off(sums, cost, points, points, np.ones(900), values, bandwidth)
    assert (averages <= sums.error).all()
    # The safety is eight; the worst of twelve rows is a third of the worst of all at least, and rows differ by four.
    assert sums.error.max() < 100 * averages.max()
    assert sums.error.max() <= 1e-4


def test_without_a_look_at_some_rows_the_worst_case_would_be_declared(monkeypatch):
    points = tokens(900, 64)
    values = np.random.default_rng(5).choice([-1.0, 1.0], (900, 2))
    asked = product_sum("product", points, np.ones(900), 8.0, FLOAT32, rtol=1e-4)
    assert asked(values).error.max() < 1e-4
    monkeypatch.setattr(products, "SAFETY", 1e9)
    assert asked(values).error.max() > 1e-4


def test_another_cost_of_a_subclass_has_no_factors():
    class Doubled(af.SquaredDistance):
        def __call__(self, x, y):
            return 2 * super().__call__(x, y)

    assert af.SquaredDistance().factors(1.0) is not None
    assert Doubled().factors(1.0) is None
    points = tokens(50, 9)
    values = points[:, :1]
    doubled = af.EmpiricalAttention(af.Attention(Doubled(), 2.0), points).layer(values)
    # Twice the cost at twice the bandwidth is the same kernel; both declare under 1e-13.
    np.testing.assert_allclose(
        doubled,
        af.EmpiricalAttention(af.Attention(af.SquaredDistance(), 1.0), points).layer(values),
        rtol=0,
        atol=1e-12,
    )


@pytest.mark.parametrize("name", COSTS)
def test_products_of_factors_are_the_cost(name):
    cost, points = COSTS[name], tokens(5, 9)
    factors = cost.factors(3.0)
    a, b = factors.of_queries(points), factors.of_keys(points[2:] + 1)
    expected = [[float(cost(x, y)) for y in points[2:] + 1] for x in points]
    np.testing.assert_allclose(-2 * a @ b.T, expected, rtol=0, atol=1e-12)  # of terms up to 100


def test_factors_of_an_exchanged_cost_are_exchanged():
    attention = af.Attention(af.DotProduct(), 1.0)
    exchanged = attention.replace(pseudometric=Exchanged(af.SquaredDistance()))
    points = tokens(4, 8)
    factors = exchanged.factors(2.0)
    plain = af.SquaredDistance().factors(2.0)
    np.testing.assert_array_equal(factors.of_queries(points), plain.of_keys(points))
    np.testing.assert_array_equal(factors.of_keys(points), plain.of_queries(points))


def test_far_from_the_origin_nothing_is_lost():
    points = tokens(400, 8) + 1e4
    values = np.random.default_rng(5).choice([-1.0, 1.0], (400, 1))
    sums = product_sum("distance", points, np.ones(400), 1.0)(values)
    centred = points - points.mean(axis=0)
    averages, _ = off(sums, "distance", centred, centred, np.ones(400), values, 1.0)
    # Differences of such coordinates are rounded at 1e-12, logits of order ten at 1e-11.
    assert averages.max() < 1e-10


def test_many_rows_that_single_precision_cannot_promise_are_announced_once(monkeypatch):
    points = tokens(1100, 64)
    values = np.random.default_rng(5).choice([-1.0, 1.0], (1100, 1))
    # Logits of up to 2e4: in single precision no digit of an average is left.
    attention = af.Attention(af.DotProduct(), 0.01)
    layers = af.EmpiricalAttention(attention, points, dtype="float32", rtol=1e-4)
    with pytest.warns(RuntimeWarning, match=r"float32 is uncertain by .* above `rtol` = 0.0001: 100% of the rows"):
        first = layers.layer(values)
    monkeypatch.setattr(products, "fill_up", lambda rows, size, dtype: pytest.fail("once more") if dtype == FLOAT32
                        else np.vstack([rows, np.repeat(rows[-1:], size - len(rows), axis=0)]))  # fmt: skip
    np.testing.assert_array_equal(layers.layer(values), first)  # in double precision, without trying single again
    assert layers.solver_error <= 1e-4
