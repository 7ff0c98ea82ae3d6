"""The fast Gauss transform: its grid, its checks, and what it refuses; test_declared_errors.py holds its accuracy."""

import subprocess
import sys

import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, ResourceError
from attnflow.sums.kernel_sums import fourier
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.fourier import FourierSum

FLOAT64 = np.dtype(np.float64)


def cloud(n, dim, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (n, dim)) * np.array([1.0, 0.7, 1.3])[:dim]  # no symmetry


def fourier_sum(points, eps, *, rtol=1e-8, dtype=FLOAT64):
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    return FourierSum(attention, points=points, log_weights=np.zeros(len(points)), dtype=dtype, rtol=rtol)


def average(sums):
    return sums.weighted / sums.total[:, None]


def expected(points, values, eps, queries=None):
    return direct.layer(direct.distance_logits(points if queries is None else queries, points, bandwidth=eps), values)


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("error", [1e-3, 1e-6, 1e-9])
def test_the_frequencies_of_the_grid_represent_the_kernel(dim, error):
    # Without the transforms: the truncated, periodised series at differences r up to the width and the spare part.
    width, eps = np.array([2.0, 1.4, 0.3])[:dim], 0.03
    grid = fourier.Grid.of(width, bandwidth=eps, error=error)
    r = np.random.default_rng(0).uniform(-1, 1, (200, dim)) * (width + grid.spare)
    series = np.ones(200)
    for k, (period, n) in enumerate(zip(grid.period, grid.orders.astype(int), strict=True)):
        omega = 2 * np.pi / period * np.arange(-n, n + 1)
        weights = np.sqrt(2 * np.pi * eps) / period * np.exp(-eps / 2 * omega**2)
        series *= (weights * np.cos(np.outer(r[:, k], omega))).sum(axis=1)
    delivered = np.abs(series - np.exp(-(r**2).sum(axis=1) / (2 * eps))).max()
    # A quarter of the error is the kernel's, the rest the transforms'; no grid is finer than it needs to be.
    assert delivered <= error / 4
    assert delivered > error / 1e4


def test_points_on_a_lattice_that_resonate_with_the_grid_are_no_exception():
    # Sums over a regular lattice are the worst case of the transforms: strengths add up at aliased frequencies.
    points = np.linspace(-1, 1, 2000)[:, None]
    values = np.cos(np.pi * np.arange(2000))[:, None]
    sums = fourier_sum(points, 1e-3, rtol=1e-9)(values)
    assert (sums.error <= 1e-9).all()
    assert (np.abs(average(sums) - expected(points, values, 1e-3))[:, 0] <= sums.error).all()


def rough(n, seed=1):
    return np.random.default_rng(seed).choice([-1.0, 1.0], (n, 1))


def test_where_the_start_is_too_loose_the_transforms_are_tightened(monkeypatch):
    points, eps, rtol = cloud(500, 2), 0.05, 1e-10
    values = rough(500)
    monkeypatch.setattr(fourier, "first_error", lambda *_: 1e-6)
    monkeypatch.setattr(fourier, "FEW", 1.0)
    loose = fourier_sum(points, eps, rtol=rtol)(values)
    assert (loose.error > rtol).any()
    error = np.abs(average(loose) - expected(points, values, eps)).max(axis=1)
    assert error.max() > rtol, "without tightening some row is wrong"
    assert (error <= loose.error).all(), "the check sees what the transforms lose"
    monkeypatch.setattr(fourier, "FEW", 0.02)
    kernel_sum = fourier_sum(points, eps, rtol=rtol)
    assert (kernel_sum(values).error <= rtol).all()
    assert fourier.BEST_ERROR < kernel_sum.error < 1e-6
    # Where the finer grid would not fit, the rows say that they miss the tolerance, and no call fails.
    kernel_sum = fourier_sum(points, eps, rtol=rtol)
    monkeypatch.setattr(fourier, "MAX_GRID_BYTES", kernel_sum._grid.memory)
    np.testing.assert_array_equal(kernel_sum(values).error, loose.error)


def test_one_heavy_key_spoils_the_rows_around_it_and_they_say_so():
    # Errors are local: few of the rows are near the key with nine tenths of the mass, and these err the most. Checks of
    # rows that are drawn evenly do not see them: if all are, two of these clouds err by forty times what is declared.
    attention, n = af.Attention(af.SquaredDistance(), bandwidth=0.001), 3000
    for seed in range(10):
        points = cloud(n, 2, seed)
        log_weights = np.zeros(n)
        log_weights[seed] = np.log(9.0 * n)
        logits = direct.distance_logits(points, points, bandwidth=0.001) + log_weights
        sums = FourierSum(attention, points=points, log_weights=log_weights, dtype=FLOAT64, rtol=1e-4)(rough(n, seed))
        error = np.abs(average(sums) - direct.layer(logits, rough(n, seed)))[:, 0]
        assert (error <= sums.error + 1e-14).all()  # NumPy's own rounding


