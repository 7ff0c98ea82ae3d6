"""Tokens that move on the circle: their paths, what they carry, and their law beside an equation for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.flows import Curves, Numbers, angle_axis, label_times, shown_dots
from attnflow.lab.plots.style import BLUE, GREY, INK, PALE_BLUE, VERMILLION

WIDTH = 0.1  # radians, of the Gaussians that stand for tokens in a margin, where they would be points
TURN = 2 * np.pi


def braids(drawn: Figure, *, times: Numbers, angles: np.ndarray, centres: Numbers = ()) -> np.ndarray:
    """Draw the angles of tokens over time, between their laws at the start and at the end, smoothed by 1/10 radian.

    Args:
        drawn: the figure to draw into.
        times: t_k, shape (T,).
        angles: of the tokens, shape (T, N), in radians; whole turns are of no account.
        centres: angles at which clusters are predicted.

    Returns:
        The axes: of the start, of the paths, of the end.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> angles = np.linspace(0, 6, 20) + 0.1 * np.sin(np.linspace(0, 6, 20)) * np.arange(5)[:, None]
        >>> start, paths, end = plots.braids(plots.figure(width=5, height=3), times=range(5), angles=angles)
        >>> len(paths.lines)
        20
    """
    at, paths = _check_paths(times, angles)
    axes: np.ndarray = drawn.subplots(1, 3, sharey=True, width_ratios=[1, 6, 1])
    left, middle, right = axes
    for angle in paths.T:
        middle.plot(*wrapped(at, angle), color=BLUE, linewidth=0.5, alpha=0.6, solid_joinstyle="round")
    middle.set(xlim=(at[0], at[-1]), xlabel="time $t$")
    angle_axis(left.yaxis)
    where = np.linspace(0, TURN, 361)
    for ax, k in ((left, 0), (right, -1)):
        density = smoothed(paths[k], where)
        ax.fill_betweenx(where, density, color=PALE_BLUE, linewidth=0)
        ax.set(xlabel=f"law at\n$t = {at[k]:.3g}$", xlim=(0, 1.08 * density.max()), xticks=[])
    left.invert_xaxis()
    for centre in np.mod(check_finite(centres, "centres"), TURN):
        middle.plot([at[-1]], [centre], "<", color=VERMILLION, markersize=5, clip_on=False, zorder=3, gid="centre")
        middle.axhline(centre, color=VERMILLION, linestyle=(0, (1, 2)), linewidth=0.7, zorder=0)
    return axes


def strands(
    ax: Axes, *, times: Numbers, angles: np.ndarray, values: np.ndarray, scale: Normalize | None = None
) -> Axes:
    """Draw the angles of tokens over time, each in the colour of the value that it has there.

    Frozen tokens whose values diffuse are level lines that fade, tokens that move with their values lines that bend.

    Args:
        ax: where to draw.
        times: t_k, shape (T,).
        angles: of the tokens, shape (T, N), in radians.
        values: what they carry, shape (T, N).
        scale: of the colours, to share it between axes; from the least value to the largest unless given.

    Returns:
        The axes, whose first collection holds all segments, token by token.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.
    """
    at, paths = _check_paths(times, angles)
    carried = check_finite(values, "values")
    if carried.shape != paths.shape:
        raise DataError(f"`values` must have the shape of `angles`, {paths.shape}, got {carried.shape}.")
    # Of neighbouring times: a segment over the edge is drawn on both sides of it, and cut there.
    start = np.mod(paths[:-1], TURN)
    end = start + (np.mod(np.diff(paths, axis=0) + np.pi, TURN) - np.pi)
    middle = (carried[:-1] + carried[1:]) / 2
    spans = np.broadcast_to(at[:, None], paths.shape)
    segments = np.stack([np.stack([spans[:-1], start], axis=-1), np.stack([spans[1:], end], axis=-1)], axis=2)
    ordered, colours = np.swapaxes(segments, 0, 1).reshape(-1, 2, 2), middle.T.ravel()
    over = (end.T.ravel() < 0).astype(float) - (end.T.ravel() > TURN)
    twice = ordered[over != 0] + np.stack([np.zeros_like(over), TURN * over], axis=-1)[over != 0][:, None]
    drawn = LineCollection(
        [*ordered, *twice], array=np.append(colours, colours[over != 0]), cmap="cividis",
        norm=scale or Normalize(carried.min(), carried.max()), linewidths=1.1, capstyle="round", rasterized=True,
    )  # fmt: skip
    ax.add_collection(drawn)
    ax.set(xlim=(at[0], at[-1]), xlabel="time $t$")
    angle_axis(ax.yaxis)
    return ax


def laws(ax: Axes, *, times: Numbers, angles: np.ndarray, equation: Curves) -> Axes:
    """Draw the law of tokens on the circle, as far as their spacing tells it, over the densities of an equation.

    In one dimension tokens keep their order; between two neighbours of N at the angles a < b lies the mass 1/N, so that
    the density is about 1/(N (b - a)) in their middle, where a dot is drawn. That is for tokens at the quantiles of the
    first law; independent ones have spacings as random as they are.

    Args:
        ax: where to draw.
        times: t_k, shape (T,).
        angles: of the tokens, shape (T, N), rising along the circle.
        equation: angles (Q,) and densities (T, Q).

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together, a number is not finite, or tokens are not in order.
    """
    at, paths = _check_paths(times, angles)
    where, densities = _check_law(equation, count=len(at))
    colours = colormaps["viridis"](np.linspace(0.0, 0.82, len(at)))
    for angle, density, colour in zip(paths, densities, colours, strict=True):
        middle, spaced = spacing(angle)
        shown = shown_dots(len(middle))
        ax.plot(where, density, color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, zorder=3)
        ax.plot(middle[shown], spaced[shown], "o", color=colour, markersize=2.4, markeredgewidth=0, zorder=2)
    angle_axis(ax.xaxis)
    ax.set_ylabel(r"density $\mu_t$")
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    label_times(ax, times, ends=[density[-1] for density in densities], colours=colours)
    handles = [
        Line2D(
            [], [], color=GREY, marker="o", markersize=2.4, linestyle="none", label=f"$N = {paths.shape[1]}$ tokens"
        ),
        Line2D([], [], color=INK, linestyle=(0, (3.5, 2)), linewidth=0.9, label="equation"),
    ]
    ax.legend(handles=handles, loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=2)
    return ax


def spacing(angles: np.ndarray) -> Curves:
    """Return the middles between neighbours on the circle and the density there, 1/(N gap), both of shape (N,).

    Raises:
        DataError: if the tokens are not in order, once around.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.plots.tokens import spacing
        >>> middles, densities = spacing(np.array([0.0, 1.0, 3.0]))
        >>> middles.round(2).tolist(), densities.round(3).tolist()
        ([0.5, 2.0, 4.64], [0.333, 0.167, 0.102])
    """
    gaps = np.mod(np.diff(angles, append=angles[:1]), TURN)
    if not np.isclose(gaps.sum(), TURN):
        raise DataError(
            f"`angles` must rise once around the circle, got {gaps.sum() / TURN:.3g} turns. Sort the tokens first."
        )
    with np.errstate(divide="ignore"):
        return np.mod(angles + gaps / 2, TURN), 1 / (len(angles) * gaps)


def smoothed(angles: np.ndarray, where: np.ndarray, masses: np.ndarray | None = None) -> np.ndarray:
    """Return the density at the angles `where`, (Q,), of wrapped Gaussians of the width WIDTH, of equal masses or not.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab.plots.tokens import smoothed
        >>> smoothed(np.array([1.0, 2.0]), np.array([1.0, 2.1]), np.array([0.25, 0.75])).round(3).tolist()
        [0.997, 1.815]
    """
    waves = np.arange(1, round(6 / WIDTH))  # beyond, e^{-k^2 WIDTH^2 / 2} is under 2e-8
    shares = np.full(len(angles), 1 / len(angles)) if masses is None else masses
    means = np.exp(-1j * np.outer(waves, angles)) @ shares * np.exp(-((waves * WIDTH) ** 2) / 2)
    return (shares.sum() + 2 * np.real(np.exp(1j * np.outer(where, waves)) @ means)) / TURN


def wrapped(times: np.ndarray, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return times and angles of one token within one turn, with a hole where it crosses the end of it."""
    within = np.mod(angles, TURN)
    crossed = np.flatnonzero(np.abs(np.diff(within)) > np.pi) + 1
    return np.insert(times, crossed, np.nan), np.insert(within, crossed, np.nan)


