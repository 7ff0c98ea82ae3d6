"""What first-order perturbation says of the eigenvalues of sampled attention, by quadrature on the circle.

Let u be an eigenfunction of A, A u = (1 - eps l) u, and d p the density of the stationary law, int d p u^2 = 1. If the
law p of the keys becomes p + delta, a ratio of quadratic forms whose value at u is 1 - eps l moves, and with it

    l  by  - (1 - eps l) int h delta / eps,   h = d (u^2 - A u^2)                                    softmax,
                                              h - alpha K (h p / q), q = int k p                     weights q^{-alpha},
                                              (I - A)(I + A)^{-1} u^2                                Sinkhorn,

the second and third because key weights move as well. Of N independent keys int h delta is a mean less its expectation,
so that N^{1/2} (l_N - l) tends to a Gaussian law of the variance (1 - eps l)^2 Var_p(h) / eps^2. As eps -> 0, with
(1 - alpha) in front for weights, and 1/2, d = 1 for Sinkhorn,

    h / eps -> - p (|grad u|^2 - 2 l u^2),   int p^2 u^2 = 1 .
"""

from typing import NamedTuple

import numpy as np

SETTLED = 1e-13


class Mode(NamedTuple):
    """An eigenvalue and what it answers to.

    Args:
        eigenvalue: l.
        response: -(1 - eps l) h / eps at the nodes, less its mean, (Q,).
        without_mass: the same without the term -2 l u^2, in the limit, (Q,).
    """

    eigenvalue: float
    response: np.ndarray
    without_mass: np.ndarray


def modes(
    points: np.ndarray, masses: np.ndarray, *, bandwidth: float, normalization: str, count: int
) -> tuple[Mode, ...]:
    """Return the modes l_1, ..., l_count of an attention.

    Args:
        points: of a quadrature, (Q, 2), angles evenly spread.
        masses: p times its weights, (Q,).
        bandwidth: eps, in |x - y|^2.
        normalization: "softmax", "alpha", which is weights q^{-1}, or "sinkhorn".
        count: how many modes.
    """
    plain = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2) / (2 * bandwidth))
    kernel, totals = plain, plain @ masses
    if normalization == "alpha":
        kernel = plain / totals[:, None] / totals
    elif normalization == "sinkhorn":
        weights = scaled(plain, masses)
        kernel = weights[:, None] * plain * weights
    degrees = kernel @ masses
    roots = np.sqrt(masses * degrees)
    values, vectors = np.linalg.eigh(kernel * np.sqrt(masses / degrees) * np.sqrt(masses / degrees)[:, None])
    found = []
    for kept, vector in zip(values[-2 : -2 - count : -1], vectors.T[-2 : -2 - count : -1], strict=True):
        square = (vector / roots) ** 2
        if normalization == "sinkhorn":
            lost = np.linalg.solve(np.eye(len(masses)) + kernel * masses, square - kernel @ (masses * square))
        else:
            lost = degrees * square - kernel @ (masses * square)
            if normalization == "alpha":
                lost = lost - plain @ (lost * masses / totals)
        response = -kept * lost / bandwidth
        slope = derivative(vector / roots)
        without = degrees * slope**2
        found.append(Mode((1 - kept) / bandwidth, response - response @ masses, without - without @ masses))
    return tuple(found)


def scaled(kernel: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Return the v > 0 for which v K (v p) = 1."""
    weights = np.ones(len(masses))
    for _ in range(20_000):
        before, weights = weights, np.sqrt(weights / (kernel @ (masses * weights)))
        if np.abs(weights / before - 1).max() < SETTLED:
            return weights
    raise ArithmeticError("Sinkhorn's iteration did not settle.")


def derivative(values: np.ndarray) -> np.ndarray:
    """Return the derivative of a function on the circle by the angle, from its values at even angles."""
    frequencies = np.fft.fftfreq(len(values), 1 / len(values))
    return np.fft.ifft(1j * frequencies * np.fft.fft(values)).real


def variance(response: np.ndarray, masses: np.ndarray) -> float:
    """Return N Var of what answers so."""
    return float(response**2 @ masses)
