"""A cost of points that carry their places, and which places they attend to: a mask that JAX can trace."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from attnflow._values import value
from attnflow.pseudometrics.base import PseudoMetric

EXTRA = 3  # coordinates: of a query the first and the last place that it attends to, of a key its own place


@value
class Placed(PseudoMetric):
    """The cost D(x, y) of the first coordinates where the place of y is within the range of x, and infinity elsewhere.

    Args:
        pseudometric: D.
    """

    pseudometric: PseudoMetric

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.pseudometric.vanishes_on_diagonal

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        return self.pseudometric.is_examined

    @property
    def ambient_dim(self) -> int | None:  # type: ignore[override]
        inner = self.pseudometric.ambient_dim
        return None if inner is None else inner + EXTRA

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        first, last, place = x[-3], x[-2], y[-1]
        attended = (first <= place) & (place <= last)
        return jnp.where(attended, self.pseudometric(x[:-EXTRA], y[:-EXTRA]), jnp.inf)
