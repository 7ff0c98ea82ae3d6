"""Euclidean space; on it densities bring their own quadrature."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_integer
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure


@value
class EuclideanSpace(Manifold):
    """Euclidean space R^d. It is not compact: results hold in L2(p), not in sup norm.

    Args:
        dim: d >= 1.

    Raises:
        ConfigError: if `dim` is not a positive integer.

    Example:
        >>> import attnflow as af
        >>> af.EuclideanSpace(1).is_compact
        False
    """

    dim: int = static()

    def __init__(self, dim: int) -> None:
        freeze(self, dim=check_integer(dim, "dim", minimum=1))

    is_compact = False
    has_boundary = False
    is_examined = True
    volume = math.inf

    @property
    def ambient_dim(self) -> int:
        return self.dim

    def retract(self, y: jax.Array) -> jax.Array:
        return y

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        return jnp.eye(self.dim, dtype=x.dtype)

    def tangential(self, x: jax.Array, v: jax.Array) -> jax.Array:
        return v

    def residual(self, points: np.ndarray) -> np.ndarray:
        return np.zeros(len(points))

    def quadrature(self, degree: int) -> DiscreteMeasure:
        raise ConfigError("Euclidean space has infinite volume, so it has no quadrature of its own. Use a density's.")

    def quadrature_size(self, degree: int) -> int:
        raise ConfigError("Euclidean space has infinite volume, so it has no quadrature of its own. Use a density's.")

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        raise ConfigError("Euclidean space has infinite volume, so it has no uniform density. Use af.Gaussian.")
