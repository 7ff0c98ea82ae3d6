"""The expansion of an attention drawn alone: the unit balls of its metric and its drift."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from scipy.spatial import cKDTree

from attnflow._checks import check_points
from attnflow.errors import DataError
from attnflow.lab.plots.axes import draw_on
from attnflow.lab.plots.functions import FAINT, is_far
from attnflow.lab.plots.metric import drift_field, metric_ellipses

FILLED = 0.45  # of the distance to the nearest point: half an axis of the largest ellipse
NO_DRIFT = 1e-9  # |Z|_G times the width of the points: what rounding leaves of none


def expansion(at: object, metrics: np.ndarray, drifts: np.ndarray, ax: Axes | None = None) -> Axes:
    """Draw ellipses of a metric and arrows of a drift, as long as their points have room; see `LaplaceExpansion.plot`.

    Args:
        at: points (Q, D), D = 2 or 3, at least two.
        metrics: G, (Q, D, D).
        drifts: Z, (Q, D).
        ax: where to draw; None for a figure of its own.

    Returns:
        The axes.

    Raises:
        DataError: if the points are others, or all the same.
    """
    points = check_points(at, "at")
    dim = points.shape[1]
    if dim not in (2, 3):
        raise DataError(f"`at` must be in R^2 or R^3 to be drawn, got points {points.shape}. Map the manifold there.")
    distinct = np.unique(points, axis=0)
    if len(distinct) < 2:
        raise DataError("`at` must hold at least two points, whose distance says how large an ellipse is drawn.")
    apart = float(np.median(np.asarray(cKDTree(distinct).query(distinct, k=2)[0])[:, 1]))
    values = np.linalg.eigvalsh(metrics)
    smallest = values.min(axis=1, initial=np.inf, where=values > 1e-9 * values[:, -1:])  # of tangent directions
    length = FILLED * apart * float(np.sqrt(smallest.min()))
    sizes = np.linalg.norm(drifts, axis=1)
    width = float(np.ptp(points, axis=0).max())
    has_drift = bool(sizes.max() * width * np.sqrt(values.max()) > NO_DRIFT)

    def draw(ax: Axes) -> None:
        first = len(ax.lines)
        metric_ellipses(ax, points, metrics, length=length)
        near = np.ones(len(points), dtype=bool)
        if dim == 3:
            near = ~is_far(points, ax)
            for line, is_near in zip(ax.lines[first:], near, strict=True):
                line.set_alpha(1.0 if is_near else 2 * FAINT)
        if has_drift and near.any():
            longest = 2 * FILLED * apart * float(sizes[near].max() / sizes.max())
            drift_field(ax, points[near], drifts[near], longest=longest)
        ax.set_title(_told(length, float(sizes.max()) if has_drift else 0.0))

    return draw_on(ax, draw, width=3.4, height=3.4, three_dim=dim == 3)


def _told(length: float, longest: float) -> str:
    drift = rf"longest $|Z| = {longest:.2g}$" if longest else "$Z = 0$"
    return rf"$|v|_G = {length:.2g}$, {drift}"
