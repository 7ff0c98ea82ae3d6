"""Gaussian kernel sums over neighbours only: tiles of nearby points, and a bound on what is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import ceil_div, coordinates, in_threads, pack_columns, pad, slices
from attnflow.sums.kernel_sums.dense import MAX_COLUMNS
from attnflow.sums.kernel_sums.neighbours import Boxes, KeyTree, Neighbours, spatial_order
from attnflow.sums.kernel_sums.rounding import center_of, column_scales, coordinate_rounding, least_total
from attnflow.sums.kernel_sums.tiles import QUERY_TILE, Schedule, sum_tiles

QUERY_BLOCK, KEY_TILE = 4096, 64
KEY_TILES = 256  # at once: queries and keys are gathered into blocks of one shape, compiled once whatever N
TAIL = 1 / 300  # of the tolerance, where tiles are cut: the bound over boxes then leaves about one row in a hundred


class _Piece(NamedTuple):
    """A block of sorted queries and some tiles of keys near them.

    Args:
        queries: their places in the order of summation.
        keys: the tiles of keys, at most KEY_TILES of them.
        first, last, tiles: which of those each query tile visits, as in a Schedule.
        own: of each query, its own place among these keys; None where it is not left out.
    """

    queries: slice
    keys: np.ndarray
    first: np.ndarray
    last: np.ndarray
    tiles: np.ndarray
    own: np.ndarray | None


class _Pass(NamedTuple):
    """Some rows and all that is visited for them, as far as the kernel exceeds `tail`.

    Args:
        rows: places (Q,) among all rows, in the order of summation.
        points: the sorted rows, (Q, D).
        pieces: what is summed, block by block.
        visited: how many key tiles each query tile visits.
        neglected: the mass that each query tile leaves out, at most.
        tail: the kernel value where tiles were cut.
    """

    rows: np.ndarray
    points: np.ndarray
    pieces: list[_Piece]
    visited: np.ndarray
    neglected: np.ndarray
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
        self._check_gaussian(attention)
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
        self._center = center_of(points, attention, dtype)
        self._tree = KeyTree(keys, self._weights[self._order], size=KEY_TILE)
        self._keys = np.stack(coordinates(keys - self._center, KEY_TILE * ceil_div(len(keys), KEY_TILE), dtype))
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
        return sum(int(visit.visited.sum()) for visit in self._recent[1]) * QUERY_TILE * KEY_TILE

    def _passes(self, rows: Rows, errors: np.ndarray) -> Iterator[_Pass]:
        """Return passes over rows of too large `errors`, each with a longer reach; they are kept for the next layer."""
        if self._recent is None or self._recent[0].points is not rows.points or self._recent[0].own is not rows.own:
            self._recent = rows, []
        passes = self._recent[1]
        tail = TAIL * self._rtol
        for n in itertools.count():
            pending = np.flatnonzero(errors > self._rtol)
            if not len(pending) or (n and passes[n - 1].tail <= least_total(self.dtype)):
                return
            if n == len(passes):
                if n:  # half of the rows that failed should pass now
                    lack = self._rtol / np.median(errors[pending])
                    last = passes[n - 1].tail
                    tail = max(last * min(TAIL * lack, TAIL) if lack else last**2, least_total(self.dtype))
                some = rows.take(pending) if n else rows
                passes.append(self._plan(some, pending, tail=tail))
            yield passes[n]

    def _plan(self, rows: Rows, places: np.ndarray, *, tail: float) -> _Pass:
        sorted_already = rows.points is self.points and len(self._order) == len(self.points)
        order = self._order if sorted_already else spatial_order(rows.points, QUERY_TILE)
        points = rows.points[order]
        near = self._tree.neighbours(Boxes.around(points, QUERY_TILE), bandwidth=self.attention.bandwidth, tail=tail)
        own = None if rows.own is None else self._place[rows.own[order]]
        pieces = [piece for block in slices(len(points), QUERY_BLOCK) for piece in _pieces(block, near, own)]
        return _Pass(places[order], points, pieces, near.last - near.first, near.neglected, tail)

    def _sum(self, visit: _Pass, columns: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(visit.rows), columns.shape[1]))
        scales = column_scales(columns)
        sorted_columns = columns[self._order] / scales
        for start in range(0, columns.shape[1], MAX_COLUMNS):
            chunk = slice(start, start + MAX_COLUMNS)
            packed = pack_columns(sorted_columns[:, chunk], self._keys.shape[1], self.dtype)
            parts = in_threads(partial(self._sum_piece, visit, packed), visit.pieces, dtype=self.dtype)
            for piece, part in zip(visit.pieces, parts, strict=True):
                sums[piece.queries, chunk] += part[: piece.queries.stop - piece.queries.start, : len(scales[chunk])]
        return sums * scales

    def _sum_piece(self, visit: _Pass, columns: np.ndarray, piece: _Piece) -> jax.Array:
        def gather(array: np.ndarray) -> np.ndarray:
            """Return the tiles of keys of this piece, one after another."""
            gathered = np.zeros((KEY_TILES, KEY_TILE, *array.shape[1:]), self.dtype)
            gathered[: len(piece.keys)] = array.reshape(-1, KEY_TILE, *array.shape[1:])[piece.keys]
            return gathered.reshape(-1, *array.shape[1:])

        tiles = QUERY_BLOCK // QUERY_TILE
        integer = np.dtype(np.int32)
        schedule = Schedule(
            pad(piece.first, tiles, 0, integer), pad(piece.last, tiles, 0, integer),
            pad(piece.tiles, tiles * KEY_TILES, 0, integer),
        )  # fmt: skip
        queries = coordinates(visit.points[piece.queries] - self._center, QUERY_BLOCK, self.dtype)
        own = None if piece.own is None else pad(piece.own, QUERY_BLOCK, -1, integer)
        keys = tuple(gather(coordinate) for coordinate in self._keys)
        return sum_tiles(
            self.attention, schedule, queries, own, keys, gather(columns), np.zeros(QUERY_BLOCK, self.dtype),
            key_tile=KEY_TILE,
        )  # fmt: skip

    def _errors(self, visit: _Pass, totals: np.ndarray) -> np.ndarray:
        """Return what is left out of each average, 2 B / (T + B), and the rounding of what is summed."""
        lost, visited = (
            np.repeat(per_tile, QUERY_TILE)[: len(totals)] for per_tile in (visit.neglected, visit.visited)
        )
        reached = totals >= least_total(self.dtype) * max(self._weights.max(), 1.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            truncation = np.where(reached, 2 * lost / (totals + lost), np.inf)
            logits = np.log(self._weights.sum()) - np.log(totals)
            roundings = visited + KEY_TILE + (self.points.shape[1] + 4) * logits
            if self.dtype == np.float32:
                eps = self.attention.bandwidth
                roundings += coordinate_rounding(
                    self.points, visit.points, center=self._center, logits=logits, bandwidth=eps
                )
        return truncation + np.where(reached, np.finfo(self.dtype).eps * roundings, np.inf)


def _pieces(block: slice, near: Neighbours, own: np.ndarray | None) -> Iterator[_Piece]:
    """Return the visits of a block of queries, cut where they need more than KEY_TILES different tiles of keys."""
    rows = slice(block.start // QUERY_TILE, ceil_div(block.stop, QUERY_TILE))
    first, last = near.first[rows], near.last[rows]
    query = np.repeat(np.arange(len(first)), last - first)
    tiles = near.tiles[first[0] : last[-1]]
    needed = np.unique(tiles)
    for part in slices(len(needed), KEY_TILES):
        keys = needed[part]
        inside = (tiles >= keys[0]) & (tiles <= keys[-1])
        ends = np.cumsum(np.bincount(query[inside], minlength=len(first)))
        yield _Piece(
            queries=block,
            keys=keys,
            first=np.concatenate([[0], ends[:-1]]),
            last=ends,
            tiles=np.searchsorted(keys, tiles[inside]),
            own=None if own is None else _place_among(keys, own[block]),
        )


def _place_among(keys: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where sorted places are found after the tiles `keys` alone were gathered; -1 if their tile is not one of them."""
    slot = np.minimum(np.searchsorted(keys, places // KEY_TILE), len(keys) - 1)
    return np.where(keys[slot] == places // KEY_TILE, slot * KEY_TILE + places % KEY_TILE, -1)
