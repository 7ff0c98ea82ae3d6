"""What a kind of claim is: how it is checked, read off the levels, said in words and drawn."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from attnflow._checks import check_real
from attnflow.errors import ConfigError
from attnflow.judge.levels import Level
from attnflow.judge.missing import narrowing, times
from attnflow.judge.rates import LimitFit, RateFit
from attnflow.judge.words import interval, number


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The numbers of a claim, which is all that its kind reads of it; see `Claim` for their meaning."""

    predicted: float
    margin: float | None = None
    floor: float | Sequence[float] | None = None
    statistic: str = "mean"
    correction_power: float = 1.0


@dataclass(frozen=True)
class Reading:
    """A measured number with its interval and the fit it comes from, or why there is none.

    Args:
        reason: one sentence: how the number was measured, or why there is none.
        measured, low, high: the number and its interval, None where there is none.
        dropped: how many levels lie under the declared floor.
        fit: the fit that gave the number, None where none was made.
        solver_error: the part of the interval, to either side, that the declared solver errors make.
        missing: what more would give an interval, where there is none.
    """

    reason: str
    measured: float | None = None
    low: float | None = None
    high: float | None = None
    dropped: int = 0
    fit: RateFit | LimitFit | None = None
    solver_error: float = 0.0
    missing: str | None = None


class Kind(ABC):
    """A kind of claim.

    Attributes:
        name: as in `Claim.kind`.
        plural: as in error messages.
        figure: which figure of plots/ shows its levels, None if there is nothing to see.
        admits: the optional fields of a claim that mean something for this kind.
        statistics: the summaries over seeds that may be claimed, the default first.
        is_ladder: whether the levels give one number together, so that each size stands once and levels share seeds.
        takes_logarithms: whether it takes logarithms of the sizes, which must then be positive.
    """

    name: str
    plural: str
    figure: str | None
    admits: frozenset[str] = frozenset()
    statistics: tuple[str, ...] = ("mean",)
    is_ladder: bool = False
    takes_logarithms: bool = False

    @abstractmethod
    def default_margin(self, predicted: float) -> float | None:
        """Return the margin of a claim that states none, or None if it must state one."""

    @abstractmethod
    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the number that levels without a flaw measure, with its interval at this confidence."""

    def check_predicted(self, value: object) -> float:
        """Return the prediction as a float; raise ConfigError if it is no finite number."""
        return check_real(value, "predicted")

    def check_margin(self, given: object, *, predicted: float, name: str = "margin") -> float:
        """Return the margin of a prediction, its default if none is given; raise ConfigError unless it is positive."""
        margin = self.default_margin(predicted) if given is None else check_real(given, name)
        if margin is None or margin <= 0:
            raise ConfigError(f"`{name}` must be positive, got {margin!r}. It is absolute, in units of `predicted`.")
        return margin

    def say_missing(
        self, reading: Reading, levels: Sequence[Level], *, size: str, predicted: float, margin: float
    ) -> str | None:
        """Return what more would decide whether a number is predicted +- margin, should it stay the same; or None.

        An interval over s seeds is shortened by s^(-1/2), that of a deterministic ladder by levels that are finer or by
        the next term of the correction.

        Args:
            reading: the number with its interval, if it has one.
            levels: from which it was read.
            size: the case parameter that the ladder varies.
            predicted: the number.
            margin: that it may be off by.
        """
        measured, low, high, error = reading.measured, reading.low, reading.high, reading.solver_error
        if measured is None or low is None or high is None:
            return reading.missing
        part = narrowing(measured, low=low, high=high, predicted=predicted, margin=margin)
        if part is None:
            return None
        now, needed = part
        if error > 0 and error >= needed:
            return f"solver errors smaller by {times(error / needed if needed else math.inf)}"
        factor = (now - error) / (needed - error) if needed > error else math.inf
        if not levels[0].deterministic:
            return f"{times(factor**2)} the seeds"
        finer = "smaller" if reading.fit is not None and reading.fit.orientation == 1 else "more"
        narrower = times(factor).removeprefix("about ")
        return f"an interval {narrower} narrower: {finer} {size}, or another correction"

    def say_predicted(self, predicted: float, *, margin: float) -> str:
        """Return the prediction with its margin as text."""
        return f"{number(predicted)} ± {number(margin, digits=2)}"

    def say_shortly(self, predicted: float, *, margin: float) -> str:
        """Return the prediction as text for a column beside that of the margin."""
        return f"{predicted:.5g}"

    def say_measured(self, measured: float, *, low: float | None, high: float | None, margin: float) -> str:
        """Return what was measured, with its interval where it has one, as text."""
        return interval(measured, low=low, high=high, margin=margin)
