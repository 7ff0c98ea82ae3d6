"""Gaussian kernel sums over neighbours only: tiles of nearby points, and a bound on what is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError
from attnflow.kernel_sums.dense import MAX_COLUMNS, ceil_div, coordinates, in_threads, pack_columns, pad, slices
from attnflow.kernel_sums.neighbours import Boxes, KeyTree, Neighbours, spatial_order
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums
from attnflow.kernel_sums.tiles import QUERY_TILE, Schedule, sum_tiles
from attnflow.pseudometrics import SquaredDistance

QUERY_BLOCK, KEY_TILE = 4096, 64
TAIL = 1 / 300  # of the tolerance, where tiles are cut: the bound over boxes then leaves about one row in a hundred


class _Pass(NamedTuple):
    """Some rows, sorted in space, with the key tiles that each tile of them visits.

    Args:
        rows: places (Q,) among all rows, in the order of summation.
        queries, own: the sorted rows, in blocks of a fixed size.
        neighbours: the schedule, and the mass that it neglects, per tile.
        tail: the kernel value where tiles were cut.
    """

    rows: np.ndarray
    queries: list
    own: list
    neighbours: Neighbours
    tail: float


class CutoffSum(KernelSum):
    """The sums sum_j w_j exp(-|x_i - y_j|^2 / 2eps) [1, v_j] over the keys near x_i, in time N times neighbours.

    Tiles of 64 queries visit the tiles of 64 keys whose bounding boxes are near. The boxes left out are at a known
    distance and have a known mass: with T the total of a row and B that bound on what it lacks, its average is off by
    2 B / (T + B) max |v| at most. Rows for which that exceeds `rtol`, where the density is thin, are summed again with
    a longer reach; a row without a key in the reach of `dtype` has an infinite error.

    Args:
        attention: a squared distance and the bandwidth.
        points: the keys y_j, shape (N, D), any D; it pays where balls of a few sqrt(eps) hold a small part of them.
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic.
        rtol: tolerance on max |error| / max |values| of the averages.

    Raises:
        ConfigError: if the cost is no SquaredDistance.
    """

    method = "cutoff"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float
    ) -> None:
        if type(attention.pseudometric) is not SquaredDistance:
            raise ConfigError(
                '`method` = "cutoff" needs the cost SquaredDistance(), got '
                f'{type(attention.pseudometric).__name__}. Pass method="dense".'
            )
        self.attention = attention
        self.points = points
        self.dtype = dtype
        self._rtol = rtol
        self._weights = np.exp(log_weights)
        massive = np.flatnonzero(self._weights)
        self._order = massive[spatial_order(points[massive], KEY_TILE)]
        self._place = np.full(len(points), -1)
        self._place[self._order] = np.arange(len(self._order))
        keys = points[self._order]
        self._tree = KeyTree(keys, self._weights[self._order], size=KEY_TILE)
        self._size = KEY_TILE << (ceil_div(len(keys), KEY_TILE) - 1).bit_length()  # few shapes to compile
        self._keys = jax.device_put(coordinates(keys, self._size, dtype))
        limits = np.finfo(dtype)
        self._least = limits.tiny / limits.eps**2  # terms and totals below it lose digits
        self._recent: tuple[Rows, list[_Pass]] | None = None

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        columns = self._weights[:, None] * np.column_stack([np.ones(len(values)), values])
        sums = np.empty((len(rows.points), columns.shape[1]))
        errors = np.full(len(rows.points), np.inf)
        for visit in self._passes(rows, errors):
            sums[visit.rows] = self._sum(visit, columns)
            errors[visit.rows] = self._errors(visit, sums[visit.rows, 0])
        return RowSums(np.zeros(len(sums)), sums[:, 0], sums[:, 1:], errors)

    @property
    def candidates(self) -> int:
        """How many pairs the last sum visited."""
        assert self._recent is not None
        visits = sum(int((visit.neighbours.last - visit.neighbours.first).sum()) for visit in self._recent[1])
        return visits * QUERY_TILE * KEY_TILE

    def _passes(self, rows: Rows, errors: np.ndarray) -> Iterator[_Pass]:
        """Passes over rows of too large `errors`, each with a longer reach; kept while layers ask for the same rows."""
        if self._recent is None or self._recent[0].points is not rows.points or self._recent[0].own is not rows.own:
            self._recent = rows, []
        passes = self._recent[1]
        tail = TAIL * self._rtol
        for n in itertools.count():
            pending = np.flatnonzero(errors > self._rtol)
            if not len(pending) or (n and passes[n - 1].tail <= self._least):
                return
            if n == len(passes):
                if n:  # half of the rows that failed should pass now
                    lack = self._rtol / np.median(errors[pending])
                    tail = max(
                        passes[n - 1].tail * min(TAIL * lack, TAIL) if lack else passes[n - 1].tail ** 2, self._least
                    )
                some = rows.take(pending) if n else rows
                passes.append(self._plan(some, pending, tail=tail))
            yield passes[n]

    def _plan(self, rows: Rows, places: np.ndarray, *, tail: float) -> _Pass:
        sorted_already = rows.points is self.points and len(self._order) == len(self.points)
        order = self._order if sorted_already else spatial_order(rows.points, QUERY_TILE)
        points = rows.points[order]
        blocks = list(slices(len(points), QUERY_BLOCK))
        neighbours = self._tree.neighbours(
            Boxes.around(points, QUERY_TILE), bandwidth=self.attention.bandwidth, tail=tail
        )
        # Few shapes to compile, here too.
        tiles = pad(neighbours.tiles, 1 << max(10, (len(neighbours.tiles) - 1).bit_length()), 0, np.dtype(np.int32))
        return _Pass(
            rows=places[order],
            queries=[jax.device_put(coordinates(points[block], QUERY_BLOCK, self.dtype)) for block in blocks],
            own=[None if rows.own is None else
                 pad(self._place[rows.own[order[block]]], QUERY_BLOCK, -1, np.dtype(np.int32)) for block in blocks],
            neighbours=neighbours._replace(tiles=jax.device_put(tiles)),
            tail=tail,
        )  # fmt: skip

    def _sum(self, visit: _Pass, columns: np.ndarray) -> np.ndarray:
        sums = np.empty((len(visit.rows), columns.shape[1]))
        scales = np.maximum(np.abs(columns).max(axis=0), np.finfo(np.float64).tiny)  # float32 must not overflow
        sorted_columns = columns[self._order] / scales
        tiles_per_block = QUERY_BLOCK // QUERY_TILE
        for start in range(0, columns.shape[1], MAX_COLUMNS):
            chunk = slice(start, start + MAX_COLUMNS)
            packed = jax.device_put(pack_columns(sorted_columns[:, chunk], self._size, self.dtype))

            def run(n: int, packed: jax.Array = packed) -> jax.Array:
                tiles = slice(n * tiles_per_block, (n + 1) * tiles_per_block)
                first, last = (
                    pad(ends[tiles], tiles_per_block, 0, np.dtype(np.int32)) for ends in visit.neighbours[:2]
                )
                return sum_tiles(
                    self.attention, Schedule(first, last, visit.neighbours.tiles), visit.queries[n], visit.own[n],
                    self._keys, packed, np.zeros(QUERY_BLOCK, self.dtype), key_tile=KEY_TILE,
                )  # fmt: skip

            parts = in_threads(run, list(range(len(visit.queries))), dtype=self.dtype)
            for block, part in zip(slices(len(sums), QUERY_BLOCK), parts, strict=True):
                sums[block, chunk] = part[: block.stop - block.start, : len(scales[chunk])]
        return sums * scales

    def _errors(self, visit: _Pass, totals: np.ndarray) -> np.ndarray:
        """What is left out of each average, 2 B / (T + B), and the rounding of what is summed."""
        first, last, _, neglected = visit.neighbours
        lost, visited = (np.repeat(per_tile, QUERY_TILE)[: len(totals)] for per_tile in (neglected, last - first))
        reached = totals >= self._least * self._weights.max()
        with np.errstate(divide="ignore", invalid="ignore"):
            truncation = np.where(reached, 2 * lost / (totals + lost), np.inf)
            logits = np.log(self._weights.sum()) - np.log(totals)
        roundings = visited + KEY_TILE + (self.points.shape[1] + 4) * logits
        return truncation + np.where(reached, np.finfo(self.dtype).eps * roundings, np.inf)
