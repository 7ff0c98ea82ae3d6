"""What a kernel sum will cost by each method: seconds and bytes, from sizes and a sample of distances."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from attnflow.sums.kernel_sums import cutoff, dense, fourier, gpu
from attnflow.sums.kernel_sums.blocks import packed_count
from attnflow.sums.planning.machine import SPREADING, Machine
from attnflow.sums.planning.samples import Sample


class Workload(NamedTuple):
    """One sum over pairs.

    Args:
        keys, queries, dim: N, Q and D.
        columns: channels and the total.
        dtype: of the arithmetic.
        own: whether the queries are the keys, and one order in space serves both.
        passes: over the pairs; two where the largest logit is not known.
        products: whether logits are products of matrices.
    """

    keys: int
    queries: int
    dim: int
    columns: int
    dtype: np.dtype
    own: bool
    passes: int
    products: bool = False


class Cost(NamedTuple):
    """Seconds of the first layer and of each further one on the same points, and the memory it takes in bytes."""

    first: float
    next: float
    memory: float


def dense_cost(work: Workload, machine: Machine) -> Cost:
    """Return the cost of N Q pairs."""
    seconds = work.keys * work.queries * _pair(work, machine) / machine.cores + 1e-3
    return Cost(seconds, seconds, _arrays(work))


def cutoff_cost(work: Workload, machine: Machine, *, sample: Sample, bandwidth: float, rtol: float) -> Cost:
    """Return the cost of Q times the candidates within the reach and two tiles, and of a search that is made once."""
    reach = math.sqrt(-2 * bandwidth * math.log(cutoff.TAIL * min(rtol, 1.0)))
    tile = sample.radius(min(1.0, cutoff.KEY_TILE / work.keys))
    share = (sample.distances < (reach + 2 * tile)[:, None]).mean()
    pairs = work.queries * min(work.keys, work.keys * share + cutoff.KEY_TILE)
    tiles = pairs / (cutoff.KEY_TILE * dense.QUERY_TILE)
    levels = math.log2(work.keys / cutoff.KEY_TILE + 1) + 1
    layer = (
        pairs * _pair(work._replace(products=False), machine) * machine.candidate + 1e-9 * work.queries * machine.row
    ) / machine.cores + 3e-3
    sorted_points = work.keys + (0 if work.own else work.queries)
    plan = 1e-9 * (sorted_points * levels * machine.sort + tiles * machine.search)
    return Cost(layer + plan, layer, _arrays(work) + 16 * tiles)


def fourier_cost(
    work: Workload, machine: Machine, *, sample: Sample, bandwidth: float, rtol: float, width: np.ndarray
) -> Cost:
    """Return the cost of two transforms for two columns: windows of w^d grid points each, and the refined grid.

    The grid follows from the bandwidth, the tolerance and the `width` (D,) of the box around the keys.
    """
    error = fourier.first_error(rtol, sample.density)
    needed = fourier.Grid.of(width, bandwidth=bandwidth, error=error)
    if needed.memory > fourier.MAX_GRID_BYTES:
        return Cost(math.inf, math.inf, math.inf)
    grid = needed.size
    parts = fourier.part_count(grid)
    base, growth = SPREADING[work.dim]
    point = machine.spread * (base + growth * math.log10(error) ** 2)
    transforms = math.ceil(work.columns / 2)
    there, back = (
        point * count + machine.grid * grid * (needed.upsampling(int(count), error) / 2) ** work.dim
        for count in (work.keys / parts, work.queries)
    )
    back /= machine.cores if work.queries >= fourier.SHARED else 1
    checks = machine.row * (work.keys + work.queries) / 4
    layer = 1e-9 * (transforms * (there + back) + checks) + 1e-3
    layer += (sample.density < 2 * fourier.BEST_ERROR / rtol).mean() * dense_cost(work, machine).next
    plan = 1e-9 * machine.scatter * (work.keys + work.queries) + 5e-3
    return Cost(layer + plan, layer, _arrays(work) + 16 * grid * (transforms + parts))


def gpu_cost(work: Workload, machine: Machine) -> Cost:
    """Return the cost of N Q pairs; copies there and back take a millisecond and a nanosecond for each number.

    Logits that are products of matrices go through memory: in pairs of few coordinates, 5 and 13, and more with each
    coordinate and column (measured on an H100 for D from 16 to 64).
    """
    is_double = work.dtype == np.float64
    pair, passes = machine.gpu64 if is_double else machine.gpu32, float(math.ceil(work.columns / gpu.MAX_COLUMNS))
    if work.products:
        base, more = (5.2, 0.024) if is_double else (13.0, 0.17)
        passes = base + more * (work.dim + work.columns)
    copies = 1e-9 * (work.keys + work.queries) * (work.columns + work.dim) + 1e-3
    seconds = 1e-9 * pair * passes * work.keys * work.queries + copies
    return Cost(seconds, seconds, _arrays(work))


def _pair(work: Workload, machine: Machine) -> float:
    """Seconds of a core: more coordinates and more columns cost in proportion (measured for D to 16, 32 columns).

    Of products both are cheaper (measured for D to 64, 64 columns).
    """
    if work.products:
        return machine.pair(work.dtype) * (0.9 + 0.023 * work.dim + 0.033 * packed_count(work.columns))
    passes, left = divmod(work.columns, dense.MAX_COLUMNS)
    padded = [dense.MAX_COLUMNS] * passes + ([packed_count(left)] if left else [])
    dim = 1 + 0.08 * max(0, work.dim - 3)
    return machine.pair(work.dtype) * work.passes * sum(dim + 0.065 * (c - 4) for c in padded)


def _arrays(work: Workload) -> float:
    """Columns, keys and sums."""
    return 8.0 * ((work.keys + work.queries) * (2 * work.columns + work.dim))
