"""The unit sphere S^m in R^(m+1); the circle is S^1."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import roots_gegenbauer

from attnflow._checks import check_integer
from attnflow._values import freeze, static, value
from attnflow.manifolds.base import LARGEST_RULE, Manifold, check_size, volume_of
from attnflow.measures import DiscreteMeasure

LARGEST_GAMMA = 300  # ambient dimensions: Gamma(150) is 4e260, Gamma(172) no number of float64


@value
class Sphere(Manifold):
    """The unit sphere S^m = {x in R^(m+1): |x| = 1}, volume 2 pi^((m+1)/2) / Gamma((m+1)/2).

    Args:
        dim: m >= 1.

    Raises:
        ConfigError: if `dim` is not a positive integer.

    Example:
        >>> import attnflow as af
        >>> sphere = af.Sphere(2)
        >>> sphere.ambient_dim, round(sphere.volume, 6)
        (3, 12.566371)
    """

    dim: int = static()

    def __init__(self, dim: int) -> None:
        freeze(self, dim=check_integer(dim, "dim", minimum=1))

    is_compact = True
    has_boundary = False
    is_examined = True

    @property
    def ambient_dim(self) -> int:
        return self.dim + 1

    @property
    def volume(self) -> float:
        if self.ambient_dim <= LARGEST_GAMMA:
            return 2 * math.pi ** (self.ambient_dim / 2) / math.gamma(self.ambient_dim / 2)
        return volume_of(self)

    @property
    def log_volume(self) -> float:
        if self.ambient_dim <= LARGEST_GAMMA:
            return math.log(self.volume)
        return math.log(2) + self.ambient_dim / 2 * math.log(math.pi) - math.lgamma(self.ambient_dim / 2)

    @property
    def along(self) -> Callable[[np.ndarray], np.ndarray] | None:
        return _on_circle if self.dim == 1 else None

    def retract(self, y: jax.Array) -> jax.Array:
        return y / jnp.sqrt(jnp.sum(y * y))

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        # The Householder reflection that swaps x and the last axis (the sign avoids cancellation) maps the other axes
        # to an orthonormal basis of the tangent space: smooth away from x_last = 0, defined everywhere.
        sign = jnp.where(x[-1] < 0, -1.0, 1.0)
        v = x.at[-1].add(sign)
        return (jnp.eye(self.ambient_dim, dtype=x.dtype) - jnp.outer(v, v) / (1 + jnp.abs(x[-1])))[:, :-1]

    def tangential(self, x: jax.Array, v: jax.Array) -> jax.Array:
        return v - jnp.sum(x * v) * x

    def residual(self, points: np.ndarray) -> np.ndarray:
        return np.abs(np.sqrt(np.einsum("ij,ij->i", points, points)) - 1)

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return a product rule: equally spaced longitudes, Gauss-Gegenbauer in each further polar angle.

        Exact for polynomials of total degree <= `degree` restricted to the sphere.
        """
        check_size(self.quadrature_size(degree), self, most=LARGEST_RULE)
        n_longitudes = degree + 1
        angles = 2 * np.pi * (np.arange(n_longitudes) + 0.5) / n_longitudes
        points = np.column_stack([np.cos(angles), np.sin(angles)])
        weights = np.full(n_longitudes, 2 * np.pi / n_longitudes)
        for k in range(2, self.dim + 1):
            # S^k from S^(k-1): x = (sqrt(1 - z^2) y, z), dvol = (1 - z^2)^((k-2)/2) dz dvol(y).
            z, w = polar_rule(degree // 2 + 1, k)
            ring = np.sqrt(1 - z**2)
            points = np.concatenate(
                [np.column_stack([r * points, np.full(len(points), h)]) for r, h in zip(ring, z, strict=True)]
            )
            weights = np.outer(w, weights).ravel()
        return DiscreteMeasure(points, weights)

    def quadrature_size(self, degree: int) -> int:
        return (degree + 1) * (degree // 2 + 1) ** (self.dim - 1)

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        normal = generator.standard_normal((n, self.ambient_dim))
        return normal / np.linalg.norm(normal, axis=1, keepdims=True)


@functools.lru_cache(maxsize=64)
def polar_rule(n: int, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of Gauss for (1 - z^2)^((k-2)/2).

    With those of scipy the integral of exp(20 z) is off by 2e-13 at a hundred nodes and by 7e-13 at 160; two steps of
    Newton in extended precision leave 5e-16.
    """
    alpha = (k - 1) / 2
    z: np.ndarray = roots_gegenbauer(n, alpha)[0].astype(np.longdouble)
    for _ in range(2):
        below, value = _gegenbauer(n, alpha, z)
        z -= value * (1 - z**2) / ((n + 2 * alpha - 1) * below - n * z * value)
    z = (z - z[::-1]) / 2
    weights = (1 - z**2) / _gegenbauer(n, alpha, z)[0] ** 2
    total = math.sqrt(math.pi) * math.gamma(alpha + 0.5) / math.gamma(alpha + 1)
    return z.astype(float), (weights * (total / weights.sum())).astype(float)


def _gegenbauer(n: int, alpha: float, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the polynomials of degrees n - 1 and n  [DLMF, 18.9.1]."""
    below, value = np.ones_like(z), 2 * alpha * z
    for j in range(1, n):
        below, value = value, (2 * (j + alpha) * z * value - (j + 2 * alpha - 1) * below) / (j + 1)
    return below, value


def _on_circle(lengths: np.ndarray) -> np.ndarray:
    return np.column_stack([np.cos(lengths), np.sin(lengths)])


def Circle() -> Sphere:
    """Return the unit circle, Sphere(1)."""
    return Sphere(1)
