"""Costs of linearly mapped queries and keys: what a trained head computes, L2 attention and graph attention."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow.errors import ConfigError
from attnflow.pseudometrics.base import Factors, Mapped, PseudoMetric
from attnflow.pseudometrics.plain import minus_squares

_DEGENERATE = 1e-12  # of the largest singular value: less is none


@value
class _QueriesAndKeys(PseudoMetric):
    """A cost of mapped queries Q x and keys K y, Q and K of shape (k, D)."""

    queries: Any
    keys: Any

    def __post_init__(self) -> None:
        freeze(self, queries=_matrix(self.queries, "queries"), keys=_matrix(self.keys, "keys"))
        if self.queries.shape != self.keys.shape:
            raise ConfigError(
                f"`queries` and `keys` must have one shape, got {self.queries.shape} and {self.keys.shape}: Q x and "
                "K y are compared, and x and y have as many coordinates. Pass two matrices (k, D)."
            )

    @property
    def ambient_dim(self) -> int:  # type: ignore[override]
        return self.queries.shape[1]


@value
class QueryKey(_QueriesAndKeys):
    """The dot product of mapped points, D(x, y) = -2 <Q x, K y>: the logit is <Q x, K y> / eps, as in a transformer.

    On a sphere with Q'K invertible the minimiser is y* = K'Q x / |K'Q x|, in general not the query: attention tends to
    a jump [RZ, Example 3], see LaplaceExpansion. On the ellipsoid x'Q'Q x = 1, with K = Q, it is the query, and the
    induced metric is the pull-back of Q'Q.

    Args:
        queries: Q, (k, D).
        keys: K, (k, D).

    Raises:
        ConfigError: if one is no matrix, or they do not map points of one dimension to one space.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.QueryKey(np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]]))
        >>> float(cost(np.array([1.0, 1.0]), np.array([5.0, 4.0])))
        -24.0
    """

    is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return -2 * jnp.dot(self.queries @ x, self.keys @ y)

    def factors(self, radius: Any) -> Factors:
        """Return the mapped points."""
        return Factors(lambda x: x @ self.queries.T, lambda y: y @ self.keys.T)

    def mapped(self, center: Any) -> Mapped:
        """Return the mapped points, with r = -|Q x|^2 and c = -|K y|^2."""
        a, b = self.factors(1.0)
        return Mapped(a, b, lambda x: minus_squares(a(x)), lambda y: minus_squares(b(y)))


@value
class QueryKeyDistance(_QueriesAndKeys):
    """The squared distance of mapped points, D(x, y) = |Q x - K y|^2, whose logit has a term of the norm of keys [K].

    Args:
        queries: Q, (k, D).
        keys: K, (k, D).

    Raises:
        ConfigError: if one is no matrix, or they do not map points of one dimension to one space.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.QueryKeyDistance(np.array([[1.0, 2.0]]), np.array([[0.0, 1.0]]))
        >>> float(cost(np.array([1.0, 1.0]), np.array([5.0, 4.0])))
        1.0
    """

    is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sum((self.queries @ x - self.keys @ y) ** 2)

    def mapped(self, center: Any) -> Mapped:
        """Return the mapped points."""
        return Mapped(lambda x: x @ self.queries.T, lambda y: y @ self.keys.T)


@value
class Mahalanobis(PseudoMetric):
    """The distance of L2 attention, D(x, y) = |Q (x - y)|^2: the induced metric is the pull-back of Q'Q  [K, RZ].

    Args:
        matrix: Q, (k, D).

    Raises:
        ConfigError: if it is no matrix.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.Mahalanobis(np.array([[1.0, 2.0], [0.0, 3.0]]))
        >>> float(cost(np.array([1.0, 1.0]), np.array([0.0, 0.0])))
        18.0
    """

    matrix: Any

    vanishes_on_diagonal = is_symmetric = is_examined = True

    def __init__(self, matrix: Any) -> None:
        freeze(self, matrix=_matrix(matrix, "matrix"))

    @property
    def ambient_dim(self) -> int:  # type: ignore[override]
        return self.matrix.shape[1]

    @property
    def is_definite(self) -> bool:
        """Whether Q is known to have full column rank."""
        if is_traced(self.matrix) or self.matrix.shape[0] < self.matrix.shape[1]:
            return False
        singular = np.linalg.svd(self.matrix, compute_uv=False)
        return bool(singular[-1] > _DEGENERATE * singular[0])

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.sum((self.matrix @ (x - y)) ** 2)

    def mapped(self, center: Any) -> Mapped:
        """Return the mapped points, counted from the center."""

        def image(points: Any) -> Any:
            return (points - center) @ self.matrix.T

        return Mapped(image, image)


@value
class GraphAttention(PseudoMetric):
    """The cost of graph attention on linear features, D(x, y) = (a'P (x - y))^2  [RZ].

    It is a metric where a'P is strictly monotone along the manifold, as on an interval. On a closed curve a linear
    functional has extrema, and every x a second minimiser: there is no diffusion limit.

    Args:
        projection: P, (k, D).
        weights: a, (k,).

    Raises:
        ConfigError: if P is no matrix, or a not a vector with one weight for each of its rows.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.GraphAttention(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2.0]))
        >>> float(cost(np.array([1.0, 1.0]), np.array([0.0, 0.0])))
        9.0
    """

    projection: Any
    weights: Any

    vanishes_on_diagonal = is_symmetric = is_examined = True

    def __init__(self, projection: Any, weights: Any) -> None:
        freeze(self, projection=_matrix(projection, "projection"), weights=_array(weights, "weights"))
        if self.weights.shape != self.projection.shape[:1]:
            raise ConfigError(
                f"`weights` must have one entry for each row of `projection`, got shapes {self.weights.shape} and "
                f"{self.projection.shape}. Pass a of shape ({self.projection.shape[0]},)."
            )

    @property
    def ambient_dim(self) -> int:  # type: ignore[override]
        return self.projection.shape[1]

    @property
    def is_definite(self) -> bool:
        """Whether one feature tells points apart: of one coordinate."""
        return self.ambient_dim == 1 and Mahalanobis(self._functional[None]).is_definite

    @property
    def _functional(self) -> Any:
        return self.weights @ self.projection

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return jnp.dot(self._functional, x - y) ** 2

    def mapped(self, center: Any) -> Mapped:
        """Return the one feature of the points, counted from the center."""
        return Mahalanobis(self._functional[None]).mapped(center)


def _matrix(given: Any, name: str) -> Any:
    """Return a matrix (k, D); raise ConfigError for anything else."""
    array = _array(given, name)
    if array.ndim != 2 or not array.size:
        raise ConfigError(f"`{name}` must be a matrix (k, D), got shape {array.shape}. Pass one row per feature.")
    return array


def _array(given: Any, name: str) -> Any:
    return given if is_traced(given) else check_finite(given, name)
