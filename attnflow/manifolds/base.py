"""What a manifold must offer: a retraction, a tangent frame, a quadrature, membership."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from attnflow._checks import check_points
from attnflow.errors import DataError

MEMBERSHIP_TOLERANCE = 1e-8


class Quadrature(NamedTuple):
    """Nodes (Q, D) and weights (Q,) with sum_q w_q h(x_q) close to int h dvol."""

    points: np.ndarray
    weights: np.ndarray


class Manifold(ABC):
    """An m-dimensional Riemannian manifold embedded in R^D with the induced metric.

    Attributes:
        dim: the intrinsic dimension m.
        ambient_dim: the dimension D of the space that holds the points.
        volume: vol(M), infinite on Euclidean space.
        is_closed: compact without boundary.
    """

    dim: int
    ambient_dim: int
    volume: float
    is_closed: bool

    @abstractmethod
    def retract(self, y: jax.Array) -> jax.Array:
        """The point of M nearest to y (D,); smooth near M, written in jax.numpy."""

    @abstractmethod
    def tangent_frame(self, x: jax.Array) -> jax.Array:
        """An orthonormal basis (D, m) of the tangent space at x (D,)."""

    @abstractmethod
    def quadrature(self, degree: int) -> Quadrature:
        """Nodes and weights that integrate every smooth function of degree at most `degree` exactly.

        Degree is that of a polynomial in the ambient coordinates, per angle on a torus.
        """

    @abstractmethod
    def quadrature_size(self, degree: int) -> int:
        """The number of nodes of `quadrature(degree)`, known before it is made."""

    @abstractmethod
    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """n independent points (n, D) of the normalised volume."""

    def chart_at(self, x: jax.Array) -> Callable[[jax.Array], jax.Array]:
        """A smooth chart u (m,) -> retract(x + E(x) u) around x, with chart(0) = x.

        The retraction is the nearest-point map, so the chart agrees with normal coordinates to second order: at u = 0
        derivatives of order one and two are the covariant ones.
        """
        frame = self.tangent_frame(x)
        return lambda u: self.retract(x + frame @ u)

    @abstractmethod
    def residual(self, points: np.ndarray) -> np.ndarray:
        """The distance (N,) of each point (N, D) to M."""

    def check(self, points: object, name: str) -> np.ndarray:
        """Points as (N, D) float64 on M; DataError with the largest distance otherwise."""
        array = check_points(points, name, ambient_dim=self.ambient_dim)
        residual = self.residual(array)
        if residual.max() > MEMBERSHIP_TOLERANCE:
            worst = int(np.argmax(residual))
            raise DataError(
                f"`{name}` is not on {self}: the largest distance is {residual[worst]:.3g}, at row {worst}. "
                "Project them first, in float64: jax.vmap(manifold.retract)(np.asarray(points, float))."
            )
        return array
