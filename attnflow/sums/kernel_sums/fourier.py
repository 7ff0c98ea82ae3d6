"""Gaussian kernel sums by the fast Gauss transform: non-uniform FFTs in place of all pairs."""

from __future__ import annotations

import functools
import math
import os
from typing import NamedTuple

import finufft
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError, ResourceError
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import ceil_div, slices, threads
from attnflow.sums.planning.samples import Sample

MAX_DIM = 3  # of finufft
MAX_GRID_BYTES = 2**31  # of the refined grid of one transform
PART_GRIDS_BYTES = 2**29  # of the grids of all threads together
MAX_TRANSFORMS = 4  # at once; each keeps a grid of its own
MOST_ERROR = 1e-3  # worth asking for
BEST_ERROR = 2e-14  # of a kernel value, in double precision
SINGLE_ERROR = 1e-5  # under which single precision, 6e-8 per coordinate, would be felt
FINEST_LOW = 1e-9  # tolerance down to which finufft can refine its grid by 1.25 in place of 2
CHECKED_ROWS, SAFETY = 12, 16  # six errors all under 5/16 of their scale, when the largest of all is 5: once in 5000
SHARED = 2**16  # points of a transform that threads share: they wait busily, which takes 7 ms, as 32 768 points do
CHECKED_KEYS = 4096  # at a time: their pairs with the rows stay in a core's cache
LEAST_DENSITY = 2e-16  # rows with less of the mass near them than a rounding are left to other methods
FEW = 0.02  # of the rows may miss the tolerance: they are summed by another method
COPY = 1e-6  # of the error may come from periodic copies: rows at the edges alone would feel them, and escape checks
SPARE = 0.125  # queries may lie outside the box of the keys by this part of the radius


class Grid(NamedTuple):
    """The frequencies that a kernel needs.

    Args:
        period: P per coordinate, shape (d,).
        orders: n per coordinate: frequencies 2 pi m / P with |m| <= n, shape (d,).
        spare: how far queries may lie outside the box of the keys.
    """

    period: np.ndarray
    orders: np.ndarray
    spare: float

    @classmethod
    def of(cls, width: np.ndarray, *, bandwidth: float, error: float) -> Grid:
        """Return the grid for keys in a box of that width (d,), and kernel values to `error`."""
        tail = error / (8 * len(width))
        radius = math.sqrt(2 * bandwidth * math.log(2 / (COPY * tail)))
        period = width + (1 + SPARE) * radius
        orders = np.ceil(math.sqrt(-2 * math.log(tail) / bandwidth) * period / (2 * np.pi))
        return cls(period, orders, SPARE * radius)

    @property
    def size(self) -> float:
        """Points of the refined grid of a transform, twice as fine per coordinate."""
        return float(np.prod(2 * (2 * self.orders + 1)))

    def upsampling(self, points: int, error: float) -> float:
        """Return by how much per coordinate a transform of so many points refines its grid, for kernels to `error`.

        By 1.25 it is up to 4 times smaller than by 2, but each point then reaches 1.4^d times as many of its nodes:
        twice the time for a million points and 53^3 frequencies, half for 262 144 and 149^3.
        """
        return 1.25 if points < np.prod(2 * self.orders + 1) and error / 4 >= FINEST_LOW else 2.0

    @property
    def memory(self) -> float:
        """Bytes of that grid in double precision."""
        return 16 * self.size


def first_error(rtol: float, density: np.ndarray) -> float:
    """Return the error of kernel values to start from, for rows of that kernel density (R,).

    Errors are local: a row of a uniform cloud is off by about a tenth of the error that is asked, relative to its own
    total (measured: .05 to 1, for d = 1 to 3), and a thin row by a tenth of it relative to the thickest total.
    """
    contrast = max(float(density.min()), LEAST_DENSITY) / max(float(density.max()), LEAST_DENSITY)
    return min(max(rtol * contrast / 4, BEST_ERROR), MOST_ERROR)


def part_count(grid_size: float) -> int:
    """Return in how many parts the points are summed onto grids of that size at the same time."""
    return max(1, min(os.cpu_count() or 1, int(PART_GRIDS_BYTES / (16 * grid_size))))


