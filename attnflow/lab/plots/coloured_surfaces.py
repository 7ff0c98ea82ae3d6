"""A surface whose parts have colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection  # type: ignore[import-untyped]

from attnflow._checks import check_points
from attnflow.errors import DataError
from attnflow.lab.plots.metric import bare
from attnflow.lab.plots.training import COLOURS

_LIGHT = np.array([0.5, -0.7, 0.5]) / np.linalg.norm([0.5, -0.7, 0.5])  # from where it comes
_AMBIENT = 0.62  # of the light, which is everywhere


def parts(ax: Axes, vertices: np.ndarray, faces: np.ndarray, labels: np.ndarray) -> Axes:
    """Draw a surface of triangles, each in the colour of the part to which most of its corners belong.

    Args:
        ax: axes of three dimensions, made with `projection="3d"`.
        vertices: (V, 3).
        faces: (F, 3), numbers of vertices.
        labels: of the vertices, from 0, (V,); the eight colours of the palette are used again after as many.

    Returns:
        The axes, with one collection of F triangles.

    Raises:
        DataError: if the shapes do not fit together.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=3, height=3).add_subplot(projection="3d")
        >>> corners = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
        >>> faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
        >>> len(plots.parts(ax, corners, faces, np.array([0, 0, 1, 1])).collections)
        1
    """
    points = check_points(vertices, "vertices", ambient_dim=3)
    faces, labels = np.asarray(faces), np.asarray(labels)
    if faces.ndim != 2 or faces.shape[1] != 3 or labels.shape != points.shape[:1]:
        raise DataError(
            f"`faces` must have shape (F, 3) and `labels` ({len(points)},), one per vertex, got {faces.shape} and "
            f"{labels.shape}."
        )
    first, second, third = labels[faces].T
    of_faces = np.where(second == third, second, first)
    corners = points[faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    towards = normals @ _LIGHT / np.linalg.norm(normals, axis=1)
    shade = _AMBIENT + (1 - _AMBIENT) * np.clip(towards, 0, 1)
    colours = np.array([to_rgb(COLOURS[label % len(COLOURS)]) for label in of_faces.tolist()]) * shade[:, None]
    drawn: Any = ax
    drawn.add_collection3d(Poly3DCollection(corners, facecolors=colours, edgecolors=colours, linewidths=0.2))
    drawn.auto_scale_xyz(*points.T)
    drawn.view_init(elev=8, azim=-60)
    bare(ax, points)
    return ax
