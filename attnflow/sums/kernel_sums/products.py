"""Kernel sums over all pairs whose logits are products of matrices: the way in many dimensions."""

from __future__ import annotations

import functools

import numpy as np

from attnflow.attention import Attention
from attnflow.sums.kernel_sums.base import Rows, RowSums
from attnflow.sums.kernel_sums.blocks import fill_up, slices
from attnflow.sums.kernel_sums.dense import KEY_BLOCK, QUERY_BLOCK, DenseSum
from attnflow.sums.kernel_sums.rounding import largest_products
from attnflow.sums.kernel_sums.tiles import LOG2E, Coordinates

LEAST_DIM, MOST_COORDINATES = 8, 64  # below it separate coordinates are as fast, and round less
CHECKED_ROWS, SAFETY = 12, 8  # twelve errors all under 5/8 of their scale, when the largest is 5: once in 9000
TILE = 512  # of queries and of keys: 256 takes a tenth longer
FEW_KEYS, FEW_TILE = 1024, 128  # blocks and tiles of the usual size would be mostly filling
TILES = 32  # of a block of keys, added one after another


class ProductSum(DenseSum):
    """The sums of DenseSum for a logit a(x) . b(y) / eps: a tile of logits is one product of matrices.

    Rounding is then relative to |a| |b| / eps, for the squared distance the squared radius of the cloud over eps, and
    not to the logit. The worst case of it, that all terms of all products are off in one direction, is some hundred
    times what it is; where it misses `rtol`, what some rows are off by in float64 says which share of the worst case is
    delivered, and eight times that share is declared.

    Args:
        attention: the cost, which has factors, and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic within a block; blocks are added in float64.
        rtol: up to this the worst case is declared.
    """

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float
    ) -> None:
        super().__init__(attention, points=points, log_weights=log_weights, dtype=dtype)
        self._rtol = rtol
        if attention.is_gaussian:
            self._center = points.mean(axis=0)
        keys = points[self._massive] - self._center
        factors = attention.factors(np.sqrt((keys**2).sum(axis=1).max()) or 1.0)
        assert factors is not None
        self._of_queries, self._b = factors.of_queries, factors.of_keys(keys)
        self._compiled_for = None  # one program for every cost, and one more for few keys
        many = len(keys) > FEW_KEYS
        self._key_block = KEY_BLOCK if many else FEW_KEYS
        self.query_tile = self.key_tile = TILE if many else FEW_TILE
        self._max_columns = 4 * self._b.shape[1]  # one more pass then costs a quarter
        # The terms of a tile one after another, half a unit each; K products of a logit, their sum, and D of a square.
        self._term_rounding = self.key_tile // 2 + TILES
        self._logit_rounding = self._b.shape[1] + points.shape[1] + 4

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        sums = super().of_rows(values, rows)
        missed = np.flatnonzero(~(sums.error <= self._rtol))
        if len(missed) and self.dtype == np.float64 and self.points.shape[1] <= MOST_COORDINATES:
            return sums.put(missed, self._by_coordinates.of_rows(values, rows.take(missed)))
        if len(missed):
            return sums._replace(error=sums.error * min(1.0, SAFETY * self._share(values, rows, sums)))
        return sums

    @functools.cached_property
    def _by_coordinates(self) -> DenseSum:
        return DenseSum(self.attention, points=self.points, log_weights=self._log_weights, dtype=self.dtype)

    def _queries_of(self, points: np.ndarray) -> np.ndarray:
        return fill_up(self._a(points) * (LOG2E / self.attention.bandwidth), QUERY_BLOCK, self.dtype)

    @functools.cached_property
    def _keys(self) -> list[Coordinates]:
        return [fill_up(self._b[block], self._key_block, self.dtype) for block in slices(len(self._b), self._key_block)]

    def _a(self, points: np.ndarray) -> np.ndarray:
        return self._of_queries(points - self._center)

    def _logits(self, points: np.ndarray) -> np.ndarray:
        return self._a(points) @ self._b.T / self.attention.bandwidth

    def _logit_bounds(self, rows: Rows) -> np.ndarray:
        if rows.points is not self.points:
            return largest_products(self._a(rows.points), self._b) / self.attention.bandwidth
        return self._own_bounds

    @functools.cached_property
    def _own_bounds(self) -> np.ndarray:
        return largest_products(self._a(self.points), self._b) / self.attention.bandwidth

    def _rounding(self, rows: Rows, shift: np.ndarray, total: np.ndarray) -> np.ndarray:
        summed = np.isfinite(shift) & (total > 0)
        if self._has_light_keys:
            summed &= shift == 0
        return np.where(summed, self._worst_case(self._logit_bounds(rows)), np.inf)

    def _worst_case(self, sizes: np.ndarray) -> np.ndarray:
        return np.finfo(self.dtype).eps * (self._term_rounding + len(self._key_rows) + self._logit_rounding * sizes)

    def _share(self, values: np.ndarray, rows: Rows, sums: RowSums) -> float:
        """Return which share of the worst case some rows are off by, in averages or totals, from sums in float64."""
        summed = np.flatnonzero(np.isfinite(sums.error))
        if not len(summed):
            return 1.0
        rng = np.random.default_rng(len(summed))
        half = min(CHECKED_ROWS // 2, len(summed))
        # Half of them where the worst case is largest.
        largest = summed[np.argpartition(-sums.error[summed], half - 1)[:half]]
        some = np.union1d(largest, rng.choice(summed, half))
        logits = self._logits(rows.points[some]) - sums.shift[some, None]
        self._leave_out(logits, rows.take(some))
        kernel = np.zeros((len(some), len(self._weights)))
        kernel[:, self._massive] = np.exp(logits) * self._weights[self._massive]
        total = kernel.sum(axis=1)
        average = kernel @ values / total[:, None]
        off = np.abs(sums.weighted[some] / sums.total[some, None] - average).max(axis=1, initial=0.0)
        off /= np.abs(values).max(initial=0.0) or 1.0
        off = np.maximum(off, np.abs(sums.total[some] / total - 1))
        return float((np.maximum(off, np.finfo(self.dtype).eps) / sums.error[some]).max())
