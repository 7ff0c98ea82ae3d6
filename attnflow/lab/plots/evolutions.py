"""Evolutions and spectra drawn alone: values at fixed points, tokens that move, eigenvalues and eigenfunctions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from attnflow._checks import check_integer, check_points, check_times
from attnflow.errors import ConfigError, DataError
from attnflow.judge.words import number
from attnflow.lab.plots.axes import draw_on
from attnflow.lab.plots.flows import angle_axis
from attnflow.lab.plots.functions import curves, dots, flat
from attnflow.lab.plots.lives import Life, look_of_next, name_lives
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.places import place_of
from attnflow.lab.plots.style import INK
from attnflow.trajectories import Spectrum, TokenTrajectory, Trajectory

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
            curves(
                ax, place, flow.values[shown], labels=labels, scale=(flow.times[shown], "time $t$"), name=flow.method
            )
            ax.set_ylabel(name)

        return draw_on(ax, draw_curves)
    rows = np.array([np.argmax(flow.times)]) if times is None else _rows(flow.times, times)
    if len(rows) != 1:
        raise ConfigError(
            f"`times` must be one time where points are coloured, got {len(rows)}. Draw one after another."
        )
    (row,) = rows

    def draw_dots(ax: Axes) -> None:
        dots(ax, place, flow.values[row], label=name, name=flow.method, title=_at_time(flow.times[row]))

    return draw_on(ax, draw_dots, three_dim=place.is_space)


def tokens(moved: TokenTrajectory, ax: Axes | None = None) -> Axes:
    """Draw the paths of tokens: over time on a curve, elsewhere where they run; see `TokenTrajectory.plot`.

    Args:
        moved: the tokens.
        ax: where to draw; None for a figure of its own.

    Returns:
        The axes.

    Raises:
        DataError: if tokens cannot be drawn.
    """
    order = np.argsort(moved.times, kind="stable")
    times, shape = moved.times[order], moved.points.shape
    place = place_of(moved.points[order].reshape(-1, shape[2]))
    paths = place.coordinates.reshape(*shape[:2], -1)
    jumps = np.abs(np.diff(paths, axis=0)).max(axis=2) > np.pi  # from one end of the angles to the other
    if place.is_curve:
        paths = np.concatenate([np.broadcast_to(times[:, None, None], paths.shape), paths], axis=2)

    def draw(ax: Axes) -> None:
        drawn: Any = ax
        look, artists = look_of_next(ax), []
        for path, jumped in zip(np.swapaxes(paths, 0, 1), jumps.T, strict=True):
            broken = np.insert(path, np.flatnonzero(jumped) + 1, np.nan, axis=0) if place.are_angles else path
            artists += drawn.plot(*broken.T, color=look.colour, linewidth=0.6, alpha=0.5)
        solid = {"depthshade": False} if place.is_space else {}
        ends = drawn.scatter(
            *paths[-1].T, s=7 * look.size, marker=look.marker, color=INK, linewidths=0, zorder=3, **solid
        )
        sample = {"color": look.colour, "markerfacecolor": INK, **look.marks(3)}
        ax.add_container(Life([*artists, ends], name=moved.method, sample=sample))
        name_lives(ax)
        if place.is_curve:
            ax.set_xlabel("time $t$")
            angle_axis(ax.yaxis) if place.are_angles else ax.set_ylabel(place.labels[0])
        elif place.is_space:
            bare(ax, place.coordinates)
        else:
            flat(ax, place)

    return draw_on(ax, draw, three_dim=place.is_space)


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
        look = look_of_next(ax)
        how: dict[str, Any] = {"color": look.colour, "linestyle": "none", **look.marks(4.5)}
        drawn = ax.errorbar(np.arange(len(values)), values, yerr=error, capsize=2.5, elinewidth=0.9, **how)
        ax.add_container(Life([*drawn.get_children()], name=_error_of(found), sample=how))
        ax.set(xlabel="$k$", ylabel=r"eigenvalue $\lambda_k$", title="" if name_lives(ax) else _error_of(found))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

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
            curves(ax, place, values[shown], labels=labels, scale=(shown, "$k$"), name=_error_of(found))
            ax.set_ylabel(name)

        return draw_on(ax, draw_curves)
    k = int(np.array(min(1, count - 1) if which is None else which))

    def draw_dots(ax: Axes) -> None:
        label = rf"$\varphi_{{{k}}}({place.argument})$"
        dots(ax, place, values[k], label=label, name=_error_of(found), title=_of_eigenvalue(found, k))

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


def _error_of(found: Spectrum) -> str:
    return f"error at most {number(float(found.solver_error), digits=2)}"


def _of_eigenvalue(found: Spectrum, k: int) -> str:
    value = found.eigenvalues[k]
    return rf"$\lambda_{{{k}}} = {0.0 if abs(value) <= found.solver_error else value:.4g}$"
