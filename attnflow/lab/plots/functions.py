"""Functions at points: curves over an angle or a coordinate, and coloured points in a plane or in space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize

from attnflow.lab.plots.flows import angle_axis
from attnflow.lab.plots.lives import Life, lives_on, look_of_next, name_lives
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.places import Place
from attnflow.lab.plots.style import INK

FAINT = 0.12  # of points on the far side
FEW_CURVES = 7  # that a legend can name
FEW_POINTS = 80  # of a curve, so few that each is marked
COLOURS = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.82, 256)))  # its yellow end is hardly seen on white


def curves(
    ax: Axes, place: Place, values: np.ndarray, *, labels: Sequence[str], scale: tuple[np.ndarray, str], name: str
) -> None:
    """Draw functions along a curve, coloured by numbers; in dashes of their own where the axes hold others already.

    Args:
        ax: where to draw.
        place: of the points, along a curve.
        values: (K, Q).
        labels: of the functions, in the legend of a few.
        scale: of the functions a number each, (K,), and what it is, which a bar tells where they are many.
        name: of the result whose functions these are.
    """
    order = np.argsort(place.coordinates[:, 0], kind="stable")
    at, drawn = place.coordinates[order, 0], values[:, order]
    if place.are_angles:  # closed, beyond both ends of the axis
        turn = 2 * np.pi
        at = np.concatenate([at[-1:] - turn, at, at[:1] + turn])
        drawn = np.concatenate([drawn[:, -1:], drawn, drawn[:, :1]], axis=1)
    (numbers, of), look = scale, look_of_next(ax)
    marks: dict[str, Any] = look.marks(3) if len(order) <= FEW_POINTS else {}
    lines = [ax.plot(at, row, linestyle=look.dash, **marks)[0] for row in drawn]
    told = [float(f"{number:.9g}") for number in numbers]  # particles are seen at n eps, their limit at t
    sample = {"color": INK, "linestyle": look.dash}
    ax.add_container(Life(lines, name=name, sample=sample, of=of, numbers=told, labels=labels))
    _tell_apart(ax, of)
    if place.are_angles:
        angle_axis(ax.xaxis)
    ax.set_xlabel(f"angle {place.labels[0]}" if place.are_angles else place.labels[0])


def _tell_apart(ax: Axes, of: str) -> None:
    """Colour the curves of all results by their numbers, equal ones alike, and tell them by a legend or a bar."""
    held = lives_on(ax, of)
    known = np.unique([number for life in held for number in life.numbers])
    few = len(known) <= FEW_CURVES
    norm = next((life.scale for life in held if life.scale is not None), None) or Normalize()
    norm.vmin, norm.vmax = known[0], known[-1]
    if not few and all(life.scale is None for life in held):
        held[0].scale = norm
        colour_bar(ax, ScalarMappable(norm=norm, cmap=COLOURS), label=of)
    shades = dict(zip(known, COLOURS(np.linspace(0, 1, len(known)) if few else norm(known)), strict=True))
    for life in held:
        for line, number, label in zip(life, life.numbers, life.labels, strict=True):
            line.set(color=shades[number], label=label if few else None)
    handles, labels = ax.get_legend_handles_labels()
    shown = [handle for k, handle in enumerate(handles) if labels[k] not in labels[:k]]
    if not name_lives(ax, shown) and shown:
        ax.legend(handles=shown, frameon=True, framealpha=0.8, edgecolor="none")  # the best place may be over curves


def dots(ax: Axes, place: Place, values: np.ndarray, *, label: str, name: str, title: str) -> None:
    """Draw points in a plane or in space coloured by values (Q,), with a bar; in space those on the far side faint.

    Where the axes hold others already these are rings, in the same scale of colours.

    Args:
        ax: where to draw.
        place: of the points, in a plane or in space.
        values: (Q,).
        label: of the bar.
        name: of the result whose values these are.
        title: which of its functions they are.
    """
    drawn: Any = ax
    look, held = look_of_next(ax), lives_on(ax, label)
    low, high = float(values.min()), float(values.max())
    norm: Any = held[0].scale if held else Normalize(low, high)
    norm.vmin, norm.vmax = min(low, norm.vmin), max(high, norm.vmax)
    size = float(np.clip(8000 / len(values), 4, 36)) * look.size
    solid = {"depthshade": False} if place.is_space else {}
    cloud = drawn.scatter(
        *place.coordinates.T, c=values, norm=norm, cmap="cividis", s=size, marker=look.marker, linewidths=0, **solid
    )
    if place.is_space:
        cloud.set_alpha(np.where(is_far(place.coordinates, ax), FAINT, 1.0))
        bare(ax, place.coordinates)
    else:
        flat(ax, place)
    whole = ", ".join(filter(None, [name, title]))
    sample = {"color": INK, "linestyle": "none", **look.marks(3)}
    ax.add_container(Life([cloud], name=whole, sample=sample, of=label, scale=norm))
    if not held:
        colour_bar(ax, cloud, label=label)
    ax.set_title("" if name_lives(ax) else title)


def flat(ax: Axes, place: Place) -> None:
    """Give axes of a plane one scale, and their labels."""
    if place.are_angles:
        for axis, label in zip((ax.xaxis, ax.yaxis), place.labels, strict=True):
            angle_axis(axis)
            axis.set_label_text(f"angle {label}")
    else:
        ax.set(xlabel=place.labels[0], ylabel=place.labels[1])
    ax.set_aspect("equal", adjustable="box" if place.are_angles else "datalim")


def colour_bar(ax: Axes, coloured: Any, *, label: str) -> None:
    """Draw a bar of colours beside axes."""
    figure = ax.get_figure(root=True)
    assert figure is not None
    bar: Any = figure.colorbar(coloured, ax=ax, label=label, shrink=0.8, aspect=24, pad=0.03)
    bar.outline.set_linewidth(0.4)


def is_far(points: np.ndarray, ax: Any) -> np.ndarray:
    """Return which points of space lie beyond the middle of all, as they are seen."""
    up, round_ = np.radians([ax.elev, ax.azim])
    towards = np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])
    return (points - points.mean(axis=0)) @ towards < 0
