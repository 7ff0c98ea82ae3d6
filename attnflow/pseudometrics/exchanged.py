"""A cost with query and key exchanged."""

from __future__ import annotations

from typing import Any

import jax

from attnflow._values import value
from attnflow.pseudometrics.base import Factors, PseudoMetric


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

    def factors(self, radius: Any) -> Factors | None:
        """Return those of D, exchanged."""
        factors = self.pseudometric.factors(radius)
        return None if factors is None else Factors(factors.of_keys, factors.of_queries)
