"""Tokens that attend to one another, integrated with NumPy and SciPy alone: matrices of all pairs, no manifold."""

import numpy as np
from scipy.integrate import solve_ivp


def weights(x, *, query, key, beta, masses, normalized, causal=False):
    """Return the attention weights (N, N) of logits beta <Qx_i, Kx_j>."""
    kernel = np.exp(beta * (x @ query.T) @ (x @ key.T).T) * masses
    if causal:
        kernel = np.tril(kernel)
    return kernel / kernel.sum(axis=1, keepdims=True) if normalized else kernel / masses.sum()


def doubly_stochastic(x, *, bandwidth, masses):
    """Return the matrix (N, N) with kernel e^{-|x - y|^2/2eps} whose rows sum to one and columns to their masses."""
    squares = ((x[:, None] - x[None]) ** 2).sum(axis=2)
    kernel = np.exp(-squares / (2 * bandwidth))
    masses = masses / masses.sum()
    sides = np.ones(len(x))
    for _ in range(100):  # of a positive kernel the geometric mean of two sweeps halves the distance, at least
        sides = np.sqrt(sides / (kernel @ (masses * sides)))
    return sides[:, None] * kernel * (sides * masses)


def moved(x, matrix_of, *, value, times, circles=None, sphere=False, centred=False, rtol=1e-12):
    """Return tokens (T, N, D) that move by P_x V (A x) from x (N, D)."""

    def velocity(_, flat):
        now = flat.reshape(x.shape)
        if sphere:
            now = now / np.linalg.norm(now, axis=1, keepdims=True)
        speeds = (matrix_of(now) - (now if centred else 0.0)) @ value.T
        if sphere:
            speeds = speeds - np.sum(speeds * now, axis=1, keepdims=True) * now
        return speeds.ravel()

    found = solve_ivp(velocity, (0, max(times)), x.ravel(), method="DOP853", t_eval=times, rtol=rtol, atol=rtol)
    points = found.y.T.reshape(-1, *x.shape)
    return points / np.linalg.norm(points, axis=2, keepdims=True) if sphere else points
