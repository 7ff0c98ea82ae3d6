"""What a generator of second order says of itself, however it was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

import numpy as np

from attnflow.densities.pulled_back import PulledBack
from attnflow.equations.expansions.coefficients import AmbientCoefficients


class Expansion(Protocol):
    """L f = 1/2 tr(C Hess f) + b . grad f on a manifold, pointwise."""

    def coefficients(self, points: np.ndarray) -> AmbientCoefficients:
        """Return C and b at points (Q, D), as tensors of R^D."""

    def log_law(self, points: np.ndarray) -> np.ndarray | None:
        """Return log rho (Q,), up to a constant, with L reversible with respect to rho dvol; None if not known."""

    def generator(self, f: Callable, at: object) -> np.ndarray:
        """Return L f at points (Q, D)."""

    def pulled_back(self, density: PulledBack) -> Self:
        """Return the same generator on the manifold whose image under a map M is, with its density there."""
