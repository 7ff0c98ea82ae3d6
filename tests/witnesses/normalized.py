"""Attentions that are not softmax, written out in plain NumPy from the logits of all pairs."""

from __future__ import annotations

import numpy as np


def sinkhorn(logits: np.ndarray, *, weights: np.ndarray, sweeps: int = 20_000) -> np.ndarray:
    """The matrix a_i k_ij b_j w_j with rows that sum to 1 and columns that, weighed by w_i, sum to w_j.  [Sk]

    Sinkhorn's own iteration, rows and columns by turns, until nothing changes in double precision.
    """
    kernel = np.exp(logits)
    rows, columns = np.ones(len(kernel)), np.ones(len(kernel))
    for _ in range(sweeps):
        before = columns
        rows = 1 / (kernel @ (weights * columns))
        columns = 1 / (kernel.T @ (weights * rows))
        if np.abs(np.log(columns / before)).max() < 1e-15:
            break
    return rows[:, None] * kernel * (columns * weights)


def sparsemax(logits: np.ndarray) -> np.ndarray:
    """The projection of every row on the simplex, from its sorted logits; (Q, N) -> (Q, N).  [Pe]"""
    falling = -np.sort(-logits, axis=1)
    sums, places = np.cumsum(falling, axis=1), np.arange(1, logits.shape[1] + 1)
    support = np.count_nonzero(1 + places * falling > sums, axis=1)
    threshold = (np.take_along_axis(sums, support[:, None] - 1, axis=1) - 1) / support[:, None]
    return np.maximum(logits - threshold, 0)


def entmax15(logits: np.ndarray) -> np.ndarray:
    """1.5-entmax of every row, [z/2 - tau]_+^2, from the mean and the variance of the k largest; (Q, N) -> (Q, N)."""
    falling = -np.sort(-logits / 2, axis=1)
    places = np.arange(1, logits.shape[1] + 1)
    mean = np.cumsum(falling, axis=1) / places
    spread = np.cumsum(falling**2, axis=1) - places * mean**2
    with np.errstate(invalid="ignore"):
        thresholds = mean - np.sqrt((1 - spread) / places)
    support = np.count_nonzero(thresholds <= falling, axis=1)  # NaN where so many keys are too far apart
    threshold = np.take_along_axis(thresholds, support[:, None] - 1, axis=1)
    return np.maximum(logits / 2 - threshold, 0) ** 2
