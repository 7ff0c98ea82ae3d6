"""The figure of an ordering: the advantage of every seed, and their mean beside the least that is claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.kinds.ordering import MOST, least
from attnflow.judge.verdicts import Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.levels import CLAIM, NO_LABELS, control_looks, dashes, is_drawable, quantity, seeds
from attnflow.lab.plots.style import GREY, PALE

SPREAD = 0.25  # of the dots of a column, to either side
GOLDEN = (5**0.5 - 1) / 2  # multiples of it spread evenly, however many there are
ROOM = 0.06  # of the axis, above and below what is drawn


def ordering(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the advantage of each seed as a dot, their mean with its interval, and the least that is claimed as a line.

    What is claimed is grey, nothing is ahead at the thin line. Controls stand to the right, pale.

    Args:
        ax: where to draw.
        judgement: on an ordering.
        controls: on its controls.
        labels: of the quantities; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    columns = [(judgement, CLAIM), *control_looks(controls)]
    ax.axhspan(_least(judgement), MOST, color=PALE, linewidth=0, zorder=0)
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    shown = [0.0, _least(judgement)]
    for place, (each, look) in enumerate(columns):
        values = np.concatenate([level.values for level in each.levels if is_drawable(level)] or [np.empty(0)])
        away = SPREAD * (2 * ((np.arange(values.size) * GOLDEN) % 1) - 1)
        name = f"{look.name}: {quantity(each.claim, labels)}" if look is not CLAIM else seeds(each.levels)
        style = {"color": look.points, "marker": look.marker, "markersize": 3.5, "linestyle": "none"}
        ax.plot(place + away, values, label=name, zorder=2, **style)
        verdict = each.verdict
        if verdict.measured is not None:
            ends = [verdict.measured if end is None else end for end in (verdict.low, verdict.high)]
            ax.errorbar(
                [place], [verdict.measured], yerr=np.abs(np.subtract(ends, verdict.measured))[:, None],
                color=look.curve, marker="s", markersize=4.5, capsize=4, elinewidth=1.1, zorder=2.5,
                label=f"mean {number(verdict.measured, margin=0.1)}" if look is CLAIM else None,
            )  # fmt: skip
            shown += ends
        if look is CLAIM or _least(each) != _least(judgement):
            words = "at least" if look is CLAIM else f"{look.name} predicts at least"
            ax.axhline(_least(each), label=f"{words} {number(_least(each))}", **dashes(look))
            shown.append(_least(each))
        shown += values.tolist()
    low, high = min(shown), max(shown)
    room = ROOM * (high - low or MOST)
    ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(low - room, high + room), ylabel=quantity(claim, labels))
    ax.set_xticks(range(len(columns)), ["claim", *(look.name for _, look in columns[1:])])
    ax.tick_params(axis="x", length=0)
    return ax


def _least(judgement: Judgement) -> float:
    claim = judgement.claim
    assert claim.margin is not None
    return least(claim.predicted, margin=claim.margin)
