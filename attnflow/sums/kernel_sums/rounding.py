"""What rounding takes: the least total that keeps its digits, scales, and where coordinates are counted from."""

from __future__ import annotations

import numpy as np

from attnflow.attention import Attention
from attnflow.pseudometrics.plain import SquaredDistance


def least_total(dtype: np.dtype) -> float:
    """Return the least sum, of weights up to one, that keeps its digits.

    Terms below the smallest normal number are off; against a total above tiny / u^2 they weigh under u.
    """
    limits = np.finfo(dtype)
    return float(limits.tiny / limits.eps**2)


def column_scales(columns: np.ndarray) -> np.ndarray:
    """Return what columns (N, C) are divided by before they are summed, (C,): single precision must not overflow."""
    largest = np.maximum(columns.max(axis=0, initial=0.0), -columns.min(axis=0, initial=0.0))
    return np.maximum(largest, np.finfo(np.float64).tiny)


def center_of(points: np.ndarray, attention: Attention, dtype: np.dtype) -> np.ndarray:
    """Return where coordinates are counted from: float32 must not see where the cloud is."""
    if dtype == np.float32 and attention.is_gaussian:
        return points.mean(axis=0)
    return np.zeros(points.shape[1])


def logit_sizes(attention: Attention, queries: np.ndarray, keys: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return what the rounding of logits is relative to, (Q,): their own size, |a| |b| / eps where products cancel."""
    sizes = product_sizes(attention, queries, keys)
    return np.maximum(logits, np.where(np.isnan(sizes), 0.0, sizes))


def product_sizes(attention: Attention, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return what no |logit| exceeds of a cost whose terms may cancel, (Q,); NaN for other costs.

    Of logits a . b / eps it is max_j |a_i| |b_j| / eps; of a cost |a - b|^2 + r + c the size of all four terms.
    """
    cost = attention.pseudometric
    if type(cost).__call__ is SquaredDistance.__call__:
        return np.full(len(queries), np.nan)
    profile = attention.profile  # 1 of Gaussians, 2 of e^{-s}; others do not grow faster than their cost
    per_cost = -2 * float(profile.logit(1.0, bandwidth=1.0)) if profile.is_exponential else 1.0
    factors, mapped = cost.factors(1.0), cost.mapped(keys[0])
    if factors is not None:
        sizes = largest_products(factors.of_queries(queries), factors.of_keys(keys))
        return per_cost * sizes / attention.bandwidth
    if mapped is None or not mapped.has_potentials:
        return np.full(len(queries), np.nan)
    a, b, row, column, _ = mapped
    of_queries, of_keys = 2 * (a(queries) ** 2).sum(axis=1), 2 * (b(keys) ** 2).sum(axis=1)
    of_queries = of_queries if row is None else of_queries + np.abs(row(queries))
    of_keys = of_keys if column is None else of_keys + np.abs(column(keys))
    return per_cost * (of_queries + of_keys.max()) / (2 * attention.bandwidth)


def largest_products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return max_j |a_i| |b_j| of rows (Q, K) and (N, K), (Q,): no product of theirs is larger."""
    return np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1).max(initial=0.0)


def coordinate_rounding(
    points: np.ndarray, queries: np.ndarray, *, center: np.ndarray, logits: np.ndarray, bandwidth: float
) -> np.ndarray:
    """Return how many units in the last place of 1 rounded coordinates take from logits |x - y|^2 / 2eps, (Q,).

    With R the radius of the cloud, x and y are off by u R in each coordinate, |x - y|^2 by 4 u R sqrt(D) |x - y|.
    """
    radius = np.maximum(np.abs(points - center).max(), np.abs(queries - center).max(axis=1))
    return 2 * radius * np.sqrt(2 * points.shape[1] * np.maximum(logits, 0.0) / bandwidth)
