"""A cost with query and key exchanged."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from attnflow._values import value
from attnflow.pseudometrics.base import Factors, Mapped, PseudoMetric


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

    @property
    def is_definite(self) -> bool:
        return self.pseudometric.is_definite

    @property
    def ambient_dim(self) -> int | None:  # type: ignore[override]
        return self.pseudometric.ambient_dim

    def check(self, points: np.ndarray) -> None:
        self.pseudometric.check(points)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.pseudometric(y, x)

    def factors(self, radius: Any) -> Factors | None:
        """Return those of D, exchanged."""
        factors = self.pseudometric.factors(radius)
        return None if factors is None else Factors(factors.of_keys, factors.of_queries)

    def mapped(self, center: Any) -> Mapped | None:
        """Return that of D, exchanged, where its plainer cost is symmetric."""
        inner = self.pseudometric.mapped(center)
        if inner is None or (inner.cost and not inner.cost.is_symmetric):
            return None
        return Mapped(inner.of_keys, inner.of_queries, inner.column, inner.row, inner.cost)
