"""Exponents: the slope d log RMS / d log size of a ladder of errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnflow.judge.kinds.base import Kind, Prediction, Reading
from attnflow.judge.levels import Level, largest_solver_error, seeds_in_words, table_of
from attnflow.judge.rates import MINIMUM_LEVELS, fit_rate

FIRM_LEVELS, FIRM_LEVELS_DETERMINISTIC = 8, 6  # below these an exponent is at best inconclusive
MAXIMUM_DROPPED = 2
SOLVER_SHARE = 0.1  # of the smallest measured error


class Exponent(Kind):
    """A power law: log e = c + r log h + d h^q, where the claim predicts r."""

    name, plural, figure = "exponent", "exponents", "ladder"
    admits = frozenset({"floor", "correction_power"})
    is_ladder = takes_logarithms = True

    def default_margin(self, predicted: float) -> float:
        """Return 0.05: exponents of neighbouring theorems differ by a half or more."""
        return 0.05

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the slope of the usable levels; without firmly many of them it has no interval."""
        floor = _floor(claim, count=len(levels))
        if len(floor) != len(levels):
            return Reading(f"{len(floor)} floors are declared for {len(levels)} levels")
        table = table_of(levels)
        used = _rms(table) >= floor
        usable, dropped = int(used.sum()), int((~used).sum())
        flaw = _flaw(table[used], [level for level, use in zip(levels, used, strict=True) if use], dropped=dropped)
        if flaw is not None:
            return Reading(flaw, dropped=dropped)

        sizes, power = [level.size for level in levels], claim.correction_power
        fit = fit_rate(sizes, table, confidence=confidence, correction_power=power, floor=floor)
        firm = FIRM_LEVELS_DETERMINISTIC if levels[0].deterministic else FIRM_LEVELS
        if usable < firm:
            reason = f"{usable} usable levels of the {firm} needed; the fit gives [{fit.low:.4g}, {fit.high:.4g}]"
            resolved = f": only {usable} are resolved, {dropped} under the floor" if dropped else ""
            missing = f"{firm - usable} more level{'s' * (firm - usable > 1)}{resolved}"
            return Reading(reason, measured=fit.rate, dropped=dropped, fit=fit, missing=missing)
        caveat = "" if fit.asymptotic else "; the correction is still above 10 % on the finer half"
        return Reading(
            f"slope of {usable} levels, {seeds_in_words(levels)}{caveat}",
            measured=fit.rate, low=fit.low, high=fit.high, dropped=dropped, fit=fit,
        )  # fmt: skip


def _flaw(table: np.ndarray, levels: Sequence[Level], *, dropped: int) -> str | None:
    """Return why the levels over the floor give no exponent, or None."""
    if len(levels) < MINIMUM_LEVELS:
        return f"{len(levels)} usable levels, an exponent needs {MINIMUM_LEVELS}"
    if dropped > MAXIMUM_DROPPED:
        return f"{dropped} levels are under the floor, at most {MAXIMUM_DROPPED} may be"
    if (table <= 0).any():
        return "an error is zero or negative: no logarithm"
    solver_error, smallest = largest_solver_error(levels), _rms(table).min()
    if solver_error >= SOLVER_SHARE * smallest:
        return f"solver error {solver_error:.2g} is not under 10 % of the smallest measured error {smallest:.2g}"
    return None


def _rms(table: np.ndarray) -> np.ndarray:
    return np.abs(table) if table.ndim == 1 else np.sqrt(np.mean(table**2, axis=1))


def _floor(claim: Prediction, *, count: int) -> np.ndarray:
    """Return one floor per level; a quick ladder is a prefix of the full one, and so are its floors."""
    floor = np.asarray(0.0 if claim.floor is None else claim.floor, dtype=np.float64)
    return np.full(count, floor) if floor.ndim == 0 else floor[:count]
