"""Eigenvalues of -L = -Lap / 2 for uniform densities, with multiplicity, in ascending order."""

from __future__ import annotations

from itertools import product
from math import ceil, comb, sqrt

import numpy as np


def torus_eigenvalues(count: int, *, m: int) -> np.ndarray:
    """The `count` smallest |k|^2 / 2, k in Z^m (flat torus of period 2 pi; m = 1 is the unit circle)."""
    radius = ceil(sqrt(m) * count ** (1 / m)) + 1  # the cube of this half-width holds more than `count` whole shells
    waves = np.array(list(product(range(-radius, radius + 1), repeat=m)))
    return np.sort((waves**2).sum(axis=1) / 2)[:count]


def sphere_multiplicity(degree: int, *, m: int) -> int:
    """Dimension of the harmonics of degree l on S^m: C(l+m, m) - C(l+m-2, m)."""
    return comb(degree + m, m) - (comb(degree + m - 2, m) if degree >= 2 else 0)


def sphere_eigenvalues(count: int, *, m: int) -> np.ndarray:
    """The `count` smallest l (l + m - 1) / 2 on the unit sphere S^m."""
    values: list[float] = []
    degree = 0
    while len(values) < count:
        values += [degree * (degree + m - 1) / 2] * sphere_multiplicity(degree, m=m)
        degree += 1
    return np.array(values[:count])
