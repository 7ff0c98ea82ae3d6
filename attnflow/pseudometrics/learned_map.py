"""The squared distance of points mapped by any function: metric-attention."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from attnflow._lifting import evaluate_compiled, shown
from attnflow._programs import at_point, name_of
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, DataError
from attnflow.pseudometrics.base import Mapped, PseudoMetric

_DIGITS = 12  # to which images of distinct points must differ, relative to the largest


@value
class LearnedMap(PseudoMetric):
    """The metric-attention D(x, y) = |phi(x) - phi(y)|^2 of any map phi  [RZ].

    Where phi is an injective immersion of M, attention tends to the drift-diffusion of the metric phi'phi. Where it is
    not injective D vanishes between two points: sums over points that phi does not tell apart are refused, and the
    expansion searches for a second minimiser.

    Args:
        phi: (D,) -> (k,) or a number, in jax.numpy, smooth. Every new function object is compiled anew. Parameters, by
            which JAX can differentiate, go in front: `jax.tree_util.Partial(phi, parameters)`.

    Raises:
        ConfigError: if `phi` is not a function.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> cost = af.LearnedMap(lambda x: jnp.stack([x[0] + x[1] ** 2, 3 * x[1]]))
        >>> float(cost(np.array([0.0, 0.0]), np.array([1.0, 1.0])))
        13.0
    """

    phi: Callable

    vanishes_on_diagonal = is_symmetric = True
    is_definite = False  # phi may take one value twice

    def __post_init__(self) -> None:
        if not callable(self.phi):
            raise ConfigError(f"`phi` must be a function of one point, got {type(self.phi).__name__}.")
        freeze(self, phi=self.phi if isinstance(self.phi, Partial) else Partial(self.phi))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sum((self._image(x) - self._image(y)) ** 2)

    def _image(self, x: jax.Array) -> jax.Array:
        return jnp.atleast_1d(at_point(self.phi, x, name="phi"))

    def mapped(self, center: Any) -> Mapped:
        """Return the images."""
        images = self._images
        return Mapped(images, images)

    def _images(self, points: Any) -> Any:
        """Return phi of points (n, D), (n, k); raise DataError where it is not a number."""
        compiled = functools.partial(_compiled_images, self)
        if is_traced(self):
            return compiled(points)
        return evaluate_compiled(compiled, points, name=name_of(self.phi, "phi"))

    def check(self, points: np.ndarray) -> None:
        """Raise DataError where phi is not a number, or does not tell two distinct points apart."""
        images = self._images(points)
        rounded = np.round(images / (np.abs(images).max() or 1.0), _DIGITS)
        order = np.lexsort(rounded.T)
        alike = (rounded[order[1:]] == rounded[order[:-1]]).all(axis=1)
        alike &= (points[order[1:]] != points[order[:-1]]).any(axis=1)
        if alike.any():
            first = int(np.argmax(alike))
            x, y = points[order[first]], points[order[first + 1]]
            raise DataError(
                f"`{name_of(self.phi, 'phi')}` must be injective, but takes one value at two distinct points, "
                f"{shown(x)} and {shown(y)}: they attend to one another as to themselves. Add a component that tells "
                "them apart."
            )


@jax.jit
def _compiled_images(cost: LearnedMap, points: jax.Array) -> jax.Array:
    return jax.vmap(cost._image)(points)
