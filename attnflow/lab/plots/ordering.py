"""The figure of an ordering: the advantage of every seed, and their mean beside the least that is claimed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.kinds.ordering import MOST, least
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.levels import CLAIM, NO_LABELS, Look, control_looks, dashes, is_drawable, quantity
from attnflow.lab.plots.style import GREY, PALE

SPREAD = 0.25  # of the dots of a column, to either side
GOLDEN = (5**0.5 - 1) / 2  # multiples of it spread evenly, however many there are
ROOM = 0.06  # of the axis, above and below what is drawn


def ordering(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the advantage of each seed, their mean or median with its interval, and the least that is claimed as a line.

    What is claimed is grey, nothing is ahead at the thin line. Controls stand to the right, pale.

    Args:
        ax: where to draw.
        judgement: on an ordering.
        controls: on its controls.
        labels: of the quantities and sizes; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    columns = [(judgement, CLAIM), *control_looks(controls)]
    ax.axhspan(_least(judgement), MOST, color=PALE, linewidth=0, zorder=0)
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0.5)
    lines = [_least(each) for each, _ in columns]
    shown = [0.0, *lines]
    for place, (each, look) in enumerate(columns):
        if lines.index(lines[place]) == place:  # several controls may predict the same
            words = "controls predict " if lines.count(lines[place]) > 1 else f"{look.name} predicts "
            words = f"{words if look.name else ''}at least {number(lines[place])}"
            ax.axhline(lines[place], label=words, **dashes(look))
        name = f"{look.name}: {quantity(each.claim, labels)}" if look.name else _seeds(each)
        shown += [*_dots(ax, each, look=look, place=place, name=name), *_summary(ax, each, look=look, place=place)]
    low, high = min(shown), max(shown)
    room = ROOM * (high - low or MOST)
    ax.set(xlim=(-0.6, len(columns) - 0.4), ylim=(low - room, high + room), ylabel=quantity(claim, labels))
    ax.set_xticks(range(len(columns)), ["claim", *["control"] * len(controls)])  # markers tell them apart
    ax.tick_params(axis="x", length=0)
    return ax


def _dots(ax: Axes, judgement: Judgement, *, look: Look, place: float, name: str) -> list[float]:
    """Draw the seeds side by side about a place, and return their values."""
    values = np.concatenate([np.empty(0), *(level.values for level in judgement.levels if is_drawable(level))])
    away = SPREAD * (2 * ((np.arange(values.size) * GOLDEN) % 1) - 1)
    ax.plot(
        place + away, values, label=name, color=look.points, marker=look.marker, markersize=3.5, linestyle="none",
        zorder=2,
    )  # fmt: skip
    return values.tolist()


def _summary(ax: Axes, judgement: Judgement, *, look: Look, place: float) -> list[float]:
    """Draw what was measured, with its interval where it has one, and return these numbers."""
    verdict = judgement.verdict
    if verdict.measured is None:
        return []
    width, ends, words = None, [verdict.measured], f"{judgement.claim.statistic} {number(verdict.measured, margin=0.1)}"
    if verdict.low is not None and verdict.high is not None:
        width = [[verdict.measured - verdict.low], [verdict.high - verdict.measured]]
        ends, words = [verdict.low, verdict.high], f"{words}, {100 * FAMILY_CONFIDENCE:g} % interval"
    ax.errorbar(
        [place], [verdict.measured], yerr=width, color=look.curve, marker="s", markersize=4.5, capsize=4,
        elinewidth=1.1, linestyle="none", zorder=2.5, label=None if look.name else words,
    )  # fmt: skip
    return ends


def _seeds(judgement: Judgement) -> str:
    levels = judgement.levels
    return "measured" if levels[0].deterministic else f"{len(levels[0].values)} seeds"


def _least(judgement: Judgement) -> float:
    claim = judgement.claim
    assert claim.margin is not None
    return least(claim.predicted, margin=claim.margin)
