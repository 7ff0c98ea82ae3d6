"""Where points lie, as far as a figure can show it: along a curve, in a plane, or in space."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.errors import DataError

ON_CIRCLE = 1e-6  # by which |x| may differ from one


class Place(NamedTuple):
    """Coordinates of points in a figure.

    Args:
        coordinates: (Q, k), k = 1 along a curve, 2 in a plane, 3 in space.
        labels: of the axes, (k,), in TeX.
        argument: the letter of a point, in TeX.
        are_angles: whether they are angles in [0, 2 pi).
    """

    coordinates: np.ndarray
    labels: tuple[str, ...]
    argument: str
    are_angles: bool = False

    @property
    def is_curve(self) -> bool:
        """Whether values can be drawn over one coordinate."""
        return len(self.labels) == 1

    @property
    def is_space(self) -> bool:
        """Whether axes of three dimensions are needed."""
        return len(self.labels) == 3


def place_of(points: np.ndarray, *, name: str = "points") -> Place:
    """Return where points (Q, D) are drawn.

    Of the unit circle and the flat torus T^2, points (cos t1, sin t1, cos t2, sin t2), the angles are drawn; all else
    of up to three coordinates is drawn where it is.

    Raises:
        DataError: if they are anywhere else.

    Example:
        >>> import attnflow as af, numpy as np
        >>> from attnflow.lab.plots.places import place_of
        >>> torus = af.FlatTorus(2).sample_uniform(5, np.random.default_rng(0))
        >>> [len(place_of(points).labels) for points in (torus[:, :1], torus[:, :2], torus[:, :3], torus)]
        [1, 1, 3, 2]
    """
    dim = points.shape[1]
    if dim in (2, 4):
        pairs = points.reshape(len(points), dim // 2, 2)
        if np.abs(np.linalg.norm(pairs, axis=2) - 1).max() <= ON_CIRCLE:
            angles = np.mod(np.arctan2(pairs[..., 1], pairs[..., 0]), 2 * np.pi)
            labels = (r"$\theta$",) if dim == 2 else (r"$\theta_1$", r"$\theta_2$")
            return Place(angles, labels, r"\theta", are_angles=True)
    if dim == 1:
        return Place(points, ("$x$",), "x")
    if dim <= 3:
        return Place(points, tuple(f"$x_{k + 1}$" for k in range(dim)), "x")
    raise DataError(
        f"`{name}` must be in R, R^2 or R^3, or on a flat torus T^2, to be drawn, got points {points.shape}. Map them "
        "there first."
    )
