"""e^{tL} f in a basis: what one resolution answers, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow._lifting import evaluate
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.refinement import Level

_ROUND_OFF = 1e-13  # of max |u|; measured 1e-15 to 5e-14 where log p is of order one


class Solution(NamedTuple):
    """Coefficients (T, K, c) in time, initially (K, c), f minus its projection (M, c), shape of one value of f."""

    states: np.ndarray
    initial: np.ndarray
    residual: np.ndarray
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Evolution:
    """e^{tL} f, or e^{tL*} f, at many times."""

    f: Callable
    times: np.ndarray
    points: np.ndarray
    weights: np.ndarray | None
    adjoint: bool
    is_compact: bool

    def solve(self, level: Level) -> Solution:
        basis = level.basis
        values = evaluate(self.f, basis.nodes)
        columns = values.reshape(len(values), -1)
        initial = basis.analyse_density(columns) if self.adjoint else basis.analyse(columns)
        states = level.semigroup.propagate(initial, times=self.times, adjoint=self.adjoint)
        return Solution(states, initial, columns - self.values(basis, initial), values.shape[1:])

    def compare(self, level: Level, fine: Solution, coarse: Solution) -> tuple[float, float]:
        difference = fine.states.copy()
        difference[:, : coarse.states.shape[1]] -= coarse.states
        size = max(self._norm(level.basis, fine.states), self._norm(level.basis, fine.initial))
        error = self._norm(level.basis, difference) + self._lost(level.basis, fine.residual) + _ROUND_OFF * size
        return error, size

    def values(self, basis: Basis, coefficients: np.ndarray, *, at: np.ndarray | None = None) -> np.ndarray:
        """Return values (..., Q, c) at points, or at the nodes."""
        values = basis.at_nodes @ coefficients if at is None else basis.synthesise(coefficients, at=at)
        if self.adjoint:
            values *= basis.reference_density(basis.nodes if at is None else at)[:, None]
        return values

    def _norm(self, basis: Basis, coefficients: np.ndarray) -> float:
        if self.is_compact:
            return float(_lengths(self.values(basis, coefficients)).max())
        lengths = _lengths(self.values(basis, coefficients, at=self.points))
        if self.weights is None:
            return float(lengths.max())
        return float(np.sqrt((lengths**2 @ self.weights).max() / self.weights.sum()))

    def _lost(self, basis: Basis, residual: np.ndarray) -> float:
        """Return what of f is outside the basis: no later error caused by it is larger, by the maximum principle.

        On the line the same holds in L2(p) up to a factor sqrt 2. There initial densities with tails twice as wide as
        p have no such norm; their moments still resolve them at later times, so nothing is asked of them initially.
        """
        if self.is_compact:
            return float(_lengths(residual).max())
        return 0.0 if self.adjoint else float(np.sqrt(basis.weights @ _lengths(residual) ** 2))


def _lengths(values: np.ndarray) -> np.ndarray:
    """Return Euclidean norms over the components, the last axis."""
    return np.linalg.norm(values, axis=-1)
