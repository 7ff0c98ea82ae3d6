"""The numbers of a head from the sums of one pass."""

from __future__ import annotations

import math

import numpy as np

from attnflow.lab.probe.passes import Moments, Pass, between, ratio
from attnflow.lab.probe.sequence import along

Numbers = dict[str, float]  # NaN where one has no meaning


def numbers_of_pass(summed: Pass, *, square: float, tokens: int) -> Numbers:
    """Return the numbers that a pass gives, NaN where one has no meaning.

    Args:
        summed: the sums.
        square: |C'C|^2, Frobenius, of the row-centred logits.
        tokens: N of the whole head, for the critical temperature; a subset is judged by that of the whole.
    """
    count = summed.count
    found: Numbers = {"ess": float(summed.ess.mean()), "ess_share": float(summed.ess.mean() / count)}
    found["split_half"] = math.nan if summed.halves is None else _agreement(*summed.halves)
    found |= {name: float(getattr(summed, name).mean()) for name in ("typicality", "gap", "own_top")}
    cost, potential, circulation, total = map(float, summed.parts)
    found["share_cost"] = ratio(cost, total)
    found["share_potential"] = ratio(potential, total)
    found["share_circulation"] = ratio(circulation, total)
    found["negative_cost"] = summed.negative / (count * (count - 1))
    for name, moved in zip(("cost", "potential", "circulation"), summed.moved.mean(axis=0), strict=True):
        found[f"tv_without_{name}"] = float(moved)
    found["locality"], found["jump"] = _place(summed.points)
    found["locality_values"], found["jump_values"] = _place(summed.values)
    found |= _skills(summed)
    found |= along(summed)
    dimension = ratio(total**2, square)
    found["effective_dimension"] = dimension
    found["temperature"] = math.sqrt(total) / count * math.sqrt(max(dimension, 2)) / critical(tokens, max(dimension, 2))
    found["column_imbalance"] = float(np.abs(summed.received - 1).mean() / 2)
    found["largest_key"] = float(summed.received.max() / count)
    return found


def critical(count: int, dim: float) -> float:
    """Return beta_c = (d-1) r/(1-r^2), r^2 = 1 - n^{-2/(d-1)}, where n even keys on S^{d-1} condense.

    Example:
        >>> from attnflow.lab.probe.numbers import critical
        >>> round(critical(400, 3.0), 2)
        799.0
    """
    left = count ** (-2 / (dim - 1))
    return (dim - 1) * math.sqrt(1 - left) / left


def _agreement(first: np.ndarray, second: np.ndarray) -> float:
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    return ratio(float(np.vdot(first, second)), float(np.linalg.norm(first) * np.linalg.norm(second)))


def _place(moments: Moments | None) -> tuple[float, float]:
    if moments is None:
        return math.nan, math.nan
    spread = float(moments.spreads.sum())
    moved = float(np.sum((moments.means - moments.features) ** 2))
    return ratio(spread, between(moments.features)), ratio(moved, spread)


def _skills(summed: Pass) -> Numbers:
    moments = summed.passed_on
    if moments is None or summed.linear is None:
        return {"skill_self": math.nan, "skill_first_order": math.nan, "contraction": math.nan}
    f, averaged = moments.features, moments.means - moments.means.mean(axis=0)
    left = between(moments.means)
    slope = ratio(float(np.vdot(f, averaged)), between(f))
    linear = summed.linear - summed.linear.mean(axis=0)
    return {
        "skill_self": 1 - ratio(float(np.sum((averaged - slope * f) ** 2)), left),
        "skill_first_order": 1 - ratio(float(np.sum((averaged - linear) ** 2)), left),
        "contraction": ratio(left, between(f)),
    }
