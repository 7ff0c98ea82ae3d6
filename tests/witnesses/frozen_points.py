"""Noise and slow-down of many layers on flat tori, uniform p, from dense matrices on a grid instead of Fourier sums."""

from __future__ import annotations

import numpy as np

from .quadrature import embed_torus, torus_angles


def _kernel(angles: np.ndarray, *, bandwidth: float) -> np.ndarray:
    points = embed_torus(angles)
    return np.exp((points @ points.T - points.shape[1] / 2) / bandwidth)  # e^{-|x-y|^2 / 2 eps}, |x|^2 = m


def noise_of_one_point(*, wave: tuple[int, ...], bandwidth: float, layers: int, nodes: int, fresh: bool) -> float:
    """lim N E |A_N^n f - A^n f|^2, f = e^{il.x}: the sum over layers of what one point X changes, squared, by hand.

    A point at X changes a layer by k(x, X) (g(X) - A g(x)) / int k p, to first order in 1/N; by translation X may be
    fixed. `fresh` squares before it sums over the layers, as new points in each of them would.
    """
    angles, _ = torus_angles(nodes, m=len(wave))
    kernel = _kernel(angles, bandwidth=bandwidth)
    matrix = kernel / kernel.sum(axis=1, keepdims=True)
    iterates = [np.exp(1j * angles @ np.array(wave))]
    for _ in range(layers):
        iterates.append(matrix @ iterates[-1])
    response = len(angles) * matrix[:, 0]  # k(x, X) / int k p at X = the first node
    total, squares = np.zeros(len(angles), complex), 0.0
    for k in range(layers):
        change = response * (iterates[k][0] - iterates[k + 1])
        for _ in range(layers - 1 - k):
            change = matrix @ change
        total += change
        squares += float(np.mean(np.abs(change) ** 2))
    return squares if fresh else float(np.mean(np.abs(total) ** 2))


def shift_by_a_ripple(*, ripple: tuple[int, ...], bandwidth: float, nodes: int, height: float = 1e-3) -> float:
    """How far the mean of the 2m first eigenvalues of A moves under p ~ 1 + 2s cos(q.x), over s^2."""
    m = len(ripple)
    angles, _ = torus_angles(nodes, m=m)
    kernel = _kernel(angles, bandwidth=bandwidth)

    def mean_eigenvalue(s: float) -> float:
        p = 1 + 2 * s * np.cos(angles @ np.array(ripple))
        degrees = kernel @ p
        half = np.sqrt(p / degrees)
        return float(np.linalg.eigvalsh(half[:, None] * kernel * half)[-2 * m - 1 : -1].mean())

    return (mean_eigenvalue(height) - mean_eigenvalue(0.0)) / height**2
