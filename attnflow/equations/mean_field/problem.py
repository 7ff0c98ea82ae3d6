"""What moves, and what is answered."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow.attention import Attending
from attnflow.densities.base import Density
from attnflow.equations.mean_field.fields import Field
from attnflow.equations.mean_field.kernels import Kernel
from attnflow.errors import ConvergenceError
from attnflow.resolution import close_rule

_SEEN = 1 << 14, 1 << 15  # nodes on curves and elsewhere: of the circle 4e-4 apart


@dataclass(frozen=True, eq=False)
class Problem:
    """A continuity equation.

    Args:
        attention: one attention or several heads.
        density: mu at the start.
        value: V, (D, D).
        centred: whether tokens are subtracted from what they attend to.
        diffusivity: kappa >= 0.
        rtol: of the densities that are asked for.
    """

    attention: Attending
    density: Density
    value: np.ndarray
    centred: bool
    diffusivity: float
    rtol: float

    @property
    def seen_nodes(self) -> int:
        """At how many nodes the density is compared with what a basis makes of it."""
        return _SEEN[min(self.density.manifold.dim, 2) - 1]

    @functools.cached_property
    def seen(self) -> np.ndarray:
        """The density at these nodes."""
        return np.exp(self.density.log_densities(close_rule(self.density.manifold, self.seen_nodes).points))

    def field(self, kernels: list[Kernel], *, settled: float) -> Field:
        """Return the velocity on the nodes of kernels, one for each head, with key weights that have settled."""
        return Field(self.attention, kernels, value=self.value, centred=self.centred, settled=settled)


class Answer(NamedTuple):
    """Densities (T, Q), a bound on their absolute error, and in words how they were found."""

    times: np.ndarray
    values: np.ndarray
    error: float
    method: str


class BrokenOffError(ConvergenceError):
    """An evolution that could not go on, and what is known of it until then; None if nothing is."""

    def __init__(self, reason: str, answer: Answer | None) -> None:
        super().__init__(reason)
        self.answer = answer


class Solver(ABC):
    """One way to solve a continuity equation."""

    @abstractmethod
    def evolve(self, times: np.ndarray, *, points: np.ndarray) -> Answer:
        """Return the densities at rising times, at points (Q, D).

        Raises:
            BrokenOffError: if one is not known to the tolerance.
        """

    @abstractmethod
    def velocity(self, points: np.ndarray) -> np.ndarray:
        """Return P_x V A_mu id (Q, D) at points (Q, D), for the density at the start."""
