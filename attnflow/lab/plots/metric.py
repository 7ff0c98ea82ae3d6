"""The induced metric on a manifold in R^2 or R^3: its unit balls, the drift, and geodesics with their fronts."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.style import BLUE, INK, PALE, VERMILLION

ZOOM = 1.5  # matplotlib leaves a wide margin around axes of three dimensions
_AROUND = 48  # points of an ellipse
_FLAT = 1e-9  # of the largest eigenvalue of a metric: less is a normal direction


def surface(ax: Axes, grid: np.ndarray) -> Axes:
    """Draw a surface in R^3 white, with pale lines along two parameters; what is drawn later lies before it.

    Args:
        ax: axes of three dimensions, made with `projection="3d"`.
        grid: points (R, C, 3) along two parameters.

    Returns:
        The axes.
    """
    points = _shaped(grid, "grid", axes=3, dim=(3,))
    drawn: Any = ax
    drawn.computed_zorder = False
    steps = {"rstride": 1, "cstride": 1}  # unless it is said, 50 of either are drawn
    drawn.plot_surface(
        *np.moveaxis(points, 2, 0), color="white", edgecolor=PALE, linewidth=0.5, zorder=0, shade=False, **steps
    )
    bare(ax, points.reshape(-1, 3))
    return ax


def metric_ellipses(ax: Axes, points: np.ndarray, metrics: np.ndarray, *, length: float) -> Axes:
    """Draw at each point the tangent vectors v with <v, G v> = length^2: attention diffuses far where they are long.

    Args:
        ax: where to draw; of three dimensions for points of R^3.
        points: (Q, D), D = 2 or 3.
        metrics: G as tensors (Q, D, D) that vanish on normal vectors, as `LaplaceExpansion.metric` returns them.
        length: of the vectors in G.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=3, height=3).subplots()
        >>> len(plots.metric_ellipses(ax, np.zeros((1, 2)), np.diag([1.0, 4.0])[None], length=0.1).lines)
        1
    """
    at = _shaped(points, "points", axes=2)
    tensors = check_finite(metrics, "metrics")
    if tensors.shape != (*at.shape, at.shape[1]):
        raise DataError(f"`metrics` must have shape {(*at.shape, at.shape[1])}, got {tensors.shape}.")
    values, axes = np.linalg.eigh(tensors)
    tangent = values > _FLAT * values[:, -1:]
    scaled = axes * np.where(tangent, length / np.sqrt(np.where(tangent, values, 1.0)), 0.0)[:, None]
    angles = np.linspace(0, 2 * np.pi, _AROUND + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)])
    for point, vectors in zip(at, scaled, strict=True):
        # The two largest eigenvalues, of three the tangent ones; on a curve the smaller is zero, which draws a segment.
        ellipse = point[:, None] + vectors[:, -2:] @ circle
        ax.plot(*ellipse, color=BLUE, linewidth=0.8, zorder=1)
    bare(ax, at)
    return ax


def drift_field(ax: Axes, points: np.ndarray, drifts: np.ndarray, *, longest: float) -> Axes:
    """Draw the drift Z of L f = 1/2 Lap_G f + <Z, grad f>_G as arrows, the largest of which has a given length.

    Args:
        ax: where to draw; of three dimensions for points of R^3.
        points: (Q, D), D = 2 or 3.
        drifts: Z, (Q, D), as `LaplaceExpansion.drift` returns it.
        longest: the length of the longest arrow.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together.
    """
    at = _shaped(points, "points", axes=2)
    vectors = check_finite(drifts, "drifts")
    if vectors.shape != at.shape:
        raise DataError(f"`drifts` must have shape {at.shape}, got {vectors.shape}.")
    vectors = vectors * (longest / max(float(np.linalg.norm(vectors, axis=1).max()), np.finfo(float).tiny))
    drawn: Any = ax
    if at.shape[1] == 3:
        drawn.quiver(*at.T, *vectors.T, color=VERMILLION, linewidth=0.8, arrow_length_ratio=0.35, zorder=2)
    else:
        drawn.quiver(*at.T, *vectors.T, color=VERMILLION, angles="xy", scale_units="xy", scale=1, width=0.006, zorder=2)
    bare(ax, at)
    return ax


def geodesics(ax: Axes, paths: np.ndarray, *, fronts: bool = True) -> Axes:
    """Draw geodesics of G, and through their points of equal length the fronts that diffusion reaches together.

    A front at the length s is reached at times of order s^2: -2t log p_t(x, y) tends to d_G(x, y)^2 as t -> 0.

    Args:
        ax: where to draw; of three dimensions for points of R^3.
        paths: points (K, S, D), D = 2 or 3, as `LaplaceExpansion.geodesics` returns them, from one start, in order of
            their directions.
        fronts: whether the points of equal length are joined.

    Returns:
        The axes.

    Raises:
        DataError: if the shape is another.
    """
    lines = _shaped(paths, "paths", axes=3)
    for line in lines:
        ax.plot(*line.T, color=INK, linewidth=0.7, zorder=1)
    if fronts:
        for front in np.moveaxis(lines, 1, 0):
            ax.plot(*np.vstack([front, front[:1]]).T, color=VERMILLION, linewidth=0.9, zorder=2)
    bare(ax, lines.reshape(-1, lines.shape[2]))
    return ax


def _shaped(array: object, name: str, *, axes: int, dim: tuple[int, ...] = (2, 3)) -> np.ndarray:
    found = check_finite(array, name)
    if found.ndim != axes or found.shape[-1] not in dim:
        dims = " or ".join(map(str, dim))
        raise DataError(f"`{name}` must have {axes} axes, the last of length {dims}, got shape {found.shape}.")
    return found


def bare(ax: Axes, points: np.ndarray) -> None:
    """Give all directions one scale, and leave out what frames them."""
    drawn: Any = ax
    drawn.set_aspect("equal")
    drawn.set_axis_off()
    if points.shape[1] == 3:
        sides = np.ptp(np.array([drawn.get_xlim(), drawn.get_ylim(), drawn.get_zlim()]), axis=1)
        drawn.set_box_aspect(sides, zoom=ZOOM)
