"""Orderings: that one thing is ahead of another, seed by seed, by at least so much."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from attnflow.errors import ConfigError
from attnflow.judge.intervals import least_seeds, median_interval, seed_interval
from attnflow.judge.kinds.base import Kind, Prediction, Reading
from attnflow.judge.levels import Level
from attnflow.judge.words import interval, number

MOST = 1.0  # an advantage lies in [-MOST, MOST]
SPELLED = 0.1  # the margin to a hundredth of which advantages are spelled: three decimals, whatever is claimed


class Ordering(Kind):
    """An advantage a over seeds, where the claim predicts a >= m as 1 +- (1 - m): 1 is the most there can be.

    An advantage is a number in [-1, 1]: a difference of two accuracies that were measured with the same seed, or the
    relative difference (b - a) / (a + b) of two positive losses, errors or times. Claimed is its mean, or its median.

    The interval of the mean supposes that the seeds show how the advantage varies. Measured with accuracies of .97, but
    1/2 in a tenth or in four tenths of the seeds: if both sides collapse alike, so that none is ahead, one is found
    ahead in .015 to .053 of all runs at a nominal .05, and in at most .00018 at .00013, as a table asks. If only
    the side that is better otherwise collapses, in a tenth of the seeds, then .35 of all runs of 10 seeds, and .04 of
    those of 30, do not show it, and it is found ahead though the means are equal: no interval of a mean can know. So
    how often something collapses is a claim of its own, and what holds in a typical seed is one of the median, whose
    interval holds for whatever law. At the level of a table that takes 15 seeds.

    Seeds that are all equal say nothing about how much a mean varies, and give no interval of it.
    """

    name, plural, figure = "ordering", "orderings", "ordering"
    admits = frozenset({"statistic"})
    statistics = ("mean", "median")

    def default_margin(self, predicted: float) -> float:
        """Return 1: whatever is not behind."""
        return MOST

    def check_predicted(self, value: object) -> float:
        """Return the advantage; raise ConfigError if it is not in [-1, 1]."""
        predicted = super().check_predicted(value)
        if abs(predicted) > MOST:
            raise ConfigError(
                f"`predicted` of an ordering must be an advantage in [-1, 1], got {predicted:g}. "
                "Pass 1.0 with `margin=1 - m`, which claims at least m."
            )
        return predicted

    def check_margin(self, given: object, *, predicted: float, name: str = "margin") -> float:
        """Return the margin; raise ConfigError if it is not positive, or if every advantage lies within it."""
        margin = super().check_margin(given, predicted=predicted, name=name)
        if margin >= MOST + abs(predicted):
            raise ConfigError(
                f"`{name}` of an ordering must leave something of [-1, 1] out, got {margin:g} about {predicted:g}. "
                "Pass 1 - m to claim at least m."
            )
        return margin

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the mean or median advantage over the seeds of the only level, with its interval within [-1, 1]."""
        if len(levels) > 1:
            return Reading(f"{len(levels)} levels: an ordering is read at one")
        (level,) = levels
        outside = int(np.count_nonzero(np.abs(level.values) > MOST))
        if outside:
            return Reading(f"{outside} of {level.values.size} values lie outside [-1, 1]: no advantages")
        if not level.deterministic and level.values.size < 2:
            return Reading("one seed gives no interval")
        found = _Advantage.of(level, statistic=claim.statistic, confidence=confidence)
        if found.ends is None:
            return Reading(found.how, measured=found.value, missing=found.missing)
        error = level.solver_error or 0.0
        low, high = max(found.ends[0] - error, -MOST), min(found.ends[1] + error, MOST)
        return Reading(found.how, measured=found.value, low=low, high=high, solver_error=error)

    def say_predicted(self, predicted: float, *, margin: float) -> str:
        """Return "at least" the least advantage that is claimed, or the advantage with its margin."""
        if predicted == MOST:
            return f"at least {number(least(predicted, margin=margin))}"
        return super().say_predicted(predicted, margin=margin)

    def say_shortly(self, predicted: float, *, margin: float) -> str:
        """Return the least advantage that is claimed, or the advantage."""
        return f">= {least(predicted, margin=margin):.5g}" if predicted == MOST else f"{predicted:.5g}"

    def say_measured(self, measured: float, *, low: float | None, high: float | None, margin: float) -> str:
        """Return the advantage with its interval where it has one, with three decimals."""
        return interval(measured, low=low, high=high, margin=SPELLED)


class _Advantage(NamedTuple):
    """A summary over seeds, the ends of its interval if it has one, how it was found, and what an interval needs."""

    value: float
    ends: tuple[float, float] | None
    how: str
    missing: str | None = None

    @classmethod
    def of(cls, level: Level, *, statistic: str, confidence: float) -> _Advantage:
        values = level.values
        if level.deterministic:
            return cls(float(values[0]), (float(values[0]), float(values[0])), "deterministic")
        how = f"{statistic} of {values.size} seeds, {np.count_nonzero(values > 0)} of them ahead"
        if statistic == "median":
            ends = median_interval(values, confidence=confidence)
            needed = f"{least_seeds(confidence)} seeds in all"
            how += "" if ends else "; too few for an interval"
            return cls(float(np.median(values)), ends, how, None if ends else needed)
        if np.ptp(values) == 0:
            how += "; all are equal, which gives no interval"
            return cls(float(values[0]), None, how, "seeds that differ, or a claim of the median")
        mean, half = seed_interval(values[None], statistic=statistic, weights=np.ones(1), confidence=confidence)
        return cls(mean, (mean - half, mean + half), how)


def least(predicted: float, *, margin: float) -> float:
    """Return the least advantage that is claimed.

    Example:
        >>> least(1.0, margin=0.95)
        0.05
    """
    return round(predicted - margin, 12)  # 1 - .95 as a reader wrote it
