"""Kernel sums of an attention with a mask: over ranges of keys, tile by tile, or over lists of them."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError
from attnflow.masks.base import Lists, Mask
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.features import FeatureSum
from attnflow.sums.kernel_sums.lists import ListSum, nearest_keys
from attnflow.sums.kernel_sums.mapped import MappedKeys, MappedSum
from attnflow.sums.kernel_sums.products import LEAST_DIM
from attnflow.sums.kernel_sums.ranges import RangeProducts, RangeSum
from attnflow.sums.planning.planner import PlannedSum

LISTED_PAIRS = 2**24  # at once, of rows over ranges that are summed with care


class MaskedSum(KernelSum):
    """The sums over the keys that a mask leaves to each row; rows that miss `rtol` are summed again with care.

    A range of keys is cut into tiles, of which only those are visited that hold a key of the range; lists are gathered.

    Args:
        attention: the cost, the bandwidth and the mask.
        points: the keys y_j, shape (N, D); of a mask of positions, queries are as many and at the same places.
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic over ranges; lists are summed in double precision.
        rtol: tolerance on max |error| / max |values| of the averages.
        method: "auto" or "dense".
        devices: None.

    Raises:
        ConfigError: if another method is asked, or devices.
        DataError: if a row has no key, or the mask is one of another number of points.
    """

    method = "masked"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float,
        method: str = "auto", devices: Sequence[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        assert attention.mask is not None
        self._mask: Mask = attention.mask
        if method not in ("auto", "dense") or devices is not None:
            what = f'`method` = "{method}"' if devices is None else "`devices`"
            raise ConfigError(f"{what} cannot sum under `mask` = {self._mask!r}. Drop one of the two.")
        self.attention = attention.replace(mask=None)
        self.points = points
        self.dtype = dtype if attention.profile.is_exponential else np.dtype(np.float64)
        self._log_weights = log_weights
        self._massive = np.flatnonzero(log_weights > -np.inf)
        self._rtol = rtol
        self._ranges = self._mask.ranges(len(points))
        if self._ranges is not None:
            self._check_shape(len(points), *self._ranges)
        self._parts: dict[np.dtype, KernelSum] = {}
        self._recent: tuple[Rows, Lists] | None = None

    @contextlib.contextmanager
    def expecting(self, layers: int) -> Iterator[None]:
        """Do nothing: nothing here is worth more for more layers."""
        yield

    def held(self, *, exclude_self: bool) -> None:
        """Return None: no matrix is formed."""

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        if self._mask.is_by_position and len(rows.points) != len(self.points):
            raise ConfigError(
                f"`mask` = {self._mask!r} goes by the positions of queries in the sample: they must be as many as "
                f"keys, {len(self.points)}, each at the place of one, got {len(rows.points)}. Drop `at`, pass all of "
                "them, or take Neighbours(k)."
            )
        if self._ranges is None:
            lists = self._lists(rows)
            self._check_rows(self._counts(lists, rows))
            return self._listed.over(lists, values, rows)
        kept = np.concatenate([[0], np.cumsum(self._log_weights > -np.inf)])
        first, last = self._ranges
        counts = np.where(last >= first, kept[np.minimum(last + 1, len(self.points))] - kept[np.maximum(first, 0)], 0)
        if rows.own is not None:
            counts = counts - ((first <= rows.own) & (rows.own <= last) & (self._log_weights[rows.own] > -np.inf))
        self._check_rows(counts)
        sums = self._over_ranges(self.dtype).of_rows(values, rows)
        pending = np.flatnonzero(~(sums.error <= self._rtol))
        if len(pending) and self.dtype == np.float32:
            sums = sums.put(pending, self._over_ranges(np.dtype(np.float64)).of_rows(values, rows.take(pending)))
            pending = np.flatnonzero(~(sums.error <= self._rtol))
        for some in np.array_split(pending, -(-int(counts[pending].sum()) // LISTED_PAIRS) or 1):
            if len(some):
                sums = sums.put(some, self._listed.over(self._ranges.lists(some), values, rows.take(some)))
        return sums

    def _lists(self, rows: Rows) -> Lists:
        """Return the keys of each row; the last ones are kept for the next layer."""
        if self._recent is None or self._recent[0].points is not rows.points or self._recent[0].own is not rows.own:
            cost = self.attention.pseudometric
            search = functools.partial(nearest_keys, cost, rows, points=self.points, massive=self._massive)
            found = self._mask.lists(len(self.points), lambda k: search(k=k))
            self._check_shape(len(rows.points), found.counts)
            if len(found.keys) and not (found.keys.min() >= 0 and found.keys.max() < len(self.points)):
                raise DataError(
                    f"`mask` = {self._mask!r} lists keys between {found.keys.min()} and {found.keys.max()} of "
                    f"{len(self.points)} points. Count them from 0."
                )
            self._recent = rows, found
        return self._recent[1]

    def _check_shape(self, count: int, *parts: np.ndarray) -> None:
        if any(part.shape != (count,) or part.dtype.kind != "i" for part in parts):
            raise DataError(
                f"`mask` = {self._mask!r} must give one integer for each of {count} queries, got "
                f"{[(part.shape, str(part.dtype)) for part in parts]}. Mend its `ranges` or `lists`."
            )

    def _counts(self, lists: Lists, rows: Rows) -> np.ndarray:
        """Return how many keys with mass each row has, but for its own place where that is left out."""
        present = self._log_weights[lists.keys] > -np.inf
        row = np.repeat(np.arange(len(lists.counts)), lists.counts)
        if rows.own is not None:
            present &= lists.keys != rows.own[row]
        return np.bincount(row[present], minlength=len(lists.counts))

    def _check_rows(self, counts: np.ndarray) -> None:
        empty = np.flatnonzero(counts == 0)
        if len(empty):
            raise DataError(
                f"`mask` = {self._mask!r} leaves row {empty[0]} without a key with mass, and {len(empty) - 1} more: "
                "their average is 0/0. Let every query attend to itself, or leave these points out."
            )

    @functools.cached_property
    def _listed(self) -> ListSum:
        return ListSum(self.attention, points=self.points, log_weights=self._log_weights)

    def _over_ranges(self, dtype: np.dtype) -> KernelSum:
        if dtype not in self._parts:
            self._parts[dtype] = self._range_sum(dtype)
        return self._parts[dtype]

    def _range_sum(self, dtype: np.dtype) -> KernelSum:
        """Return sums over ranges of the keys, mapped where the cost is a plainer one of mapped points."""
        assert self._ranges is not None
        found = None if self.attention.is_gaussian else self.attention.mapped(self.points[0])
        mapped = None
        if found is not None and not found[1].has_potentials:
            mapped = MappedKeys(self.attention, points=self.points, log_weights=self._log_weights)
        seen, log_weights = mapped or self, self._log_weights if mapped is None else mapped.log_weights
        given: dict[str, Any] = dict(ranges=self._ranges, points=seen.points, log_weights=log_weights, dtype=dtype)
        made: KernelSum
        if seen.points.shape[1] >= LEAST_DIM and seen.attention.factors(1.0) is not None:
            made = RangeProducts(seen.attention, rtol=self._rtol, **given)
        else:
            made = RangeSum(seen.attention, **given)
        return made if mapped is None else MappedSum(mapped, made, points=self.points)


AnySum = PlannedSum | MaskedSum | FeatureSum


def planned_sum(attention: Attention, **given: Any) -> AnySum:
    """Return the sums of an attention, whatever its kernel and its mask; arguments as of PlannedSum."""
    if attention.pseudometric.is_kernel:
        return FeatureSum(attention, **given)
    return PlannedSum(attention, **given) if attention.mask is None else MaskedSum(attention, **given)
