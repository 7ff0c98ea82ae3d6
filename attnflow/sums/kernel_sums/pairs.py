"""Costs of pairs as a matrix, for what cannot be streamed: spectra, and rows whose logits need care."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import numpy as np
from scipy.spatial.distance import cdist

from attnflow.errors import DataError
from attnflow.precision import require_x64
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance
from attnflow.pseudometrics.scalars import by_coordinate
from attnflow.sums.kernel_sums.blocks import coordinates, slices
from attnflow.sums.kernel_sums.tiles import Coordinates, compile_tiles

BLOCK = 512
PLAIN = (SquaredDistance, DotProduct)  # written for arrays of any precision


def all_costs(cost: PseudoMetric, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the costs D(x_i, y_j) of all pairs, (Q, N), in the precision of the points where the cost is plain.

    Raises:
        DataError: if the cost is NaN, or minus infinity, for some pair.
    """
    if isinstance(cost, PLAIN) and not _are_distances(cost, queries):
        plain: Any = cost  # written for JAX, it serves NumPy as well
        return plain(queries.T[:, :, None], keys.T[:, None, :])
    return cost_matrix(cost, queries, keys)


def cost_matrix(cost: PseudoMetric, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the costs D(x_i, y_j) of all pairs, (Q, N); infinite for a pair that is masked.

    Raises:
        DataError: if the cost is NaN, or minus infinity, for some pair.
    """
    require_x64()
    if _are_distances(cost, queries):
        return cdist(queries, keys, "sqeuclidean")
    by_query, by_key = ([(rows, coordinates(points[rows], BLOCK, points.dtype)) for rows in slices(len(points), BLOCK)]
                        for points in (queries, keys))  # fmt: skip
    costs = np.empty((len(queries), len(keys)))
    for (rows, x), (columns, y) in itertools.product(by_query, by_key):
        block = costs[rows, columns]
        with jax.core.eval_context():
            block[:] = np.asarray(_block_costs(cost, x, y))[: block.shape[0], : block.shape[1]]
    undefined = ~(costs > -np.inf)
    if undefined.any():
        i, j = np.argwhere(undefined)[0]
        raise DataError(
            f"the cost {type(cost).__name__} is NaN or -Inf for {np.count_nonzero(undefined)} pairs, the first of "
            f"query {queries[i].tolist()} and key {keys[j].tolist()}. It must be a number, or +Inf, for every pair."
        )
    return costs


def _are_distances(cost: PseudoMetric, points: np.ndarray) -> bool:
    """Return whether the costs are sums of squared differences in double precision, which SciPy takes pair by pair."""
    return isinstance(cost, SquaredDistance) and points.dtype == np.float64


@compile_tiles
def _block_costs(cost: PseudoMetric, queries: Coordinates, keys: Coordinates) -> jax.Array:
    pair = by_coordinate(cost, dim=len(queries), dtype=queries[0].dtype)
    rows = jax.vmap(lambda *x: jax.vmap(lambda *y: pair(x, y))(*keys))
    return rows(*queries).astype(queries[0].dtype)
