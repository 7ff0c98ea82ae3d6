"""What a network decides in the plane, and the metric that it has learned there: as a picture, and over training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.animation import save_film, writer_of
from attnflow.lab.plots.flows import Numbers
from attnflow.lab.plots.metric import metric_ellipses
from attnflow.lab.plots.style import BLUE, INK, PALE_BLUE, PALE_VERMILLION, VERMILLION, figure, style

_SIDES = LinearSegmentedColormap.from_list("sides", [PALE_BLUE, "white", PALE_VERMILLION])
_ELLIPSES = 2.0  # lengths of an ellipse's longest half axis in gaps between the points at which ellipses stand


def plane_grid(tokens: np.ndarray, *, count: int, room: float = 0.12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return coordinates x (C,), y (R,) and points (R C, 2) of a grid around tokens of the plane, C = `count`.

    Args:
        tokens: (N, 2).
        count: of columns; rows are about as far apart.
        room: around the tokens, relative to their extent.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> x, y, points = plots.plane_grid(np.array([[0.0, 0.0], [2.0, 1.0]]), count=5, room=0.0)
        >>> x.tolist(), y.tolist(), points.shape
        ([0.0, 0.5, 1.0, 1.5, 2.0], [0.0, 0.5, 1.0], (15, 2))
    """
    at = _checked_plane(tokens, "tokens")
    low, high = at.min(axis=0), at.max(axis=0)
    low, high = low - room * (high - low), high + room * (high - low)
    rows = max(round((count - 1) * (high[1] - low[1]) / (high[0] - low[0])) + 1, 2)
    x, y = np.linspace(low[0], high[0], count), np.linspace(low[1], high[1], rows)
    return x, y, np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def decision_regions(
    ax: Axes, *, x: Numbers, y: Numbers, chances: np.ndarray, tokens: np.ndarray, labels: Numbers, train: Any = None
) -> Axes:
    """Draw the chance of the second of two classes over the plane, the line where it is one half, and the tokens.

    Args:
        ax: where to draw.
        x: coordinates of the columns of a grid, (C,), as `plane_grid` gives them.
        y: of its rows, (R,).
        chances: there, (R, C), between 0 and 1.
        tokens: (N, 2).
        labels: of the tokens, 0 or 1, (N,).
        train: which tokens are for training, (N,), drawn as dots; the others as rings. All of them unless given.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together, or a chance is none.
    """
    columns, rows, at = check_finite(x, "x"), check_finite(y, "y"), _checked_plane(tokens, "tokens")
    found, classes = check_finite(chances, "chances"), np.asarray(labels)
    if found.shape != (len(rows), len(columns)) or found.min() < 0 or found.max() > 1:
        raise DataError(f"`chances` must be numbers from 0 to 1 of shape {(len(rows), len(columns))}, (R, C), got "
                        f"{found.shape}.")  # fmt: skip
    trained = np.ones(len(at), dtype=bool) if train is None else np.asarray(train, dtype=bool)
    if classes.shape != (len(at),) or not np.isin(classes, (0, 1)).all() or trained.shape != classes.shape:
        raise DataError(f"`labels` and `train` must be 0 or 1 for each of {len(at)} tokens, got {classes.shape}.")
    ax.pcolormesh(columns, rows, found, cmap=_SIDES, vmin=0, vmax=1, shading="nearest", rasterized=True, zorder=0)
    if found.min() < 0.5 < found.max():
        ax.contour(columns, rows, found, levels=[0.5], colors=[INK], linewidths=0.9, zorder=2)
    for label, colour in ((0, BLUE), (1, VERMILLION)):
        for part, filled in ((trained, True), (~trained, False)):
            look: dict[str, Any] = {"markersize": 2.4, "markeredgewidth": 0.0 if filled else 0.7, "color": colour}
            chosen = at[(classes == label) & part]
            ax.plot(*chosen.T, "o", fillstyle="full" if filled else "none", zorder=3, **look)
    ax.set(xlim=columns[[0, -1]], ylim=rows[[0, -1]], aspect="equal")
    ax.set_axis_off()
    return ax


