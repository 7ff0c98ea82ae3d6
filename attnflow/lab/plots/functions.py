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
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.places import Place

FAINT = 0.12  # of points on the far side
FEW_CURVES = 7  # that a legend can name
FEW_POINTS = 80  # of a curve, so few that each is marked
COLOURS = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.82, 256)))  # its yellow end is hardly seen on white


def curves(ax: Axes, place: Place, values: np.ndarray, *, labels: Sequence[str], scale: tuple[np.ndarray, str]) -> None:
    """Draw functions along a curve, each in a colour of its own.

    Args:
        ax: where to draw.
        place: of the points, along a curve.
        values: (K, Q).
        labels: of the functions, in the legend of a few.
        scale: of many functions a number each, (K,), and its name; they colour them, and a bar tells.
    """
    order = np.argsort(place.coordinates[:, 0], kind="stable")
    at, drawn = place.coordinates[order, 0], values[:, order]
    if place.are_angles:  # closed, beyond both ends of the axis
        turn = 2 * np.pi
        at = np.concatenate([at[-1:] - turn, at, at[:1] + turn])
        drawn = np.concatenate([drawn[:, -1:], drawn, drawn[:, :1]], axis=1)
    few = len(values) <= FEW_CURVES
    numbers, name = scale
    norm = Normalize(numbers.min(), numbers.max())
    shades = COLOURS(np.linspace(0, 1, len(values)) if few else norm(numbers))
    marker = "." if len(order) <= FEW_POINTS else ""
    for shade, row, label in zip(shades, drawn, labels, strict=True):
        ax.plot(at, row, color=shade, marker=marker, label=label if few else None)
    if few:
        ax.legend(frameon=True, framealpha=0.8, edgecolor="none")  # the best place may still be over curves
    else:
        colour_bar(ax, ScalarMappable(norm=norm, cmap=COLOURS), label=name)
    if place.are_angles:
        angle_axis(ax.xaxis)
    ax.set_xlabel(f"angle {place.labels[0]}" if place.are_angles else place.labels[0])


def dots(ax: Axes, place: Place, values: np.ndarray, *, label: str) -> None:
    """Draw points in a plane or in space coloured by values (Q,), with a bar; in space those on the far side faint."""
    drawn: Any = ax
    scale = Normalize(float(values.min()), float(values.max()))
    look: dict[str, Any] = {"s": float(np.clip(8000 / len(values), 4, 36)), "linewidths": 0, "cmap": "cividis"}
    if place.is_space:
        cloud = drawn.scatter(*place.coordinates.T, c=values, norm=scale, depthshade=False, **look)
        cloud.set_alpha(np.where(is_far(place.coordinates, ax), FAINT, 1.0))
        bare(ax, place.coordinates)
    else:
        cloud = drawn.scatter(*place.coordinates.T, c=values, norm=scale, **look)
        flat(ax, place)
    colour_bar(ax, cloud, label=label)


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
