"""Mixtures of densities on one manifold."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite
from attnflow._values import freeze, static, value
from attnflow._words import in_brief
from attnflow.densities.base import Density, check_density
from attnflow.densities.sampling import DRAW_BLOCK
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure


@value
class Mixture(Density):
    """The mixture p = sum_k w_k p_k of densities on one manifold, compact or not.

    Sampled exactly: a component is drawn first, then a point of it. Where the manifold has no quadrature, as R^d, those
    of the components are joined.

    Args:
        densities: p_k, at least one.
        weights: w_k > 0, divided by their sum here; None for equal ones.

    Raises:
        ConfigError: if there is no density, they live on different manifolds, or the weights do not fit them.

    Example:
        >>> import jax, attnflow as af
        >>> wells = [af.Gaussian([centre], [[0.3]]) for centre in (-1.0, 2.0)]
        >>> af.Mixture(wells, weights=[2, 1]).sample(3, key=jax.random.key(0)).shape
        (3, 1)
    """

    manifold: Manifold = static()
    densities: tuple[Density, ...]
    log_weights: np.ndarray

    def __init__(self, densities: Sequence[Density], weights: object = None) -> None:
        parts = tuple(map(check_density, densities))
        if not parts:
            raise ConfigError("`densities` must hold at least one density, got none. Pass [p_1, p_2, ...].")
        manifold = parts[0].manifold
        for part in parts[1:]:
            if part.manifold != manifold:
                raise ConfigError(f"`densities` must live on one manifold, got {manifold} and {part.manifold}.")
        shares = check_finite(np.ones(len(parts)) if weights is None else weights, "weights")
        if shares.shape != (len(parts),) or not (shares > 0).all():
            raise ConfigError(
                f"`weights` must be {len(parts)} positive numbers, one per density, got {shares.tolist()}. Leave out "
                "densities of weight zero."
            )
        freeze(self, manifold=manifold, densities=parts, log_weights=np.log(shares / shares.sum()))

    def __repr__(self) -> str:
        return f"Mixture({in_brief(list(self.densities))}, weights={in_brief(np.exp(self.log_weights))})"

    def log_density(self, x: jax.Array) -> jax.Array:
        parts = jnp.stack([density.log_density(x) for density in self.densities])
        return jax.nn.logsumexp(parts + jnp.asarray(self.log_weights, x.dtype))

    @property
    def brings_quadrature(self) -> bool:
        return not self.manifold.is_compact

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the rule of a compact manifold, or that of each component, weighed."""
        if self.manifold.is_compact:
            return super().quadrature(degree)
        rules = [density.quadrature(degree) for density in self.densities]
        with np.errstate(under="ignore"):
            masses = [np.exp(share) * rule.masses for share, rule in zip(self.log_weights, rules, strict=True)]
        return DiscreteMeasure(np.concatenate([rule.points for rule in rules]), np.concatenate(masses))

    def quadrature_size(self, degree: int) -> int:
        if self.manifold.is_compact:
            return self.manifold.quadrature_size(degree)
        return sum(density.quadrature_size(degree) for density in self.densities)

    def spread(self, n: int) -> np.ndarray:
        if self.manifold.is_compact:
            return self.manifold.spread(n)
        return np.concatenate([density.spread(-(-n // len(self.densities))) for density in self.densities])

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        labels = generator.choice(len(self.densities), DRAW_BLOCK, p=np.exp(self.log_weights))
        points = np.empty((DRAW_BLOCK, self.manifold.ambient_dim))
        for label, density in enumerate(self.densities):
            own = np.flatnonzero(labels == label)
            drawn = np.empty((0, self.manifold.ambient_dim))
            while len(drawn) < len(own):
                drawn = np.concatenate([drawn, density.draw(generator)])
            points[own] = drawn[: len(own)]
        return points
