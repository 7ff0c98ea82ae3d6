"""Densities of noisy tokens that are at rest, ordered along one axis: a branch in the size of their order.

Tokens dx = P int e^{beta <x, y>} y mu(dy) dt + sqrt(2 kappa) dB on the sphere S^{d-1}, d = 2 or 3, rows not divided,
have laws at rest

    mu ~ e^{U / kappa},   U(x) = sum_l a_l m_l P_l(<x, e>),   m_l = int P_l(<x, e>) mu(dx),

if they are symmetric about an axis e: P_l the Chebyshev polynomials on the circle, those of Legendre on S^2, and
e^{beta t} / beta = sum_l a_l P_l(t), a_l = 2 I_l(beta) / beta and (2 l + 1) i_l(beta) / beta. The branch has r = m_1 >
0 for its parameter, and kappa is an unknown like the other m_l: so nothing happens where it turns back. As r -> 0 it
leaves the uniform law at kappa# = a_1 / d, below which the uniform law is unstable.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ive

WAVES = 32
NODES = 192
SETTLED, AT_REST = 1e-13, 1e-10


@dataclass(frozen=True)
class Ordered:
    """A law at rest.

    Args:
        noise: kappa.
        moments: m_l, l = 1, 2, ....
        potential: coefficients a_l m_l / kappa of log mu.
    """

    noise: float
    moments: np.ndarray
    potential: np.ndarray


def coefficients(dim: int, beta: float) -> np.ndarray:
    """Return a_l, l = 1, ..., 32, on the sphere of a dimension, 1 or 2."""
    l = np.arange(1, WAVES + 1)  # noqa: E741
    if dim == 1:
        return 2 * ive(l, beta) * np.exp(beta) / beta
    return (2 * l + 1) * np.sqrt(np.pi / (2 * beta)) * ive(l + 0.5, beta) * np.exp(beta) / beta


def critical_noise(dim: int, beta: float) -> float:
    """Return kappa#."""
    return float(coefficients(dim, beta)[0] / (dim + 1))


def waves(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Return P_l at nodes in <x, e>, (32, Q), and the weights of the uniform law, (Q,)."""
    if dim == 1:
        angles = np.pi * (np.arange(NODES) + 0.5) / NODES
        return np.cos(np.outer(np.arange(1, WAVES + 1), angles)), np.full(NODES, 1 / NODES)
    heights, weights = np.polynomial.legendre.leggauss(NODES)
    return np.polynomial.legendre.legvander(heights, WAVES).T[1:], weights / 2


def branch(dim: int, beta: float, sizes: np.ndarray) -> list[Ordered]:
    """Return the laws with r = m_1 of rising sizes, each found by Newton's method from the one before.

    Raises:
        ArithmeticError: if it does not settle; take closer sizes.
    """
    p, uniform = waves(dim)
    a = coefficients(dim, beta)
    noise, moments, found = critical_noise(dim, beta), np.zeros(WAVES), []
    for size in sizes:
        moments[0] = size
        for _ in range(40):
            energy = (a * moments) @ p
            weights = uniform * np.exp((energy - energy.max()) / noise)
            weights /= weights.sum()
            means = p @ weights
            spread = (p * weights) @ p.T - np.outer(means, means)
            by_noise = -((p * weights) @ energy - means * (energy @ weights)) / noise**2
            slopes = np.eye(WAVES) - spread * a / noise
            slopes[:, 0] = -by_noise  # kappa takes the place of m_1, which is given
            step = np.linalg.solve(slopes, means - moments)
            noise, moments[1:] = noise + step[0], moments[1:] + step[1:]
            small = np.abs(step / [noise, *np.ones(WAVES - 1)]).max() < SETTLED / min(size, 1.0)
            if small or noise < 0:
                break
        if not small or noise < 0 or np.abs(means - moments).max() > AT_REST:
            raise ArithmeticError(f"no law at rest was found with r = {size:g}. Take closer sizes.")
        found.append(Ordered(float(noise), moments.copy(), a * moments / noise))
    return found
