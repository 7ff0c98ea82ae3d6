"""Closed curves and tori in R^D, given by maps of angles."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_positive
from attnflow._lifting import map_blocks
from attnflow._programs import at_point, name_of
from attnflow._tracing import Fixed
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.embedded import EmbeddedManifold
from attnflow.manifolds.sphere import Circle
from attnflow.manifolds.torus import FlatTorus
from attnflow.precision import require_x64

_CLOSED = 1e-8  # of the largest derivative of the same order
_LINES = 32  # along which it is looked at whether a map closes
_ORDERS = ("phi", "its derivative", "its second derivative", "its third derivative")  # the generator needs them


class MapOfAngles(EmbeddedManifold):
    """The image of the circle or of T^2 under a map phi of its angles, each in [0, 2 pi).

    Attributes:
        phi: the map.
    """

    phi: Callable

    def embed(self, theta: jax.Array) -> jax.Array:
        circles = theta.reshape(self.dim, 2)
        return self.at_angles(jnp.mod(jnp.arctan2(circles[:, 1], circles[:, 0]), 2 * jnp.pi))

    def at_angles(self, angles: jax.Array) -> jax.Array:
        """Return phi at angles (m,)."""
        return at_point(self.phi, angles if self.dim > 1 else angles[0], name="phi")

    def describe(self, theta: np.ndarray) -> str:
        circles = theta.reshape(self.dim, 2)
        return _in_words(np.mod(np.arctan2(circles[:, 1], circles[:, 0]), 2 * np.pi))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({name_of(self.phi, 'phi')})"

    def check_map(self) -> None:
        """Raise an error unless phi is a smooth map of angles that closes, is an immersion and does not meet itself.

        Raises:
            ConfigError: if it is no function.
            DataError: if it is no such map, naming the place.
        """
        require_x64()
        if not callable(self.phi):
            angles = "an angle" if self.dim == 1 else "two angles"
            raise ConfigError(
                f"`phi` must be a function of {angles}, got {type(self.phi).__name__}. Pass one written with jax.numpy."
            )
        jax.eval_shape(self.checked_embed, jax.ShapeDtypeStruct((2 * self.dim,), jnp.result_type(float)))
        for axis in range(self.dim):
            self._check_closed(axis)
        super().check_map()

    def _check_closed(self, axis: int) -> None:
        """Raise DataError unless phi and its derivatives along an angle are alike at 0 and 2 pi."""
        within = 2 * np.pi * np.random.default_rng(0).random((_LINES, self.dim))
        along = np.eye(self.dim)[axis]
        starts = within * (1 - along)
        ends = starts + 2 * np.pi * along
        jets = map_blocks(functools.partial(_jets, Fixed(self), along), np.concatenate([starts, ends, within]))
        jets[:, 0] -= jets[:, 0].mean(axis=0)
        start, end, _ = np.split(jets, 3)
        jumps = np.linalg.norm(end - start, axis=2)
        sizes = np.linalg.norm(jets, axis=2).max(axis=0)
        is_open = jumps > _CLOSED * sizes  # what is no number is told by the survey
        if is_open.any():
            order = int(np.argmax(is_open.any(axis=0)))
            line = int(np.argmax(jumps[:, order]))
            place = _in_words(starts[line])
            raise DataError(
                f"`phi` does not close: {_ORDERS[order]} at {place} and 2 pi later"
                f"{f' in angle {axis + 1}' if self.dim > 1 else ''} differ by {jumps[line, order]:.3g}. Write it with "
                "cos and sin of whole multiples of its angle."
            )


@value
class ClosedCurve(MapOfAngles):
    """The closed curve {phi(t): 0 <= t < 2 pi} in R^D, of which all that is asked goes by its arc length.

    Args:
        phi: the map of an angle t (a number) to a point (D,), in jax.numpy: smooth, of period 2 pi, with a derivative
            that is nowhere zero, and one to one.

    Raises:
        ConfigError: if `phi` is no function.
        DataError: if it is no number somewhere, does not close, stands still (its derivative vanishes) or meets itself:
            the angles are named.
        PrecisionError: if JAX computes in float32.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> ellipse = af.ClosedCurve(lambda t: jnp.stack([2 * jnp.cos(t), jnp.sin(t)]))
        >>> round(ellipse.volume, 10)
        9.6884482205
        >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(ellipse))
        >>> np.round(limit.spectrum(3).eigenvalues * (ellipse.volume / (2 * np.pi)) ** 2, 8) + 0.0  # n^2 / 2
        array([0. , 0.5, 0.5])
    """

    phi: Callable = static()

    reference = Circle()
    __repr__ = MapOfAngles.__repr__

    def __post_init__(self) -> None:
        self.check_map()


@value
class EmbeddedTorus(MapOfAngles):
    """The surface {phi(t): t in [0, 2 pi)^2} in R^D of the type of a torus.

    Args:
        phi: the map of two angles (2,) to a point (D,), in jax.numpy: smooth, of period 2 pi in both, with a derivative
            of rank two everywhere, and one to one.

    Raises:
        ConfigError: if `phi` is no function.
        DataError: if it is no number somewhere, does not close, is not an immersion or meets itself: the angles are
            named.
        PrecisionError: if JAX computes in float32.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> af.enable_x64()
        >>> def oval(t):
        ...     tube = 1 + 0.3 * jnp.cos(t[1])
        ...     return jnp.stack([1.5 * tube * jnp.cos(t[0]), tube * jnp.sin(t[0]), 0.4 * jnp.sin(t[1])])
        >>> af.EmbeddedTorus(oval).ambient_dim
        3
    """

    phi: Callable = static()

    reference = FlatTorus(2)
    __repr__ = MapOfAngles.__repr__

    def __post_init__(self) -> None:
        self.check_map()


@value
class TorusOfRevolution(EmbeddedManifold):
    """The surface ((R + r cos t2) cos t1, (R + r cos t2) sin t1, r sin t2) in R^3, area 4 pi^2 R r.

    Args:
        R: from the axis to the middle of the tube.
        r: radius of the tube, below R.

    Raises:
        ConfigError: if not 0 < r < R.

    Example:
        >>> import attnflow as af
        >>> torus = af.TorusOfRevolution(1.0, 0.4)
        >>> torus, round(torus.volume, 6)
        (TorusOfRevolution(1.0, 0.4), 15.791367)
    """

    R: float = static()
    r: float = static()

    reference = FlatTorus(2)
    is_one_to_one = is_examined = True
    ambient_dim = 3

    def __init__(self, R: float, r: float) -> None:
        outer, inner = check_positive(R, "R"), check_positive(r, "r")
        if inner >= outer:
            raise ConfigError(
                f"`r` must be smaller than `R`, got r = {inner:g} and R = {outer:g}: the tube would "
                "meet itself. Pass the radius of the tube second."
            )
        freeze(self, R=outer, r=inner)

    def __repr__(self) -> str:
        return f"TorusOfRevolution({self.R!r}, {self.r!r})"

    @property
    def volume(self) -> float:
        return 4 * np.pi**2 * self.R * self.r

    def embed(self, theta: jax.Array) -> jax.Array:
        ring = self.R + self.r * theta[2]
        return jnp.stack([ring * theta[0], ring * theta[1], self.r * theta[3]])

    def locate(self, x: jax.Array) -> jax.Array:
        ring = jnp.hypot(x[0], x[1])
        return self.reference.retract(jnp.stack([x[0], x[1], ring - self.R, x[2]]))


@functools.partial(jax.jit, static_argnums=0)
def _jets(fixed: Fixed, along: jax.Array, angles: jax.Array) -> jax.Array:
    """Return phi and its derivatives along a direction (m,), at angles (N, m), shape (N, orders, D)."""
    manifold: MapOfAngles = fixed.content

    def one(angles: jax.Array) -> jax.Array:
        jets = [lambda s: manifold.at_angles(angles + s * along)]
        for _ in _ORDERS[1:]:
            jets.append(jax.jacfwd(jets[-1]))
        return jnp.stack([jet(0.0) for jet in jets])

    return jax.vmap(one)(angles)


def _in_words(angles: np.ndarray) -> str:
    return f"the angle{'s' * (len(angles) > 1)} {', '.join(f'{angle:.6g}' for angle in angles)}"
