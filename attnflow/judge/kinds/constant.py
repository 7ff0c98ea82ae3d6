"""Constants: the limit of a ladder of values, or the value of its only level."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from attnflow.judge.intervals import seed_interval
from attnflow.judge.kinds.base import Kind, Prediction, Reading
from attnflow.judge.levels import Level, seeds_in_words, table_of
from attnflow.judge.rates import MINIMUM_LEVELS, LimitFit, fit_limit


class Constant(Kind):
    """A limit: value = L + d h^q, where the claim predicts L."""

    name, plural, figure = "constant", "constants", "limit"
    admits = frozenset({"statistic", "correction_power"})
    statistics = ("mean", "rms")
    is_ladder = True

    def default_margin(self, predicted: float) -> float:
        """Return five percent of the prediction."""
        return 0.05 * abs(predicted)

    def read(self, claim: Prediction, levels: Sequence[Level], *, confidence: float) -> Reading:
        """Return the extrapolated limit, or the value of one level; its interval is wider by what solver errors do."""
        if 1 < len(levels) < MINIMUM_LEVELS:
            return Reading(f"{len(levels)} levels: a constant needs one, or {MINIMUM_LEVELS} to extrapolate")
        table, fit = table_of(levels), None
        if len(levels) > 1:
            fit = _fit(claim, levels, confidence=confidence)
            measured, half_width = fit.limit, fit.high - fit.limit
        elif levels[0].deterministic:
            measured, half_width = float(table[0]), 0.0
        elif np.ptp(table) == 0:
            reason = f"all {table.size} seeds give the same: no interval; an identity claims what every seed has"
            return Reading(reason, measured=float(table[0, 0]), missing="a claim of kind identity")
        else:
            one = np.ones(1)
            measured, half_width = seed_interval(table, statistic=claim.statistic, weights=one, confidence=confidence)
        weights = (1.0,) if fit is None else fit.weights  # extrapolation magnifies errors: sum |w| > 1
        error = sum(abs(w) * (level.solver_error or 0.0) for w, level in zip(weights, levels, strict=True))
        half_width += error
        how = "value of one level" if fit is None else f"limit of {len(levels)} levels"
        return Reading(
            f"{how}, {seeds_in_words(levels)}",
            measured=measured, low=measured - half_width, high=measured + half_width, fit=fit, solver_error=error,
        )  # fmt: skip


def _fit(claim: Prediction, levels: Sequence[Level], *, confidence: float) -> LimitFit:
    return fit_limit(
        [level.size for level in levels], table_of(levels),
        confidence=confidence, correction_power=claim.correction_power, statistic=claim.statistic,
    )  # fmt: skip