def learned_ellipses(ax: Axes, points: np.ndarray, metrics: np.ndarray) -> Axes:
    """Draw unit balls of a learned metric, the largest of the middle half as long as points are apart.

    Where it is not positive definite there is no ellipse: a cross stands there.

    Args:
        ax: where to draw, with its limits set.
        points: a grid, (Q, 2).
        metrics: G, (Q, 2, 2), as `TrainedLayer.metric` returns them.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together.
    """
    at = _checked_plane(points, "points")
    tensors = check_finite(metrics, "metrics")
    if tensors.shape != (len(at), 2, 2):
        raise DataError(f"`metrics` must have shape {(len(at), 2, 2)}, got {tensors.shape}.")
    limits: dict[str, Any] = {"xlim": ax.get_xlim(), "ylim": ax.get_ylim()}
    values = np.linalg.eigvalsh(tensors)
    metric = values[:, 0] > 0
    if metric.any():
        gap = np.sqrt(np.ptp(at[:, 0]) * np.ptp(at[:, 1]) / max(len(at), 1)) or 1.0
        longest = np.quantile(1 / np.sqrt(values[metric, 0]), 0.75)
        drawn = len(ax.lines)
        metric_ellipses(ax, at[metric], tensors[metric], length=gap / (_ELLIPSES * longest))
        for line in ax.lines[drawn:]:
            line.set(color=INK, linewidth=0.6)  # blue is a class here
    ax.plot(*at[~metric].T, "x", color=INK, markersize=3, markeredgewidth=0.7, zorder=4)
    ax.set(**limits)
    return ax


def film_training(
    path: str | Path, *, steps: Numbers, x: Numbers, y: Numbers, chances: np.ndarray, tokens: np.ndarray,
    labels: Numbers, train: Any = None, at: np.ndarray, metrics: np.ndarray,
) -> Path:  # fmt: skip
    """Write a film of what a network decides and of the metric that it has learned, one frame for each time.

    Args:
        path: where to write, ".gif", or ".mp4" where ffmpeg is there.
        steps: of training, (T,).
        x: coordinates of the columns of a grid, (C,).
        y: of its rows, (R,).
        chances: of the second class there, (T, R, C).
        tokens: (N, 2).
        labels: of the tokens, 0 or 1, (N,).
        train: which tokens are for training, (N,); all of them unless given.
        at: where ellipses stand, (Q, 2).
        metrics: G there, (T, Q, 2, 2).

    Returns:
        The path.

    Raises:
        ConfigError: if the ending is another, or ffmpeg is missing.
        DataError: if the shapes do not fit together.
    """
    writer = writer_of(path)
    times, frames, tensors = check_finite(steps, "steps"), np.asarray(chances), np.asarray(metrics)
    if times.ndim != 1 or len(frames) != len(times) or len(tensors) != len(times):
        raise DataError(f"`chances` and `metrics` must have one entry for each of {times.size} steps, got "
                        f"{len(frames)} and {len(tensors)}.")  # fmt: skip
    with style():
        made = figure(width=4.4, height=3.6)
        ax = made.subplots()

        def update(k: int) -> tuple[Any, ...]:
            ax.clear()
            decision_regions(ax, x=x, y=y, chances=frames[k], tokens=tokens, labels=labels, train=train)
            learned_ellipses(ax, at, tensors[k])
            ax.set_title(f"step {times[k]:.0f}")
            return (ax,)

        return save_film(path, made, update, frames=len(times), writer=writer)


def _checked_plane(points: np.ndarray, name: str) -> np.ndarray:
    found = check_finite(points, name)
    if found.ndim != 2 or found.shape[1] != 2 or len(found) < 2:
        raise DataError(f"`{name}` must be two points of the plane or more, (N, 2), got shape {found.shape}.")
    return found
