"""The flat torus: a product of unit circles."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_integer
from attnflow._values import freeze, static, value
from attnflow.manifolds.base import LARGEST_RULE, Manifold, check_size, volume_of
from attnflow.measures import DiscreteMeasure

LARGEST_POWER = 380  # (2 pi)^380 is 2e303


@value
class FlatTorus(Manifold):
    """The flat torus T^m in R^(2m): points (cos t1, sin t1, ..., cos tm, sin tm), volume (2 pi)^m.

    Args:
        dim: m >= 1.

    Raises:
        ConfigError: if `dim` is not a positive integer.

    Example:
        >>> import attnflow as af
        >>> af.FlatTorus(2).ambient_dim
        4
    """

    dim: int = static()

    def __init__(self, dim: int) -> None:
        freeze(self, dim=check_integer(dim, "dim", minimum=1))

    is_compact = True
    has_boundary = False
    is_examined = True

    @property
    def ambient_dim(self) -> int:
        return 2 * self.dim

    @property
    def volume(self) -> float:
        return (2 * math.pi) ** self.dim if self.dim <= LARGEST_POWER else volume_of(self)

    @property
    def log_volume(self) -> float:
        return math.log(self.volume) if self.dim <= LARGEST_POWER else self.dim * math.log(2 * math.pi)

    @property
    def along(self) -> Callable[[np.ndarray], np.ndarray] | None:
        return self.from_angles if self.dim == 1 else None

    def retract(self, y: jax.Array) -> jax.Array:
        circles = y.reshape(self.dim, 2)
        return (circles / jnp.sqrt(jnp.sum(circles**2, axis=1, keepdims=True))).reshape(-1)

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        circles = x.reshape(self.dim, 2)
        rotated = jnp.stack([-circles[:, 1], circles[:, 0]], axis=1)
        return (jnp.eye(self.dim, dtype=x.dtype)[:, None, :] * rotated[:, :, None]).reshape(2 * self.dim, self.dim)

    def tangential(self, x: jax.Array, v: jax.Array) -> jax.Array:
        circles, along = x.reshape(self.dim, 2), v.reshape(self.dim, 2)
        return (along - jnp.sum(circles * along, axis=1, keepdims=True) * circles).reshape(-1)

    def residual(self, points: np.ndarray) -> np.ndarray:
        total = np.zeros(len(points))
        for cosine, sine in zip(
            points.T[0::2], points.T[1::2], strict=True
        ):  # sums along short rows take twice as long
            total += (np.sqrt(cosine**2 + sine**2) - 1) ** 2
        return np.sqrt(total)

    def from_angles(self, angles: np.ndarray) -> np.ndarray:
        """Return the points (N, 2m) of angles (N, m), in radians."""
        angles = np.asarray(angles, dtype=np.float64).reshape(-1, self.dim)
        points = np.empty((len(angles), 2 * self.dim))
        np.cos(angles, out=points[:, 0::2])
        np.sin(angles, out=points[:, 1::2])
        return points

    def angles(self, points: np.ndarray) -> np.ndarray:
        """Return the angles (N, m) in (-pi, pi] of points (N, 2m)."""
        circles = np.asarray(points).reshape(-1, self.dim, 2)
        return np.arctan2(circles[..., 1], circles[..., 0])

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the product trapezoidal rule, exact for trigonometric polynomials of `degree` per angle."""
        check_size(self.quadrature_size(degree), self, most=LARGEST_RULE)
        n = degree + 1
        grid = 2 * np.pi * (np.arange(n) + 0.5) / n
        mesh = np.stack(np.meshgrid(*[grid] * self.dim, indexing="ij"), axis=-1)
        return DiscreteMeasure(self.from_angles(mesh), np.full(n**self.dim, (2 * np.pi / n) ** self.dim))

    def quadrature_size(self, degree: int) -> int:
        return (degree + 1) ** self.dim

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return self.from_angles(2 * np.pi * generator.random((n, self.dim)))
