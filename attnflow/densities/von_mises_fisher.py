"""The von Mises-Fisher density of a sphere."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ive

from attnflow._checks import check_finite, check_positive
from attnflow._values import freeze, static, value
from attnflow.densities.base import Density
from attnflow.densities.sampling import DRAW_BLOCK, draw
from attnflow.errors import ConfigError
from attnflow.manifolds.sphere import Sphere


@value
class VonMisesFisher(Density):
    """The von Mises-Fisher density p(x) = c exp(concentration * <mean_direction, x>) on S^m.

    Args:
        manifold: the sphere.
        mean_direction: (m + 1,), normalised here.
        concentration: positive.

    Raises:
        ConfigError: if the manifold is not a sphere, the concentration not positive, or the direction unusable.

    Example:
        >>> import jax, attnflow as af
        >>> p = af.VonMisesFisher(af.Sphere(2), mean_direction=[0, 0, 1], concentration=0.8)
        >>> p.sample(3, key=jax.random.key(1)).shape
        (3, 3)
    """

    manifold: Sphere = static()
    mean_direction: np.ndarray
    concentration: float
    log_normalizer: float

    def __init__(self, manifold: Sphere, *, mean_direction: object, concentration: float) -> None:
        if not isinstance(manifold, Sphere):
            raise ConfigError(f"`manifold` must be a Sphere, got {manifold}. Use af.LogDensity on other manifolds.")
        direction = check_finite(mean_direction, "mean_direction")
        if direction.shape != (manifold.ambient_dim,) or not np.any(direction):
            raise ConfigError(
                f"`mean_direction` must be a non-zero vector of shape ({manifold.ambient_dim},), "
                f"got {direction.tolist()}."
            )
        kappa = check_positive(concentration, "concentration")
        order = manifold.ambient_dim / 2
        # int exp(kappa <mu, x>) dvol = (2 pi)^order I_{order-1}(kappa) / kappa^{order-1}
        log_normalizer = (
            order * math.log(2 * math.pi) + math.log(ive(order - 1, kappa)) + kappa - (order - 1) * math.log(kappa)
        )
        freeze(
            self,
            manifold=manifold,
            mean_direction=direction / np.linalg.norm(direction),
            concentration=kappa,
            log_normalizer=log_normalizer,
        )

    def log_density(self, x: jax.Array) -> jax.Array:
        return self.concentration * jnp.dot(jnp.asarray(self.mean_direction, x.dtype), x) - self.log_normalizer

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.manifold.dim != 2:
            return draw(self, generator, log_bound=self.concentration - self.log_normalizer)
        # On S^2 the height h = <mean_direction, x> has the density ~ e^{concentration h} on [-1, 1].
        u = generator.random((DRAW_BLOCK, 2))
        height = 1 + np.log(u[:, 0] + (1 - u[:, 0]) * np.exp(-2 * self.concentration)) / self.concentration
        ring, longitude = np.sqrt(np.clip(1 - height**2, 0, None)), 2 * np.pi * u[:, 1]
        across = np.linalg.svd(self.mean_direction[None])[2][1:]  # an orthonormal basis of the plane across
        circle = np.stack([np.cos(longitude), np.sin(longitude)], axis=1)
        return height[:, None] * self.mean_direction + ring[:, None] * circle @ across
