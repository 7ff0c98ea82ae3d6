"""Figures of a probe: maps of many heads, and what `Probe.plot` draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from attnflow.lab.plots.style import BLUE, GREEN, GREY, INK, PALE, PALE_GREY, VERMILLION, figure, style
from attnflow.lab.probe.controls import Control
from attnflow.lab.probe.definitions import DEFINITIONS
from attnflow.lab.probe.head_figures import ROSE, SKY, draw_spectrum, draw_weights, literal, show_weights
from attnflow.lab.probe.pooling import weights_picture
from attnflow.lab.probe.report import KIND_NAMES
from attnflow.lab.probe.results import HeadProbe, Probe
from attnflow.lab.probe.verdicts import LOCAL, NEIGHBOURS, STILL, TYPICAL

MOST_NAMES = 40  # heads at most that are named where each is a mark
_THUMBNAIL = 48  # cells along a side
_ABOVE = np.sqrt(3) / 2  # the height of a triangle
# Of each kind of head its colour and mark.
KINDS = {
    "diffusion": (GREEN, "o"), "window": (BLUE, "s"), "jump": (VERMILLION, "^"), "sink": (ROSE, "v"),
    "averaging": (SKY, "D"), "nothing": (PALE_GREY, "X"), "other": (INK, "P"),
}  # fmt: skip


def draw_probe(probe: Probe, ax: Axes | None = None) -> Axes:
    """Draw the weights of one head, effective keys against typicality of several, the modes of points alone.

    Args:
        probe: what was found.
        ax: where to draw; None for a figure of its own.

    Returns:
        The axes.

    Example:
        >>> import numpy as np, attnflow as af
        >>> x = np.random.default_rng(0).normal(size=(80, 3))
        >>> af.probe(x, queries=x, keys=x).plot().get_title()
        'weights A'
    """
    with style():
        ax = figure(width=3.6, height=3.4).subplots() if ax is None else ax
        if probe.cloud is not None and probe.cloud.spectrum is not None:
            return draw_spectrum(ax, probe.cloud.spectrum, count=probe.count)
        return draw_weights(ax, probe.heads[0]) if len(probe.heads) == 1 else draw_typicalities(ax, probe.heads)


def draw_typicalities(ax: Axes, heads: Sequence[HeadProbe], controls: Sequence[Control] = ()) -> Axes:
    """Draw effective keys against typicality; what the rule of a diffusion asks of both is grey."""
    ax.set_xscale("log")
    marks = _mark(ax, heads, controls, at=lambda head: (head["ess"], head["typicality"]))
    ax.set_ylim(-0.05, 1.08)
    low, high = min(ax.get_xlim()[0], 0.8 * NEIGHBOURS), ax.get_xlim()[1]
    ax.set_xlim(low, high)
    _region(ax, (NEIGHBOURS, high), (TYPICAL, 1.08))
    _name(ax, marks)
    ax.set_xlabel(DEFINITIONS["ess"].title)
    ax.set_ylabel(DEFINITIONS["typicality"].title)
    return ax


def draw_places(ax: Axes, heads: Sequence[HeadProbe], controls: Sequence[Control] = ()) -> Axes:
    """Draw locality against the jump; what the rule of a diffusion asks of both is grey."""
    ax.set_yscale("log")
    ax.set_xscale("log")
    marks = _mark(ax, heads, controls, at=lambda head: (head["locality"], head["jump"]))
    low, bottom = min(ax.get_xlim()[0], 0.5 * LOCAL), min(ax.get_ylim()[0], 0.3 * STILL)
    ax.set_xlim(low, ax.get_xlim()[1])
    ax.set_ylim(bottom, ax.get_ylim()[1])
    _region(ax, (low, LOCAL), (bottom, STILL))
    _name(ax, marks)
    ax.set_xlabel(DEFINITIONS["locality"].title)
    ax.set_ylabel(DEFINITIONS["jump"].title)
    return ax


def draw_shares(ax: Axes, heads: Sequence[HeadProbe], controls: Sequence[Control] = ()) -> Axes:
    """Draw the shares of D, b and W in the variance of the logits as a place in a triangle; 1 of one is a corner."""
    corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, _ABOVE]])

    def at(head: HeadProbe) -> Any:
        shares = [head[f"share_{part}"] for part in ("cost", "potential", "circulation")]
        return (None, None) if None in shares else np.array(shares) @ corners

    for level in (0.25, 0.5, 0.75):  # equal shares of each part
        for corner in range(3):
            ends = [corners[corner] * level + corners[other] * (1 - level) for other in range(3) if other != corner]
            ax.plot(*np.transpose(ends), color=PALE, linewidth=0.6, zorder=0)
    ax.plot(*np.transpose([*corners, corners[0]]), color=GREY, linewidth=0.6, zorder=0)
    for corner, words, side, height in zip(
        corners,
        ("cost D", "potential b", "circulation W"),
        ("left", "right", "center"),
        (-0.05, -0.05, 0.05),
        strict=True,
    ):
        ax.text(corner[0], corner[1] + height, words, ha=side, va="top" if height < 0 else "bottom")
    marks = _mark(ax, heads, controls, at=at)
    ax.set_aspect("equal")
    ax.set_axis_off()
    _name(ax, marks)
    return ax


def grid(heads: Sequence[HeadProbe]) -> Figure:
    """Return the weights of every head as a small picture, framed in the colour of its kind; a layer is a row."""
    of_first = sum(head.name.split(".")[0] == heads[0].name.split(".")[0] for head in heads)
    columns = min(of_first, 12) if len(heads) % of_first == 0 and of_first > 3 else min(len(heads), 6)
    rows = -(-len(heads) // columns)
    with style():
        drawn = figure(width=0.15 + 0.9 * columns, height=0.35 + 1.12 * rows)
        axes = drawn.subplots(rows, columns, squeeze=False).ravel()
        for ax in axes[len(heads) :]:
            ax.set_axis_off()
        for ax, head in zip(axes, heads, strict=False):
            show_weights(ax, weights_picture(head.source, cells=_THUMBNAIL), head.count)
            colour, _ = KINDS[head.reading.kind]
            ax.set(xticks=(), yticks=(), xlabel="", ylabel="")
            ax.spines[:].set(color=colour, linewidth=1.6, visible=True)
            ax.set_title(literal(head.name), fontsize=7.5, pad=3)
            ax.set_xlabel(
                KIND_NAMES[head.reading.kind],
                fontsize=6.5,
                labelpad=2,
                color=colour if head.reading.kind != "nothing" else GREY,
            )
    return drawn


def legend(drawn: Figure, heads: Sequence[HeadProbe], *, controls: bool) -> None:
    """Say above a figure what its marks are."""
    kinds = dict.fromkeys(head.reading.kind for head in heads)
    marks: list[Any] = []
    ax = drawn.axes[0]
    for kind in (kind for kind in KINDS if kind in kinds):
        colour, mark = KINDS[kind]
        marks += ax.plot([], [], mark, color=colour, markersize=5, label=KIND_NAMES[kind])
    if controls:
        marks += ax.plot([], [], "o", color=GREY, markerfacecolor="white", markersize=4.5, label="controls")
    drawn.legend(handles=marks, loc="outside upper left", ncols=len(marks), handletextpad=0.2, columnspacing=1.2)


class Mark(NamedTuple):
    """A mark that may be named: where it is, what it is called, in which colour and size."""

    place: tuple[float, float]
    name: str
    colour: str
    size: float


def _mark(
    ax: Axes, heads: Sequence[HeadProbe], controls: Sequence[Control], *, at: Callable[[HeadProbe], Any]
) -> list[Mark]:
    """Put a mark for each head and, hollow, for each control; return those to be named, heads only if they are few."""
    marks = []
    for head, control in chain(((head, None) for head in heads), ((each.head, each) for each in controls)):
        x, y = at(head)
        if x is None or y is None:
            continue
        colour, mark = KINDS[head.reading.kind] if control is None else (GREY, "o")
        filled, size = (colour, 5.5) if control is None else ("white", 4.0)
        ax.plot([x], [y], mark, color=colour, markerfacecolor=filled, markersize=size, zorder=2 if control else 3)
        if control or len(heads) <= MOST_NAMES:
            marks.append(Mark((x, y), control.name if control else literal(head.name), colour, 6 if control else 7))
    return marks


def _name(ax: Axes, marks: Sequence[Mark]) -> None:
    """Write names beside their marks, each at the first place around it that is free."""
    points = ax.transData.transform([mark.place for mark in marks]) * 72 / ax.figure.dpi
    taken = [(x - 3, y - 3, x + 3, y + 3) for x, y in points]
    for mark, (x, y) in zip(marks, points, strict=True):
        wide, high = 0.62 * mark.size * len(mark.name), 1.1 * mark.size
        offsets = [(4.0, 1.0), (4.0, -high - 1), (-wide - 4, 1.0), (-wide - 4, -high - 1)]
        offsets += [(side, step * high) for step in (1, -2, 2, -3, 3, -4) for side in (4.0, -wide - 4)]
        boxes = [(x + right, y + up, x + right + wide, y + up + high) for right, up in offsets]
        free = (place for place, box in enumerate(boxes) if not any(_overlap(box, other) for other in taken))
        chosen = next(free, 0)
        taken.append(boxes[chosen])
        ax.annotate(
            mark.name, mark.place, xytext=offsets[chosen], textcoords="offset points", fontsize=mark.size,
            color=mark.colour, va="bottom", zorder=4,
        )  # fmt: skip


def _overlap(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]


def _region(ax: Axes, across: tuple[float, float], up: tuple[float, float]) -> None:
    """Shade what the rule of a diffusion asks for."""
    (left, right), (bottom, top) = across, up
    ax.add_patch(Rectangle((left, bottom), right - left, top - bottom, color=PALE, linewidth=0, zorder=0))
    ax.text(right, top, "diffusion ", ha="right", va="top", fontsize=6, color=GREY)
