"""Attention written out in plain NumPy, and once more in mpmath; sums over any weighted points, samples or quadratures.

`weights` are the masses of the keys: None for a sample (equal masses), quadrature weights times p for N = infinity.
"""

from __future__ import annotations

import mpmath as mp
import numpy as np

from .quadrature import torus_angles, torus_rule
from .trigonometric import TrigonometricPolynomial


def distance_logits(queries: np.ndarray, keys: np.ndarray, *, bandwidth: float) -> np.ndarray:
    """-|x - y|^2 / (2 eps) by direct differences; (Q, D), (N, D) -> (Q, N)."""
    return -((queries[:, None, :] - keys[None, :, :]) ** 2).sum(axis=-1) / (2 * bandwidth)


def product_logits(queries: np.ndarray, keys: np.ndarray, *, bandwidth: float) -> np.ndarray:
    """x.y / eps, that is D = -2 x.y; (Q, D), (N, D) -> (Q, N)."""
    return (queries[:, None, :] * keys[None, :, :]).sum(axis=-1) / bandwidth


def without_self(logits: np.ndarray) -> np.ndarray:
    """Logits (N, N) of a cloud on itself with the diagonal struck out (leave-one-out attention)."""
    return np.where(np.eye(len(logits), dtype=bool), -np.inf, logits)


def log_normalizer(logits: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """log sum_j w_j e^{logit_j} by shifting the largest logit to 0; (Q, N) -> (Q,)."""
    largest = logits.max(axis=1)
    masses = np.ones(logits.shape[1]) if weights is None else weights
    return largest + np.log(np.exp(logits - largest[:, None]) @ masses)


def softmax(logits: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """w_j e^{logit_j} / sum_k w_k e^{logit_k}; (Q, N) -> (Q, N)."""
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True))
    kernel = kernel if weights is None else kernel * weights
    return kernel / kernel.sum(axis=1, keepdims=True)


def layer(logits: np.ndarray, values: np.ndarray, *, weights: np.ndarray | None = None) -> np.ndarray:
    """A f(x_i) = sum_j softmax_ij f(y_j); values (N,) or (N, c).  [RZ]"""
    return softmax(logits, weights=weights) @ values


def effective_sample_size(logits: np.ndarray) -> np.ndarray:
    """1 / sum_j softmax_ij^2; (Q, N) -> (Q,)."""
    return 1 / (softmax(logits) ** 2).sum(axis=1)


def evolve(logits: np.ndarray, values: np.ndarray, *, layers: int, weights: np.ndarray | None = None) -> np.ndarray:
    """A^n f on the keys themselves, frozen: n products with one stochastic matrix; logits (N, N)."""
    matrix = softmax(logits, weights=weights)
    for _ in range(layers):
        values = matrix @ values
    return values


def precise_attention(
    queries: np.ndarray, keys: np.ndarray, values: np.ndarray, *, bandwidth: float, cost: str = "distance"
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(layer (Q,), log-normaliser (Q,), effective sample size (Q,)) with forty digits, any size of logit.

    The float64 inputs are taken as exact; `cost` is "distance" (logit -|x-y|^2/2eps) or "product" (x.y/eps).
    """
    with mp.workdps(40):
        exact_keys = [[mp.mpf(c) for c in key] for key in keys]
        exact_values = [mp.mpf(v) for v in values]
        rows = [_precise_row(q, exact_keys, exact_values, bandwidth=bandwidth, cost=cost) for q in queries]
        return tuple(np.array([float(row[i]) for row in rows]) for i in range(3))  # type: ignore[return-value]


def _precise_row(
    query: np.ndarray, keys: list[list[mp.mpf]], values: list[mp.mpf], *, bandwidth: float, cost: str
) -> tuple[mp.mpf, mp.mpf, mp.mpf]:
    x, eps = [mp.mpf(c) for c in query], mp.mpf(bandwidth)
    if cost == "distance":
        logits = [-mp.fsum((a - b) ** 2 for a, b in zip(x, key, strict=True)) / (2 * eps) for key in keys]
    else:
        logits = [mp.fdot(x, key) / eps for key in keys]
    largest = max(logits)
    kernel = [mp.exp(logit - largest) for logit in logits]
    total = mp.fsum(kernel)
    return mp.fdot(kernel, values) / total, largest + mp.log(total), total**2 / mp.fdot(kernel, kernel)


def clt_variance(logits: np.ndarray, values: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """lim N Var[A_N f(x)] = int k^2 (f - A f(x))^2 p / (int k p)^2, by quadrature; (Q, M), (M,), w p (M,) -> (Q,)."""
    kernel, deviation = _kernel_and_deviation(logits, values, weights=weights)
    return (kernel**2 * deviation**2) @ weights / (kernel @ weights) ** 2


def clt_mean_shift(logits: np.ndarray, values: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """lim N E[A_N f(x) - A f(x)] = -int k^2 (f - A f(x)) p / (int k p)^2, by quadrature; shapes as `clt_variance`."""
    kernel, deviation = _kernel_and_deviation(logits, values, weights=weights)
    return -(kernel**2 * deviation) @ weights / (kernel @ weights) ** 2


def sample_size_fraction(logits: np.ndarray, *, weights: np.ndarray) -> np.ndarray:
    """lim ESS / N = (int k p)^2 / int k^2 p, by quadrature; (Q, M), w p (M,) with unit mass -> (Q,)."""
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (kernel @ weights) ** 2 / (kernel**2 @ weights)


def _kernel_and_deviation(
    logits: np.ndarray, values: np.ndarray, *, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True))
    return kernel, values - layer(logits, values, weights=weights)[:, None]


def circle_population(
    theta: np.ndarray,
    *,
    bandwidth: float,
    log_density: TrigonometricPolynomial,
    f: TrigonometricPolynomial,
    layers: int = 1,
    nodes: int = 512,
) -> np.ndarray:
    """A^n f(theta) of the chordal attention at N = infinity on the circle, by the equispaced rule; (Q,) -> (Q,).

    The rule is exact to rounding once exp(-|x-y|^2/2eps) is resolved, nodes >= 17 / sqrt(eps) + 40.
    """
    points, rule = torus_rule(nodes)
    angles, _ = torus_angles(nodes, m=1)
    weights = rule * np.exp(log_density(angles))
    values = f(angles)
    if layers > 1:
        on_nodes = distance_logits(points, points, bandwidth=bandwidth)
        values = evolve(on_nodes, values, layers=layers - 1, weights=weights)
    queries = np.stack([np.cos(theta), np.sin(theta)], axis=-1)
    return layer(distance_logits(queries, points, bandwidth=bandwidth), values, weights=weights)
