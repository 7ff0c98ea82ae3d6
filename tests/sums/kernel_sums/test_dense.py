"""The streamed kernel sum against NumPy and forty digits, its memory, and its independence of tiling."""

import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.sums.kernel_sums import blocks, dense, tiles
from attnflow.sums.kernel_sums.dense import DenseSum

FLOAT64 = np.dtype("float64")


def cloud(n: int, *, dim: int = 3, seed: int = 0) -> np.ndarray:
    """Points without symmetry, with a duplicate and an outlier."""
    points = np.random.default_rng(seed).gamma(2.0, size=(n, dim))
    points[1] = points[0]
    points[2] = 30.0
    return points


def sums(points, values, queries=None, *, cost=None, bandwidth=0.5, dtype=FLOAT64, weights=None, exclude_self=False):
    attention = af.Attention(cost or af.SquaredDistance(), bandwidth=bandwidth)
    logs = np.zeros(len(points)) if weights is None else np.log(weights)
    kernel_sum = DenseSum(attention, points=points, log_weights=logs, dtype=dtype)
    return kernel_sum(values.reshape(len(values), -1), queries, exclude_self=exclude_self)


def average(result):
    return result.weighted / result.total[:, None]


# Tiles of 64 and 512, blocks of 1024 and 16384: sizes on both sides of every edge.
@pytest.mark.parametrize(("n", "q"), [(3, 1), (7, 63), (511, 65), (1025, 1025), (16385, 3)])
def test_padding_leaves_no_trace_at_any_size(n, q):
    points, queries = cloud(n), cloud(q + 3, seed=1)[:q]
    values = np.sin(points[:, :2])
    expected = direct.layer(direct.distance_logits(queries, points, bandwidth=0.5), values)
    # Sums of positive terms: rounding grows at most like the length of a tile, 1e3 * 1e-16.
    np.testing.assert_allclose(average(sums(points, values, queries)), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("channels", [0, 1, 2, 3, 8, 31, 32, 40])
def test_any_number_of_channels_is_summed(channels):
    points = cloud(50)
    values = np.random.default_rng(3).standard_normal((50, channels))
    result = sums(points, values, points[:4])
    assert result.weighted.shape == (4, channels)
    expected = direct.layer(direct.distance_logits(points[:4], points, bandwidth=0.5), values)
    np.testing.assert_allclose(average(result), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("cost", ["distance", "product"])
@pytest.mark.parametrize("far", [False, True])
def test_logits_of_ten_thousand_equal_forty_digits(cost, far):
    rng = np.random.default_rng(5)
    keys = np.vstack([rng.standard_normal((30, 3)), np.full((1, 3), 8.0), np.full((3, 3), 0.25)])
    queries = np.full((1, 3), 11.0) + rng.random((1, 3)) if far else rng.standard_normal((3, 3))
    bandwidth = 0.02
    values = rng.standard_normal(len(keys))
    metric = af.SquaredDistance() if cost == "distance" else af.DotProduct()
    logits = direct.distance_logits if cost == "distance" else direct.product_logits
    largest = np.abs(logits(queries, keys, bandwidth=bandwidth)).max()
    if far:
        assert largest > 1e4
    result = sums(keys, values, queries, cost=metric, bandwidth=bandwidth)
    expected, normaliser, _ = direct.precise_attention(queries, keys, values, bandwidth=bandwidth, cost=cost)
    np.testing.assert_allclose(average(result)[:, 0], expected, rtol=0, atol=1e-12)
    # The logit itself is rounded at a few units of its last place.
    np.testing.assert_allclose(result.shift + np.log(result.total), normaliser, rtol=1e-15, atol=1e-12)


def test_far_rows_declare_the_rounding_of_their_logits_though_they_are_not_shifted():
    # Two keys of opposite values at logits of 600: additions alone are off by at most 120 units, 2.7e-14.
    keys = np.array([[-34.6123], [34.7456]])
    queries = 0.0667 + 1e-3 * np.random.default_rng(0).standard_normal((20000, 1))
    result = sums(keys, np.array([1.0, -1.0]), queries, bandwidth=1.0)
    logits = -((queries.astype(np.longdouble) - keys.T) ** 2) / 2
    error = np.abs(average(result)[:, 0] - np.tanh((logits[:, 0] - logits[:, 1]) / 2))
    assert error.max() > 3e-14
    assert (error <= result.error).all()


def test_rows_that_underflow_are_summed_again_and_the_others_kept():
    points = cloud(40)
    values = np.cos(points[:, 0])
    queries = np.vstack([points[:3] + 0.1, points[:3] + 200.0])
    result = sums(points, values, queries)
    np.testing.assert_array_equal(result.shift[:3], 0.0)
    assert (result.shift[3:] < -1e4).all()
    expected = direct.layer(direct.distance_logits(queries, points, bandwidth=0.5), values)
    np.testing.assert_allclose(average(result)[:, 0], expected, rtol=0, atol=1e-11)  # logits of 1e5: 1e5 * 1e-16


@pytest.mark.parametrize("cost", [af.SquaredDistance(), af.DotProduct()])
def test_leaving_oneself_out_is_a_mask_not_a_subtraction(cost):
    # The outlier's own term exceeds all its others by e^500: a subtraction would leave nothing.
    points = cloud(1100)
    logits = direct.distance_logits if isinstance(cost, af.SquaredDistance) else direct.product_logits
    values = np.sin(points[:, 0])
    result = sums(points, values, cost=cost, exclude_self=True)
    expected = direct.layer(direct.without_self(logits(points, points, bandwidth=0.5)), values)
    np.testing.assert_allclose(average(result)[:, 0], expected, rtol=0, atol=1e-12)


def test_oneself_is_left_out_in_every_block_of_keys(monkeypatch):
    monkeypatch.setattr(DenseSum, "_key_block", dense.KEY_TILE)
    points = cloud(2 * dense.KEY_TILE + 300)
    values = np.sin(points[:, 0])
    expected = direct.layer(direct.without_self(direct.distance_logits(points, points, bandwidth=0.5)), values)
    np.testing.assert_allclose(average(sums(points, values, exclude_self=True))[:, 0], expected, rtol=0, atol=1e-12)


def test_a_mass_is_a_multiplicity():
    points = cloud(20)
    counts = np.random.default_rng(2).integers(1, 4, 20)
    values = np.sin(points)
    once = average(sums(points, values, points, weights=counts))
    repeated = average(sums(np.repeat(points, counts, axis=0), np.repeat(values, counts, axis=0), points))
    np.testing.assert_allclose(once, repeated, rtol=0, atol=1e-14)


def test_a_cost_written_with_array_operations_is_the_same_cost():
    points, values = cloud(30), np.arange(30.0)
    custom = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2))
    np.testing.assert_allclose(
        average(sums(points, values, cost=custom)), average(sums(points, values)), rtol=0, atol=1e-13
    )


