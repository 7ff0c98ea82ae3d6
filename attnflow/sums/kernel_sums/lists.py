"""Kernel sums over a list of keys for each row, as those of a graph or of nearest neighbours."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from scipy.spatial import cKDTree

from attnflow._lifting import VALUE_BLOCK, map_blocks, shown
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError
from attnflow.masks.base import Lists
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance
from attnflow.sums.kernel_sums.base import Rows, RowSums
from attnflow.sums.kernel_sums.blocks import slices, threads
from attnflow.sums.kernel_sums.large_logits import LargeLogitSum, Pairs
from attnflow.sums.kernel_sums.pairs import PLAIN, all_costs

NUMBERS = 2**22  # coordinates of pairs at once
SPREAD = 2  # times as long as the shortest list of a group the longest may be: they are filled up to it
MAX_TREE_DIM = 12  # from there on a k-d tree looks at nearly all keys


class ListSum(LargeLogitSum):
    """The sums of LargeLogitSum over a list of keys for each row: all are taken with care, in time like their number.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
    """

    def __init__(self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray) -> None:
        super().__init__(attention, points=points, log_weights=log_weights)
        self._all_logs = log_weights

    def over(self, lists: Lists, values: np.ndarray, rows: Rows) -> RowSums:
        """Return the sums of rows, each over its list."""
        columns = np.column_stack([np.ones(len(values)), values])
        groups = list(_groups(lists.counts, numbers=max(self.points.shape[1], columns.shape[1])))
        done = list(threads().map(lambda group: self._group(lists.take(group), columns, rows.take(group)), groups))
        order = np.argsort(np.concatenate(groups))
        return RowSums(*(np.concatenate(parts)[order] for parts in zip(*done, strict=True)))

    @np.errstate(under="ignore", over="ignore")
    def _group(self, lists: Lists, columns: np.ndarray, rows: Rows) -> RowSums:
        places = np.arange(lists.counts.max())
        listed = places < lists.counts[:, None]
        keys = np.zeros(listed.shape, np.int64)
        keys[listed] = lists.keys
        if rows.own is not None:
            listed &= keys != rows.own[:, None]
        listed &= self._all_logs[keys] > -np.inf
        shift, kernel, error = self._weights(self._listed_pairs(keys, listed, rows), rows)
        sums = np.einsum("qk,qkc->qc", kernel, columns[keys])
        return RowSums(shift, sums[:, 0], sums[:, 1:], error)

    def _listed_pairs(self, keys: np.ndarray, listed: np.ndarray, rows: Rows) -> Pairs:
        metric = self.attention.pseudometric
        if isinstance(metric, PLAIN):
            plain: Any = metric  # written for JAX, it serves NumPy as well
            x = rows.points.T[:, :, None].astype(np.longdouble)
            y = np.moveaxis(self.points[keys], 2, 0).astype(np.longdouble)
            costs = plain(x, y)
            sizes = np.abs(plain(abs(x), abs(y))) if isinstance(metric, DotProduct) else costs
        else:
            costs = np.full(keys.shape, np.inf, np.longdouble)
            costs[listed] = _costs(
                metric, np.repeat(rows.points, listed.sum(axis=1), axis=0), self.points[keys[listed]]
            )
            sizes = np.fmax(np.abs(costs), self._terms(rows))
        logs = np.where(listed, self._all_logs[keys], 0.0)
        return Pairs(np.where(listed, costs, np.inf), self._roundings(np.where(listed, sizes, 0.0)), logs)


def _groups(counts: np.ndarray, *, numbers: int) -> Iterator[np.ndarray]:
    """Return rows whose lists are about as long, so many at a time that a group has no more than NUMBERS numbers."""
    order = np.argsort(counts, kind="stable")
    start = 0
    while start < len(order):
        alike = int(np.searchsorted(counts[order], SPREAD * max(int(counts[order[start]]), 4), side="right"))
        longest = int(counts[order[max(alike, start + 1) - 1]])
        stop = min(max(alike, start + 1), start + max(1, NUMBERS // (longest * numbers)))
        yield order[start:stop]
        start = stop


def _costs(cost: PseudoMetric, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return D(x_i, y_i) of pairs (P, D), (P, D); raise DataError where one is NaN or minus infinity."""
    if not len(keys):
        return np.empty(0)
    costs = map_blocks(functools.partial(_compiled_costs, cost), queries, keys, block=VALUE_BLOCK)
    undefined = ~(costs > -np.inf)
    if undefined.any():
        pair = int(np.argmax(undefined))
        raise DataError(
            f"the cost {type(cost).__name__} is NaN or -Inf for {np.count_nonzero(undefined)} pairs, the first of "
            f"query {shown(queries[pair])} and key {shown(keys[pair])}. It must be a number, or +Inf, for every pair."
        )
    return costs


@jax.jit
def _compiled_costs(cost: PseudoMetric, queries: jax.Array, keys: jax.Array) -> jax.Array:
    return jax.vmap(cost)(queries, keys)


def nearest_keys(cost: PseudoMetric, rows: Rows, *, points: np.ndarray, massive: np.ndarray, k: int) -> Lists:
    """Return the lists of the k keys of least cost of each row, of those with mass, the self-term left out.

    Args:
        cost: D.
        rows: the queries.
        points: the keys, (N, D).
        massive: which of them have mass.
        k: how many.

    Raises:
        ConfigError: if there are fewer.
    """
    available = len(massive) - (rows.own is not None)
    if k > available:
        raise ConfigError(
            f"`mask` = Neighbours({k}) asks for more keys than the {available} there are. Pass a smaller k."
        )
    wanted = k + (rows.own is not None)
    keys = points[massive]
    if isinstance(cost, SquaredDistance) and points.shape[1] <= MAX_TREE_DIM:
        found = cKDTree(keys).query(rows.points, k=np.arange(1, wanted + 1))[1]
        near = massive[found]
    else:
        blocks = slices(len(rows.points), max(1, NUMBERS // len(keys)))
        near = np.concatenate([massive[_least(all_costs(cost, rows.points[i], keys), wanted)] for i in blocks])
    if rows.own is not None:
        # Of more copies of a query than k its own place may be missing: then the last one goes.
        alone = near == rows.own[:, None]
        alone[~alone.any(axis=1), -1] = True
        near = near[~alone].reshape(len(near), k)
    return Lists(np.arange(len(near) + 1) * k, near.ravel())


def _least(costs: np.ndarray, k: int) -> np.ndarray:
    """Return the places of the k least of each row, least first, (Q, k)."""
    some = np.argpartition(costs, k - 1, axis=1)[:, :k] if k < costs.shape[1] else np.argsort(costs, axis=1)
    order = np.argsort(np.take_along_axis(costs, some, axis=1), axis=1)
    return np.take_along_axis(some, order, axis=1)
