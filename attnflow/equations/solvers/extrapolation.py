"""Richardson's extrapolation of answers whose errors are a series in h^2."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def extrapolate(answers: Sequence[np.ndarray], counts: Sequence[int], *, columns: int) -> np.ndarray:
    """Return the value at h = 0 of the polynomial in h^2 through the last answers, h = 1 / count.

    Args:
        answers: arrays of one shape, coarse to fine.
        counts: cells along a coordinate, rising.
        columns: the degree of the polynomial at most.

    Example:
        >>> extrapolate([1 + 0.25 + 0.0625, 1 + 0.0625 + 0.00390625, 1 + 1 / 64 + 1 / 4096], [2, 4, 8], columns=2)
        1.0
    """
    table = list(answers[-columns - 1 :])
    squares = [1 / count**2 for count in counts[-columns - 1 :]]
    for step in range(1, len(table)):
        table = [
            (squares[row] * table[row + 1] - squares[row + step] * table[row]) / (squares[row] - squares[row + step])
            for row in range(len(table) - 1)
        ]
    return table[0]


def magnification(counts: Sequence[int], *, columns: int) -> float:
    """Return by how much errors of the answers may be magnified in the extrapolated one."""
    units = np.eye(len(counts))
    return float(np.abs(extrapolate(list(units), counts, columns=columns)).sum())
