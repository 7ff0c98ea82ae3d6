"""The von Mises-Fisher density of a sphere."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ive

from attnflow._checks import check_finite, check_positive
from attnflow._values import derived, freeze, static, value
from attnflow.densities.base import Density
from attnflow.densities.sampling import DRAW_BLOCK, draw
from attnflow.errors import ConfigError, PrecisionError
from attnflow.manifolds.sphere import Sphere

INVERTED = 1e6  # concentrations on the circle up to which samples come from a table of quantiles
LEAST_BESSEL = 1e-280  # ive underflows in many dimensions, where the concentration is smaller than their square
LARGEST_BESSEL = 1e9  # argument of ive
MOST_TERMS = 10_000_000


@value
class VonMisesFisher(Density):
    """The von Mises-Fisher density p(x) = c exp(concentration * <mean_direction, x>) on S^m.

    Sampled exactly, at any concentration and in every dimension: by inversion on the circle and on S^2, elsewhere by
    rejection of heights, which keeps two of three  [Ulrich84, Wood94].

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
    log_normalizer: float = derived()
    log_peak: float = derived()

    def __init__(self, manifold: Sphere, *, mean_direction: object, concentration: float) -> None:
        if not isinstance(manifold, Sphere):
            raise ConfigError(f"`manifold` must be a Sphere, got {manifold}. Use af.LogDensity on other manifolds.")
        direction = check_finite(mean_direction, "mean_direction")
        if direction.shape != (manifold.ambient_dim,) or not np.any(direction):
            raise ConfigError(
                f"`mean_direction` must be a non-zero vector of shape ({manifold.ambient_dim},), "
                f"got {direction.tolist()}."
            )
        _, exponent = np.frexp(np.abs(direction).max())
        with np.errstate(under="ignore"):
            direction = np.ldexp(direction, -exponent)  # squares of 1e-200 and 1e200 are no numbers
            direction = direction / np.linalg.norm(direction)
        kappa = check_positive(concentration, "concentration")
        log_normalizer = _log_normalizer(manifold, kappa)
        freeze(
            self,
            manifold=manifold,
            mean_direction=direction,
            concentration=kappa,
            log_normalizer=log_normalizer + kappa,
            log_peak=-log_normalizer,
        )

    def log_density(self, x: jax.Array) -> jax.Array:
        # <mu, x> - 1 = -|x - mu|^2 / 2 on the sphere: near the peak a large concentration would multiply its rounding.
        offset = x - jnp.asarray(self.mean_direction, x.dtype)
        return self.log_peak - 0.5 * self.concentration * jnp.dot(offset, offset)

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.manifold.dim == 1 and self.concentration <= INVERTED:
            return draw(self, generator, log_bound=self.log_peak)
        directions = np.linalg.svd(self.mean_direction[None])[2][1:]  # an orthonormal basis of the plane across
        if self.manifold.dim == 2:
            u = generator.random((DRAW_BLOCK, 2))
            depths, longitude = _invert_depths(u[:, 0], self.concentration), 2 * np.pi * u[:, 1]
            across = np.stack([np.cos(longitude), np.sin(longitude)], axis=1)
        else:
            depths = _reject_depths(self.manifold.dim, self.concentration, generator)
            normal = generator.standard_normal((len(depths), self.manifold.dim))
            across = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        rings = np.sqrt(depths * (2 - depths))
        return (1 - depths)[:, None] * self.mean_direction + rings[:, None] * across @ directions


def _log_normalizer(sphere: Sphere, concentration: float) -> float:
    """Return log int exp(concentration (<mu, x> - 1)) dvol = log[(2 pi)^(n+1) I_n(c) / c^n] - c, n = (m - 1) / 2.

    Where the Bessel function underflows, by its power series, all terms of which are positive; where its argument is
    too large for scipy, by Hankel's expansion  [DLMF, 10.25.2 and 10.40.1].

    Raises:
        PrecisionError: if the series has too many terms, in more than ten thousand dimensions.
    """
    order = sphere.ambient_dim / 2
    bessel = float(ive(order - 1, concentration)) if concentration < LARGEST_BESSEL else 0.0
    if bessel > LEAST_BESSEL:
        return order * math.log(2 * math.pi) + math.log(bessel) - (order - 1) * math.log(concentration)
    if concentration >= max(LARGEST_BESSEL, 10 * order**2):
        k = np.arange(1, 12)
        factors = ((2 * k - 1) ** 2 - 4 * (order - 1) ** 2) / (8 * k) / concentration
        with np.errstate(under="ignore"):
            series = 1 + np.cumprod(factors).sum()
        return (
            order * math.log(2 * math.pi)
            + math.log(series)
            - 0.5 * math.log(2 * math.pi)
            - (order - 0.5) * math.log(concentration)
        )
    # The largest term is the one at k (k + n) = (c/2)^2.
    largest = concentration * (concentration / (math.hypot(order - 1, concentration) + order - 1)) / 2
    terms = int(largest + 40 * math.sqrt(largest + 1)) + 20
    if terms > MOST_TERMS:
        raise PrecisionError(
            f"`concentration` = {concentration:g} on {sphere} has a normaliser of {terms} terms. Use fewer dimensions."
        )
    k = np.arange(1, terms)
    logs = np.cumsum(2 * math.log(concentration / 2) - np.log(k) - np.log(k + order - 1))
    highest = max(0.0, float(logs.max()))
    with np.errstate(under="ignore"):
        log_mean = highest + math.log(math.exp(-highest) + np.exp(logs - highest).sum())
    return sphere.log_volume + log_mean - concentration


def _invert_depths(u: np.ndarray, concentration: float) -> np.ndarray:
    """Return 1 - h for heights h on S^2, whose density is ~ e^{concentration h} on [-1, 1]."""
    with np.errstate(divide="ignore", under="ignore"):  # zero is a random number
        if concentration < 0.5:
            depths = -np.log1p((1 - u) * np.expm1(-2 * concentration)) / concentration
        else:
            depths = -np.log(u + (1 - u) * np.exp(-2 * concentration)) / concentration
    return np.clip(depths, 0, 2)


def _reject_depths(dim: int, concentration: float, generator: np.random.Generator) -> np.ndarray:
    """Return 1 - h for some heights h on S^m, whose density is ~ (1 - h^2)^((m-2)/2) e^{concentration h}  [Wood94].

    Proposals are h = (1 - (1 + b) z) / (1 - (1 - b) z) for z of the law Beta(m/2, m/2); b makes the ratio of the
    densities largest at h = (1 - b) / (1 + b). Written for depths, which are small where the concentration is large.
    """
    b = dim / (2 * concentration + math.hypot(2 * concentration, dim))
    z = generator.beta(dim / 2, dim / 2, DRAW_BLOCK)
    depths = 2 * b * z / (1 - (1 - b) * z)
    best = 2 * b / (1 + b)
    with np.errstate(divide="ignore", under="ignore"):
        log_ratio = concentration * (best - depths) + dim * np.log((best + (1 - best) * depths) / (best * (2 - best)))
        return depths[np.log(generator.random(DRAW_BLOCK)) < log_ratio]
