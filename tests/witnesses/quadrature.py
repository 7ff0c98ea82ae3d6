"""Quadrature rules on circles, flat tori and S^2: (points (M, D), weights (M,)), weights summing to the volume."""

from __future__ import annotations

import numpy as np
from scipy.special import roots_legendre


def torus_angles(n: int, *, m: int) -> tuple[np.ndarray, np.ndarray]:
    """n^m equispaced angles and equal weights: exact for trigonometric degree below n in each angle."""
    axis = 2 * np.pi * np.arange(n) / n
    angles = np.stack(np.meshgrid(*[axis] * m, indexing="ij"), axis=-1).reshape(-1, m)
    return angles, np.full(n**m, (2 * np.pi / n) ** m)


def embed_torus(angles: np.ndarray) -> np.ndarray:
    """(cos t_1, sin t_1, cos t_2, ...) for angles (Q, m) -> (Q, 2m)."""
    return np.stack([np.cos(angles), np.sin(angles)], axis=-1).reshape(*angles.shape[:-1], -1)


def torus_rule(n: int, *, m: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The equispaced rule on the embedded flat torus; m = 1 is the unit circle in the plane."""
    angles, weights = torus_angles(n, m=m)
    return embed_torus(angles), weights


def sphere_rule(latitudes: int, longitudes: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre in z times equispaced longitudes: exact for degree < min(2 latitudes, longitudes) on S^2."""
    z, z_weights = roots_legendre(latitudes)
    phi = 2 * np.pi * np.arange(longitudes) / longitudes
    radius = np.sqrt((1 - z) * (1 + z))
    points = np.stack(
        [np.outer(radius, np.cos(phi)), np.outer(radius, np.sin(phi)), np.outer(z, np.ones(longitudes))], axis=-1
    )
    return points.reshape(-1, 3), np.repeat(z_weights * 2 * np.pi / longitudes, longitudes)
