"""Sums over neighbours against direct sums: what is left out stays below what is declared."""

import subprocess
import sys

import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.sums.kernel_sums import cutoff, tiles
from attnflow.sums.kernel_sums.cutoff import CutoffSum
from attnflow.sums.kernel_sums.neighbours import Boxes, KeyTree, spatial_order

FLOAT64 = np.dtype("float64")


def uniform(n, dim, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, dim)) * (1 + 0.3 * np.arange(dim))  # no symmetry


def cutoff_sum(points, eps, *, rtol=1e-8, weights=None, dtype=FLOAT64):
    logs = np.zeros(len(points)) if weights is None else np.log(weights)
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    return CutoffSum(attention, points=points, log_weights=logs, dtype=dtype, rtol=rtol)


def delivered(sums, points, values, eps, *, queries=None, weights=None, exclude_self=False):
    logits = direct.distance_logits(points if queries is None else queries, points, bandwidth=eps)
    if exclude_self:
        logits = direct.without_self(logits)
    if weights is not None:
        logits = logits + np.log(weights)
    return np.abs(sums.weighted / sums.total[:, None] - direct.layer(logits, values)).max(axis=1)


# On a line the tiles of a few sqrt(eps) hold a part of 2000 points; in more dimensions the reach is shorter.
@pytest.mark.parametrize(("dim", "eps"), [(1, 1e-4), (2, 1e-3), (3, 1e-2), (4, 1e-2), (6, 3e-2), (16, 0.1)])
def test_what_is_left_out_weighs_less_than_declared(dim, eps):
    points = uniform(2000, dim)
    values = np.random.default_rng(1).choice([-1.0, 1.0], (2000, 3))
    for rtol in (1e-4, 1e-8, 1e-12):
        kernel_sum = cutoff_sum(points, eps, rtol=rtol)
        sums = kernel_sum(values)
        assert (sums.error <= rtol).all()
        assert (delivered(sums, points, values, eps) <= sums.error).all()
    if dim < 6:
        assert kernel_sum.candidates < 0.8 * 2000**2, "a cutoff that visits every tile saves nothing"


def test_a_bound_that_ignored_the_neglected_mass_would_be_wrong():
    # On a line tiles of 64 are a third of sqrt(eps) wide, and much of what lies beyond the boxes is near them.
    points, eps = uniform(4000, 1), 1e-2
    values = np.random.default_rng(1).choice([-1.0, 1.0], (4000, 1))
    kernel_sum = cutoff_sum(points, eps, rtol=1e-4)
    sums = kernel_sum(values)
    assert (sums.error <= 1e-4).all()
    assert delivered(sums, points, values, eps).max() > 1e-9  # rounding is below 1e-12


def test_thin_rows_reach_further():
    # A quarter of the points lies in a halo, where the density is lower by 3e4.
    rng = np.random.default_rng(3)
    points = np.vstack([1e-2 * rng.standard_normal((3000, 2)), rng.standard_normal((1000, 2))])
    values = rng.choice([-1.0, 1.0], (len(points), 1))
    kernel_sum = cutoff_sum(points, 1e-2, rtol=1e-10)
    for queries in (3 * rng.standard_normal((50, 2)), None):
        sums = kernel_sum(values, queries)
        near = np.isfinite(sums.error)
        assert (sums.error[near] <= 1e-10).all()
        error = delivered(sums, points, values, 1e-2, queries=queries)
        assert (error[near] <= sums.error[near]).all()
    assert len(kernel_sum._recent[1]) > 1


def test_a_row_out_of_reach_is_marked():
    kernel_sum = cutoff_sum(uniform(300, 2), 1e-3)
    sums = kernel_sum(np.ones((300, 1)), np.array([[0.0, 0.0], [40.0, 40.0]]))
    assert sums.error[0] <= 1e-8
    assert np.isinf(sums.error[1])


@pytest.mark.parametrize("exclude_self", [False, True])
def test_weights_duplicates_and_a_distant_cloud(exclude_self):
    rng = np.random.default_rng(4)
    points = uniform(1500, 3)
    points[700:1400] = points[:700]
    points += 1e3
    weights = 10.0 ** rng.uniform(-6, 3, 1500)
    weights[17] = 0
    values = rng.choice([-1.0, 1.0], (1500, 2))
    with np.errstate(divide="ignore"):
        sums = cutoff_sum(points, 0.02, weights=weights)(values, exclude_self=exclude_self)
        error = delivered(sums, points, values, 0.02, weights=weights, exclude_self=exclude_self)
    assert (sums.error <= 1e-8).all()
    assert (error <= sums.error).all()


def test_single_precision_declares_its_rounding():
    points = uniform(2000, 2).astype(np.float32).astype(float)
    values = np.random.default_rng(1).choice([-1.0, 1.0], (2000, 1))
    sums = cutoff_sum(points, 1e-3, rtol=1e-4, dtype=np.dtype("float32"))(values)
    error = delivered(sums, points, values, 1e-3)
    assert (error <= sums.error).all()
    assert 1e-9 < error.max() < 1e-4


