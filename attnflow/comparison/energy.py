"""The energy distance: the maximum mean discrepancy (MMD) of the kernel -|x - y|."""

from __future__ import annotations

import math

import numpy as np
from scipy.spatial.distance import cdist

from attnflow.comparison.laws import Law, as_law, check_one_space
from attnflow.comparison.noise import Distance

_ROWS = 256  # of a tile of distances: with as many columns it fits a cache
_COLUMNS = 2048


def mmd(a: object, b: object) -> Distance:
    """Return the maximum mean discrepancy of two laws for the kernel -|x - y|, their energy distance [SR].

        MMD^2 = 2 E|X - Y| - E|X - X'| - E|Y - Y'|,

    zero for equal laws alone. It takes N^2 time, tile by tile, N log N on the line, and no N x N array. Its noise floor
    is exact: two samples of N and M points of one law have the mean square (1/N + 1/M) E|X - X'|.

    Args:
        a: points (N, D), a DiscreteMeasure, or a trajectory of one time.
        b: another law, in the same space.

    Raises:
        ConfigError: if a trajectory has several times.
        DataError: if points or masses are none, or the laws are of different spaces.

    Example:
        >>> import numpy as np, attnflow as af
        >>> apart = af.mmd(np.array([[0.0], [2.0]]), np.array([[1.0], [3.0]]))
        >>> round(apart**2, 12), round(apart.noise_floor**2, 12)  # 2 (6/4) - 4/4 - 4/4; (1/2 + 1/2) 5/4
        (1.0, 1.25)
    """
    laws = as_law(a, "a"), as_law(b, "b")
    check_one_space(*laws)
    return energy_of_laws(*laws)


def energy_of_laws(a: Law, b: Law) -> Distance:
    """Return the energy distance of two laws with points of as many coordinates."""
    within_a, within_b, between = _mean_distance(a, a), _mean_distance(b, b), _mean_distance(a, b)
    share = 0.5 if a.size == b.size else 1 / (1 + b.size / a.size)
    typical = share**2 * within_a + 2 * share * (1 - share) * between + (1 - share) ** 2 * within_b
    floor = math.sqrt((1 / a.size + 1 / b.size) * typical)
    return Distance(math.sqrt(max(2 * between - within_a - within_b, 0.0)), lambda: floor)


def _mean_distance(a: Law, b: Law) -> float:
    """Return E|X - Y| of independent X and Y."""
    if a.points.shape[1] == 1:
        return _mean_distance_on_line(a, b)
    total = 0.0
    for i in range(0, len(a.points), _ROWS):
        for j in range(0, len(b.points), _COLUMNS):
            tile = cdist(a.points[i : i + _ROWS], b.points[j : j + _COLUMNS])
            total += float(a.masses[i : i + _ROWS] @ tile @ b.masses[j : j + _COLUMNS])
    return total


def _mean_distance_on_line(a: Law, b: Law) -> float:
    """Return int F_a (1 - F_b) + F_b (1 - F_a)."""
    places = np.sort(np.concatenate([a.points[:, 0], b.points[:, 0]]))
    first, second = (_distribution(law, places[:-1]) for law in (a, b))
    return float(np.diff(places) @ (first * (1 - second) + second * (1 - first)))


def _distribution(law: Law, places: np.ndarray) -> np.ndarray:
    order = np.argsort(law.points[:, 0])
    levels = np.concatenate([[0.0], np.cumsum(law.masses[order])])
    return levels[np.searchsorted(law.points[order, 0], places, side="right")]
