"""Divergences: the costs of convex functions, asymmetric and least at the query."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

from attnflow._lifting import evaluate_compiled, shown
from attnflow._programs import at_point
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, DataError
from attnflow.pseudometrics.base import Mapped, PseudoMetric
from attnflow.pseudometrics.plain import minus_squares


@value
class Bregman(PseudoMetric):
    """Twice the Bregman divergence of the key from the query, D(x, y) = 2 (F(y) - F(x) - <grad F(x), y - x>).

    For F strictly convex it is positive but at y = x, and the induced metric is the pull-back of Hess F(x). It is not
    symmetric: the key is in the place in which it is convex, whatever F.

    Args:
        potential: F of one point (D,) -> scalar, in jax.numpy, smooth and strictly convex. Parameters, by which JAX can
            differentiate, go in front: `jax.tree_util.Partial(function, parameters)`.

    Raises:
        ConfigError: if `potential` is not a function.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> cost = af.Bregman(lambda x: jnp.sum(x**4))
        >>> float(cost(np.array([1.0, 0.0]), np.array([2.0, 0.0])))
        22.0
    """

    potential: Callable

    vanishes_on_diagonal = True

    def __post_init__(self) -> None:
        if not callable(self.potential):
            raise ConfigError(f"`potential` must be a function of one point, got {type(self.potential).__name__}.")
        freeze(self, potential=self.potential if isinstance(self.potential, Partial) else Partial(self.potential))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        here, slope = jax.value_and_grad(self._potential)(x)
        return 2 * (self._potential(y) - here - jnp.dot(slope, y - x))

    def _potential(self, x: jax.Array) -> jax.Array:
        return at_point(self.potential, x, name="potential", scalar=True)

    def mapped(self, center: Any) -> Mapped:
        """Return |grad F(x) - y|^2 with potentials: D = -2 <grad F(x), y> and terms of one point."""

        def row(x: Any) -> Any:
            here, slope = self._tangents(x)
            return 2 * ((slope * x).sum(axis=1) - here) + minus_squares(slope)

        return Mapped(
            lambda x: self._tangents(x)[1], lambda y: y, row, lambda y: 2 * self._tangents(y)[0] + minus_squares(y)
        )

    def _tangents(self, points: Any) -> tuple[Any, Any]:
        """Return F (n,) and its gradient (n, D) at points."""
        compiled = functools.partial(_compiled_tangents, self)
        found = compiled(points) if is_traced(self) else evaluate_compiled(compiled, points, name="potential")
        return found[:, 0], found[:, 1:]


@jax.jit
def _compiled_tangents(cost: Bregman, points: jax.Array) -> jax.Array:
    here, slopes = jax.vmap(jax.value_and_grad(cost._potential))(points)
    return jnp.concatenate([here[:, None], slopes], axis=1)


@value
class KullbackLeibler(PseudoMetric):
    """Twice the relative entropy of the key from the query, D(x, y) = 2 sum_i (y_i log(y_i / x_i) - y_i + x_i).

    Of probability vectors it is 2 KL(y | x), the Bregman divergence of F = sum_i x_i log x_i, and the induced metric
    that of Fisher, sum_i dx_i^2 / x_i. Vectors need not sum to one: the last two terms make it least at y = x among all
    positive ones.

    Example:
        >>> import numpy as np, attnflow as af
        >>> cost = af.KullbackLeibler()
        >>> round(float(cost(np.array([0.5, 0.5]), np.array([0.25, 0.75]))), 6)
        0.261624
    """

    vanishes_on_diagonal = is_examined = True

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return 2 * sum(y[i] * (jnp.log(y[i]) - jnp.log(x[i])) - (y[i] - x[i]) for i in range(x.shape[0]))  # type: ignore[return-value]

    def check(self, points: np.ndarray) -> None:
        """Raise DataError unless all entries are positive."""
        bad = (points <= 0).any(axis=1)
        if bad.any():
            row = int(np.argmax(bad))
            raise DataError(
                f"KullbackLeibler needs points with positive entries, and point {row} is {shown(points[row])}. Add a "
                "small number to all entries, or leave the point out."
            )

    def mapped(self, center: Any) -> Mapped:
        """Return |log x - y|^2 with potentials: D = -2 <log x, y> and terms of one point."""
        return Mapped(
            self._log, lambda y: y,
            lambda x: 2 * x.sum(axis=1) + minus_squares(self._log(x)),
            lambda y: 2 * (y * self._log(y) - y).sum(axis=1) + minus_squares(y),
        )  # fmt: skip

    def _log(self, points: Any) -> Any:
        if isinstance(points, np.ndarray):
            self.check(points)
        return points.__array_namespace__().log(points)
