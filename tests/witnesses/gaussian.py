"""R^d with p = N(mu, Sigma): every law that attention and its limit produce is Gaussian, so all averages are exact.

A law is a pair (means, covariance) of shapes (Q, d) and (d, d): one Gaussian per starting point.  Compose, for
example, `expect_sine(posterior(x, mean=mu, covariance=S, bandwidth=eps), wave=k)` for A sin(k.x).
"""

from __future__ import annotations

from math import lgamma

import numpy as np
from numpy.polynomial import hermite_e

Law = tuple[np.ndarray, np.ndarray]


def _principal_axes(covariance: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    return np.linalg.eigh(np.atleast_2d(np.asarray(covariance, dtype=float)))


def _contracted(x: np.ndarray, *, mean: np.ndarray | float, axes: np.ndarray, factor: np.ndarray) -> np.ndarray:
    mean = np.atleast_1d(np.asarray(mean, dtype=float))
    return mean + ((x - mean) @ axes * factor) @ axes.T


def posterior(
    x: np.ndarray, *, mean: np.ndarray | float, covariance: np.ndarray | float, bandwidth: float, layers: int = 1
) -> Law:
    """The law of Y in A^n f(x) = E f(Y).

    One layer is N(m(x), C), C = (Sigma^{-1} + I/eps)^{-1}, m(x) = C (Sigma^{-1} mu + x/eps).  Along an axis of
    variance s the mean contracts by r = s/(s + eps) and C = eps r, so n layers contract by r^n and have the
    variance eps r (1 - r^{2n}) / (1 - r^2).
    """
    variances, axes = _principal_axes(covariance)
    log_factor = -np.log1p(bandwidth / variances)
    spread = bandwidth * np.exp(log_factor) * np.expm1(2 * layers * log_factor) / np.expm1(2 * log_factor)
    return _contracted(x, mean=mean, axes=axes, factor=np.exp(layers * log_factor)), axes * spread @ axes.T


def ornstein_uhlenbeck(x: np.ndarray, *, mean: np.ndarray | float, covariance: np.ndarray | float, time: float) -> Law:
    """The law of X_t in e^{tL} f(x) = E f(X_t), L f = 1/2 Lap f - (x - mu)' Sigma^{-1} grad f (Mehler).

    X_t ~ N(mu + e^{-t Sigma^{-1}} (x - mu), Sigma/2 (I - e^{-2 t Sigma^{-1}})).
    """
    variances, axes = _principal_axes(covariance)
    spread = -variances / 2 * np.expm1(-2 * time / variances)
    return _contracted(x, mean=mean, axes=axes, factor=np.exp(-time / variances)), axes * spread @ axes.T


def adjoint_law(initial: Law, *, mean: np.ndarray | float, covariance: np.ndarray | float, time: float) -> Law:
    """Solution of d_t r = 1/2 Lap r - div(r grad log p) from the Gaussian r_0 = N(a, V): again a Gaussian.

    N(mu + E (a - mu), E V E + Sigma/2 (I - E^2)), E = e^{-t Sigma^{-1}}.
    """
    variances, axes = _principal_axes(covariance)
    means, spread = ornstein_uhlenbeck(initial[0], mean=mean, covariance=covariance, time=time)
    decay = axes * np.exp(-time / variances) @ axes.T
    return means, decay @ np.atleast_2d(initial[1]) @ decay + spread


def density(x: np.ndarray, law: Law) -> np.ndarray:
    """The Gaussian density of `law` at x (Q, d)."""
    variances, axes = _principal_axes(law[1])
    scaled = (x - law[0]) @ axes / np.sqrt(variances)
    return np.exp(-(scaled**2).sum(axis=-1) / 2) / np.sqrt((2 * np.pi * variances).prod())


def expect_sine(law: Law, *, wave: np.ndarray | float, phase: float = 0.0) -> np.ndarray:
    """E sin(k.Y + c) = e^{-k'Ck/2} sin(k.m + c), the characteristic function; -> (Q,)."""
    means, covariance = law
    wave = np.atleast_1d(wave)
    return np.exp(-wave @ covariance @ wave / 2) * np.sin(means @ wave + phase)


def expect_exponential(law: Law, *, wave: np.ndarray | float) -> np.ndarray:
    """E e^{k.Y} = e^{k.m + k'Ck/2}; -> (Q,)."""
    means, covariance = law
    wave = np.atleast_1d(wave)
    return np.exp(means @ wave + wave @ covariance @ wave / 2)


def expect_quadratic(law: Law, *, matrix: np.ndarray, vector: np.ndarray, constant: float = 0.0) -> np.ndarray:
    """E [Y'BY + a.Y + c] = m'Bm + tr(BC) + a.m + c; -> (Q,)."""
    means, covariance = law
    return np.einsum("qi,ij,qj->q", means, matrix, means) + np.trace(matrix @ covariance) + means @ vector + constant


def expect_polynomial(law: Law, coefficients: np.ndarray) -> np.ndarray:
    """E sum_k c_k Y^k for d = 1, by the moments M_{k+1} = m M_k + k C M_{k-1}; -> (Q,)."""
    means, variance = law[0][:, 0], float(law[1][0, 0])
    moments = [np.ones_like(means), means]
    for k in range(1, len(coefficients) - 1):
        moments.append(means * moments[k] + k * variance * moments[k - 1])
    return sum((c * moment for c, moment in zip(coefficients, moments, strict=False)), np.zeros_like(means))


def generator(
    x: np.ndarray,
    *,
    mean: np.ndarray | float,
    covariance: np.ndarray | float,
    gradient: np.ndarray,
    laplacian: np.ndarray,
) -> np.ndarray:
    """L f = 1/2 Lap f - (x - mu)' Sigma^{-1} grad f from the values of grad f (Q, d) and Lap f (Q,); -> (Q,)."""
    mean = np.atleast_1d(np.asarray(mean, dtype=float))
    pull = np.linalg.solve(np.atleast_2d(covariance), (x - mean).T).T
    return laplacian / 2 - (pull * gradient).sum(axis=-1)


def generator_sine(
    x: np.ndarray,
    *,
    mean: np.ndarray | float,
    covariance: np.ndarray | float,
    wave: np.ndarray | float,
    phase: float = 0.0,
) -> np.ndarray:
    """L sin(k.x + c) = -|k|^2/2 sin(k.x + c) - (x - mu)' Sigma^{-1} k cos(k.x + c); -> (Q,)."""
    wave = np.atleast_1d(wave)
    angle = x @ wave + phase
    gradient, laplacian = np.cos(angle)[:, None] * wave, -(wave @ wave) * np.sin(angle)
    return generator(x, mean=mean, covariance=covariance, gradient=gradient, laplacian=laplacian)


def layer_eigenvalues(count: int, *, variance: float, bandwidth: float) -> np.ndarray:
    """Eigenvalues (s/(s+eps))^n of A on the line, n = 0 ... count - 1."""
    return np.exp(-np.arange(count) * np.log1p(bandwidth / variance))


def population_generator_eigenvalues(count: int, *, variance: float, bandwidth: float) -> np.ndarray:
    """Eigenvalues [1 - (s/(s+eps))^n] / eps of (I - A)/eps on the line, without cancellation."""
    return -np.expm1(-np.arange(count) * np.log1p(bandwidth / variance)) / bandwidth


def generator_eigenvalues(count: int, *, variance: float) -> np.ndarray:
    """Eigenvalues n/s of -L on the line; eigenfunctions `hermite(n, x - mu, variance=s/2)`."""
    return np.arange(count) / variance


def layer_eigenfunction_variance(*, variance: float, bandwidth: float) -> float:
    """Eigenfunctions of A on the line are `hermite` for the variance s (s + eps) / (2 s + eps)."""
    return variance * (variance + bandwidth) / (2 * variance + bandwidth)


def hermite(n: int, x: np.ndarray | float, *, variance: float) -> np.ndarray:
    """He_n(x / sqrt v) / sqrt(n!), orthonormal in L2(N(0, v)).  [DLMF, 18.3]"""
    unit = np.zeros(n + 1)
    unit[n] = np.exp(-lgamma(n + 1) / 2)
    return hermite_e.hermeval(np.asarray(x) / np.sqrt(variance), unit)
