"""The exact split of logits into what a row adds, a cost, a key potential and a circulation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow._checks import check_finite
from attnflow.errors import DataError


@dataclass(frozen=True, eq=False)
class Split:
    """The parts of a matrix of logits, L_ij = r_i + b_j - D_ij/2 + W_ij.

    Args:
        row: r_i, which softmax over keys forgets, shape (N,).
        potential: b_j, what a key adds for every query, with mean 0, shape (N,).
        cost: D_ij in nats, symmetric, 0 on the diagonal, shape (N, N); negative entries make it no metric.
        circulation: W_ij, antisymmetric, rows sum to 0, shape (N, N): what no potential can express.
    """

    row: np.ndarray
    potential: np.ndarray
    cost: np.ndarray
    circulation: np.ndarray

    def logits(self) -> np.ndarray:
        """Return L, shape (N, N), from its parts."""
        return self.row[:, None] + self.potential - self.cost / 2 + self.circulation

    def __repr__(self) -> str:
        low, high = self.cost.min(), self.cost.max()
        return (
            f"Split({len(self.row)} tokens, potential within {np.abs(self.potential).max():.3g}, "
            f"cost {low:.3g} to {high:.3g}, circulation within {np.abs(self.circulation).max():.3g})"
        )


def split(logits: object) -> Split:
    """Return the parts of a square matrix of logits; they are unique.

        D_ij = L_ii + L_jj - L_ij - L_ji,    W_ij = (L_ij - L_ji)/2 - u_i + u_j,    u_i = mean_j (L_ij - L_ji)/2,
        r_i = L_ii/2 + u_i + c,    b_j = L_jj/2 - u_j - c,    c so that the b_j have the mean 0.

    Softmax over keys sees logits only up to r: D, b and W are the same for Q T and K T^-T, and for K + const.

    Args:
        logits: L, shape (N, N); rows are queries.

    Raises:
        DataError: if it is not a finite square matrix.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.probe.splitting import split
        >>> parts = split([[0.0, 2.0], [1.0, 0.0]])
        >>> parts.cost, bool(np.allclose(parts.logits(), [[0.0, 2.0], [1.0, 0.0]]))
        (array([[ 0., -3.],
               [-3.,  0.]]), True)
    """
    matrix = check_finite(logits, "logits")
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise DataError(f"`logits` must have shape (N, N), got {matrix.shape}. Rows are queries, columns their keys.")
    sides = sides_of(np.diagonal(matrix), matrix.mean(axis=1), matrix.mean(axis=0))
    cost, circulation = parts_of_rows(matrix, matrix.T, sides, slice(None))
    return Split(sides.row, sides.potential, cost, circulation)


class Sides(NamedTuple):
    """What belongs to single tokens: the logits of each with itself, u, r and b, (N,) each."""

    own: np.ndarray
    lean: np.ndarray
    row: np.ndarray
    potential: np.ndarray


def sides_of(own: np.ndarray, row_means: np.ndarray, column_means: np.ndarray) -> Sides:
    """Return those from the diagonal (N,) of L and the means (N,) of its rows and of its columns."""
    lean = (row_means - column_means) / 2
    potential = own / 2 - lean
    centre = potential.mean()
    return Sides(own, lean, own / 2 + lean + centre, potential - centre)


def parts_of_rows(block: np.ndarray, exchanged: np.ndarray, sides: Sides, rows: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return D and W of some rows (B, N) from L_ij there and L_ji."""
    own, lean = sides.own, sides.lean
    cost = own[rows, None] + own - block - exchanged
    circulation = (block - exchanged) / 2 - lean[rows, None] + lean
    return cost, circulation
