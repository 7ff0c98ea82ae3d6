"""Closed equations of Gaussian tokens, as matrix equations in S that need S and A = K'Q to be invertible.  [C]

Every one is written for its own temperature: softmax <Qx, Ky>, kernel exp(-|Qx - Ky|^2), Sinkhorn <Qx, Ky>.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.integrate import solve_ivp
from scipy.linalg import sqrtm
from scipy.special import lambertw

Field = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


def softmax(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> Field:
    """m' = V (I + S A) m, S' = V S A S + (V S A S)'."""
    A = K.T @ Q

    def field(m: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return V @ (m + S @ A @ m), _with_transpose(V @ S @ A @ S)

    return field


def l2(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> Field:
    """m' = V (I + 2 S K'K)^{-1} (I + 2 S K'Q) m, S' = 2 V S (I + 2 K'K S)^{-1} A S + (.)'."""
    A, G, one = K.T @ Q, K.T @ K, np.eye(len(V))

    def field(m: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        mean = np.linalg.inv(one + 2 * S @ G) @ (one + 2 * S @ A) @ m
        return V @ mean, _with_transpose(2 * V @ S @ np.linalg.inv(one + 2 * G @ S) @ A @ S)

    return field


def sinkhorn(Q: np.ndarray, K: np.ndarray, V: np.ndarray) -> Field:
    """m' = V m, S' = V A^{-T} S^{-1} C S + (.)', C = (S^{1/2} (4 S^{1/2} A'SA S^{1/2} + I)^{1/2} S^{-1/2} - I) / 2."""
    A, one = K.T @ Q, np.eye(len(V))

    def field(m: np.ndarray, S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        root = sqrtm(S).real
        inner = sqrtm(4 * root @ A.T @ S @ A @ root + one).real
        C = (root @ inner @ np.linalg.inv(root) - one) / 2
        return V @ m, _with_transpose(V @ np.linalg.inv(A.T) @ np.linalg.inv(S) @ C @ S)

    return field


def added(*fields: Field) -> Field:
    """The sum of fields: several heads, with V W' for V."""
    return lambda m, S: tuple(map(sum, zip(*(field(m, S) for field in fields), strict=True)))  # type: ignore[return-value]


def solve(field: Field, m: np.ndarray, S: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (T, D) and covariances (T, D, D) at rising times, to about 1e-12 of their sizes."""
    dim = len(m)

    def flat(t: float, y: np.ndarray) -> np.ndarray:
        mean, covariance = field(y[:dim], y[dim:].reshape(dim, dim))
        return np.concatenate([mean, covariance.ravel()])

    start = np.concatenate([m, S.ravel()])
    found = solve_ivp(flat, (0, times[-1]), start, method="DOP853", t_eval=times, rtol=1e-13, atol=1e-14)
    return found.y[:dim].T, found.y[dim:].T.reshape(len(times), dim, dim)


def softmax_variance(t: np.ndarray, *, s0: float, av: float) -> np.ndarray:
    """s0 / (1 - 2 a v s0 t): for a v > 0 it ends at t = 1 / (2 a v s0)."""
    return s0 / (1 - 2 * av * s0 * t)


def mean_shift_variance(t: np.ndarray, *, s0: float, h: float) -> np.ndarray:
    """s = h W((s0/h) e^{s0/h - 2t}) for the kernel exp(-|x - y|^2 / 2h), velocity A x - x."""
    return h * lambertw(s0 / h * np.exp(s0 / h - 2 * np.asarray(t))).real


def l2_time(s: float, *, s0: float) -> float:
    """The time at which s' = 4 s^2 / (1 + 2 s), s(0) = s0, has reached s: (1/s0 - 1/s) / 4 + log(s / s0) / 2."""
    return float((1 / s0 - 1 / s) / 4 + np.log(s / s0) / 2)


def sinkhorn_time(s: float, *, s0: float) -> float:
    """The time at which s' = (1 + 4 s^2)^{1/2} - 1, s(0) = s0, has reached s: with 2s = sinh u, F(u(s)) - F(u(s0)).

    F = (u - coth(u/2)) / 2, because ds = cosh(u) du / 2 and cosh u / (cosh u - 1) = 1 + 1 / (2 sinh^2(u/2)).
    """

    def antiderivative(s: float) -> float:
        u = np.arcsinh(2 * s)
        return float((u - 1 / np.tanh(u / 2)) / 2)

    return antiderivative(s) - antiderivative(s0)


def _with_transpose(matrix: np.ndarray) -> np.ndarray:
    return matrix + matrix.T
