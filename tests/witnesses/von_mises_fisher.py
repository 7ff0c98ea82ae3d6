"""S^m with p ~ exp(b.x), f = a.y: one layer, the generator and the normaliser in closed form.  [DLMF, 10.32]"""

from __future__ import annotations

import mpmath as mp
import numpy as np

from .bessel import DIGITS, high_precision_ratio


def _layer(x: np.ndarray, *, a: np.ndarray, b: np.ndarray, bandwidth: float) -> mp.mpf:
    m = len(x) - 1
    u = [mp.mpf(x_i) / mp.mpf(bandwidth) + mp.mpf(b_i) for x_i, b_i in zip(x, b, strict=True)]
    length = mp.sqrt(mp.fdot(u, u))
    order = mp.mpf(m - 1) / 2
    return high_precision_ratio(order + 1, order, length) * mp.fdot([mp.mpf(a_i) for a_i in a], u) / length


def layer(x: np.ndarray, *, a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    """A f(x) = R(|u|) a.u / |u|, u = x/eps + b, R = I_{(m+1)/2} / I_{(m-1)/2}; x (Q, m+1), a and b (m+1,) -> (Q,)."""
    with mp.workdps(DIGITS):
        return np.array([float(_layer(point, a=a, b=b, bandwidth=bandwidth)) for point in x])


def population_generator(x: np.ndarray, *, a: np.ndarray, b: np.ndarray, bandwidth: float) -> np.ndarray:
    """(A f(x) - f(x)) / eps, without cancellation; shapes as in `layer`."""
    with mp.workdps(DIGITS):
        jumps = [
            _layer(point, a=a, b=b, bandwidth=bandwidth) - mp.fdot([mp.mpf(c) for c in a], [mp.mpf(c) for c in point])
            for point in x
        ]
        return np.array([float(jump / mp.mpf(bandwidth)) for jump in jumps])


def generator(x: np.ndarray, *, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """L f(x) = -(m/2) a.x + a.b - (a.x)(b.x), from Lap(a.x) = -m a.x and the tangential parts of a and b."""
    m = x.shape[-1] - 1
    return -m / 2 * (x @ a) + a @ b - (x @ a) * (x @ b)


def log_normalizer(b: np.ndarray) -> float:
    """log int_{S^m} e^{b.x} dvol = log[(2 pi)^{(m+1)/2} I_{(m-1)/2}(|b|) / |b|^{(m-1)/2}]; log vol(S^m) at b = 0."""
    m = len(b) - 1
    with mp.workdps(DIGITS):
        concentration = mp.sqrt(mp.fdot([mp.mpf(c) for c in b], [mp.mpf(c) for c in b]))
        if concentration == 0:
            return float(mp.log(2 * mp.pi ** (mp.mpf(m + 1) / 2) / mp.gamma(mp.mpf(m + 1) / 2)))
        order = mp.mpf(m - 1) / 2
        scaled = mp.besseli(order, concentration) / concentration**order
        return float(mp.mpf(m + 1) / 2 * mp.log(2 * mp.pi) + mp.log(scaled))


def density(x: np.ndarray, *, b: np.ndarray) -> np.ndarray:
    """p(x) = exp(b.x) / int exp(b.y) dvol(y)."""
    return np.exp(x @ b - log_normalizer(b))
