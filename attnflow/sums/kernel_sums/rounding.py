"""What rounding takes: the least total that keeps its digits, scales, and where coordinates are counted from."""

from __future__ import annotations

import numpy as np

from attnflow.attention import Attention
from attnflow.pseudometrics.plain import DotProduct


def least_total(dtype: np.dtype) -> float:
    """Return the least sum, of weights up to one, that keeps its digits.

    Terms below the smallest normal number are off; against a total above tiny / u^2 they weigh under u.
    """
    limits = np.finfo(dtype)
    return float(limits.tiny / limits.eps**2)


def column_scales(columns: np.ndarray) -> np.ndarray:
    """Return what columns (N, C) are divided by before they are summed, (C,): single precision must not overflow."""
    return np.maximum(np.abs(columns).max(axis=0, initial=0.0), np.finfo(np.float64).tiny)


def center_of(points: np.ndarray, attention: Attention, dtype: np.dtype) -> np.ndarray:
    """Return where coordinates are counted from: float32 must not see where the cloud is."""
    if dtype == np.float32 and attention.is_gaussian:
        return points.mean(axis=0)
    return np.zeros(points.shape[1])


def logit_sizes(attention: Attention, queries: np.ndarray, keys: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return what the rounding of logits is relative to, (Q,): their own size, |x| |y| / eps where products cancel."""
    if not isinstance(attention.pseudometric, DotProduct):
        return logits
    largest = np.linalg.norm(queries, axis=1) * np.linalg.norm(keys, axis=1).max(initial=0.0)
    return np.maximum(logits, largest / attention.bandwidth)


def coordinate_rounding(
    points: np.ndarray, queries: np.ndarray, *, center: np.ndarray, logits: np.ndarray, bandwidth: float
) -> np.ndarray:
    """Return how many units in the last place of 1 rounded coordinates take from logits |x - y|^2 / 2eps, (Q,).

    With R the radius of the cloud, x and y are off by u R in each coordinate, |x - y|^2 by 4 u R sqrt(D) |x - y|.
    """
    radius = np.maximum(np.abs(points - center).max(), np.abs(queries - center).max(axis=1))
    return 2 * radius * np.sqrt(2 * points.shape[1] * np.maximum(logits, 0.0) / bandwidth)