@pytest.mark.parametrize("least", [1e-30, 1e-4])
def test_rows_are_checked_against_sums_over_all_keys_but_those_of_least_weight(monkeypatch, least):
    monkeypatch.setattr(fourier, "CHECKED_KEYS", 64)  # several parts, the last one shorter
    points, eps = cloud(300, 3), 0.02
    kernel_sum = fourier_sum(points, eps)
    columns = np.column_stack([np.ones(300), rough(300)]) / 300
    some = np.array([7, 200, 63, 299])
    for rows in (Rows(points, None).take(some), Rows(points, np.arange(300)).take(some)):
        kernel = np.exp(direct.distance_logits(rows.points, points, bandwidth=eps))
        if rows.own is not None:
            kernel[np.arange(4), some] = 0.0
        missed = np.abs(kernel_sum._near_sums(columns, rows, least=least) - kernel @ columns).max()
        # What is left out weighs `least` at most, in all; sums of 300 kernels below one round at 1e-16.
        assert missed <= least + 1e-15
        assert missed > 0 or least < 1e-15, "some keys are left out"


def test_periodic_copies_of_the_mass_at_one_edge_are_not_felt_at_the_other():
    # Queries just outside the left edge, where all but two of the keys lie at the right: no random row is near them.
    eps, rng = 0.01, np.random.default_rng(0)
    points = np.concatenate([[-1.0, -0.99], rng.uniform(0.9, 1.0, 3000)])[:, None]
    kernel_sum = fourier_sum(points, eps, rtol=1e-4)
    queries = np.concatenate([points, -1.0 - kernel_sum._grid.spare * np.linspace(0, 1, 9)[:, None]])
    values = rough(len(points))
    sums = kernel_sum(values, queries)
    error = np.abs(average(sums) - expected(points, values, eps, queries))[:, 0]
    assert (error <= sums.error + 1e-14).all()
    copies = kernel_sum._grid.period[0] - (1.0 - queries[-1, 0])  # the distance of the nearest copy of a key
    assert np.exp(-(copies**2) / (2 * eps)) <= fourier.COPY * kernel_sum.error


def test_rows_out_of_the_box_say_so():
    points, queries = cloud(300, 2), np.array([[0.0, 0.0], [40.0, 0.0]])
    sums = fourier_sum(points, 0.01)(np.ones((300, 1)), queries)
    assert sums.error[0] <= 1e-8
    assert np.isinf(sums.error[1])
    assert np.isinf(fourier_sum(points, 0.01)(np.ones((300, 1)), queries[1:]).error).all()


def test_layers_on_the_same_points_keep_their_plans(monkeypatch):
    points = cloud(400, 3)
    kernel_sum = fourier_sum(points, 0.1)
    first = kernel_sum(points)
    monkeypatch.setattr(FourierSum, "_plan", None)  # a new plan would fail
    np.testing.assert_array_equal(kernel_sum(points).weighted, first.weighted)


def test_the_same_call_gives_identical_bytes():
    # On a line, with many points to a grid cell, finufft's own threads gave other last digits in each of eight runs.
    points = cloud(100_000, 1)
    values = np.sin(9 * points)
    assert len({fourier_sum(points, 1e-3)(values).weighted.tobytes() for _ in range(5)}) == 1


def test_single_precision_is_used_only_where_it_is_not_felt():
    points = cloud(400, 2)
    wide = fourier_sum(points, 1.0, rtol=1e-3, dtype=np.dtype(np.float32))
    narrow = fourier_sum(points, 1e-3, rtol=1e-6, dtype=np.dtype(np.float32))
    assert (wide._complex, narrow._complex) == (np.complex64, np.complex128)
    values = np.sin(points)
    sums = wide(values)
    error = np.abs(average(sums) - expected(points, values, 1.0)).max(axis=1)
    assert (error <= sums.error).all()
    assert 1e-9 < error.max() < 1e-3


def test_what_the_method_cannot_do_is_refused_with_a_remedy():
    points = np.random.default_rng(0).normal(size=(20, 4))
    squared = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    with pytest.raises(ConfigError, match=r"at most 3 coordinates, got 4.*cutoff"):
        af.EmpiricalAttention(squared, points, method="fourier")
    with pytest.raises(ConfigError, match=r"Scaled.*dense"):
        af.EmpiricalAttention(af.Attention(-1 * af.SquaredDistance(), bandwidth=0.1), points[:, :3], method="fourier")
    with pytest.raises(ResourceError, match=r"GB.*cutoff"):
        af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=1e-6), points[:, :3], method="fourier")


# Not ru_maxrss, which a process inherits from the one that started it.
MEMORY = """
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
import numpy as np
import attnflow as af
from attnflow.sums.kernel_sums.fourier import FourierSum
af.enable_x64()
n = 1_000_000
points = af.Sphere(2).sample_uniform(n, np.random.default_rng(0))
attention = af.Attention(af.SquaredDistance(), bandwidth=0.01)
kernel_sum = FourierSum(attention, points=points, log_weights=np.zeros(n), dtype=np.dtype("f8"), rtol=1e-6)
before = peak()
sums = kernel_sum(np.sign(points[:, :1]))
print((peak() - before) * 1024, sums.error.max())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_million_points_take_less_than_a_gigabyte():
    done = subprocess.run([sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=300)
    memory, error = map(float, done.stdout.split())
    assert memory < 1e9  # all pairs: 8 TB
    assert error <= 1e-6
