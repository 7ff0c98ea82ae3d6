"""The interval, whose ends reflect."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import scipy.fft

from attnflow._checks import check_real
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.manifolds.base import LARGEST_RULE, Manifold, check_size
from attnflow.measures import DiscreteMeasure


@value
class Interval(Manifold):
    """The interval [low, high]: points (N, 1), volume high - low. Drift-diffusions are reflected at its ends.

    Charts go beyond the ends, so functions must be smooth on some interval that is a little larger.

    Args:
        low: the left end.
        high: the right end.

    Raises:
        ConfigError: unless low < high.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> limit = af.DriftDiffusion(attention, af.Uniform(af.Interval(0, np.pi)))
        >>> np.round(limit.spectrum(3).eigenvalues, 8)  # n^2 / 2
        array([0. , 0.5, 2. ])
    """

    low: float = static()
    high: float = static()

    def __init__(self, low: float, high: float) -> None:
        left, right = check_real(low, "low"), check_real(high, "high")
        if not 0 < right - left < math.inf:
            raise ConfigError(f"`low` must be less than `high`, got {left:g} and {right:g}. Exchange them.")
        freeze(self, low=left, high=right)

    dim = 1
    ambient_dim = 1
    is_compact = True
    has_boundary = True
    is_examined = True

    @property
    def volume(self) -> float:
        return self.high - self.low

    @property
    def along(self) -> Callable[[np.ndarray], np.ndarray]:
        return self._from_left

    def _from_left(self, lengths: np.ndarray) -> np.ndarray:
        return (self.low + np.asarray(lengths, dtype=float))[:, None]

    def retract(self, y: jax.Array) -> jax.Array:
        return y

    def tangent_frame(self, x: jax.Array) -> jax.Array:
        return jnp.ones((1, 1), x.dtype)

    def residual(self, points: np.ndarray) -> np.ndarray:
        return np.maximum(np.maximum(self.low - points[:, 0], points[:, 0] - self.high), 0.0)

    def quadrature(self, degree: int) -> DiscreteMeasure:
        """Return the rule of Clenshaw and Curtis, exact for polynomials of at least that degree.

        Its nodes crowd at the ends and hold both of them. Where the interval is longer than 2 there are more, so that
        a bandwidth asks for the same degree as on the circle.
        """
        size = self.quadrature_size(degree)
        check_size(size, self, most=LARGEST_RULE)
        places, weights = chebyshev_rule(size - 1)
        return DiscreteMeasure((self.low + self.volume * places)[:, None], self.volume * weights)

    def quadrature_size(self, degree: int) -> int:
        return math.ceil(max(1.0, self.volume / 2) * (degree + 1)) + 1


@functools.lru_cache(maxsize=32)
def chebyshev_rule(degree: int) -> tuple[np.ndarray, np.ndarray]:
    """Return degree + 1 nodes (1 - cos(pi j / degree)) / 2 of [0, 1] and weights, exact up to that degree."""
    k = np.arange(degree + 1)
    moments = np.where(k % 2 == 0, 1 / (1.0 - k * k + (k == 1)), 0.0)  # of T_k over [0, 1], as the mean over [-1, 1]
    weights = scipy.fft.dct(moments, type=1) / degree
    weights[[0, -1]] = 0.5 / (degree * degree - 1 + degree % 2)  # exact, where rounding would be relative to the others
    nodes = np.sin(np.pi * k / (2 * degree)) ** 2
    for array in (nodes, weights):
        array.setflags(write=False)
    return nodes, weights
