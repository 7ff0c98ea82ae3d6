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

    def check_margin(self, given: object, *, predicted: float) -> float:
        """Return the tolerance; raise ConfigError if it is missing or negative."""
        if given is None:
            raise ConfigError("`margin` of an identity must be stated. Pass its tolerance, such as 1e-12.")
        margin = check_real(given, "margin")
        if margin < 0:
            raise ConfigError(f"`margin` must not be negative, got {margin!r}. Pass a tolerance, such as 1e-12.")
        return margin

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the value farthest from the prediction."""
        return worst_value(claim, levels)


def worst_value(claim: Prediction, levels: Sequence[Level]) -> Reading:
    """Return the value of all levels and seeds that is farthest from the prediction, and how many miss it."""
    values = np.concatenate([level.values for level in levels])
    distance = np.abs(values - claim.predicted)
    worst = float(values[np.argmax(distance)])
    missed = int(np.count_nonzero(distance > claim.margin))
    size = f"{values.size} value{'s' if values.size > 1 else ''}"
    reason = f"{missed} of {size} off" if missed else f"the worst of {size}"
    return Reading(reason, measured=worst, low=worst, high=worst)
