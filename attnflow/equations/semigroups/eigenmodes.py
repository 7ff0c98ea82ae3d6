"""The slowest modes of -L in a basis: what one resolution answers, and how its eigenvectors are normalised."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from attnflow.equations.discretizations.refinement import Level
from attnflow.equations.semigroups.dense import Modes, slowest_modes, stationary_moments

_ROUND_OFF = 1e-15  # of the largest entry of the matrix, which is about half the degree squared
_SAME_EIGENVALUE = 1e-7  # relative distance below which eigenfunctions are made orthogonal


@dataclass(frozen=True)
class Eigenproblem:
    """The slowest modes of -L."""

    count: int
    rtol: float

    def solve(self, level: Level) -> Modes:
        return slowest_modes(level.semigroup.matrix, self.count)

    def compare(self, level: Level, fine: Modes, coarse: Modes) -> tuple[float, float]:
        """Return the error of the coarse modes, and the largest eigenvalue.

        The residual also holds the eigenvectors, whose errors are far above those of the eigenvalues, to the tolerance.
        """
        matrix = level.semigroup.matrix
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


def normalise(level: Level, *, eigenvalues: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return eigenvectors (K, k) of norm one in the stationary law, orthogonal in an eigenspace, with fixed signs."""
    basis = level.basis
    law = basis.at_nodes @ stationary_moments(level.semigroup.matrix)
    splits = np.flatnonzero(np.diff(eigenvalues) > _SAME_EIGENVALUE * eigenvalues[-1]) + 1
    columns = []
    for eigenspace in np.split(vectors, splits, axis=1):
        values = basis.at_nodes @ eigenspace
        gram = values.T @ ((basis.weights * law)[:, None] * values)
        # A mode on top of a high barrier has a norm below round-off in the law; a little of another keeps it finite.
        other = 100 * np.finfo(float).eps * eigenspace.T @ eigenspace
        columns.append(np.linalg.solve(np.linalg.cholesky(gram + other), eigenspace.T).T)
    normalised = np.concatenate(columns, axis=1)
    values = basis.at_nodes @ normalised
    first = np.argmax(np.abs(values) > 0.5 * np.abs(values).max(axis=0), axis=0)
    return normalised * np.sign(values[first, np.arange(values.shape[1])])
