"""A cost with query and key exchanged."""

from __future__ import annotations

import jax

from attnflow._values import value
from attnflow.pseudometrics.base import PseudoMetric


@value
class Exchanged(PseudoMetric):
    """The cost D'(x, y) = D(y, x) of a cost D: how much a key is attended is the total of a row of it.

    Args:
        pseudometric: D.
    """

    pseudometric: PseudoMetric

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.pseudometric.vanishes_on_diagonal

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.pseudometric(y, x)
