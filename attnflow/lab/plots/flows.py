"""The three lives over each other on the circle, and what parts them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from scipy.interpolate import CubicSpline

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.style import GREY, INK

MAXIMUM_DOTS = 150  # of one curve; more are thinned evenly, or they become a line
LABEL_DISTANCE = 0.055  # between labels, in heights of the axes
DOTS: dict[str, Any] = {"marker": "o", "markersize": 2.6, "markeredgewidth": 0.25, "markeredgecolor": "white"}
Curves = tuple[np.ndarray, np.ndarray]
Numbers = Sequence[float] | np.ndarray


def overlay(ax: Axes, *, times: Sequence[float], particles: Curves, population: Curves, continuum: Curves) -> Axes:
    """Draw the three lives over each other on the circle: dots, pale wide lines, dark dashes; each time has its label.

    Args:
        ax: where to draw.
        times: t_k, shape (T,).
        particles: angles (N,) and values (T, N) of the empirical life.
        population: angles (Q,) and values (T, Q).
        continuum: angles (Q,) and values (T, Q).

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> angles = np.linspace(0, 2 * np.pi, 65)
        >>> curves = angles, np.stack([np.sin(angles), np.sin(angles) / 2])
        >>> ax = plots.figure(width=3.5, height=2.5).subplots()
        >>> len(plots.overlay(ax, times=[0, 1.4], particles=curves, population=curves, continuum=curves).lines)
        6
    """
    lives = {
        name: _check_curves(name, curves, times=times)
        for name, curves in (("particles", particles), ("population", population), ("continuum", continuum))
    }
    colours = _colours(len(times))
    for k, colour in enumerate(colours):
        angles, values = lives["population"]
        ax.plot(angles, values[k], color=colour, alpha=0.4, linewidth=3.2, zorder=1)
        angles, values = lives["continuum"]
        ax.plot(angles, values[k], color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, zorder=3)
        angles, values = lives["particles"]
        shown = shown_dots(len(angles))
        ax.plot(angles[shown], values[k, shown], color=colour, linestyle="none", zorder=2, **DOTS)
    angle_axis(ax.xaxis)
    ax.set_ylabel(r"$u(t, \theta)$")
    label_times(ax, times, ends=[values[-1] for values in lives["continuum"][1]], colours=colours)
    ax.legend(handles=_life_handles(len(particles[0])), loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3)
    return ax


def residuals(
    bias: Axes, sampling: Axes, *, times: Sequence[float], particles: Curves, population: Curves, continuum: Curves
) -> None:
    """Draw what parts the three lives of an `overlay`: population - continuum, and particles - population.

    The population is interpolated at the particles by periodic cubic splines.

    Args:
        bias: where to draw the first, a line per time.
        sampling: where to draw the second, a dot per particle.
        times: t_k, shape (T,).
        particles: angles (N,) and values (T, N) of the empirical life.
        population: angles (Q,) of one whole turn, both ends included, and values (T, Q).
        continuum: the same angles and values (T, Q).

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.
    """
    (angles, averages), (_, limits) = (
        _check_curves(name, curves, times=times)
        for name, curves in (("population", population), ("continuum", continuum))
    )
    own, values = _check_curves("particles", particles, times=times)
    if limits.shape != averages.shape:
        raise DataError(
            f"`continuum` must be at the {averages.shape[1]} angles of `population`, got {limits.shape[1]} angles."
        )
    shown = shown_dots(len(own))
    closed = np.concatenate([averages[:, :-1], averages[:, :1]], axis=1)  # both ends of a turn to the last digit
    apart = values[:, shown] - CubicSpline(angles, closed, axis=1, bc_type="periodic")(own[shown])
    for colour, line, dots in zip(_colours(len(times)), averages - limits, apart, strict=True):
        bias.plot(angles, line, color=colour)
        sampling.plot(own[shown], dots, color=colour, linestyle="none", **DOTS)
    for ax, name in ((bias, "bias"), (sampling, "sampling\nerror")):
        ax.axhline(0, color=INK, linewidth=0.5, zorder=0)
        angle_axis(ax.xaxis)
        ax.set_ylabel(name)


def angle_axis(axis: Axis) -> None:
    """Let an axis show the angles of one turn, in quarters."""
    turn = np.pi * np.arange(5) / 2
    set_limits = axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim  # type: ignore[attr-defined]
    set_limits(0, 2 * np.pi)
    axis.set_ticks(turn, ["0", r"$\pi/2$", r"$\pi$", r"$3\pi/2$", r"$2\pi$"])
    axis.set_label_text(r"angle $\theta$")


def _check_curves(name: str, curves: Curves, *, times: Sequence[float]) -> Curves:
    angles, values = check_finite(curves[0], name), check_finite(curves[1], name)
    if angles.ndim != 1 or values.shape != (len(times), len(angles)):
        raise DataError(
            f"`{name}` must be angles (Q,) and values (T, Q) with T = {len(times)} times, "
            f"got {angles.shape} and {values.shape}."
        )
    return angles, values


def label_times(ax: Axes, times: Numbers, *, ends: Numbers, colours: np.ndarray) -> None:
    """Name each curve at its right end; labels that would touch are moved apart, with a thin line to their curve."""
    low, high = ax.get_ylim()
    at = _spread((np.asarray(ends) - low) / (high - low), distance=LABEL_DISTANCE)
    for time, end, y, colour in zip(times, ends, at, colours, strict=True):
        line = {"arrowstyle": "-", "color": colour, "linewidth": 1.0, "shrinkB": 0, "relpos": (0, 0.5)}
        ax.annotate(
            f"$t = {time:.3g}$", (1.0, end), (1.05, y), xycoords=ax.get_yaxis_transform(), textcoords="axes fraction",
            va="center", fontsize=7.5, color=INK, arrowprops=line,
        )  # fmt: skip


def _spread(heights: np.ndarray, *, distance: float) -> np.ndarray:
    """Return the heights in their order, at least this distance apart, around the same mean where they crowd."""
    order = np.argsort(heights, kind="stable")
    # With the distances taken out, what remains is the nearest rising sequence: pool adjacent violators.
    blocks: list[list[float]] = []
    for height in heights[order] - distance * np.arange(len(heights)):
        blocks.append([height])
        while len(blocks) > 1 and np.mean(blocks[-2]) > np.mean(blocks[-1]):
            last = blocks.pop()
            blocks[-1] += last
    level = np.concatenate([np.full(len(block), np.mean(block)) for block in blocks])
    spread = np.empty_like(level)
    spread[order] = level + distance * np.arange(len(heights))
    return spread


def _colours(count: int) -> np.ndarray:
    """Return a colour for each time."""
    return colormaps["viridis"](np.linspace(0.0, 0.82, count))


def shown_dots(count: int) -> slice:
    """Return which of so many particles are shown."""
    return slice(None, None, -(-count // MAXIMUM_DOTS))


def _life_handles(count: int) -> list[Line2D]:
    thinned = f", {len(range(count)[shown_dots(count)])} shown" if count > MAXIMUM_DOTS else ""
    return [
        Line2D(
            [], [], color=GREY, marker="o", markersize=2.5, linestyle="none", label=f"$N = {count}$ particles{thinned}"
        ),
        Line2D([], [], color=GREY, alpha=0.5, linewidth=3.2, label=r"population, $N = \infty$"),
        Line2D([], [], color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, label=r"continuum, $\varepsilon \to 0$"),
    ]