def test_layers_on_the_same_points_search_once(monkeypatch):
    points = uniform(500, 2)
    kernel_sum = cutoff_sum(points, 1e-2)
    first = kernel_sum(points)
    monkeypatch.setattr(KeyTree, "neighbours", None)  # a second search would fail
    np.testing.assert_array_equal(kernel_sum(points).weighted, first.weighted)


def test_sorted_tiles_are_compact_and_lose_no_point():
    points = uniform(10_000, 2)
    order = spatial_order(points, 64)
    np.testing.assert_array_equal(np.sort(order), np.arange(10_000))
    boxes = Boxes.around(points[order], 64)
    # 157 tiles of a rectangle 2 x 2.6: an area of .033 each; bounding boxes of random points are a little smaller.
    area = np.prod(boxes.high - boxes.low, axis=1)
    assert area[:-1].mean() < 0.04


def test_the_search_finds_exactly_the_tiles_whose_boxes_are_near():
    points, queries = uniform(3000, 3), uniform(500, 3, seed=1)
    points = points[spatial_order(points, 64)]
    queries = Boxes.around(queries[spatial_order(queries, 64)], 64)
    keys = Boxes.around(points, 64)
    found = KeyTree(points, np.ones(3000), size=64).neighbours(queries, bandwidth=0.01, tail=1e-6)
    gaps = np.maximum(np.maximum(keys.low - queries.high[:, None], queries.low[:, None] - keys.high), 0)
    near = np.exp(-(gaps**2).sum(-1) / 0.02) > 1e-6
    for i, row in enumerate(near):
        np.testing.assert_array_equal(np.sort(found.tiles[found.first[i] : found.last[i]]), np.flatnonzero(row))


def test_the_work_at_a_fixed_number_of_neighbours_grows_like_the_number_of_points():
    def candidates(n):
        sphere = af.Sphere(2).sample_uniform(n, np.random.default_rng(0))  # no rim
        kernel_sum = cutoff_sum(sphere, 20 / n, rtol=1e-6)
        kernel_sum(np.ones((n, 1)))
        return kernel_sum.candidates

    assert np.log(candidates(32_000) / candidates(4_000)) / np.log(8) < 1.1


@pytest.mark.parametrize("exclude_self", [False, True])
def test_visits_that_need_many_tiles_are_cut_into_pieces(monkeypatch, exclude_self):
    points = uniform(3000, 2)
    whole = cutoff_sum(points, 1e-2)(points, exclude_self=exclude_self)
    monkeypatch.setattr(cutoff, "KEY_TILES", 7)
    monkeypatch.setattr(cutoff, "QUERY_BLOCK", 1024)
    kernel_sum = cutoff_sum(points, 1e-2)
    sums = kernel_sum(points, exclude_self=exclude_self)
    assert len(kernel_sum._recent[1][0].pieces) > 9
    # Only the order of summation differs.
    np.testing.assert_allclose(sums.weighted, whole.weighted, rtol=0, atol=1e-12 * np.abs(whole.weighted).max())


def test_the_compiler_sees_one_shape_whatever_the_number_of_points():
    cutoff_sum(uniform(50, 5), 1e-2)(np.ones((50, 1)))
    compiled = tiles.sum_tiles._cache_size()
    for n in (700, 9000):
        cutoff_sum(uniform(n, 5), 1e-2)(np.ones((n, 1)), uniform(3, 5))
    assert tiles.sum_tiles._cache_size() == compiled


def test_another_cost_is_refused():
    attention = af.Attention(af.DotProduct(), bandwidth=0.1)
    with pytest.raises(ConfigError, match=r"SquaredDistance.*DotProduct.*dense"):
        CutoffSum(attention, points=np.ones((4, 2)), log_weights=np.zeros(4), dtype=FLOAT64, rtol=1e-8)


# Not ru_maxrss, which a process inherits from the one that started it.
MEMORY = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
import numpy as np
import attnflow as af
from attnflow.sums.kernel_sums.cutoff import CutoffSum
af.enable_x64()
n = 1_000_000
points = np.random.default_rng(0).uniform(size=(n, 2))
attention = af.Attention(af.SquaredDistance(), bandwidth=5e-7)
kernel_sum = CutoffSum(attention, points=points, log_weights=np.zeros(n), dtype=np.dtype("f8"), rtol=1e-4)
sums = kernel_sum(points)
print(peak() * 1024, sums.error.max())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_points_form_no_array_of_all_pairs():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    memory, error = map(float, done.stdout.split())
    # A million by a million float64 is 8 TB; even one bit each would be 125 GB.
    assert memory < 2e9
    assert error <= 1e-4
    assert cutoff.QUERY_BLOCK * 1_000_000 * 8 > 2e9, "a block of rows against all keys would not have fitted either"
