"""Exact means of ratios of sums over independent points: 1/z = int_0^inf e^{-sz} ds under the expectation."""

from __future__ import annotations

import numpy as np

from . import bessel


def square_on_the_sphere(n: int, bandwidth: float) -> float:
    """E |(A_N - I) f / eps - L f|^2 on S^2, N uniform points, f of degree two with mean square one, mean over queries.

    A_N f - A f = S_1 / S_0 with S_0 = sum_j k_j and S_1 = sum_j k_j (f_j - kappa f); the mean over queries of f at two
    points is P_2 of their inner product, so all integrals are over z in [-1, 1].
    """
    z, weights = np.polynomial.legendre.leggauss(400)
    weights = weights / 2
    legendre, kernel = (3 * z**2 - 1) / 2, np.exp((z - 1) / bandwidth)
    kappa = bessel.sphere_symbol(2, m=2, bandwidth=bandwidth)
    log_s = np.linspace(-10, 15, 501)
    s = np.exp(log_s)
    damped = np.exp(-np.outer(s, kernel)) * weights
    void = damped.sum(axis=1)
    once = damped @ (kernel * (legendre - kappa))
    twice = damped @ (kernel**2 * (1 - 2 * kappa * legendre + kappa**2))
    step = log_s[1] - log_s[0]
    mean = step * np.sum(s * n * once * void ** (n - 1))
    square = step * np.sum(s**2 * n * (twice * void ** (n - 1) + (n - 1) * once**2 * void ** (n - 2)))
    bias = (kappa - 1) / bandwidth + 3
    return float(bias**2 + 2 * bias * mean / bandwidth + square / bandwidth**2)


def self_weight(neighbours: np.ndarray) -> np.ndarray:
    """E 1 / (1 + S), S = sum_j e^{-y_j^2/2} over Poisson points of the line with E S = `neighbours`."""
    y = np.linspace(-9, 9, 361)
    log_s = np.linspace(-20, 4.5, 491)
    s = np.exp(log_s)
    holes = -np.expm1(-np.outer(s, np.exp(-(y**2) / 2))).sum(axis=1) * (y[1] - y[0]) / np.sqrt(2 * np.pi)
    return np.exp(-np.multiply.outer(neighbours, holes)) @ (s * np.exp(-s)) * (log_s[1] - log_s[0])
