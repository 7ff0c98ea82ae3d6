"""The uniform density."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._values import freeze, static, value
from attnflow.densities.base import Density
from attnflow.densities.sampling import DRAW_BLOCK
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.checks import check_manifold


@value
class Uniform(Density):
    """The uniform density p = 1 / vol(M) of a compact manifold.

    Raises:
        ConfigError: if the manifold is not compact.
        DataError: if the parts of a manifold of your own contradict each other.

    Example:
        >>> import jax, attnflow as af
        >>> af.Uniform(af.Sphere(2)).sample(5, key=jax.random.key(0)).shape
        (5, 3)
    """

    manifold: Manifold = static()

    def __init__(self, manifold: Manifold) -> None:
        if not check_manifold(manifold).is_compact:
            raise ConfigError(f"{manifold} has infinite volume, so it has no uniform density. Use af.Gaussian.")
        freeze(self, manifold=manifold)

    def log_density(self, x: jax.Array) -> jax.Array:
        return jnp.full((), -self.manifold.log_volume, dtype=x.dtype)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        return self.manifold.sample_uniform(DRAW_BLOCK, generator)
