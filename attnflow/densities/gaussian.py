"""The Gaussian density of Euclidean space."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite
from attnflow._values import derived, freeze, value
from attnflow.densities.base import Density
from attnflow.densities.sampling import DRAW_BLOCK
from attnflow.errors import ConfigError
from attnflow.manifolds.base import SMALLEST_DEGREE, check_size, spread_nodes
from attnflow.manifolds.euclidean import EuclideanSpace
from attnflow.measures import DiscreteMeasure

GAUSSIAN_RADIUS = 12.0  # standard deviations covered by the quadrature; the mass beyond is below 1e-32


@value
class Gaussian(Density):
    """The Gaussian density N(mean, covariance) on R^d.

    Args:
        mean: (d,).
        covariance: (d, d), symmetric positive definite.

    Raises:
        ConfigError: if the shapes differ or the covariance is not positive definite.

    Example:
        >>> import jax, attnflow as af
        >>> p = af.Gaussian(mean=[0.3], covariance=[[1.0]])
        >>> p.sample(4, key=jax.random.key(0)).shape
        (4, 1)
    """

    manifold: EuclideanSpace = derived(static=True)
    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray = derived()
    log_normalizer: float = derived()

    def __init__(self, mean: object, covariance: object) -> None:
        mu = np.atleast_1d(check_finite(mean, "mean"))
        sigma = np.atleast_2d(check_finite(covariance, "covariance"))
        if mu.ndim != 1 or sigma.shape != (len(mu), len(mu)):
            raise ConfigError(f"`covariance` must have shape ({len(mu)}, {len(mu)}), got {sigma.shape}.")
        if not np.allclose(sigma, sigma.T, rtol=1e-12, atol=0) or np.linalg.eigvalsh(sigma).min() <= 0:
            raise ConfigError(f"`covariance` must be symmetric positive definite, got {sigma.tolist()}.")
        _, log_determinant = np.linalg.slogdet(2 * np.pi * sigma)
        freeze(
            self,
            manifold=EuclideanSpace(len(mu)),
            mean=mu,
            covariance=sigma,
            precision=np.linalg.inv(sigma),
            log_normalizer=0.5 * float(log_determinant),
        )

    def log_density(self, x: jax.Array) -> jax.Array:
        centred = x - jnp.asarray(self.mean, x.dtype)
        return -0.5 * centred @ jnp.asarray(self.precision, x.dtype) @ centred - self.log_normalizer

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the trapezoidal rule along the principal axes, with steps 2 pi / (degree + 1) or half a deviation."""
        variances, axes = np.linalg.eigh(self.covariance)
        steps = self._steps(variances, degree)
        check_size(self.quadrature_size(degree), self.manifold)
        counts = self._counts(variances, steps)
        grids = [step * np.arange(-count, count + 1) for step, count in zip(steps, counts, strict=True)]
        mesh = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(steps))
        scale = np.prod(steps / np.sqrt(2 * np.pi * variances))
        with np.errstate(under="ignore"):  # in the corners of many dimensions
            weights = scale * np.exp(-0.5 * np.sum(mesh**2 / variances, axis=1))
        return DiscreteMeasure(self.mean + mesh @ axes.T, weights)

    def quadrature_size(self, degree: int) -> int:
        variances = np.linalg.eigvalsh(self.covariance)
        return math.prod(2 * count + 1 for count in self._counts(variances, self._steps(variances, degree)))

    def _steps(self, variances: np.ndarray, degree: int) -> np.ndarray:
        return np.minimum(2 * np.pi / (degree + 1), 0.5 * np.sqrt(variances))

    def _counts(self, variances: np.ndarray, steps: np.ndarray) -> list[int]:
        return [int(count) for count in np.ceil(GAUSSIAN_RADIUS * np.sqrt(variances) / steps)]

    def spread(self, n: int) -> np.ndarray:
        check_size(self.quadrature_size(SMALLEST_DEGREE), self.manifold)
        return spread_nodes(self.quadrature, n, on=self.manifold)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        normal = generator.standard_normal((DRAW_BLOCK, len(self.mean)))
        return self.mean + normal @ np.linalg.cholesky(self.covariance).T
