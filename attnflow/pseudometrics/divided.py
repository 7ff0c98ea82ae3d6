"""A cost in other units."""

from __future__ import annotations

import jax

from attnflow._values import value
from attnflow.pseudometrics.base import PseudoMetric, is_trusted


@value
class Divided(PseudoMetric):
    """The cost D(x, y) / c: with the Gaussian profile it has the limit of D with another one, see `Profile.scale`.

    Args:
        pseudometric: D.
        divisor: c, positive.
    """

    pseudometric: PseudoMetric
    divisor: float

    @property
    def vanishes_on_diagonal(self) -> bool:  # type: ignore[override]
        return self.pseudometric.vanishes_on_diagonal

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        return self.pseudometric.is_symmetric

    @property
    def is_examined(self) -> bool:  # type: ignore[override]
        return is_trusted(self.pseudometric)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.pseudometric(x, y) / self.divisor