def test_the_result_does_not_depend_on_the_order_in_which_threads_finish(monkeypatch):
    points = cloud(3000)
    values = np.sin(points)
    threaded = sums(points, values)

    class OneThread:
        map = staticmethod(map)

    monkeypatch.setattr(blocks, "threads", OneThread)
    np.testing.assert_array_equal(sums(points, values).weighted, threaded.weighted)


def test_the_same_call_twice_gives_identical_bytes():
    points = cloud(2000)
    assert sums(points, points).weighted.tobytes() == sums(points, points).weighted.tobytes()


def test_single_precision_is_close_but_not_double():
    points = cloud(300, dim=2)[3:]
    values = np.sin(5 * points[:, 0])
    error = np.abs(average(sums(points, values, dtype=np.dtype("float32"))) - average(sums(points, values))).max()
    # Logits of order 10 rounded to 6e-8; a mean of 300 of them stays far above double's 1e-15.
    assert 1e-9 < error < 1e-4


def test_the_compiler_sees_one_shape_whatever_the_number_of_points():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 4))
    sums(cloud(10), np.ones(10), cost=cost)
    compiled = tiles.sum_tiles._cache_size(), tiles.max_tiles._cache_size()
    for n in (11, 2000, 17000):
        sums(cloud(n), np.ones(n), cloud(5), cost=cost, bandwidth=0.1 * n)
    assert (tiles.sum_tiles._cache_size(), tiles.max_tiles._cache_size()) == compiled


# Not ru_maxrss, which a process inherits from the one that started it.
MEMORY = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
import numpy as np
import attnflow as af
af.enable_x64()
points = np.random.default_rng(0).standard_normal((65536, 3))
attention = af.Attention(af.SquaredDistance(), bandwidth=0.05)
af.EmpiricalAttention(attention, points[:2000]).layer(points[:2000, 0])  # compile
before = peak()
af.EmpiricalAttention(attention, points).layer(points[:, 0], at=points[:4096])
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_array_of_all_pairs_is_ever_formed():
    # 4096 x 65536 float64 would be 2.1 GB; keys, values and sums are 10 MB.
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    assert int(done.stdout) < 100e6