def error_over_time(
    ax: Axes, *, times: Numbers, errors: np.ndarray, until: float | None = None, label: str = "error"
) -> Axes:
    """Draw an error over time on a logarithmic axis, as long as there is something to be compared with.

    Args:
        ax: where to draw.
        times: t_k, shape (T,).
        errors: shape (T,); those that are zero are left out.
        until: the time from which on the reference is no longer resolved: hatched, and errors left out.
        label: of the vertical axis.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together or a number is not finite.
    """
    at, found = check_finite(times, "times"), check_finite(errors, "errors")
    if at.ndim != 1 or found.shape != at.shape:
        raise DataError(f"`errors` must have shape {at.shape}, one for each time, got {found.shape}.")
    drawn = (found > 0) & (at <= (np.inf if until is None else until))
    ax.plot(at[drawn], found[drawn], color=BLUE, marker="o", markersize=2.4, clip_on=False)
    ax.locator_params(axis="x", nbins=4)
    ax.set(yscale="log", xlim=(at[0], at[-1]), xlabel="time $t$", ylabel=label)
    if until is not None:
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "hatch": "////", "linewidth": 0, "alpha": 0.6}
        ax.axvspan(until, at[-1], label="not resolved", zorder=0, **look)
    return ax


def _check_paths(times: Numbers, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    at, paths = check_finite(times, "times"), check_finite(angles, "angles")
    if at.ndim != 1 or paths.ndim != 2 or len(paths) != len(at):
        raise DataError(f"`angles` must have shape (T, N) with T = {at.size} times, got {paths.shape}.")
    return at, paths


def _check_law(law: Curves, *, count: int) -> Curves:
    where, densities = check_finite(law[0], "densities"), check_finite(law[1], "densities")
    if where.ndim != 1 or densities.shape != (count, len(where)):
        raise DataError(
            f"a law must be angles (Q,) and densities (T, Q) with T = {count} times, got {where.shape} and "
            f"{densities.shape}."
        )
    return where, densities
