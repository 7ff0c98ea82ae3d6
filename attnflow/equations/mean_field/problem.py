"""What moves, and what is answered."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow.attention import Attending
from attnflow.densities.base import Density
from attnflow.equations.mean_field.fields import Field
from attnflow.equations.mean_field.kernels import Kernel
from attnflow.errors import ConvergenceError


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

    def field(self, kernels: list[Kernel]) -> Field:
        """Return the velocity on the nodes of kernels, one for each head."""
        return Field(self.attention, kernels, value=self.value, centred=self.centred)


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
