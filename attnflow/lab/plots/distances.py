"""The figure of an identity: how far the worst value of each level is from the predicted one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.verdicts import Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.levels import CLAIM, NO_LABELS, Look, control_looks, dashes, is_drawable, quantity
from attnflow.lab.plots.log_axes import size_axis


def distances(
    ax: Axes, judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Axes:
    """Draw the largest distance from the predicted value at each level, under the tolerance or over it.

    Distances of zero stand hollow at the bottom of the logarithmic axis. Controls are pale.

    Args:
        ax: where to draw.
        judgement: on an identity.
        controls: on its controls.
        labels: of the quantities and sizes; their names where none is given.

    Returns:
        The axes.
    """
    claim = judgement.claim
    drawn = [(judgement, CLAIM, "largest of a level")]
    drawn += [
        (control, look, f"{look.name}: {quantity(control.claim, labels)}") for control, look in control_looks(controls)
    ]
    every = [_largest(each)[1] for each, *_ in drawn]
    positive = np.concatenate([*(distance[distance > 0] for distance in every), [claim.margin or 1.0]])
    ax.set(xscale="log", yscale="log", ylim=(positive.min() / 10, positive.max() * 10))
    for each, look, label in drawn:
        _draw(ax, each, look=look, label=label)
    if claim.margin:
        ax.axhline(claim.margin, label=f"tolerance {number(claim.margin, digits=2)}", **dashes(CLAIM))
    from_what = f" − {claim.predicted:g}" if claim.predicted else ""
    ax.set_ylabel(f"|{quantity(claim, labels)}{from_what}|")
    size_axis(ax, judgement, labels)
    return ax


def _largest(judgement: Judgement) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes that have numbers, and the largest distance from the prediction at each."""
    found = [level for level in judgement.levels if is_drawable(level)]
    far = [np.abs(level.values - judgement.claim.predicted).max() for level in found]
    return np.array([level.size for level in found]), np.array(far)


def _draw(ax: Axes, judgement: Judgement, *, look: Look, label: str) -> None:
    sizes, distance = _largest(judgement)
    zero = distance == 0
    markers: dict[str, Any] = {"color": look.points, "linestyle": "none", "marker": look.marker, "markersize": 4.5}
    if not zero.all():
        ax.plot(sizes[~zero], distance[~zero], label=label, **markers)
    if zero.any():
        bottom = np.full(np.count_nonzero(zero), ax.get_ylim()[0])
        hollow = f"{label}, zero"
        ax.plot(sizes[zero], bottom, markerfacecolor="white", clip_on=False, label=hollow, **markers)
