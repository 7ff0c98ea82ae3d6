"""Distances that know their noise floor: what two samples of one law would be apart."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable
from typing import Self

from attnflow.comparison.laws import Law, resamples


class Distance(float):
    """A distance of two laws, a number, with what the same distance would be by chance.

    Attributes:
        noise_floor: root mean square of the distance of two samples of one law, as large as those compared.
        directions_error: of a sliced distance, the standard error from the directions that were drawn; 0 elsewhere.
    """

    directions_error: float

    def __new__(cls, value: float, floor: Callable[[], float], *, directions_error: float = 0.0) -> Self:
        """Make one, with a function that tells the floor when it is asked for."""
        made = super().__new__(cls, value)
        made._floor = floor
        made.directions_error = directions_error
        return made

    _floor: Callable[[], float]

    @functools.cached_property
    def noise_floor(self) -> float:
        return self._floor()

    def __repr__(self) -> str:
        directions = f", directions +- {self.directions_error:.2g}" if self.directions_error else ""
        return f"{float(self):.6g} (noise floor {self.noise_floor:.2g}{directions})"

    __str__ = __repr__

    def __reduce__(self) -> tuple:
        """Give pickle the numbers."""
        return _restored, (float(self), self.noise_floor, self.directions_error)


def _restored(value: float, floor: float, directions_error: float) -> Distance:
    return Distance(value, lambda: floor, directions_error=directions_error)


def resampled_floor(distances: Iterable[Callable[[Law, Law], float]], a: Law, b: Law) -> float:
    """Return the root mean square of distances, one for each pair of samples of the pooled law; zero of two densities.

    A distance that is a mean over directions may take other ones for each pair: together they are as many.
    """
    if math.isinf(a.size) and math.isinf(b.size):
        return 0.0
    squares = [distance(*pair) ** 2 for distance, pair in zip(distances, resamples(a, b), strict=False)]
    return math.sqrt(sum(squares) / len(squares))
