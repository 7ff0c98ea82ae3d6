"""What was measured at one size, and what several levels have in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from attnflow._words import briefly


@dataclass(frozen=True, eq=False)
class Level:
    """What was measured at one size.

    Args:
        size: the size, as in the ladder.
        values: one number per seed, shape (seeds,).
        deterministic: whether the number involves no randomness; all its values are then equal.
        seconds: the time it took.
        ess: effective number of neighbours, from (N, eps, p) only; None where it has no meaning.
        solver_error: declared absolute error of the values; None where there is none.
        failed: why the case failed, or None.
    """

    size: float
    values: np.ndarray
    deterministic: bool = False
    seconds: float = 0.0
    ess: float | None = None
    solver_error: float | None = None
    failed: str | None = None

    __repr__ = briefly

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", np.asarray(self.values, dtype=np.float64))


def table_of(levels: Sequence[Level]) -> np.ndarray:
    """Return the values (levels,) of a deterministic ladder, (levels, seeds) of a random one.

    Example:
        >>> import attnflow as af
        >>> table_of([af.Level(size=1.0, values=[3.0, 4.0]), af.Level(size=0.5, values=[1.0, 2.0])]).shape
        (2, 2)
    """
    if levels[0].deterministic:
        return np.array([level.values[0] for level in levels])
    return np.stack([level.values for level in levels])


def largest_solver_error(levels: Iterable[Level]) -> float:
    """Return the largest declared solver error, zero where none is declared."""
    return max(level.solver_error or 0.0 for level in levels)


def seeds_in_words(levels: Sequence[Level]) -> str:
    """Return "deterministic" or the number of seeds, as in "40 seeds"."""
    return "deterministic" if levels[0].deterministic else f"{len(levels[0].values)} seeds"
