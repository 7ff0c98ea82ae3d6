"""Flags: every value is true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from attnflow._checks import check_real
from attnflow.errors import ConfigError
from attnflow.judge.kinds.base import Kind, Prediction, Reading
from attnflow.judge.kinds.identity import worst_value
from attnflow.judge.levels import Level


class Flag(Kind):
    """Something that holds or not, at every level and for every seed.

    A truth value is 0 or 1, so one whose declared solver error is under 1/2 is known; with a larger error it may be
    either, and nothing is decided. What an error does to the number from which a flag was made, the judge cannot see:
    where that matters, claim an identity of the number itself.
    """

    name, plural, figure = "flag", "flags", None

    def default_margin(self, predicted: float) -> float:
        """Return 0: there is nothing between true and false."""
        return 0.0

    def check_predicted(self, value: object) -> float:
        """Return 1.0 for True and 0.0 for False; raise ConfigError if it is neither a truth value nor a number."""
        return float(value) if isinstance(value, bool | np.bool_) else check_real(value, "predicted")

    def check_margin(self, given: object, *, predicted: float, name: str = "margin") -> float:
        """Return 0; raise ConfigError if another margin is given."""
        if given is not None and check_real(given, name) != 0:
            raise ConfigError(f"`{name}` of a flag is 0, got {given!r}. Leave it out.")
        return 0.0

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the value farthest from the prediction: a false one, if there is any that is known."""
        return worst_value(claim, [replace(level, solver_error=_doubt(level)) for level in levels])

    def say_missing(
        self, reading: Reading, levels: Sequence[Level], *, size: str, predicted: float, margin: float
    ) -> str | None:
        """Return how small solver errors must be for a truth value to be known; None if it is."""
        return "solver errors under a half" if reading.solver_error else None

    def say_predicted(self, predicted: float, *, margin: float) -> str:
        """Return "true" or "false"."""
        return "true" if predicted else "false"

    def say_measured(self, measured: float, *, low: float | None, high: float | None, margin: float) -> str:
        """Return "true" or "false"."""
        return "true" if measured else "false"


def _doubt(level: Level) -> float:
    """Return the solver error of truth values: none if they are known to less than a half, one otherwise."""
    return float((level.solver_error or 0.0) >= 0.5)
