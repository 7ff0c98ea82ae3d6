"""The slowest modes of -L in a basis: what one resolution answers, and how its eigenvectors are normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.linalg

from attnflow.equations.discretizations.refinement import Level
from attnflow.equations.semigroups.dense import Modes, slowest_modes, stationary_moments

_ROUND_OFF = 1e-15  # of the largest entry of the matrix, which is about half the degree squared
_LAW_ROUNDING = 10 * np.finfo(float).eps  # of the stationary law, relative to the reference density
_SAME_EIGENVALUE = 1e-7  # relative distance below which eigenfunctions are made orthogonal


@dataclass(frozen=True)
class Eigenproblem:
    """The slowest modes of -L."""

    count: int
    rtol: float

    needs_matrix: ClassVar[bool] = True

    def is_swift(self, level: Level) -> bool:
        return False

    def solve(self, level: Level) -> Modes:
        return slowest_modes(level.matrix, self.count)

    def compare(self, level: Level, fine: Modes, coarse: Modes) -> tuple[float, float]:
        """Return the error of the coarse modes, and the largest eigenvalue.

        The residual also holds the eigenvectors, whose errors are far above those of the eigenvalues, to the tolerance.
        """
        matrix = level.matrix
        values, vectors = coarse.values, coarse.vectors
        image = matrix[:, : len(vectors)] @ vectors
        image[: len(vectors)] += vectors * values
        residual = np.linalg.norm(image, axis=0) / np.linalg.norm(vectors, axis=0)
        size = float(np.abs(fine.values).max())
        rounding = _ROUND_OFF * np.abs(matrix).max() + fine.rounding.max()
        error = float(max(residual.max(), np.abs(fine.values - values).max()) + rounding)
        if not error <= self.rtol * size:
            return error, size
        lengths = np.linalg.norm(fine.vectors, axis=0)
        slopes = level.basis.slopes[:, None]
        bends = np.array([np.linalg.norm(slopes**power * fine.vectors, axis=0) / lengths for power in (1, 2)])
        error += float((fine.conditions * (level.missed.aliases @ bends)).max())
        hidden = float(level.missed.leak(np.abs(fine.vectors / lengths).T, level.basis).max())
        return max(error, hidden if hidden > np.sqrt(self.rtol) * size else 0.0), size

    def remedy(self, level: Level) -> str:
        return "Use a smoother density, or a larger `rtol`."


class Normalised(NamedTuple):
    """Eigenvectors of norm one in the stationary law, orthogonal in an eigenspace, with fixed signs.

    Attributes:
        vectors: (K, k).
        doubts: by how much their squared norms may be off, (k,).
    """

    vectors: np.ndarray
    doubts: np.ndarray


def normalise(level: Level, *, eigenvalues: np.ndarray, vectors: np.ndarray) -> Normalised:
    """Return eigenvectors (K, k) normalised in the law of this resolution.

    An eigenfunction may be largest where the law is least: there what is not known of the law, by its rounding or as
    the resolution below has another, counts with the square of the eigenfunction.
    """
    basis, matrix = level.basis, level.matrix
    law = basis.at_nodes @ stationary_moments(matrix)
    below = np.flatnonzero(basis.orders <= basis.degree - 4)
    change = law - basis.at_nodes[:, below] @ stationary_moments(matrix[np.ix_(below, below)])
    splits = np.flatnonzero(np.diff(eigenvalues) > _SAME_EIGENVALUE * eigenvalues[-1]) + 1
    columns, doubts = [], []
    for eigenspace in np.split(vectors, splits, axis=1):
        values = basis.at_nodes @ eigenspace
        # A mode on top of a high barrier has a norm below round-off in the law; a little of another keeps it finite.
        other = _LAW_ROUNDING * eigenspace.T @ eigenspace
        gram = values.T @ ((basis.weights * law)[:, None] * values) + other
        moved = values.T @ ((basis.weights * change)[:, None] * values)
        try:
            root = np.linalg.cholesky(gram)
            doubt = sum(np.abs(scipy.linalg.eigh(part, gram, eigvals_only=True)).max() for part in (moved, other))
        except np.linalg.LinAlgError:  # there is nothing but noise
            root, doubt = np.eye(len(gram)), np.inf
        columns.append(np.linalg.solve(root, eigenspace.T).T)
        doubts += [doubt] * len(gram)
    normalised = np.concatenate(columns, axis=1)
    values = basis.at_nodes @ normalised
    first = np.argmax(np.abs(values) > 0.5 * np.abs(values).max(axis=0), axis=0)
    return Normalised(normalised * np.sign(values[first, np.arange(values.shape[1])]), np.array(doubts))
