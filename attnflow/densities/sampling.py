"""Exact samples of a density: by inversion on curves, by rejection elsewhere, in blocks of draws."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import jax
import numpy as np
import scipy.fft

from attnflow._tracing import Fixed
from attnflow.densities.integration import MASS_TOLERANCE, check_mass, integrate
from attnflow.errors import ConfigError, ConvergenceError, DataError

if TYPE_CHECKING:
    from attnflow.densities.base import Density

# Draws are made in whole blocks, so that the first n points of a longer draw are the points of a draw of n.
DRAW_BLOCK = 4096
MAX_PROPOSALS = 200_000  # for one point: they take some 50 ms
_QUANTILE_NODES = tuple(1 << power for power in (14, 16, 18, 20))  # of tables; the first that resolves p is taken
_STEPS_PER_CELL = 4  # of the first look into a table: a search of all its knots takes ten times as long
_SMALLEST = np.finfo(float).tiny


def draw_blocks(draw: Callable[[np.random.Generator], np.ndarray], n: int, *, key: jax.Array) -> np.ndarray:
    """Return the first n points (n, D) of blocks that are drawn one after another.

    Raises:
        ConfigError: if `key` is not one random key.
    """
    generator = generator_of(key)
    parts = [draw(generator)]
    while sum(map(len, parts)) < n:
        parts.append(draw(generator))
    return np.concatenate(parts)[:n]


def generator_of(key: jax.Array) -> np.random.Generator:
    """Return the NumPy generator that a JAX random key seeds; raise ConfigError if it is not one key."""
    try:
        words = np.asarray(jax.random.key_data(key))
    except TypeError as error:
        raise ConfigError(f"`key` must be a JAX random key, got {key!r}. Pass jax.random.key(0).") from error
    if words.ndim != 1:
        raise ConfigError(f"`key` must be one random key, got an array of shape {words.shape[:-1]}. Pass one of them.")
    return np.random.default_rng(words.tolist())


def draw(density: Density, generator: np.random.Generator, *, log_bound: float | None = None) -> np.ndarray:
    """Return a block of points (n, D) of p, by inversion on curves and by rejection elsewhere.

    Args:
        density: p.
        generator: the randomness.
        log_bound: an upper bound of log p, of mass one, where it is known; None to take it from a quadrature.

    Raises:
        DataError: if p is not normalised, or exceeds its bound.
        ConvergenceError: if p is too peaked.
    """
    if log_bound is None:
        log_bound = _log_bound(Fixed(density))
    if density.manifold.along is not None:
        return draw_by_inversion(density, generator)
    return draw_by_rejection(density, log_bound, generator)


def draw_by_rejection(density: Density, log_bound: float, generator: np.random.Generator) -> np.ndarray:
    """Return those of a block of uniform proposals that are kept, each with probability p / bound."""
    log_proposals = log_bound + density.manifold.log_volume  # of how many one is kept, as p has mass one
    if log_proposals > math.log(MAX_PROPOSALS):
        raise ConvergenceError(
            f"{type(density).__name__} on {density.manifold} is too peaked to be sampled by rejection: one of about "
            f"1e{log_proposals / math.log(10):.0f} uniform proposals would be kept, one of {MAX_PROPOSALS} at the "
            "least is needed. Use a wider density, or write `draw(generator)` in a density of your own."
        )
    accepted = np.empty((0, density.manifold.ambient_dim))
    while not len(accepted):
        proposals = density.manifold.sample_uniform(DRAW_BLOCK, generator)
        log_ratio = density.log_densities(proposals) - log_bound
        if log_ratio.max() > 1e-12:
            raise DataError(
                f"the log-density exceeds its bound by {log_ratio.max():.3g}: it is too peaked to be resolved. "
                "Use a smoother density."
            )
        with np.errstate(divide="ignore"):  # zero is a random number
            accepted = proposals[np.log(generator.random(DRAW_BLOCK)) < log_ratio]
    return accepted


@functools.lru_cache(maxsize=16)
def _log_bound(fixed: Fixed) -> float:
    """Return an upper bound of log p, of a density whose mass is one."""
    density: Density = fixed.content
    log_mass, log_bound = integrate(density)
    check_mass(density, log_mass)
    return log_bound


def draw_by_inversion(density: Density, generator: np.random.Generator) -> np.ndarray:
    """Return a block of points by the inverse of the distribution function along a curve.

    It is accurate to about 1e-13 of the length unless p is very peaked: the distribution function is integrated exactly
    from the Fourier coefficients of p, or, on a curve with ends, from those of Chebyshev; its inverse is a cubic
    Hermite interpolant on a fine grid, whose slopes 1/p are known.
    """
    along = density.manifold.along
    assert along is not None
    table = _quantile_table(Fixed(density))
    knots, lengths, slopes, _ = table
    u = generator.random(DRAW_BLOCK)
    cell = table.cells(u)
    width = knots[cell + 1] - knots[cell]
    t = (u - knots[cell]) / width
    with np.errstate(under="ignore"):
        inverse = (
            (1 + 2 * t) * (1 - t) ** 2 * lengths[cell]
            + t * (1 - t) ** 2 * width * slopes[cell]
            + t**2 * (3 - 2 * t) * lengths[cell + 1]
            - t**2 * (1 - t) * width * slopes[cell + 1]
        )
    return along(np.clip(inverse, lengths[cell], lengths[cell + 1]))


class _Quantiles(NamedTuple):
    """The distribution function at arc lengths that cover the curve once, these lengths, and 1/p there.

    Args:
        knots, lengths, slopes: (nodes + 1,).
        first: in which cell i / len(first) lies, for every i: from there a number is looked for.
    """

    knots: np.ndarray
    lengths: np.ndarray
    slopes: np.ndarray
    first: np.ndarray

    @classmethod
    def of(cls, knots: np.ndarray, lengths: np.ndarray, slopes: np.ndarray) -> _Quantiles:
        count = _STEPS_PER_CELL << (len(knots) - 2).bit_length()  # a power of two: numbers times it stay exact
        return cls(knots, lengths, slopes, np.searchsorted(knots, np.arange(count) / count, side="right") - 1)

    def cells(self, u: np.ndarray) -> np.ndarray:
        """Return in which cell numbers in [0, 1) lie: the last knot that is not larger, but for that at the end."""
        last = len(self.knots) - 2
        cell = np.clip(self.first[(u * len(self.first)).astype(int)], 0, last)
        cell = np.minimum(cell + (self.knots[cell + 1] <= u), last)
        late = np.flatnonzero(self.knots[cell + 1] <= u)  # few, but where p is small beside its mean
        cell[late] = np.minimum(np.searchsorted(self.knots, u[late], side="right") - 1, last)
        return cell


@functools.lru_cache(maxsize=16)
def _quantile_table(fixed: Fixed) -> _Quantiles:
    density: Density = fixed.content
    length, along = density.manifold.volume, density.manifold.along
    assert along is not None
    tabulate = _between_ends if density.manifold.has_boundary else _around
    for nodes in _QUANTILE_NODES:
        lengths, (knots, p, mass, last) = tabulate(lambda s: np.exp(density.log_densities(along(s))), length, nodes)
        if last <= 1e-10 and abs(mass - 1) <= MASS_TOLERANCE:
            # Cells where p underflows are never drawn.
            return _Quantiles.of(knots, lengths, 1 / np.maximum(p, _SMALLEST))
    raise ConvergenceError(
        f"the density is too peaked to be sampled on {nodes} nodes: they give it the mass {mass:.10g}. Use a wider one."
    )


class _Distribution(NamedTuple):
    """The integrals of p up to some lengths, p there, its mass, and how large its last coefficient is to its first."""

    integrals: np.ndarray
    p: np.ndarray
    mass: float
    last: float


def _around(p: Callable, length: float, nodes: int) -> tuple[np.ndarray, _Distribution]:
    """Return lengths that cover a closed curve once, and the distribution there, from Fourier coefficients."""
    lengths = length * np.arange(nodes + 1) / nodes
    with np.errstate(under="ignore"):
        values = p(lengths)
        coefficients = np.fft.rfft(values[:-1])
    modes = np.arange(1, len(coefficients))
    integral = np.fft.irfft(np.concatenate([[0], coefficients[1:] / (1j * modes)]), nodes)
    integral *= length / (2 * np.pi)
    first = coefficients[0].real
    integrals = np.append(integral - integral[0], 0.0) + lengths / length
    return lengths, _Distribution(integrals, values, length * first / nodes, float(np.abs(coefficients[-1])) / first)


def _between_ends(p: Callable, length: float, nodes: int) -> tuple[np.ndarray, _Distribution]:
    """Return lengths (1 - cos t) / 2 from one end of a curve to the other, and the same from coefficients of cos kt."""
    lengths = length * np.sin(np.pi * np.arange(nodes + 1) / (2 * nodes)) ** 2
    with np.errstate(under="ignore"):
        values = p(lengths)
        coefficients = scipy.fft.dct(values, type=1) / nodes  # the first of them twice
    coefficients[-1] /= 2
    # ds = sin(t) dt / 2, and cos(kt) sin(t) = (sin((k + 1) t) - sin((k - 1) t)) / 2.
    above = np.append(coefficients[2:], 0.0)
    waves = np.append(0.0, (above - coefficients[:-1]) * length / (8 * np.arange(1, nodes + 1)))
    waves[-1] *= 2
    integral = scipy.fft.dct(waves, type=1)
    integral -= integral[0]
    last = float(np.abs(coefficients[-2:]).max() / coefficients[0])
    return lengths, _Distribution(integral / integral[-1], values, float(integral[-1]), last)
