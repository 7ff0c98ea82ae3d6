"""Identities: every value equals the prediction up to a stated tolerance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnflow._checks import check_real
from attnflow.errors import ConfigError
from attnflow.judge.kinds.base import Kind, Prediction, Reading
from attnflow.judge.levels import Level


class Identity(Kind):
    """A value that every level and seed must have; its margin is the tolerance, which the claim states."""

    name, plural, figure = "identity", "identities", "distances"

    def default_margin(self, predicted: float) -> None:
        """Return None: no tolerance suits every identity."""
        return None

    def check_margin(self, given: object, *, predicted: float, name: str = "margin") -> float:
        """Return the tolerance; raise ConfigError if it is missing or negative."""
        if given is None:
            raise ConfigError(f"`{name}` of an identity must be stated. Pass its tolerance, such as 1e-12.")
        margin = check_real(given, name)
        if margin < 0:
            raise ConfigError(f"`{name}` must not be negative, got {margin!r}. Pass a tolerance, such as 1e-12.")
        return margin

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the value farthest from the prediction, known up to the solver error of its level."""
        return worst_value(claim, levels)


def worst_value(claim: Prediction, levels: Sequence[Level]) -> Reading:
    """Return the value v +- s of all levels and seeds, s its solver error, that decides whether all of them fit.

    It is the one that is off for certain by most, |v - predicted| - s, where that exceeds the margin for any of them;
    otherwise the one that may be farthest off, |v - predicted| + s.
    """
    values = np.concatenate([level.values for level in levels])
    errors = np.concatenate([np.full(level.values.size, level.solver_error or 0.0) for level in levels])
    distance = np.abs(values - claim.predicted)
    missed = int(np.count_nonzero(distance - errors > claim.margin))
    decisive = int(np.argmax(distance - errors if missed else distance + errors))
    worst, error = float(values[decisive]), float(errors[decisive])
    size = f"{values.size} value{'s' if values.size > 1 else ''}"
    reason = f"{missed} of {size} off" if missed else f"the worst of {size}"
    known = f", known up to the solver error {error:.2g}" if error else ""
    return Reading(reason + known, measured=worst, low=worst - error, high=worst + error, solver_error=error)
