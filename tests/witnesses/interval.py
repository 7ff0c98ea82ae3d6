"""The reflected drift-diffusion on [0, 1] with p ~ e^{cx}, by its eigenfunctions."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm


def eigenvalue(n: int, c: float) -> float:
    """(c^2 + k^2) / 2, k = n pi, of -L = -(1/2) d^2/dx^2 - c d/dx; 0 for n = 0."""
    return (c**2 + (n * np.pi) ** 2) / 2 if n else 0.0


def eigenfunction(x: np.ndarray, n: int, c: float) -> np.ndarray:
    """e^{-cx} (k cos kx + c sin kx), whose derivative -(c^2 + k^2) e^{-cx} sin kx vanishes at both ends."""
    k = n * np.pi
    return np.exp(-c * x) * (k * np.cos(k * x) + c * np.sin(k * x)) if n else np.ones_like(x)


def evolved_coordinate(x: np.ndarray, t: float) -> np.ndarray:
    """e^{tL} x for uniform p: 1/2 - (4 / pi^2) sum over odd n of cos(n pi x) e^{-(n pi)^2 t / 2} / n^2."""
    n = np.arange(1, 400, 2)
    return 0.5 - 4 / np.pi**2 * np.cos(np.outer(x, n * np.pi)) @ (np.exp(-((n * np.pi) ** 2) * t / 2) / n**2)


def truncated_mean(x: np.ndarray, *, c: float, bandwidth: float) -> np.ndarray:
    """One layer of f = y on [0, 1] with p ~ e^{cx}: the mean of a Gaussian of mean x + c eps, cut off at both ends."""
    deviation = np.sqrt(bandwidth)
    mean = x + c * bandwidth
    low, high = -mean / deviation, (1 - mean) / deviation
    return mean + deviation * (norm.pdf(low) - norm.pdf(high)) / (norm.cdf(high) - norm.cdf(low))
