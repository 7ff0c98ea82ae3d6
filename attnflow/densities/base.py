"""What a density must offer, and what follows from it."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod

import jax
import numpy as np

from attnflow._checks import check_integer
from attnflow._lifting import evaluate_compiled
from attnflow._programs import at_point
from attnflow._tracing import Traceable
from attnflow.densities.sampling import draw, draw_blocks
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.base import Manifold, check_size
from attnflow.measures import DiscreteMeasure


class Density(Traceable, ABC):
    """A probability density p > 0 with respect to dvol on a manifold.

    A density of your own is a subclass that holds its `manifold` and writes `log_density`; JAX traces its numbers. The
    rest is optional: `draw` brings faster samples, `quadrature` integrals where the manifold has no rule of its own.

    Attributes:
        manifold: M, where p lives.
    """

    manifold: Manifold

    @abstractmethod
    def log_density(self, x: jax.Array) -> jax.Array:
        """Return log p at one ambient point (D,), normalised: int p dvol = 1."""

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """Return some points (n, D) of p, at least one, from a fixed amount of randomness.

        Unless written otherwise, by inversion on curves and by rejection from the uniform density elsewhere.
        """
        return draw(self, generator)

    def sample(self, n: int, *, key: jax.Array) -> np.ndarray:
        """Return n independent points (n, D) of p. The first n points of a longer draw with the same key are the same.

        Args:
            n: the number of points.
            key: a JAX random key; it seeds a NumPy generator.

        Raises:
            ConfigError: if `n` is not a positive integer, or `key` not one key.
        """
        return draw_blocks(self.draw, check_integer(n, "n", minimum=1), key=key)

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return nodes (Q, D) and weights (Q,) with sum_q w_q h(x_q) close to int h p dvol.

        Raises:
            ConvergenceError: if there are too many nodes, or p vanishes at all of them.
        """
        check_size(self.manifold.quadrature_size(degree), self.manifold)
        nodes, weights = self.manifold.quadrature(degree)
        with np.errstate(under="ignore", over="ignore"):
            masses = weights * np.exp(self.log_densities(nodes))
        if not masses.any() or not np.isfinite(masses).all():
            raise ConvergenceError(
                f"p of {type(self).__name__} is no number between 1e-308 and 1e308 at the {len(nodes)} nodes of degree "
                f"{degree}: it is too peaked for them, or not normalised. Ask for a higher degree."
            )
        return DiscreteMeasure(nodes, masses)

    @property
    def brings_quadrature(self) -> bool:
        """Whether `quadrature` is not the rule of the manifold."""
        return type(self).quadrature is not Density.quadrature

    def quadrature_size(self, degree: int) -> int:
        """Return the number of nodes of `quadrature(degree)`."""
        if not self.brings_quadrature:
            return self.manifold.quadrature_size(degree)
        return len(self.quadrature(degree))

    def spread(self, n: int) -> np.ndarray:
        """Return at least n points (N, D) spread over where p lives, such as nodes of a quadrature."""
        return self.manifold.spread(n)

    def log_densities(self, points: np.ndarray) -> np.ndarray:
        """Return log p (N,) at many points (N, D).

        Raises:
            DataError: if the points are not on the manifold.
        """
        points = self.manifold.check(points, "points")
        return evaluate_compiled(functools.partial(_log_densities, self), points, name="log_density")


def check_density(density: object) -> Density:
    """Return the density; raise ConfigError for anything else, such as an array of points."""
    if not isinstance(density, Density):
        raise ConfigError(
            f"`density` must be a density such as Uniform(Circle()), got {type(density).__name__}. "
            "For points use EmpiricalAttention."
        )
    return density


@jax.jit
def _log_densities(density: Density, points: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: at_point(density.log_density, x, scalar=True))(points)
