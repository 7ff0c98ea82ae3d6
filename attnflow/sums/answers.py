"""What a population computes at one resolution, and what two of them agree upon."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow.densities.base import Density
from attnflow.errors import ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.sums.layers import Layers
from attnflow.sums.operators.base import RowOperator
from attnflow.sums.zonal import ZonalOperator

EDGE = 1e-30  # of the largest mass: a Gaussian's nodes end at 12 deviations, where p is 5e-32 of it


class Answer(NamedTuple):
    """What was computed, how large the numbers were that were averaged, and how many times their rounding counts."""

    values: np.ndarray
    size: float
    roundings: float = 1.0
    outside: float = 0.0  # a bound on what comes from beyond the nodes

    def require_inside(self, tolerance: float, density: Density) -> None:
        """Raise ConvergenceError if more than so much comes from where a density has no nodes."""
        if not self.outside <= tolerance:
            raise ConvergenceError(
                f"an answer hangs on where {type(density).__name__} has no nodes: beyond 12 deviations, where its "
                f"mass is below 1e-32, lie contributions of about {self.outside:.2g}. Ask nearer to its "
                "mean, or for an f that grows less."
            )


class Work(NamedTuple):
    """What an answer costs: how many queries, and how many layers from all nodes to all nodes come before."""

    queries: int
    layers: int = 0


class Result(NamedTuple):
    """What two resolutions agree upon, its error, and the finer one."""

    values: np.ndarray
    error: float
    layers: Layers


@dataclasses.dataclass(frozen=True)
class OnManifold:
    """Functions of points (Q, D), which must be on the manifold."""

    manifold: Manifold
    functions: Callable[[np.ndarray], np.ndarray]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.functions(self.manifold.check(points, "points"))


def size_of(own: np.ndarray, queried: np.ndarray, operator: RowOperator | ZonalOperator) -> float:
    """Return how large f is: its largest value where asked, or its norm in L2(p), the larger."""
    largest = float(np.abs(own).max()) or 1.0  # its square may be no number
    with np.errstate(under="ignore"):
        squares = ((own / largest).reshape(len(own), -1) ** 2).max(axis=1)
        mean = float(np.average(squares, weights=operator.measure.masses))
    return max(float(np.abs(queried).max()), largest * math.sqrt(mean))
