"""Evolutions and spectra drawn alone: values over time at fixed points, eigenvalues and eigenfunctions."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attnflow._checks import check_integer, check_points, check_times
from attnflow.errors import ConfigError, DataError
from attnflow.judge.words import number
from attnflow.lab.plots.axes import draw_on
from attnflow.lab.plots.functions import curves, dots
from attnflow.lab.plots.places import place_of
from attnflow.lab.plots.style import BLUE
from attnflow.trajectories import Spectrum, Trajectory

SAME_TIME = 1e-9  # of the larger of it and one


def trajectory(flow: Trajectory, ax: Axes | None = None, *, times: object = None) -> Axes:
    """Draw values along a curve at all times, elsewhere at one; see `Trajectory.plot`.

    Args:
        flow: with scalar values.
        ax: where to draw; None for a figure of its own.
        times: which of its times; None for all, away from curves for the last.

    Returns:
        The axes.

    Raises:
        ConfigError: if a time is none of the trajectory's, or there are several where one is drawn.
        DataError: if values are vectors, or points cannot be drawn.
    """
    if flow.values.ndim != 2:
        raise DataError(
            f"`values` must be scalar to be drawn, got shape {flow.values.shape}. Pass one component to af.Trajectory: "
            "values[..., 0]."
        )
    place = place_of(flow.points)
    name = f"$u(t, {place.argument})$"
    if place.is_curve:
        shown = np.arange(len(flow.times)) if times is None else _rows(flow.times, times)
        labels = [_at_time(time) for time in flow.times[shown]]

        def draw_curves(ax: Axes) -> None:
            curves(ax, place, flow.values[shown], labels=labels, scale=(flow.times[shown], "time $t$"))
            ax.set_ylabel(name)

        return draw_on(ax, draw_curves)
    rows = np.array([np.argmax(flow.times)]) if times is None else _rows(flow.times, times)
    if len(rows) != 1:
        raise ConfigError(
            f"`times` must be one time where points are coloured, got {len(rows)}. Draw one after another."
        )
    (row,) = rows

    def draw_dots(ax: Axes) -> None:
        dots(ax, place, flow.values[row], label=name)
        ax.set_title(_at_time(flow.times[row]))

    return draw_on(ax, draw_dots, three_dim=place.is_space)


def spectrum(found: Spectrum, ax: Axes | None = None) -> Axes:
    """Draw the eigenvalues over their number, with the declared error.

    Args:
        found: the spectrum.
        ax: where to draw; None for a figure of its own.

    Returns:
        The axes.
    """
    values, error = found.eigenvalues, float(found.solver_error)

    def draw(ax: Axes) -> None:
        label = rf"$\lambda_k$, error at most {number(error, digits=2)}"
        ax.errorbar(
            np.arange(len(values)), values, yerr=error, color=BLUE, linestyle="none", marker="o", markersize=4.5,
            capsize=2.5, elinewidth=0.9, label=label,
        )  # fmt: skip
        ax.set(xlabel="$k$", ylabel=r"eigenvalue $\lambda_k$")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend()

    return draw_on(ax, draw)


def eigenfunctions(found: Spectrum, at: object, ax: Axes | None = None, *, which: object = None) -> Axes:
    """Draw eigenfunctions along a curve, elsewhere one of them; see `Spectrum.plot_functions`.

    Args:
        found: the spectrum.
        at: points (Q, D).
        ax: where to draw; None for a figure of its own.
        which: k, the number of one, from 0 on; None for all, away from curves for the first that is not constant, 1.

    Returns:
        The axes.

    Raises:
        ConfigError: if there is no such eigenfunction.
        DataError: if points cannot be drawn.
    """
    points = check_points(at, "at")
    place, count = place_of(points, name="at"), len(found.eigenvalues)
    if which is not None and check_integer(which, "which", minimum=0) >= count:
        raise ConfigError(
            f"`which` must be below {count}, the number of eigenvalues, got {which}. Ask for more of them."
        )
    values = np.asarray(found.eigenfunctions(points)).T
    name = rf"$\varphi_k({place.argument})$"
    if place.is_curve:
        shown = np.arange(count) if which is None else np.array([which], dtype=int)
        labels = [_of_eigenvalue(found, k) for k in shown]

        def draw_curves(ax: Axes) -> None:
            curves(ax, place, values[shown], labels=labels, scale=(shown, "$k$"))
            ax.set_ylabel(name)

        return draw_on(ax, draw_curves)
    k = int(np.array(min(1, count - 1) if which is None else which))

    def draw_dots(ax: Axes) -> None:
        dots(ax, place, values[k], label=rf"$\varphi_{{{k}}}({place.argument})$")
        ax.set_title(_of_eigenvalue(found, k))

    return draw_on(ax, draw_dots, three_dim=place.is_space)


def _rows(known: np.ndarray, asked: object) -> np.ndarray:
    """Return which of the known times were asked for, in the order asked."""
    times = check_times(asked)
    rows = np.abs(known[None, :] - times[:, None]).argmin(axis=1)
    off = np.abs(known[rows] - times) > SAME_TIME * np.maximum(1, times)
    if off.any():
        raise ConfigError(
            f"`times` must be among those of the trajectory, got {times[off][0]:.12g}. The nearest is "
            f"{known[rows][off][0]:.12g}."
        )
    return rows


def _at_time(time: float) -> str:
    return f"$t = {time:.3g}$"


def _of_eigenvalue(found: Spectrum, k: int) -> str:
    value = found.eigenvalues[k]
    return rf"$\lambda_{{{k}}} = {0.0 if abs(value) <= found.solver_error else value:.4g}$"
