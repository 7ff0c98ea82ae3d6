"""The figure of an exponent: the errors of its levels on logarithmic axes, over the slopes between neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.rates import RateFit
from attnflow.judge.verdicts import Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.levels import (
    CLAIM,
    NO_LABELS,
    Look,
    Summary,
    control_looks,
    dashes,
    final,
    final_numbers,
    fitted_curve,
    pale_points,
    points,
    predictions,
    quantity,
    seeds,
    summarise,
    window,
)
from attnflow.lab.plots.log_axes import log_axis, size_axis
from attnflow.lab.plots.style import GREY

SLOPES: dict[str, Any] = {"linestyle": "-", "linewidth": 0.7, "markersize": 3.5, "capsize": 1.5, "elinewidth": 0.7}


def ladder(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the RMS over seeds of each level with the interval of a row, the judge's fit and the predicted slope.

        log e = c + r log h + d h^q

    Levels under the declared floor are hollow, the floor is hatched. Controls are pale: one that measures another
    quantity with its own levels, fit and predicted slope, one that shares the claim's with its predicted slope alone.

    Args:
        ax: where to draw.
        judgement: on an exponent.
        controls: on its controls.
        labels: of the quantities and sizes; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    ax.set(xscale="log", yscale="log", ylabel=quantity(claim, labels))
    finest = _errors(ax, judgement, look=CLAIM, label=seeds(judgement.levels))
    _predicted_slope(ax, judgement, through=finest, look=CLAIM, label="predicted")
    for control, look in control_looks(controls):
        through = finest
        if control.claim.quantity != claim.quantity:
            through = _errors(ax, control, look=look, label=f"{look.name}: {quantity(control.claim, labels)}")
        _predicted_slope(ax, control, through=through, look=look, label=f"{look.name} predicts")
    size_axis(ax, judgement, labels)
    log_axis(ax.yaxis)
    return ax


def local_slopes(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the slopes between neighbouring levels, the predicted one with its margin, and the fitted one at the limit.

    The interval of a slope takes its two levels as independent.

    Args:
        ax: where to draw.
        judgement: on an exponent.
        controls: on its controls, drawn pale.
        labels: of the sizes; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    others = [(control, look) for control, look in control_looks(controls) if control.claim.quantity != claim.quantity]
    own, pale = _slopes(judgement), [_slopes(control) for control, _ in others]
    ax.set(xscale="log", ylabel="local slope")
    predictions(ax, judgement, controls)
    ends = [np.array([control.claim.predicted]) for control in controls]
    ends += [end for slopes in pale for end in (slopes.low, slopes.high)]
    ax.set_ylim(*window([own.low, own.high, final_numbers(judgement)], controls=ends))
    points(ax, own, look=CLAIM, **SLOPES)
    final(ax, judgement, look=CLAIM)
    for (control, look), slopes in zip(others, pale, strict=True):
        pale_points(ax, slopes, look=look, **SLOPES)
        final(ax, control, look=look)
    size_axis(ax, judgement, labels)
    return ax


def _errors(ax: Axes, judgement: Judgement, *, look: Look, label: str) -> tuple[float, float] | None:
    """Draw the levels, the floor under them and the fit; return where the fit, or without one the ladder, ends."""
    rms = summarise(judgement.levels, statistic="log")
    floor = _floor(judgement, rms)
    used = rms.values >= floor
    points(ax, rms.where(used), look=look, label=label)
    if (~used).any():
        hollow = "dropped: under the floor" if look is CLAIM else None
        points(ax, rms.where(~used), look=look, label=hollow, markerfacecolor="white")
    if floor.any() and look is CLAIM:
        bottom = min(rms.values.min(), floor[floor > 0].min()) / 3
        hatched: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "hatch": "////", "linewidth": 0}
        ax.fill_between(rms.sizes, floor, bottom, label="declared floor", **hatched)
    if not used.any():
        return None
    sizes = rms.sizes[used]
    if not isinstance(judgement.fit, RateFit):
        return sizes[-1], rms.values[used][-1]
    measured = number(judgement.fit.rate, margin=judgement.claim.margin)
    fitted = f"corrected fit: slope {measured}" if look is CLAIM else None
    return sizes[-1], fitted_curve(ax, judgement, rms.where(used), look=look, label=fitted)


def _predicted_slope(
    ax: Axes, judgement: Judgement, *, through: tuple[float, float] | None, look: Look, label: str
) -> None:
    if through is None:
        return
    size, error = through
    predicted = judgement.claim.predicted
    ends = np.array([judgement.levels[0].size, judgement.levels[-1].size])
    ax.plot(ends, error * (ends / size) ** predicted, label=f"{label} slope {number(predicted)}", **dashes(look))


def _slopes(judgement: Judgement) -> Summary:
    """Return the slopes between neighbouring levels over the floor, at the geometric means of their sizes."""
    rms = summarise(judgement.levels, statistic="log")
    rms = rms.where(rms.values >= _floor(judgement, rms))
    step, half = np.diff(np.log(rms.sizes)), np.log(rms.high / rms.low) / 2
    slopes, widths = np.diff(np.log(rms.values)) / step, np.hypot(half[1:], half[:-1]) / np.abs(step)
    return Summary(np.sqrt(rms.sizes[1:] * rms.sizes[:-1]), slopes, slopes - widths, slopes + widths)


def _floor(judgement: Judgement, rms: Summary) -> np.ndarray:
    """Return the floor of each of these levels; those of a quick ladder are the first of the full one's."""
    floor = np.asarray(judgement.claim.floor or 0.0, dtype=np.float64)
    if floor.ndim == 0:
        return np.full(len(rms.sizes), floor)
    by_size = dict(zip([level.size for level in judgement.levels], floor, strict=False))
    return np.array([by_size.get(size, 0.0) for size in rms.sizes])
