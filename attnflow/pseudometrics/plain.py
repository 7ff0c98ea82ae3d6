"""The two plain costs: squared distance and dot product."""

from __future__ import annotations

from typing import Any

import jax

from attnflow._values import value
from attnflow.pseudometrics.base import Factors, Mapped, PseudoMetric


@value
class SquaredDistance(PseudoMetric):
    """The squared chordal distance D(x, y) = |x - y|^2.

    Written as a sum over coordinates of differences: no cancellation, and coordinates stay separate arrays when many
    pairs are computed at once.

    Example:
        >>> import numpy as np, attnflow as af
        >>> float(af.SquaredDistance()(np.array([1.0, 2.0]), np.array([4.0, 6.0])))
        25.0
    """

    vanishes_on_diagonal = is_symmetric = is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return sum((x[i] - y[i]) ** 2 for i in range(x.shape[0]))  # type: ignore[return-value]

    def factors(self, radius: Any) -> Factors:
        """Return a = (x, -|x|^2 / 2R, R) and b = (y, R, -|y|^2 / 2R), whose products are -|x - y|^2 / 2."""
        return Factors(
            lambda x: _beside(x, _squares(x) / (-2 * radius), radius),
            lambda y: _beside(y, radius, _squares(y) / (-2 * radius)),
        )

    def mapped(self, center: Any) -> Mapped:
        """Return the points themselves."""
        return Mapped(_itself, _itself)


@value
class DotProduct(PseudoMetric):
    """The dot product D(x, y) = -2 <x, y>, so that the logit is <x, y> / eps.

    On a unit sphere softmax attention with D equals that with the squared distance, and beta = 1/eps is the inverse
    temperature. Off a sphere the minimiser of D is not the query: see LaplaceExpansion.

    Example:
        >>> import numpy as np, attnflow as af
        >>> float(af.DotProduct()(np.array([1.0, 2.0]), np.array([4.0, 6.0])))
        -32.0
    """

    is_symmetric = is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return -2 * sum(x[i] * y[i] for i in range(x.shape[0]))  # type: ignore[return-value]

    def factors(self, radius: Any) -> Factors:
        """Return the points themselves."""
        return Factors(_itself, _itself)

    def mapped(self, center: Any) -> Mapped:
        """Return the points themselves, with r = -|x|^2 and c = -|y|^2."""
        return Mapped(_itself, _itself, minus_squares, minus_squares)


def minus_squares(rows: Any) -> Any:
    """Return -|a|^2 of rows (n, K), (n,)."""
    return -rows.__array_namespace__().sum(rows * rows, axis=1)


def _itself(points: Any) -> Any:
    return points


def _squares(points: Any) -> Any:
    return points.__array_namespace__().sum(points * points, axis=1, keepdims=True)


def _beside(points: Any, *columns: Any) -> Any:
    """Return the points (n, D) with columns (n, 1), or of one number, beside them."""
    library = points.__array_namespace__()
    wide = [library.broadcast_to(library.asarray(column, dtype=points.dtype), (len(points), 1)) for column in columns]
    return library.concatenate([points, *wide], axis=1)
