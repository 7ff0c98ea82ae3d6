"""A cost less twice a potential of the keys."""

from __future__ import annotations

from collections.abc import Callable

import jax

from attnflow._programs import at_point
from attnflow._values import value
from attnflow.pseudometrics.base import PseudoMetric


@value
class Tilted(PseudoMetric):
    """The cost D(x, y) - 2 b(y): its kernel is that of D with the key weights e^{b/eps} [S].

    Args:
        pseudometric: D.
        potential: b of one ambient point.
    """

    pseudometric: PseudoMetric
    potential: Callable

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.pseudometric(x, y) - 2 * at_point(self.potential, y, name="log_weight", scalar=True)
