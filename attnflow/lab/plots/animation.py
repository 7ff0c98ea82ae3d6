"""Films of particles, alone or beside the differential equation, as GIF or, where ffmpeg is there, as MP4."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from attnflow.lab.plots.functions import FAINT, flat, is_far
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.places import Place, place_of
from attnflow.lab.plots.style import BLUE, INK, figure, style
from attnflow.trajectories import Trajectory

FRAMES_PER_SECOND = 12
_WRITERS: dict[str, Any] = {".gif": PillowWriter, ".mp4": FFMpegWriter}


def animate(path: str | Path, *, particles: Trajectory, continuum: Trajectory | None = None) -> Path:
    """Write a film of one evolution or of two, one frame for each time.

    On the unit circle and on a line values are drawn over the angle or the coordinate, particles as dots and the
    continuum as a line; elsewhere both are clouds of points, coloured by their values, side by side, of which in space
    those beyond the middle are faint.

    Args:
        path: where to write, ".gif", or ".mp4" where ffmpeg is there.
        particles: of N points, scalar values.
        continuum: at the same times, at points of its own; None where there is none.

    Returns:
        The path.

    Raises:
        ConfigError: if the ending is another, or ffmpeg is missing.
        DataError: if the times differ, values are vectors, or points cannot be drawn or not on the same axes.

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
    flows = {"particles": particles} if continuum is None else {"particles": particles, "continuum": continuum}
    places = []
    for name, flow in flows.items():
        if not np.array_equal(flow.times, particles.times):
            raise DataError("`particles` and `continuum` must have the same times. Pass the same `times` to both.")
        if flow.values.ndim != 2 or flow.points.shape[1] != particles.points.shape[1]:
            raise DataError(f"`{name}` must have scalar values, at points of one space, got {flow.values.shape}.")
        places.append(place_of(flow.points, name=name))
    if places[0].labels != places[-1].labels:
        raise DataError("`continuum` must lie where `particles` do: one is on the circle or a torus, the other is not.")
    with style():
        draw = _over_coordinate if places[0].is_curve else _side_by_side
        made, update = draw(flows, places)
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


def _over_coordinate(flows: Mapping[str, Trajectory], places: Sequence[Place]) -> tuple[Any, Any]:
    made = figure(width=5.0, height=3.2)
    ax = made.subplots()
    place = places[0]
    if place.are_angles:
        angle_axis(ax.xaxis)
    else:
        ax.set_xlabel(place.labels[0])
    low, high = _range(*flows.values())
    room = 0.03 * ((high - low) or 1.0)
    ax.set(ylim=(low - room, high + room), ylabel=f"$u(t, {place.argument})$")
    looks: dict[str, Any] = {
        "particles": {"linestyle": "none", "marker": "o", "color": BLUE, "markersize": 2.2, "alpha": 0.6},
        "continuum": {"color": INK},
    }
    drawn = []
    for (name, flow), there in zip(flows.items(), places, strict=True):
        order = np.argsort(there.coordinates[:, 0])
        (line,) = ax.plot(there.coordinates[order, 0], flow.values[0][order], label=name, **looks[name])
        drawn.append((line, flow, order))
    if len(flows) > 1:
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    words = ax.set_title("", loc="right")

    def update(k: int) -> tuple[Any, ...]:
        for line, flow, order in drawn:
            line.set_ydata(flow.values[k][order])
        words.set_text(f"$t = {flow.times[k]:.3f}$")
        return (*(line for line, *_ in drawn), words)

    return made, update


def _side_by_side(flows: Mapping[str, Trajectory], places: Sequence[Place]) -> tuple[Any, Any]:
    made = figure(width=3.2 * len(flows), height=3.2)
    in_space = places[0].is_space
    panels: Any = made.subplots(1, len(flows), squeeze=False, subplot_kw={"projection": "3d"} if in_space else None)[0]
    scale, colours = Normalize(*_range(*flows.values())), colormaps["cividis"]

    def coloured(values: np.ndarray, far: np.ndarray) -> np.ndarray:
        found = colours(scale(values))
        found[far, 3] = FAINT
        return found

    clouds = []
    for ax, (name, flow), place in zip(panels, flows.items(), places, strict=True):
        far = is_far(place.coordinates, ax) if in_space else np.zeros(len(flow.points), dtype=bool)
        solid = {"depthshade": False} if in_space else {}
        cloud = ax.scatter(*place.coordinates.T, c=coloured(flow.values[0], far), s=7, linewidths=0, **solid)
        if in_space:
            bare(ax, place.coordinates)
        else:
            flat(ax, place)
        if len(flows) > 1:
            ax.set_title(name, pad=0)
        clouds.append((cloud, flow, far))
    words = made.suptitle("")

    def update(k: int) -> tuple[Any, ...]:
        for cloud, flow, far in clouds:
            cloud.set_facecolor(coloured(flow.values[k], far))
        words.set_text(f"$t = {flow.times[k]:.3f}$")
        return (*(cloud for cloud, *_ in clouds), words)

    return made, update


def _range(*flows: Trajectory) -> tuple[float, float]:
    return min(float(flow.values.min()) for flow in flows), max(float(flow.values.max()) for flow in flows)
