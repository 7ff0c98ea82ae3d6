"""The squared geodesic distance, smooth where two points meet."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.euclidean import EuclideanSpace
from attnflow.manifolds.sphere import Sphere
from attnflow.manifolds.torus import FlatTorus
from attnflow.pseudometrics.base import PseudoMetric

_NEAR = 0.03  # of s = |x - y|^2 / 4, up to which the series is summed
_TERMS = 11  # of it: the next one is below 1e-17 of the first
_SERIES = tuple(2 * 4.0**n / (n**2 * math.comb(2 * n, n)) for n in range(1, _TERMS + 1))


@value
class SquaredGeodesicDistance(PseudoMetric):
    """The squared length of the shortest way from x to y on a sphere, a flat torus or R^d.

    On a sphere, with s = |x - y|^2 / 4,

        D(x, y) = 4 arcsin^2(sqrt s) = 2 sum_n (4 s)^n / (n^2 C(2n, n)),

    by the series where s is small: forms with arccos or arctan2 have no derivatives at x = y. On a flat torus the
    squared angles of its circles are added; on R^d it is |x - y|^2.

    D is not smooth at the cut locus, where a shortest way is not the only one: opposite points of a sphere or of a
    circle of a torus. There D = pi^2 of that circle, and its derivatives, which do not exist, are given as 0; nothing
    is NaN. The limit of attention does not feel it, for kernels of small bandwidth are e^{-pi^2 / 2 eps} there.

    Args:
        manifold: Sphere(m), such as Circle(), FlatTorus(m) or EuclideanSpace(d).

    Raises:
        ConfigError: if it is another manifold.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> cost = af.SquaredGeodesicDistance(af.Sphere(2))
        >>> quarter = cost(np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0]))
        >>> bool(abs(quarter - np.pi**2 / 4) < 1e-14)
        True
    """

    manifold: Manifold = static()

    vanishes_on_diagonal = is_symmetric = is_examined = True

    def __init__(self, manifold: Manifold) -> None:
        if not isinstance(manifold, Sphere | FlatTorus | EuclideanSpace):
            raise ConfigError(
                f"`manifold` must be a Sphere, a FlatTorus or a EuclideanSpace, got {manifold}. On others use "
                "af.SquaredDistance(), which has the same limit."
            )
        freeze(self, manifold=manifold)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        if isinstance(self.manifold, EuclideanSpace):
            return _square(x - y)
        if isinstance(self.manifold, Sphere):
            return _squared_angle(x, y)
        circles = range(self.manifold.dim)
        return sum(_squared_angle(x[2 * k : 2 * k + 2], y[2 * k : 2 * k + 2]) for k in circles)  # type: ignore[return-value]


def _square(x: jax.Array) -> jax.Array:
    return sum(x[i] ** 2 for i in range(x.shape[0]))  # type: ignore[return-value]


def _squared_angle(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the squared angle between unit vectors, each part computed where it is smooth alone."""
    s, c = 0.25 * _square(x - y), 0.25 * _square(x + y)  # sin^2 and cos^2 of half the angle
    near = jnp.where(s < _NEAR, s, 0.0)
    series = jnp.zeros_like(near)
    for coefficient in reversed(_SERIES):
        series = (series + coefficient) * near
    is_far = s > c
    smaller = jnp.where(is_far, c, s)
    has_angle = (s >= _NEAR) & (c > 0)
    half = jnp.arcsin(jnp.sqrt(jnp.where(has_angle, smaller, 0.25)))
    angle = jnp.where(is_far, np.pi - 2 * half, 2 * half)
    return jnp.where(s < _NEAR, series, jnp.where(has_angle, angle**2, np.pi**2))
