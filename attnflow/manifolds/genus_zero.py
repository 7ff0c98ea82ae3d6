"""Surfaces over the sphere: ellipsoids, of any dimension, and those that are star-shaped about the origin."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite
from attnflow._lifting import evaluate
from attnflow._programs import at_point, name_of
from attnflow._tracing import Fixed
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.embedded import EmbeddedManifold
from attnflow.manifolds.maps import survey
from attnflow.manifolds.sphere import Sphere
from attnflow.precision import require_x64

_LOOKED_AT = 20_000  # places at which the radius is looked at


@value
class Ellipsoid(EmbeddedManifold):
    """The ellipsoid {x in R^D: sum (x_i / a_i)^2 = 1}, the image of the sphere S^(D-1) under x -> a x.

    Args:
        semi_axes: a, D >= 2 positive numbers; two make an ellipse.

    Raises:
        ConfigError: if they are fewer, or not all positive.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> spheroid = af.Ellipsoid((1.0, 1.0, 2.0))
        >>> exact = 2 * np.pi * (1 + 4 / np.sqrt(3) * np.arcsin(np.sqrt(3) / 2) * 1)
        >>> bool(abs(spheroid.volume - exact) < 1e-11)
        True
    """

    semi_axes: tuple[float, ...] = static()

    is_one_to_one = is_examined = True

    def __init__(self, semi_axes: object) -> None:
        axes = check_finite(semi_axes, "semi_axes")
        if axes.ndim != 1 or len(axes) < 2 or axes.min() <= 0:
            raise ConfigError(
                f"`semi_axes` must be at least two positive numbers, got {axes.tolist()}. In R^3 pass (a, b, c)."
            )
        freeze(self, semi_axes=tuple(axes.tolist()))

    def __repr__(self) -> str:
        return f"Ellipsoid({self.semi_axes!r})"

    @property
    def reference(self) -> Sphere:  # type: ignore[override]
        return Sphere(len(self.semi_axes) - 1)

    @property
    def ambient_dim(self) -> int:
        return len(self.semi_axes)

    def embed(self, theta: jax.Array) -> jax.Array:
        return theta * jnp.asarray(self.semi_axes, theta.dtype)

    def locate(self, x: jax.Array) -> jax.Array:
        return self.reference.retract(x / jnp.asarray(self.semi_axes, x.dtype))


@value
class StarSurface(EmbeddedManifold):
    """The surface {r(u) u: u in S^2} in R^3, which every ray from the origin meets once.

    Args:
        radius: r of one unit vector (3,), positive and smooth, in jax.numpy.

    Raises:
        ConfigError: if `radius` is no function.
        DataError: if it is not positive, or no number, somewhere: the direction is named.
        PrecisionError: if JAX computes in float32.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> pear = af.StarSurface(lambda u: 1 + 0.2 * u[2] + 0.1 * u[0] * u[1])
        >>> p = af.LogDensity(pear, lambda x: 0.5 * x[0])
    """

    radius: Callable = static()

    reference = Sphere(2)
    is_one_to_one = is_examined = True
    ambient_dim = 3

    def __post_init__(self) -> None:
        require_x64()
        if not callable(self.radius):
            raise ConfigError(
                f"`radius` must be a function of one unit vector, got {type(self.radius).__name__}. Pass one written "
                "with jax.numpy."
            )
        directions = self.reference.spread(_LOOKED_AT)
        radii = evaluate(lambda u: self._radius(u), directions, name="radius")
        if radii.min() <= 0:
            raise DataError(
                f"`radius` must be positive, got {radii.min():.6g} in the direction "
                f"{np.round(directions[np.argmin(radii)], 4).tolist()}. The surface must go around the origin."
            )
        survey(Fixed(self))

    def __repr__(self) -> str:
        return f"StarSurface({name_of(self.radius, 'radius')})"

    def embed(self, theta: jax.Array) -> jax.Array:
        return self._radius(theta) * theta

    def locate(self, x: jax.Array) -> jax.Array:
        return self.reference.retract(x)

    def _radius(self, theta: jax.Array) -> jax.Array:
        return at_point(self.radius, theta, name="radius", scalar=True)
