"""Exact kernel sums over all pairs, streamed: the host cuts queries and keys into blocks of one fixed shape.

So a cost is compiled once, whatever N, and memory grows like N.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from operator import itemgetter

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import (
    ceil_div,
    coordinates,
    in_threads,
    pack_columns,
    pad,
    slices,
    weighed_columns,
)
from attnflow.sums.kernel_sums.rounding import (
    center_of,
    column_scales,
    coordinate_rounding,
    least_total,
    logit_sizes,
    product_sizes,
)
from attnflow.sums.kernel_sums.tiles import QUERY_TILE, Coordinates, Schedule, Within, kernel_tile, max_tiles, sum_tiles

QUERY_BLOCK, KEY_BLOCK, KEY_TILE = 1024, 16384, 512
TERM_ROUNDING = 120  # units in the last place: 64 terms on each of 8 lanes of a tile, 32 tiles of a block
# Of the largest: the kernel of a lighter key that is much nearer than all others would overflow.
LEAST_MASS = {np.dtype(np.float64): 1e-300, np.dtype(np.float32): 1e-30}
SURPLUS = 1e-3  # of a total over that of the masses: rounding stays below it
MATRIX_TILE = 512  # of queries and of keys, whose kernel is made at once: 2 MB
MAX_COLUMNS = 32  # of one pass over the pairs; more channels take several passes


class DenseSum(KernelSum):
    """The sums sum_j w_j exp(logit_ij - s_i) [1, v_j], logit = -D(x_i, y_j) / (2 eps), over all pairs, for any D.

    A cost that is not negative, or whose logits are known to be small, needs no pass for the largest: s_i = 0, and
    only rows that underflow are summed again, shifted by their largest log w_j + logit. Other costs take two passes.
    Only rounding is in the error, which is infinite for a row in which no cost is finite or one is not a number.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic within a block; blocks are added in float64.
    """

    method = "dense"
    query_tile, key_tile = QUERY_TILE, KEY_TILE
    _term_rounding = TERM_ROUNDING
    _max_columns = MAX_COLUMNS
    _key_block = KEY_BLOCK

    def __init__(self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype) -> None:
        self.attention = attention
        self.points = points
        self.dtype = dtype
        self._weights = np.exp(log_weights)
        self._log_weights = log_weights
        self._center = center_of(points, attention, dtype)
        self._compiled_for: Attention | None = attention
        self._has_all = bool(self._weights.all())  # then no key is picked: copies take longer than few pairs

    @functools.cached_property
    def _massive(self) -> np.ndarray:
        """Which keys have mass, (n,): another would still set the largest logit."""
        return np.flatnonzero(self._weights)

    @functools.cached_property
    def _place(self) -> np.ndarray:
        """The place of each key among those with mass, (N,); -1 for others."""
        return np.where(self._weights > 0, np.cumsum(self._weights > 0) - 1, -1)

    @functools.cached_property
    def _massive_points(self) -> np.ndarray:
        return self.points if self._has_all else self.points[self._massive]

    @functools.cached_property
    def _key_rows(self) -> list[slice] | list[np.ndarray]:
        blocks = list(slices(len(self._massive_points), self._key_block))
        return blocks if self._has_all else [self._massive[block] for block in blocks]

    @functools.cached_property
    def _keys(self) -> list[Coordinates]:
        points, size = self._centred(self._massive_points), self._key_block
        return [coordinates(points[block], size, self.dtype) for block in slices(len(points), size)]

    def _centred(self, points: np.ndarray) -> np.ndarray:
        return points - self._center if self._center.any() else points

    @functools.cached_property
    def _mass(self) -> float:
        return float(self._weights.sum())

    def _queries_of(self, points: np.ndarray) -> Coordinates:
        return coordinates(self._centred(points), QUERY_BLOCK, self.dtype)

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        columns = weighed_columns(self._weights, values)
        least, most = least_total(self.dtype) * max(self._weights.max(), 1.0), np.finfo(self.dtype).max
        if self.attention.pseudometric.vanishes_on_diagonal:
            most = (1 + SURPLUS) * self._mass  # of a cost that is not negative, as it says
            small = True
        else:
            small = bool((self._logit_bounds(rows) <= -np.log(least_total(self.dtype))).all())
        if small:
            shift = np.zeros(len(rows.points))
            sums = self._sums(rows, columns, shift)
            lost = np.flatnonzero(~((least <= sums[:, 0]) & (sums[:, 0] <= most)))
            if len(lost):
                shift[lost], sums[lost] = self._shifted_sums(rows.take(lost), columns)
        else:
            shift, sums = self._shifted_sums(rows, columns)
        return RowSums(shift, sums[:, 0], sums[:, 1:], self._rounding(rows, shift, sums[:, 0]))

    @np.errstate(under="ignore", over="ignore", invalid="ignore")
    def matrix(self, rows: Rows) -> RowSums:
        """Return the sums of the values v = I, weighted (Q, N), with a bound on the error of one product with them."""
        least = least_total(self.dtype) * max(self._weights.max(), 1.0)
        shift = np.zeros(len(rows.points)) if self.attention.pseudometric.vanishes_on_diagonal else self._largest(rows)
        kernel = self._kernel(rows, shift)
        total = kernel.sum(axis=1)
        lost = np.flatnonzero(~(total >= least))
        if len(lost):
            shift[lost] = self._largest(rows.take(lost))
            kernel[lost] = self._kernel(rows.take(lost), shift[lost])
            total[lost] = kernel[lost].sum(axis=1)
        # As many additions as keys, half a unit each, in the total and again in the product.
        rounding = self._rounding(rows, shift, total) + len(self._massive_points) * np.finfo(np.float64).eps
        return RowSums(shift, total, kernel, rounding)

    def _kernel(self, rows: Rows, shift: np.ndarray) -> np.ndarray:
        """Return w_j exp(logit_ij - s_i) of all pairs, (Q, N)."""
        shift, count = np.where(np.isfinite(shift), shift, 0.0), len(self._massive_points)
        kernel = np.empty((len(rows.points), count))
        for block in slices(len(kernel), QUERY_BLOCK):
            queries, shifts = self._queries_of(rows.points[block]), pad(shift[block], QUERY_BLOCK, 0.0, self.dtype)
            for j, keys in enumerate(slices(count, self._key_block)):
                whole = kernel[block, keys]
                for some, many in itertools.product(*(slices(size, MATRIX_TILE) for size in whole.shape)):
                    here, there = (slice(part.start, part.start + MATRIX_TILE) for part in (some, many))
                    x, y = jax.tree.map(itemgetter(here), queries), jax.tree.map(itemgetter(there), self._keys[j])
                    made = np.asarray(kernel_tile(self._compiled_for, x, y, shifts[here]))
                    whole[some, many] = made[: some.stop - some.start, : many.stop - many.start]
        if not self._has_all:
            kernel, found = np.zeros((len(kernel), len(self._weights))), kernel
            kernel[:, self._massive] = found
        if (self._weights != 1).any():
            kernel *= self._weights
        if rows.own is not None:
            kernel[np.arange(len(kernel)), rows.own] = 0.0
        return kernel

    def _leave_out(self, logits: np.ndarray, rows: Rows) -> None:
        """Put minus infinity in the place of what a row does not attend to, in logits (Q, keys with mass)."""
        if rows.own is not None:
            logits[rows.own[:, None] == self._massive] = -np.inf

    def _logit_bounds(self, rows: Rows) -> np.ndarray:
        """Return what no |logit| of a row exceeds, (Q,); NaN where that is not known."""
        return product_sizes(self.attention, rows.points, self._massive_points)

    @np.errstate(divide="ignore", invalid="ignore")
    def _rounding(self, rows: Rows, shift: np.ndarray, total: np.ndarray) -> np.ndarray:
        """Return a bound for every row: `TERM_ROUNDING` additions of error u, and (D + 4) u |logit| in exponentials.

        Where the profile is no exponential, costs that are off by u move logits by |d log h / d log s| u.

        The averages weigh a logit with p_j = w_j e^(logit_j) / sum, and sum_j p_j (shift - logit_j) is at most
        log(sum_j w_j / total), because the relative entropy of p with respect to w is not negative. It is infinite for
        a row that cannot be summed in this way.
        """
        eps = self.attention.bandwidth
        logits = logit_sizes(self.attention, rows.points, self._massive_points, np.abs(shift))
        logits = logits + np.log(self._mass / total)
        steps = logits if self.attention.profile.is_exponential else logits + self.attention.profile.steepness(logits)
        roundings = self._term_rounding + len(self._key_rows) + (self.points.shape[1] + 4) * steps
        if self.dtype == np.float32:
            roundings += coordinate_rounding(
                self.points, rows.points, center=self._center, logits=logits, bandwidth=eps
            )
        if self._has_light_keys:
            roundings[shift != 0] = np.inf  # a light key that is much nearer than all others would be lost
        return np.where(np.isfinite(shift) & (total > 0), np.finfo(self.dtype).eps * roundings, np.inf)

    @functools.cached_property
    def _has_light_keys(self) -> bool:
        logs = self._log_weights if self._has_all else self._log_weights[self._log_weights > -np.inf]
        return bool(logs.min() < np.log(LEAST_MASS[self.dtype]) + logs.max())

    def _shifted_sums(self, rows: Rows, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return shifts and sums of rows; an infinite shift where no key is near, or a cost is not a number."""
        shift = self._largest(rows)
        return shift, self._sums(rows, columns, np.where(np.isfinite(shift), shift, 0.0))

    def _largest(self, rows: Rows) -> np.ndarray:
        """max_j log w_j + logit_ij of each row, infinite where the cost is not a number, (Q,)."""
        largest = np.full(len(rows.points), -np.inf)
        weights = [pad(self._log_weights[keys], self._key_block, -np.inf, self.dtype) for keys in self._key_rows]
        for i, part in self._over_blocks(max_tiles, rows, lambda i, j: (weights[j],)):
            largest[i] = np.maximum(largest[i], part)
        return largest

    def _sums(self, rows: Rows, columns: np.ndarray, shift: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(rows.points), columns.shape[1]))
        scales = column_scales(columns)
        for start in range(0, columns.shape[1], self._max_columns):
            chunk = slice(start, start + self._max_columns)
            packed = [pack_columns(columns[keys, chunk], self._key_block, self.dtype, scales=scales[chunk])
                      for keys in self._key_rows]  # fmt: skip

            def arrays(i: slice, j: int, packed: list[np.ndarray] = packed) -> tuple:
                return packed[j], pad(shift[i], QUERY_BLOCK, 0.0, self.dtype)

            for i, part in self._over_blocks(sum_tiles, rows, arrays):
                sums[i, chunk] += part[:, : len(scales[chunk])]
        return sums * scales

    def _over_blocks(
        self, compiled: Callable, rows: Rows, arrays: Callable[[slice, int], tuple]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Every (query block, key block), on all cores."""

        def run(task: tuple[slice, int]) -> np.ndarray:
            i, j = task
            block = rows.take(i)
            schedule, own = self._visits(block, j)
            queries = self._queries_of(block.points)
            return compiled(
                self._compiled_for, schedule, queries, own, self._keys[j], *arrays(i, j), key_tile=self.key_tile
            )

        tasks = self._tasks(rows)
        for (i, _), part in zip(tasks, in_threads(run, tasks, dtype=self.dtype), strict=True):
            yield i, part[: i.stop - i.start]

    def _visits(self, block: Rows, j: int) -> tuple[Schedule, Within | np.ndarray | None]:
        """Return which key tiles of a block each query tile visits, and of each query its own place among its keys."""
        tiles = np.full(QUERY_BLOCK // self.query_tile, self._key_tiles(j), np.int32)
        tiles[ceil_div(len(block.points), self.query_tile) :] = 0
        own = None
        if block.own is not None:
            own = pad(self._place[block.own] - j * self._key_block, QUERY_BLOCK, -1, np.dtype("i4"))
        return Schedule(np.zeros_like(tiles), tiles, None), own

    def _key_tiles(self, j: int) -> int:
        """Return how many tiles of a block of keys hold any."""
        return ceil_div(min(len(self._massive_points) - j * self._key_block, self._key_block), self.key_tile)

    def _tasks(self, rows: Rows) -> list[tuple[slice, int]]:
        """Return all (rows of a block of queries, number of a block of keys)."""
        return list(itertools.product(slices(len(rows.points), QUERY_BLOCK), range(len(self._keys))))
