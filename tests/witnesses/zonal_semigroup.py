"""Drift-diffusions on S^m with p ~ e^{q(h)}, h the last coordinate, of f = y g(h): y = 1, or another coordinate.

They stay of this form: with order = 0 or 1 for y = 1 or x_1

    L (y g) = y [ ((1 - h^2) g'' - (m + 2 order) h g' - m order g) / 2 + q' ((1 - h^2) g' - order h g) ],

by Galerkin's method in Legendre polynomials of h, whose ends are singular and need no condition.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.polynomial import legendre
from scipy.linalg import expm


def evolved(
    g: Callable, h: np.ndarray, *, slope: Callable, time: float, dim: int, order: int, degree: int = 90
) -> np.ndarray:
    """Return g_t at heights h (Q,) from g, for q' = slope, with polynomials up to a degree."""
    nodes, weights = legendre.leggauss(2 * degree)
    series = np.diag(np.sqrt(np.arange(degree + 1) + 0.5))
    values = legendre.legval(nodes, series)
    first, second = (legendre.legval(nodes, legendre.legder(series, k)) for k in (1, 2))
    square = 1 - nodes**2
    image = (square * second - (dim + 2 * order) * nodes * first - dim * order * values) / 2
    image += slope(nodes) * (square * first - order * nodes * values)
    matrix = (values * weights) @ image.T
    start = (values * weights) @ g(nodes)
    return legendre.legval(h, series @ expm(time * matrix) @ start)