class FourierSum(KernelSum):
    """The sums sum_j w_j exp(-|x_i - y_j|^2 / 2eps) [1, v_j] for any values v, in O(N + M^d) in place of O(N^2).

    With period P and frequencies omega_m = 2 pi m / P per coordinate, |m| <= n,

        exp(-r^2 / 2eps) ~ sum_m g_m e^{i omega_m r},   g_m = sqrt(2 pi eps) / P exp(-eps omega_m^2 / 2).

    Two errors are made. Aliasing: for |r| <= P - R the copies r + kP, k != 0, are at least R, R + P, ... away on either
    side and weigh 2 exp(-R^2 / 2eps) / (1 - exp(-R^2 / eps)) at most; R = sqrt(2 eps log(2/t)) makes that t up to a
    factor 1 + t^2. Truncation: the sum beyond n is at most its integral, erfc(K sqrt(eps/2)) <= exp(-K^2 eps / 2) for
    K = 2 pi n / P; K = sqrt(2 log(1/t) / eps) makes that t. Over d coordinates the kernel is off by
    (1 + 2t)^d - 1, about 2 d t; t = error / 8d leaves three quarters of `error` to the two non-uniform transforms,
    which are asked for error / 4 relative to the sum of strengths [FINUFFT]. For aliasing t is smaller by COPY.

    That is the worst case. What truncation and transforms deliver is smaller by orders: it is local, so relative to the
    density, and strengths rarely conspire with the grid. So each call sums some rows exactly as well, half of them
    drawn evenly and half in proportion to their totals: E is SAFETY times the largest error found there, and the
    average of a row with total T is declared off by 2 E / (T - E). Where more than a few rows then miss `rtol`, the
    transforms are tightened. Rows far outside the box of the keys have an infinite error.

    Args:
        attention: a squared distance and the bandwidth.
        points: the keys y_j, shape (N, d) with d <= 3.
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: float32 transforms in single precision where `error` allows it, and else, like float64, in double.
        rtol: tolerance on max |error| / max |values| of the averages.

    Raises:
        ConfigError: if the cost is no SquaredDistance or d > 3.
        ResourceError: if the grid of frequencies needs more than 2 GiB.
    """

    method = "fourier"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float
    ) -> None:
        dim = points.shape[1]
        self._check_gaussian(attention)
        if dim > MAX_DIM:
            raise ConfigError(
                f'`method` = "fourier" needs points of at most {MAX_DIM} coordinates, got {dim}. '
                'Pass method="cutoff" or "dense".'
            )
        self.attention = attention
        self.points = points
        self._weights = np.exp(log_weights)
        self._mass = self._weights.sum()
        self._bandwidth = eps = attention.bandwidth
        self._rtol = rtol
        self._single = dtype == np.float32
        sample = Sample.draw(points, points, self._weights, bandwidth=eps)
        start = first_error(rtol, sample.density)
        # Coordinate by coordinate: 15 times as fast as along the first axis of a million points.
        low, high = (np.array([end(y) for y in points.T]) for end in (np.min, np.max))
        self._center, self._width = low + (high - low) / 2, high - low
        grid = Grid.of(self._width, bandwidth=eps, error=start)
        if not grid.memory <= MAX_GRID_BYTES:
            raise ResourceError(
                f'`method` = "fourier" needs a grid of {1e-9 * grid.memory:.3g} GB for bandwidth {eps:g} and '
                f"points spread over {self._width.max():.3g}; at most {MAX_GRID_BYTES / 1e9:.3g} GB are allowed. "
                'Pass method="cutoff" or "dense".'
            )
        self._prepare(start, grid)

    def _prepare(self, error: float, grid: Grid) -> None:
        """Take up a grid for kernel values to `error`."""
        self.error, self._grid, eps = error, grid, self._bandwidth
        self._reach = self._width / 2 + grid.spare
        self._complex = np.complex64 if self._single and error >= SINGLE_ERROR else np.complex128
        self._factors = [
            math.sqrt(2 * np.pi * eps) / period * np.exp(-eps / 2 * (2 * np.pi / period * np.arange(-n, n + 1)) ** 2)
            for n, period in zip(grid.orders.astype(int), grid.period, strict=True)
        ]
        self._kept: dict[tuple[int, int], list[finufft.Plan]] = {}

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        scales = np.abs(values).max(axis=0, initial=0.0)
        scales[scales == 0] = 1.0
        columns = (self._weights / self._mass)[:, None] * np.column_stack([np.ones(len(values)), values / scales])
        near = self._near(rows)
        sums, errors = self._checked_sums(columns, rows, near)
        while self._tighten(errors[near]):
            near = self._near(rows)
            sums, errors = self._checked_sums(columns, rows, near)
        return RowSums(np.zeros(len(sums)), self._mass * sums[:, 0], self._mass * scales * sums[:, 1:], errors)

    def _tighten(self, errors: np.ndarray) -> bool:
        """Whether a finer grid was taken up, because too many of those errors miss the tolerance."""
        if np.count_nonzero(errors > self._rtol) <= FEW * len(errors) or self.error <= BEST_ERROR:
            return False
        delivered = np.quantile(errors, 1 - FEW, method="higher")
        error = max(BEST_ERROR, self.error * self._rtol / (4 * delivered))
        grid = Grid.of(self._width, bandwidth=self._bandwidth, error=error)
        if grid.memory > MAX_GRID_BYTES:
            return False
        self._prepare(error, grid)
        return True

    def _near(self, rows: Rows) -> np.ndarray:
        """Which rows no periodic copy of a key is near, (Q,)."""
        if rows.points is self.points:
            return np.ones(len(rows.points), dtype=bool)
        return (np.abs(rows.points - self._center) <= self._reach).all(axis=1)

    def _checked_sums(self, columns: np.ndarray, rows: Rows, near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the sums of the columns (N, C) at the rows, (Q, C), and the declared errors of the averages, (Q,)."""
        sums = np.zeros((len(rows.points), columns.shape[1]))
        if near.any():
            sums[near] = self._transform(columns, rows.points if near.all() else rows.points[near])
        if rows.own is not None:
            sums -= columns[rows.own]
        bound = self._checked_error(columns, rows, sums, near)
        with np.errstate(divide="ignore", invalid="ignore"):
            errors = np.where(sums[:, 0] > 2 * bound, 2 * bound / (sums[:, 0] - bound), np.inf)
        return sums, np.where(near, errors, np.inf)

    def _checked_error(self, columns: np.ndarray, rows: Rows, sums: np.ndarray, near: np.ndarray) -> float:
        """SAFETY times the largest error of some rows, against plain sums; at most the worst case."""
        places = np.flatnonzero(near)
        if not len(places):
            return 0.0
        rng, half = np.random.default_rng(len(places)), CHECKED_ROWS // 2
        mass = np.cumsum(np.maximum(sums[places, 0], 0.0))
        # Half of them where totals are large: around a heavy key all rows err, and they may be few.
        heavy = np.searchsorted(mass, mass[-1] * rng.uniform(size=half), side="right")
        some = places[np.concatenate([rng.integers(len(places), size=half), np.minimum(heavy, len(places) - 1)])]

        exact = self._near_sums(columns, rows.take(some), least=COPY / SAFETY * self.error)
        worst = float(np.abs(exact - sums[some]).max())
        bound = SAFETY * max(worst, np.finfo(np.float64).eps * float(np.abs(sums).max())) + 2 * COPY * self.error
        # Angles are rounded: frequency n is off by n roundings of 2 pi, for keys and for queries.
        rounding = 4 * np.pi * float(np.finfo(self._complex).eps * self._grid.orders.sum())
        return min(bound, self.error + rounding)

    def _near_sums(self, columns: np.ndarray, rows: Rows, *, least: float) -> np.ndarray:
        """Return the sums of the columns (N, C) at a few rows, (R, C), over keys with kernels above `least`."""
        reach = -2 * self._bandwidth * math.log(least)

        def of_keys(part: slice) -> np.ndarray:
            differences = (x[:, None] - y[part] for x, y in zip(rows.points.T, self.points.T, strict=True))
            squares = functools.reduce(np.add, (np.square(each, out=each) for each in differences))
            if rows.own is not None:
                inside = np.flatnonzero((part.start <= rows.own) & (rows.own < part.stop))
                squares[inside, rows.own[inside] - part.start] = np.inf
            near = np.flatnonzero(squares < reach)
            kernel = np.zeros(squares.size)
            kernel[near] = np.exp(squares.ravel()[near] / (-2 * self._bandwidth))
            return kernel.reshape(squares.shape) @ columns[part]

        return functools.reduce(np.add, threads().map(of_keys, slices(len(self.points), CHECKED_KEYS)))

    def _transform(self, columns: np.ndarray, queries: np.ndarray) -> np.ndarray:
        """Periodised sums of the real columns (N, C) at the queries, (Q, C); the kernel is real: two share one FFT."""
        sums = np.empty((len(queries), columns.shape[1]))
        for start in range(0, columns.shape[1], 2 * MAX_TRANSFORMS):
            chunk = columns[:, start : start + 2 * MAX_TRANSFORMS]
            count = (chunk.shape[1] + 1) // 2
            strengths = np.zeros((count, len(chunk)), self._complex)
            strengths.real = chunk[:, 0::2].T
            strengths.imag[: chunk.shape[1] // 2] = chunk[:, 1::2].T
            modes = self._modes(strengths).reshape(count, *(len(factor) for factor in self._factors))
            for axis, factor in enumerate(self._factors):
                modes *= factor.astype(modes.real.dtype).reshape(-1, *[1] * (len(self._factors) - 1 - axis))
            back = self._own_plans(2, count)[0] if queries is self.points else self._plan(2, count, queries)
            packed = back.execute(modes).reshape(count, -1)
            part = sums[:, start : start + 2 * MAX_TRANSFORMS]
            part[:, 0::2] = packed.real.T
            part[:, 1::2] = packed.imag[: chunk.shape[1] // 2].T
        return sums

    def _modes(self, strengths: np.ndarray) -> np.ndarray:
        """Return the Fourier coefficients of strengths (count, N), added up in a fixed order, to the same bytes.

        finufft's own threads add theirs up in the order in which they finish.
        """
        plans = self._own_plans(1, len(strengths))
        parts = [np.ascontiguousarray(strengths[:, part]) for part in self._parts()]
        return functools.reduce(np.add, threads().map(lambda plan, part: plan.execute(part), plans, parts))

    def _parts(self) -> list[slice]:
        """Return the points, cut for the threads; each part needs a grid of its own."""
        return list(slices(len(self.points), ceil_div(len(self.points), part_count(self._grid.size))))

    def _own_plans(self, kind: int, count: int) -> list[finufft.Plan]:
        """Plans for the keys, kept while layers repeat: one for all queries, or one of a single thread per part."""
        if (kind, count) not in self._kept:
            self._kept[kind, count] = (
                [self._plan(2, count, self.points)]
                if kind == 2
                else [self._plan(1, count, self.points[part], nthreads=1) for part in self._parts()]
            )
        return self._kept[kind, count]

    def _plan(self, kind: int, count: int, points: np.ndarray, **options: int) -> finufft.Plan:
        """Return a transform of type 1 or 2 for `count` vectors of strengths at the points."""
        shape = tuple(len(factor) for factor in self._factors)
        if len(points) < SHARED:
            options["nthreads"] = 1
        plan = finufft.Plan(
            kind, shape, n_trans=count, eps=self.error / 4, isign=3 - 2 * kind, dtype=self._complex,
            upsampfac=self._grid.upsampling(len(points), self.error), **options,
        )  # fmt: skip
        # Centring first keeps the digits of a distant cloud.
        angles = 2 * np.pi * (points - self._center) / self._grid.period
        plan.setpts(*np.ascontiguousarray(angles.T, dtype=np.finfo(self._complex).dtype))
        return plan
