"""Films of particles beside the differential equation, as GIF or, where ffmpeg is there, as MP4."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from attnflow._checks import check_choice
from attnflow.errors import ConfigError, DataError
from attnflow.lab.plots.flows import angle_axis
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.style import BLUE, INK, figure, style
from attnflow.trajectories import Trajectory

FRAMES_PER_SECOND = 12
FAINT = 0.12  # of points on the far side
_WRITERS: dict[str, Any] = {".gif": PillowWriter, ".mp4": FFMpegWriter}


def animate(path: str | Path, *, particles: Trajectory, continuum: Trajectory) -> Path:
    """Write a film of two evolutions on a curve in R^2 or on a surface in R^3, one frame for each time.

    On the unit circle values are drawn over the angle, particles as dots and the continuum as a line; on surfaces both
    are clouds of points, coloured by their values, side by side, those beyond the middle faint.

    Args:
        path: where to write, ".gif", or ".mp4" where ffmpeg is there.
        particles: of N points, scalar values.
        continuum: at the same times, at points of its own.

    Returns:
        The path.

    Raises:
        ConfigError: if the ending is another, or ffmpeg is missing.
        DataError: if the times differ, values are vectors, or points are neither in R^2 nor in R^3.

    Example:
        >>> import numpy as np, tempfile, attnflow as af
        >>> from attnflow.lab import plots
        >>> angles = np.linspace(0, 2 * np.pi, 32)
        >>> circle = np.column_stack([np.cos(angles), np.sin(angles)])
        >>> flow = af.Trajectory(times=[0.0, 1.0], points=circle, values=[np.sin(angles), np.sin(angles) / 2])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plots.animate(f"{folder}/flow.gif", particles=flow, continuum=flow).name
        'flow.gif'
    """
    writer = writer_of(path)
    if not np.array_equal(particles.times, continuum.times):
        raise DataError("`particles` and `continuum` must have the same times. Pass the same `times` to both.")
    for name, flow in {"particles": particles, "continuum": continuum}.items():
        if flow.values.ndim != 2 or flow.points.shape[1] != particles.points.shape[1]:
            raise DataError(f"`{name}` must have scalar values, at points of one space, got {flow.values.shape}.")
    if particles.points.shape[1] not in (2, 3):
        raise DataError(
            f"`particles` must be in R^2 or R^3 to be drawn, got points {particles.points.shape}. Map them there first."
        )
    with style():
        draw = _over_angles if particles.points.shape[1] == 2 else _on_surface
        made, update = draw(particles, continuum)
        return save_film(path, made, update, frames=len(particles.times), writer=writer)


def writer_of(path: str | Path) -> Any:
    """Return what writes films of this ending; raise ConfigError if the ending is another, or ffmpeg is missing."""
    writer = _WRITERS[check_choice(Path(path).suffix.lower(), "path", tuple(_WRITERS))]
    if not writer.isAvailable():
        name = Path(path).name
        raise ConfigError(f"`path` {name!r} asks for ffmpeg, which is not on this machine. Write a .gif instead.")
    return writer


def save_film(
    path: str | Path, made: Figure, update: Callable[[int], tuple[Any, ...]], *, frames: int, writer: Any
) -> Path:
    """Write the figure once for each frame that `update` makes of it, and return the path."""
    FuncAnimation(made, update, frames=frames).save(path, writer=writer(fps=FRAMES_PER_SECOND), dpi=110)
    return Path(path)


def _over_angles(particles: Trajectory, continuum: Trajectory) -> tuple[Any, Any]:
    made = figure(width=5.0, height=3.2)
    ax = made.subplots()
    low, high = _range(particles, continuum)
    angle_axis(ax.xaxis)
    ax.set(ylim=(low, high), ylabel=r"$u(t, \theta)$")
    at, there = (np.mod(np.arctan2(flow.points[:, 1], flow.points[:, 0]), 2 * np.pi) for flow in (particles, continuum))
    order = np.argsort(there)
    (dots,) = ax.plot(at, particles.values[0], "o", color=BLUE, markersize=2.2, alpha=0.6, label="particles")
    (line,) = ax.plot(there[order], continuum.values[0][order], color=INK, label="continuum")
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    words = ax.set_title("", loc="right")

    def update(k: int) -> tuple[Any, ...]:
        dots.set_ydata(particles.values[k])
        line.set_ydata(continuum.values[k][order])
        words.set_text(f"$t = {particles.times[k]:.3f}$")
        return dots, line, words

    return made, update


def _on_surface(particles: Trajectory, continuum: Trajectory) -> tuple[Any, Any]:
    made = figure(width=6.4, height=3.2)
    panels: Any = made.subplots(1, 2, subplot_kw={"projection": "3d"})
    scale, colours = Normalize(*_range(particles, continuum)), colormaps["cividis"]
    flows = (particles, continuum)
    far = [_is_far(flow.points, panels[0]) for flow in flows]

    def coloured(values: np.ndarray, far: np.ndarray) -> np.ndarray:
        found = colours(scale(values))
        found[far, 3] = FAINT
        return found

    clouds = []
    for ax, flow, behind, name in zip(panels, flows, far, ("particles", "continuum"), strict=True):
        colour = coloured(flow.values[0], behind)
        clouds.append(ax.scatter(*flow.points.T, c=colour, s=7, depthshade=False, linewidths=0))
        bare(ax, flow.points)
        ax.set_title(name, pad=0)
    words = made.suptitle("")

    def update(k: int) -> tuple[Any, ...]:
        for cloud, flow, behind in zip(clouds, flows, far, strict=True):
            cloud.set_facecolor(coloured(flow.values[k], behind))
        words.set_text(f"$t = {particles.times[k]:.3f}$")
        return (*clouds, words)

    return made, update


def _is_far(points: np.ndarray, ax: Any) -> np.ndarray:
    """Return which points lie beyond the middle of all, as they are seen."""
    up, round_ = np.radians([ax.elev, ax.azim])
    towards = np.array([np.cos(up) * np.cos(round_), np.cos(up) * np.sin(round_), np.sin(up)])
    return (points - points.mean(axis=0)) @ towards < 0


def _range(*flows: Trajectory) -> tuple[float, float]:
    return min(float(flow.values.min()) for flow in flows), max(float(flow.values.max()) for flow in flows)
