"""Kernel sums over ranges of keys, as those of a causal mask: tiles that hold no key of a query are not visited."""

from __future__ import annotations

import functools
import itertools

import numpy as np

from attnflow.attention import Attention
from attnflow.masks.base import Ranges
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.blocks import pad, slices
from attnflow.sums.kernel_sums.dense import QUERY_BLOCK, DenseSum
from attnflow.sums.kernel_sums.products import ProductSum
from attnflow.sums.kernel_sums.tiles import Schedule, Within

_NOWHERE = np.iinfo(np.int32).max


class _OverRanges(DenseSum):
    """The sums of DenseSum over the keys of a range for each row; rows are told by their numbers."""

    _ranges: Ranges

    @functools.cached_property
    def _kept(self) -> Ranges:
        """The same ranges among the keys with mass."""
        first = np.searchsorted(self._massive, self._ranges.first)
        return Ranges(first, np.searchsorted(self._massive, self._ranges.last, side="right") - 1)

    def _range_of(self, rows: Rows) -> Ranges:
        numbers = slice(None) if rows.numbers is None else rows.numbers
        return Ranges(self._kept.first[numbers], self._kept.last[numbers])

    def _leave_out(self, logits: np.ndarray, rows: Rows) -> None:
        super()._leave_out(logits, rows)
        kept, places = self._range_of(rows), np.arange(logits.shape[1])
        logits[(places < kept.first[:, None]) | (places > kept.last[:, None])] = -np.inf

    def _visits(self, block: Rows, j: int) -> tuple[Schedule, Within]:
        whole, own = super()._visits(block, j)
        assert not isinstance(own, Within)
        kept, start, integer = self._range_of(block), j * self._key_block, np.dtype(np.int32)
        first = pad(np.maximum(kept.first - start, 0), QUERY_BLOCK, _NOWHERE, integer)
        last = pad(np.maximum(kept.last - start, -1), QUERY_BLOCK, -1, integer)
        by_tile = first.reshape(-1, self.query_tile).min(axis=1), last.reshape(-1, self.query_tile).max(axis=1)
        lowest = np.minimum(by_tile[0] // self.key_tile, whole.last)
        highest = np.clip(by_tile[1] // self.key_tile + 1, lowest, np.maximum(whole.last, lowest))
        return Schedule(lowest.astype(integer), highest.astype(integer), None), Within(first, last, own)

    def _tasks(self, rows: Rows) -> list[tuple[slice, int]]:
        """Return the blocks that are not empty."""
        kept = self._range_of(rows)
        every = itertools.product(slices(len(rows.points), QUERY_BLOCK), range(len(self._keys)))
        return [
            (i, j)
            for i, j in every
            if kept.last[i].max() >= j * self._key_block and kept.first[i].min() < (j + 1) * self._key_block
        ]


class RangeSum(_OverRanges):
    """The sums of DenseSum over a range of keys for each row.

    Args:
        attention: the cost and the bandwidth.
        ranges: of the keys, by position.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic within a block.
    """

    def __init__(
        self, attention: Attention, *, ranges: Ranges, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype
    ) -> None:
        super().__init__(attention, points=points, log_weights=log_weights, dtype=dtype)
        self._ranges = ranges


class RangeProducts(_OverRanges, ProductSum):
    """The sums of ProductSum over a range of keys for each row.

    Args:
        attention, ranges, points, log_weights, dtype: as of RangeSum.
        rtol: up to this the worst case of rounding is declared.
    """

    def __init__(
        self, attention: Attention, *, ranges: Ranges, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype,
        rtol: float,
    ) -> None:  # fmt: skip
        super().__init__(attention, points=points, log_weights=log_weights, dtype=dtype, rtol=rtol)
        self._ranges = ranges

    @functools.cached_property
    def _by_coordinates(self) -> DenseSum:
        return RangeSum(
            self.attention, ranges=self._ranges, points=self.points, log_weights=self._log_weights, dtype=self.dtype
        )
