"""Whether tokens are many enough for their law: how many others a token sees."""

from __future__ import annotations

import warnings

import numpy as np

from attnflow.attention import Attending, Attention
from attnflow.sums.planning.samples import Sample

LEAST = 5.0  # neighbours, below which tokens pair and their flow is no longer that of a density
FEW = 100  # tokens: fewer are a system of their own, which nobody takes for a density
CONSTANT = 1e-9  # relative: potentials that are alike do not draw a token away from itself


def warn_of_pairs(attention: Attending, points: np.ndarray, masses: np.ndarray, *, time: float) -> None:
    """Warn where a token sees few others, n = sum_j k(x_i, x_j) / k(x_i, x_i) - 1 < 5.

    That is N p (2 pi eps)^{m/2} of a density p in m dimensions, of which nothing need be known. Attentions that do not
    look at the neighbourhood of a token say nothing.
    """
    if len(points) < FEW:
        return
    known = [found for head in attention.heads if (found := neighbours(head, points, masses)) is not None]
    if known and min(known) < LEAST:
        warnings.warn(
            f"at time {time:.6g} a token sees {min(known):.2g} others within its bandwidth, fewer than {LEAST:g}: "
            "tokens pair, and move as a few particles do, not as their density does. Use more tokens or a larger "
            "`bandwidth`.",
            RuntimeWarning,
            stacklevel=3,
        )


def neighbours(attention: Attention, points: np.ndarray, masses: np.ndarray) -> float | None:
    """Return how many others a token sees, the median over some; None if attention is not to what is near.

    Example:
        >>> import numpy as np, attnflow as af
        >>> from attnflow.sums.token_neighbours import neighbours
        >>> angles = 2 * np.pi * np.arange(100) / 100
        >>> circle = np.column_stack([np.cos(angles), np.sin(angles)])
        >>> attention = af.Attention(af.DotProduct(), bandwidth=0.01)
        >>> round(neighbours(attention, circle, np.ones(100)), 2)  # 100 sqrt(2 pi / 100) / 2 pi - 1
        2.99
    """
    found = attention.mapped(points.mean(axis=0))
    if found is None or not found[0].is_gaussian or found[1].of_queries is not found[1].of_keys:
        return None
    mapped = found[1]
    for potential in (mapped.row, mapped.column):
        if potential is not None and np.ptp(potential(points)) > CONSTANT * np.abs(potential(points)).max():
            return None
    images = np.asarray(mapped.of_keys(points))
    sample = Sample.draw(images, images, masses, bandwidth=attention.bandwidth)
    return float(np.median(sample.density)) * len(points) - 1
