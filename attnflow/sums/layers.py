"""Layers of a population: one operator, or two where f asks for a finer quadrature than what comes out of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.sums.operators.base import RowOperator
from attnflow.sums.zonal import ZonalOperator


class Layers(NamedTuple):
    """The operator on two quadratures: one that resolves f, for the first layer, and one for what comes out of it."""

    first: RowOperator | ZonalOperator
    rest: RowOperator | ZonalOperator

    def iterate(self, own: np.ndarray, *, counts: list[int], at: np.ndarray, at_zero: np.ndarray | None) -> np.ndarray:
        """Return A^n f at points for several n, from the values of f at the nodes of the first layer."""
        if self.first is self.rest:
            return self.rest.iterate(own, counts=counts, at=at, at_zero=at_zero)
        recorded = {} if at_zero is None else {0: at_zero}
        if 1 in counts:
            recorded[1] = self.first(own, at)
        later = [n for n in counts if n > 1]
        if later:
            smooth = self.first(own, self.rest.measure.points)
            found = self.rest.iterate(smooth, counts=[n - 1 for n in later], at=at, at_zero=None)
            recorded |= dict(zip(later, found, strict=True))
        return np.stack([recorded[n] for n in counts])

    @property
    def method(self) -> str:
        """How it is averaged, in words."""
        if isinstance(self.first, ZonalOperator):
            return f"harmonics up to degree {self.first.limit}"
        return f"quadrature, {len(self.first.measure)} nodes"

    def holds(self, rtol: float) -> bool:
        """Whether harmonics have resolved what they averaged; of quadratures it is known beforehand."""
        return not isinstance(self.rest, ZonalOperator) or (self.rest.resolves(rtol) and self.rest.keeps(rtol))

    @property
    def worst_error(self) -> float:
        """A bound on the error of any average so far, relative to the largest value."""
        return max(self.first.worst_error, self.rest.worst_error)
