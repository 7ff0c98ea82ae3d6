"""The slowest modes of -L in a basis: what one resolution answers, and how its eigenvectors are normalised."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from attnflow.equations.discretizations.refinement import Level
from attnflow.equations.semigroups.dense import slowest_modes, stationary_moments

_ROUND_OFF = 1e-15  # of the largest entry of the matrix, which is about half the degree squared
_SAME_EIGENVALUE = 1e-7  # relative distance below which eigenfunctions are made orthogonal


@dataclass(frozen=True)
class Eigenproblem:
    """The slowest modes of -L."""

    count: int

    def solve(self, level: Level) -> tuple[np.ndarray, np.ndarray]:
        return slowest_modes(level.semigroup.matrix, self.count)

    def compare(self, level: Level, fine: Any, coarse: Any) -> tuple[float, float]:
        """Return the residual of the coarse modes, and the largest eigenvalue.

        The residual also holds the eigenvectors, whose errors are far above those of the eigenvalues, to the tolerance.
        """
        values, vectors = coarse
        image = level.semigroup.matrix[:, : len(vectors)] @ vectors
        image[: len(vectors)] += vectors * values
        residual = np.linalg.norm(image, axis=0) / np.linalg.norm(vectors, axis=0)
        round_off = _ROUND_OFF * np.abs(level.semigroup.matrix).max()
        return float(max(residual.max(), np.abs(fine[0] - values).max()) + round_off), float(np.abs(fine[0]).max())


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
