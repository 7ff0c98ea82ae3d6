"""Flows: the three lives over each other on the circle, and side by side on the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.projections.geo import GeoAxes

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.style import GREY, INK

MAXIMUM_DOTS = 150  # of one curve; more are thinned evenly, or they become a line
LABEL_DISTANCE = 0.055  # between labels, in heights of the axes
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
    colours = colormaps["viridis"](np.linspace(0.0, 0.82, len(times)))
    for k, colour in enumerate(colours):
        angles, values = lives["population"]
        ax.plot(angles, values[k], color=colour, alpha=0.4, linewidth=3.2, zorder=1)
        angles, values = lives["continuum"]
        ax.plot(angles, values[k], color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, zorder=3)
        angles, values = lives["particles"]
        shown = shown_dots(len(angles))
        look: dict[str, Any] = {"marker": "o", "markersize": 2.6, "markeredgewidth": 0.25, "markeredgecolor": "white"}
        ax.plot(angles[shown], values[k, shown], color=colour, linestyle="none", zorder=2, **look)
    angle_axis(ax.xaxis)
    ax.set_ylabel(r"$u(t, \theta)$")
    label_times(ax, times, ends=[values[-1] for values in lives["continuum"][1]], colours=colours)
    ax.legend(handles=_life_handles(len(particles[0])), loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=3)
    return ax


def sphere_grid(*, rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a regular grid for maps of S^2.

    Args:
        rows: number of latitudes; there are twice as many longitudes.

    Returns:
        longitudes (2 rows,), latitudes (rows,), and the points (2 rows^2, 3), latitude by latitude.

    Example:
        >>> from attnflow.lab import plots
        >>> longitudes, latitudes, points = plots.sphere_grid(rows=8)
        >>> longitudes.shape, latitudes.shape, points.shape
        ((16,), (8,), (128, 3))
    """
    latitudes = np.pi * ((np.arange(rows) + 0.5) / rows - 0.5)
    longitudes = np.pi * ((np.arange(2 * rows) + 0.5) / rows - 1.0)
    phi, lam = np.meshgrid(latitudes, longitudes, indexing="ij")
    points = np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)
    return longitudes, latitudes, points.reshape(-1, 3)


def sphere_maps(drawn: Figure, *, times: Sequence[float], continuum: np.ndarray, empirical: np.ndarray) -> np.ndarray:
    """Draw maps of S^2 of equal area (Hammer): at each time the continuum, the particles, and their difference.

    Values of all times share one scale; the difference has its own, symmetric about zero.

    Args:
        drawn: the figure to draw into.
        times: t_k, shape (T,).
        continuum: values (T, 2 rows^2) at the points of `sphere_grid(rows=rows)`.
        empirical: values (T, 2 rows^2) at the same points.

    Returns:
        The axes, shape (T, 3).

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.
    """
    maps = _check_maps(times, continuum=continuum, empirical=empirical)
    rows = maps[0].shape[1]
    longitudes = np.linspace(-np.pi, np.pi, 2 * rows + 1)
    latitudes = np.linspace(-np.pi / 2, np.pi / 2, rows + 1)
    difference = maps[1] - maps[0]
    largest = float(np.abs(difference).max()) or 1.0
    both = Normalize(min(map(np.min, maps)), max(map(np.max, maps)))
    kinds = [
        ("continuum", maps[0], "cividis", both),
        ("particles", maps[1], "cividis", both),
        ("particles − continuum", difference, "RdBu_r", Normalize(-largest, largest)),
    ]
    axes = drawn.subplots(len(times), 3, subplot_kw={"projection": "hammer"}, squeeze=False)
    for column, (name, values, colours, scale) in enumerate(kinds):
        for ax, field, time in zip(axes[:, column], values, times, strict=True):
            ax.pcolormesh(longitudes, latitudes, field, cmap=colours, norm=scale, rasterized=True, edgecolors="face")
            _bare(ax)
            if column == 0:
                ax.annotate(
                    f"$t = {time:.3g}$", (-0.03, 0.5), xycoords="axes fraction", ha="right", va="center", rotation=90
                )
        axes[0, column].set_title(name, pad=4)
    _colour_bar(drawn, axes[:, :2], colours="cividis", scale=both, label="$u(t, x)$")
    _colour_bar(drawn, axes[:, 2:], colours="RdBu_r", scale=kinds[2][3], label="difference")
    return axes


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


def _check_maps(times: Sequence[float], **fields: np.ndarray) -> list[np.ndarray]:
    maps = []
    for name, field in fields.items():
        values = check_finite(field, name)
        rows = round(np.sqrt(values.shape[-1] / 2)) if values.ndim else 0
        if values.shape != (len(times), 2 * rows**2):
            raise DataError(
                f"`{name}` must have shape (T, 2 rows^2) with T = {len(times)} times, got {values.shape}. "
                "Evaluate it at the points of `sphere_grid`."
            )
        maps.append(values.reshape(len(times), rows, 2 * rows))
    if maps[0].shape != maps[1].shape:
        raise DataError(f"`continuum` and `empirical` must have one shape, got {maps[0].shape} and {maps[1].shape}.")
    return maps


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


def _bare(ax: GeoAxes) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(False)
    ax.spines["geo"].set(linewidth=0.5, edgecolor=GREY)


def _colour_bar(drawn: Figure, axes: np.ndarray, *, colours: str, scale: Normalize, label: str) -> None:
    bar = drawn.colorbar(
        ScalarMappable(norm=scale, cmap=colours), ax=list(axes.ravel()), orientation="horizontal", label=label,
        aspect=15 * axes.shape[1], fraction=0.06, pad=0.02,
    )  # fmt: skip
    bar.outline.set_linewidth(0.4)  # type: ignore[operator]
    bar.ax.locator_params(nbins=5)
