"""The product of two manifolds."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.manifolds.base import LARGEST_RULE, Manifold, check_size, rule_of, volume_of
from attnflow.manifolds.checks import check_manifold
from attnflow.measures import DiscreteMeasure


@value
class Product(Manifold):
    """The product M1 x M2 of two compact manifolds: points (x1, x2) in R^(D1 + D2), squared lengths add.

    Args:
        first: M1.
        second: M2; it may be a product itself.

    Raises:
        ConfigError: if one of them is no manifold, or not compact.
        DataError: if the parts of a manifold of your own contradict each other.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> cylinder = af.Product(af.Circle(), af.Interval(0, np.pi))
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> np.round(af.DriftDiffusion(attention, af.Uniform(cylinder)).spectrum(6).eigenvalues, 8)  # (k^2 + n^2) / 2
        array([0. , 0.5, 0.5, 0.5, 1. , 1. ])
    """

    first: Manifold = static()
    second: Manifold = static()

    def __init__(self, first: Manifold, second: Manifold) -> None:
        for name, part in (("first", first), ("second", second)):
            if not check_manifold(part).is_compact:
                raise ConfigError(f"`{name}` must be compact, got {part}. Use a compact part, such as af.Interval.")
        freeze(self, first=first, second=second)

    is_compact = True
    is_examined = True

    @property
    def dim(self) -> int:
        return self.first.dim + self.second.dim

    @property
    def ambient_dim(self) -> int:
        return self.first.ambient_dim + self.second.ambient_dim

    @property
    def volume(self) -> float:
        return volume_of(self)

    @property
    def log_volume(self) -> float:
        return self.first.log_volume + self.second.log_volume

    @property
    def has_boundary(self) -> bool:
        return self.first.has_boundary or self.second.has_boundary

    def split(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the parts (N, D1) and (N, D2) of points (N, D1 + D2)."""
        return points[:, : self.first.ambient_dim], points[:, self.first.ambient_dim :]

    def retract(self, y: jax.Array) -> jax.Array:
        cut = self.first.ambient_dim
        return jnp.concatenate([self.first.retract(y[:cut]), self.second.retract(y[cut:])])

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        cut = self.first.ambient_dim
        return jax.scipy.linalg.block_diag(self.first.tangent_frame(x[:cut]), self.second.tangent_frame(x[cut:]))

    def residual(self, points: np.ndarray) -> np.ndarray:
        left, right = self.split(points)
        return np.hypot(self.first.residual(left), self.second.residual(right))

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the product of the rules of both parts; the nodes of the second one run faster."""
        check_size(self.quadrature_size(degree), self, most=LARGEST_RULE)
        return join(rule_of(self.first, degree), rule_of(self.second, degree))

    def quadrature_size(self, degree: int) -> int:
        return self.first.quadrature_size(degree) * self.second.quadrature_size(degree)

    def sample_uniform(self, n: int, generator: np.random.Generator) -> np.ndarray:
        return np.hstack([part.sample_uniform(n, generator) for part in (self.first, self.second)])


def join(first: DiscreteMeasure, second: DiscreteMeasure) -> DiscreteMeasure:
    """Return the product of two measures, the points of the second one running faster."""
    cut = first.ambient_dim
    points = np.empty((len(first) * len(second), cut + second.ambient_dim))
    grid = points.reshape(len(first), len(second), -1)
    grid[..., :cut], grid[..., cut:] = first.points[:, None], second.points
    points.setflags(write=False)  # the measure then takes it without a copy
    return DiscreteMeasure(points, np.outer(first.masses, second.masses).ravel())
