"""The scatter of averages over independent points, by plain sums over a rule: nodes with masses w that sum to one.

`kernel` is k(x_q, y_j), shape (Q, n); `between` that of the nodes, (n, n), symmetric where key weights need it.
"""

from __future__ import annotations

import itertools

import numpy as np


def leading_variance(kernel: np.ndarray, masses: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Return int k^2 (f - A f)^2 p / (int k p)^2, (Q,)."""
    mean = kernel @ (masses * f) / (kernel @ masses)
    return ((kernel * (f - mean[:, None])) ** 2 @ masses) / (kernel @ masses) ** 2


def variance_of_few(kernel: np.ndarray, masses: np.ndarray, f: np.ndarray, *, count: int) -> np.ndarray:
    """Return Var[sum k f / sum k] of so many independent points, by a sum over all tuples of nodes, (Q,)."""
    first = second = np.zeros(len(kernel))
    for nodes in itertools.product(range(len(masses)), repeat=count):
        chosen = list(nodes)
        chance = masses[chosen].prod()
        average = kernel[:, chosen] @ f[chosen] / kernel[:, chosen].sum(axis=1)
        first, second = first + chance * average, second + chance * average**2
    return second - first**2


def variance_of_alpha(
    kernel: np.ndarray, between: np.ndarray, masses: np.ndarray, f: np.ndarray, *, alpha: float
) -> np.ndarray:
    """Return lim N Var of one layer of keys weighed by q^-alpha, q = int k p.

    A mass at z moves log q(y) by k(y, z) / q(y) - 1, so h_z is a(x, z) (f(z) - A f(x)) less alpha times the mean of
    k(y, z) / q(y) over y under a(x, y) (f(y) - A f(x)).
    """
    density = between @ masses
    rows = kernel * density**-alpha
    rows = rows / (rows @ masses)[:, None]
    direct = rows * (f - (rows @ (masses * f))[:, None])
    influence = direct - alpha * (direct * masses / density) @ between
    return influence**2 @ masses


def variance_of_sinkhorn(kernel: np.ndarray, between: np.ndarray, masses: np.ndarray, f: np.ndarray) -> np.ndarray:
    """Return lim N Var of one layer of a doubly stochastic kernel; it is self-adjoint under p.

    From u = -log int k e^u p a mass at z moves u by -(I + A)^{-1} (a(., z) - 1), so h_z is g - A (I + A)^{-1} g with
    g(z) = a(x, z) (f(z) - A f(x)), which is (I + A)^{-1} g.
    """
    weights = np.ones(len(masses))
    for _ in range(200):
        weights = np.sqrt(weights / (between @ (masses * weights)))
    matrix = weights[:, None] * between * weights
    rows = kernel * weights
    rows = rows / (rows @ masses)[:, None]
    direct = rows * (f - (rows @ (masses * f))[:, None])
    influence = np.linalg.solve(np.eye(len(masses)) + matrix * masses, direct.T).T
    return influence**2 @ masses
