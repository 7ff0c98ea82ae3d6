"""The figure of a constant: the values of its levels, the fit and its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.rates import LimitFit
from attnflow.judge.verdicts import Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.levels import (
    CLAIM,
    NO_LABELS,
    control_looks,
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
from attnflow.lab.plots.log_axes import size_axis


def limit(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the value of each level with the interval of a row, the judge's fit, its limit, and the predicted value.

        value = L + d h^q

    Controls are pale: one that measures another quantity with its own levels, fit and limit, one that predicts another
    number with that.

    Args:
        ax: where to draw.
        judgement: on a constant.
        controls: on its controls.
        labels: of the quantities and sizes; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    found = summarise(judgement.levels, statistic=claim.statistic)
    others = [
        (control, look, summarise(control.levels, statistic=control.claim.statistic))
        for control, look in control_looks(controls)
        if control.claim.quantity != claim.quantity
    ]
    ax.set(xscale="log", ylabel=quantity(claim, labels))
    size_axis(ax, judgement, labels)  # first: one level alone would leave the axis without a width
    predictions(ax, judgement, controls)
    ends = [np.array([control.claim.predicted]) for control in controls]
    ends += [end for *_, levels in others for end in (levels.low, levels.high)]
    ax.set_ylim(*window([found.low, found.high, final_numbers(judgement)], controls=ends))
    points(ax, found, look=CLAIM, label=seeds(judgement.levels))
    if isinstance(judgement.fit, LimitFit):
        fitted = f"corrected fit: limit {number(judgement.fit.limit, margin=claim.margin)}"
        fitted_curve(ax, judgement, found, look=CLAIM, label=fitted)
        final(ax, judgement, look=CLAIM)
    for control, look, levels in others:
        pale_points(ax, levels, look=look, label=f"{look.name}: {quantity(control.claim, labels)}")
        if control.fit is not None:
            fitted_curve(ax, control, levels, look=look)
            final(ax, control, look=look)
    return ax
