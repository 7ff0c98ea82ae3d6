"""Predicted constants: noise of the empirical generator, neighbours, the gap of a halved drift."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
from scipy.optimize import minimize_scalar

from .trigonometric import TrigonometricPolynomial


def noise_constant(
    gradient_norm: float | np.ndarray, p: float | np.ndarray, *, m: int, n: float, bandwidth: float
) -> float | np.ndarray:
    """std[(A_N - A) f(x) / eps] ~ |grad f| (2p)^{-1/2} (4 pi)^{-m/4} N^{-1/2} eps^{-1/2 - m/4}, eps -> 0.  [Si]"""
    return gradient_norm / np.sqrt(2 * p) * (4 * pi) ** (-m / 4) / sqrt(n) * bandwidth ** (-0.5 - m / 4)


def neighbours(p: float | np.ndarray, *, m: int, n: float, bandwidth: float) -> float | np.ndarray:
    """nb = N p (2 pi eps)^{m/2}."""
    return n * p * (2 * pi * bandwidth) ** (m / 2)


def sample_size(p: float | np.ndarray, *, m: int, n: float, bandwidth: float) -> float | np.ndarray:
    """ESS ~ N p (4 pi eps)^{m/2}."""
    return n * p * (4 * pi * bandwidth) ** (m / 2)


def control_gap(*, log_density: TrigonometricPolynomial, f: TrigonometricPolynomial, nodes: int = 2000) -> float:
    """sup over the circle of |1/2 <grad log p, grad f>|: the error that halving the drift must leave.  [RZ]"""

    def gap(theta: np.ndarray) -> np.ndarray:
        angles = theta[:, None]
        return np.abs(log_density.gradient(angles) * f.gradient(angles))[:, 0] / 2

    step = 2 * pi / nodes
    best = step * float(np.argmax(gap(step * np.arange(nodes))))
    refined = minimize_scalar(
        lambda theta: -float(gap(np.array([theta]))[0]),
        bounds=(best - step, best + step),
        method="bounded",
        options={"xatol": 1e-10},
    )
    return -float(refined.fun)
