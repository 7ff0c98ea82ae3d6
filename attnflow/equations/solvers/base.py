"""What answers for a drift-diffusion, and how it is asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

from attnflow.densities.base import Density
from attnflow.equations.expansions.base import Expansion
from attnflow.trajectories import Spectrum


class Answer(NamedTuple):
    """Values (T, Q), or (T, Q, c), a bound on their absolute error, and in words how they were found."""

    values: np.ndarray
    error: float
    method: str


class Solver(ABC):
    """One drift-diffusion, ready to be asked about any function and time."""

    @abstractmethod
    def evolve(
        self, f: Callable, *, times: np.ndarray, points: np.ndarray, weights: np.ndarray | None, adjoint: bool
    ) -> Answer:
        """Return e^{tL} f, or e^{tL*} f, at points.

        Args:
            f: one ambient point (D,) -> scalar or (c,).
            times: t >= 0 in any order, (T,).
            points: on M, (Q, D).
            weights: of the points, (Q,): where functions may grow, the error is the L2 norm in them.
            adjoint: whether f is a density with respect to dvol, and L* is meant.

        Raises:
            ConvergenceError: if no resolution answers to the tolerance.
        """

    @abstractmethod
    def spectrum(self, count: int) -> Spectrum:
        """Return the smallest eigenvalues of -L, as DriftDiffusion.spectrum says."""


class Discretization(ABC):
    """A way to solve drift-diffusions, with its options; a frozen value.

    Attributes:
        name: what it is called.
    """

    name: ClassVar[str]

    @property
    @abstractmethod
    def domain(self) -> str:
        """Where it serves, in words, beginning with its name in quotes and 'serves'."""

    @abstractmethod
    def serves(self, density: Density) -> bool:
        """Return whether it solves drift-diffusions where the density lives."""

    @abstractmethod
    def solver(self, expansion: Expansion, density: Density, *, rtol: float) -> Solver:
        """Return what answers to the tolerance for an attention, given by its expansion, on a density that is served.

        Raises:
            ConfigError: if it does not serve this attention.
        """
