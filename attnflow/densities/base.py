"""Probability densities p with respect to the volume of a manifold: evaluated, integrated against, sampled."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from scipy.special import ive

from attnflow._checks import check_finite, check_integer, check_positive
from attnflow._lifting import at_point, evaluate_compiled
from attnflow._tracing import Traceable
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.manifolds.base import Manifold, Quadrature
from attnflow.manifolds.euclidean import EuclideanSpace
from attnflow.manifolds.sphere import Sphere

# Draws are made in whole blocks, so that the first n points of a longer draw are the points of a draw of n.
DRAW_BLOCK = 4096
MAX_NODES = 4_000_000  # of a quadrature; on T^3 they take 250 MB
GAUSSIAN_RADIUS = 12.0  # standard deviations covered by a Gaussian's quadrature; the mass beyond is below 1e-32


class Density(Traceable, ABC):
    """A probability density p > 0 with respect to dvol on a manifold."""

    manifold: Manifold

    @abstractmethod
    def log_density(self, x: jax.Array) -> jax.Array:
        """log p at one ambient point (D,), normalised: int p dvol = 1."""

    @abstractmethod
    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        """Some points, at least one, from a fixed amount of randomness."""

    def sample(self, n: int, *, key: jax.Array) -> np.ndarray:
        """n independent points (n, D) of p. The first n points of a longer draw with the same key are the same.

        Args:
            n: the number of points.
            key: a JAX random key; it seeds a NumPy generator.

        Raises:
            ConfigError: if `n` is not a positive integer, or `key` not one key.
        """
        check_integer(n, "n", minimum=1)
        generator = _generator(key)
        parts = [self._draw(generator)]
        while sum(map(len, parts)) < n:
            parts.append(self._draw(generator))
        return np.concatenate(parts)[:n]

    def quadrature(self, degree: int) -> Quadrature:
        """Nodes (Q, D) and weights (Q,) with sum_q w_q h(x_q) close to int h p dvol."""
        _check_size(self.manifold.quadrature_size(degree), self.manifold)
        nodes, weights = self.manifold.quadrature(degree)
        return Quadrature(nodes, weights * np.exp(self.log_densities(nodes)))

    def log_densities(self, points: np.ndarray) -> np.ndarray:
        """log p (N,) at many points (N, D).

        Raises:
            DataError: if the points are not on the manifold.
        """
        points = self.manifold.check(points, "points")
        values = evaluate_compiled(functools.partial(_log_densities, self), points, name="log_density")
        if values.ndim != 1:
            raise DataError(f"`log_density` must return a scalar, got shape {values.shape[1:]} for one point.")
        return values


def check_density(density: object) -> Density:
    """A Density; ConfigError for anything else, such as an array of points."""
    if not isinstance(density, Density):
        raise ConfigError(
            f"`density` must be a density such as Uniform(Circle()), got {type(density).__name__}. "
            "For points use EmpiricalAttention."
        )
    return density


def _generator(key: jax.Array) -> np.random.Generator:
    try:
        words = np.asarray(jax.random.key_data(key))
    except TypeError as error:
        raise ConfigError(f"`key` must be a JAX random key, got {key!r}. Pass jax.random.key(0).") from error
    if words.ndim != 1:
        raise ConfigError(f"`key` must be one random key, got an array of shape {words.shape[:-1]}. Pass one of them.")
    return np.random.default_rng(words.tolist())


@jax.jit
def _log_densities(density: Density, points: jax.Array) -> jax.Array:
    return jax.vmap(density.log_density)(points)


@value
class Uniform(Density):
    """The uniform density p = 1 / vol(M) of a closed manifold.

    Raises:
        ConfigError: if the manifold has infinite volume.

    Example:
        >>> import jax, attnflow as af
        >>> af.Uniform(af.Sphere(2)).sample(5, key=jax.random.key(0)).shape
        (5, 3)
    """

    manifold: Manifold = static()

    def __init__(self, manifold: Manifold) -> None:
        if not manifold.is_closed:
            raise ConfigError(f"{manifold} has infinite volume, so it has no uniform density. Use af.Gaussian.")
        freeze(self, manifold=manifold)

    def log_density(self, x: jax.Array) -> jax.Array:
        return jnp.full((), -math.log(self.manifold.volume), dtype=x.dtype)

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        return self.manifold.sample_uniform(DRAW_BLOCK, generator)


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

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.manifold.dim == 1:
            return _draw_by_inversion(self, generator)
        if self.manifold.dim > 2:
            return _draw_by_rejection(self, self.concentration - self.log_normalizer, generator)
        # On S^2 the height h = <mean_direction, x> has the density ~ e^{concentration h} on [-1, 1].
        u = generator.random((DRAW_BLOCK, 2))
        height = 1 + np.log(u[:, 0] + (1 - u[:, 0]) * np.exp(-2 * self.concentration)) / self.concentration
        ring, longitude = np.sqrt(np.clip(1 - height**2, 0, None)), 2 * np.pi * u[:, 1]
        across = np.linalg.svd(self.mean_direction[None])[2][1:]  # an orthonormal basis of the plane across
        circle = np.stack([np.cos(longitude), np.sin(longitude)], axis=1)
        return height[:, None] * self.mean_direction + ring[:, None] * circle @ across


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

    manifold: EuclideanSpace = static()
    mean: np.ndarray
    covariance: np.ndarray
    precision: np.ndarray
    log_normalizer: float

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

    def quadrature(self, degree: int) -> Quadrature:
        """The trapezoidal rule along the principal axes, spacing 2 pi / (degree + 1) or half a standard deviation."""
        variances, axes = np.linalg.eigh(self.covariance)
        deviations = np.sqrt(variances)
        steps = np.minimum(2 * np.pi / (degree + 1), 0.5 * deviations)
        counts = np.ceil(GAUSSIAN_RADIUS * deviations / steps).astype(int)
        _check_size(int(np.prod(2 * counts + 1)), self.manifold)
        grids = [step * np.arange(-count, count + 1) for step, count in zip(steps, counts, strict=True)]
        mesh = np.stack(np.meshgrid(*grids, indexing="ij"), axis=-1).reshape(-1, len(steps))
        weights = np.prod(steps / np.sqrt(2 * np.pi * variances)) * np.exp(-0.5 * np.sum(mesh**2 / variances, axis=1))
        return Quadrature(self.mean + mesh @ axes.T, weights)

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        normal = generator.standard_normal((DRAW_BLOCK, len(self.mean)))
        return self.mean + normal @ np.linalg.cholesky(self.covariance).T


@value
class LogDensity(Density):
    """The density p proportional to exp(log_weight(x)) on a closed manifold.

    Normalised by quadrature, refined until two resolutions agree to 1e-13. Sampled exactly: by inverse transform on the
    circle, elsewhere by rejection from the uniform density with a bound that every proposal checks.

    Args:
        manifold: a closed manifold.
        log_weight: the unnormalised log-density of one ambient point (D,), written in jax.numpy, smooth. For a sweep
            over parameters pass jax.tree_util.Partial(function, *parameters): it is compiled once.

    Raises:
        ConfigError: if the manifold is not closed, or `log_weight` not a function.
        ConvergenceError: if the quadrature does not converge (the log-density is not smooth enough).

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> p = af.LogDensity(af.Sphere(2), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])
        >>> nodes, weights = p.quadrature(40)
        >>> bool(abs(weights.sum() - 1) < 1e-12)
        True
    """

    manifold: Manifold = static()
    log_weight: Partial
    log_normalizer: float
    log_bound: float

    def __init__(self, manifold: Manifold, log_weight: Callable) -> None:
        if not manifold.is_closed:
            raise ConfigError(f"LogDensity needs a closed manifold, got {manifold}. Use af.Gaussian on it.")
        if not callable(log_weight):
            raise ConfigError(f"`log_weight` must be a function of one point, got {type(log_weight).__name__}.")
        partial = log_weight if isinstance(log_weight, Partial) else Partial(log_weight)
        freeze(self, manifold=manifold, log_weight=partial, log_normalizer=0.0, log_bound=0.0)
        log_normalizer, peak = _integrate(self)
        # Between quadrature nodes the peak can be a little higher than at them; every proposal is checked against it.
        freeze(self, log_normalizer=log_normalizer, log_bound=peak + 0.05 - log_normalizer)

    def log_density(self, x: jax.Array) -> jax.Array:
        return at_point(self.log_weight, x) - self.log_normalizer

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.manifold.dim == 1:
            return _draw_by_inversion(self, generator)
        return _draw_by_rejection(self, self.log_bound, generator)


def _draw_by_rejection(density: Density, log_bound: float, generator: np.random.Generator) -> np.ndarray:
    """Uniform proposals, each kept with probability p / bound."""
    accepted = np.empty((0, density.manifold.ambient_dim))
    while not len(accepted):
        proposals = density.manifold.sample_uniform(DRAW_BLOCK, generator)
        log_ratio = density.log_densities(proposals) - log_bound
        if log_ratio.max() > 1e-12:
            raise DataError(
                f"the log-density exceeds its bound by {log_ratio.max():.3g}: it is too peaked to be resolved. "
                "Use a smoother density."
            )
        accepted = proposals[np.log(generator.random(DRAW_BLOCK)) < log_ratio]
    return accepted


def _draw_by_inversion(density: Density, generator: np.random.Generator) -> np.ndarray:
    """The inverse of the distribution function on a circle, to about 1e-13 unless p is very peaked.

    The distribution function is integrated exactly from the Fourier coefficients of p; its inverse is a cubic Hermite
    interpolant on a fine grid, whose slopes 1/p are known.
    """
    knots, angles, slopes = _quantile_table(density)
    u = generator.random(DRAW_BLOCK)
    cell = np.clip(np.searchsorted(knots, u, side="right") - 1, 0, _QUANTILE_NODES - 1)
    width = knots[cell + 1] - knots[cell]
    t = (u - knots[cell]) / width
    angle = (
        (1 + 2 * t) * (1 - t) ** 2 * angles[cell]
        + t * (1 - t) ** 2 * width * slopes[cell]
        + t**2 * (3 - 2 * t) * angles[cell + 1]
        - t**2 * (1 - t) * width * slopes[cell + 1]
    )
    return np.column_stack([np.cos(angle), np.sin(angle)])


_QUANTILE_NODES = 1 << 14


@functools.lru_cache(maxsize=16)
def _quantile_table(density: Density) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The distribution function on a grid of angles that covers the circle once, the angles, and 1/p."""
    angles = 2 * np.pi * np.arange(_QUANTILE_NODES + 1) / _QUANTILE_NODES
    p = np.exp(density.log_densities(np.column_stack([np.cos(angles), np.sin(angles)])))
    coefficients = np.fft.rfft(p[:-1])
    if np.abs(coefficients[-1]) > 1e-10 * coefficients[0].real:
        raise ConvergenceError(f"the density is too peaked to be sampled on {_QUANTILE_NODES} nodes. Use a wider one.")
    modes = np.arange(1, len(coefficients))
    integral = np.fft.irfft(np.concatenate([[0], coefficients[1:] / (1j * modes)]), _QUANTILE_NODES)
    knots = np.append(integral - integral[0], 0.0) + angles / (2 * np.pi)
    return knots, angles, 1 / np.maximum(p, np.finfo(float).tiny)  # cells where p underflows are never drawn


def _check_size(nodes: int, manifold: Manifold) -> None:
    if nodes > MAX_NODES:
        raise ConvergenceError(
            f"a quadrature of {nodes} nodes would be needed on {manifold}, at most {MAX_NODES} are allowed. Use a "
            "larger bandwidth, a larger `rtol` or fewer dimensions."
        )


def _integrate(density: Density) -> tuple[float, float]:
    """log int p dvol of a p that is not normalised, and the largest log p met, at the first resolution that settles."""
    manifold = density.manifold
    previous = math.nan
    degree = 24
    while manifold.quadrature_size(degree) <= MAX_NODES:
        nodes, weights = manifold.quadrature(degree)
        values = density.log_densities(nodes)
        peak = float(values.max())
        total = peak + math.log(np.dot(weights, np.exp(values - peak)))
        if abs(total - previous) < 1e-13:
            return total, peak
        previous, degree = total, degree * 3 // 2
    raise ConvergenceError(
        f"the integral of the density over {manifold} does not settle: it moves by {abs(total - previous):.3g} at "
        f"{len(nodes)} nodes. Use a smooth log-density."
    )
