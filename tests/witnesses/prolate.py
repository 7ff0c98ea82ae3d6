"""S^2 with p ~ S_00(c, z): -L has the eigenvalues (lambda_mn(c) - lambda_00(c))/2, twice for m > 0.

With u = p f the generator becomes -Lap u/2 + (Lap p/2p) u, and Lap p = -(lambda_00 - c^2 z^2) p: the equation is
that of the prolate spheroidal functions.  The Legendre matrices are solved with forty digits.  [DLMF, 30.2, 30.8]
"""

from __future__ import annotations

from functools import cache

import mpmath as mp
import numpy as np

SIZE = 20  # Legendre coefficients per parity: the last are below 1e-30 for c <= 5 and n - m <= 12


def _step(n: int, m: int) -> mp.mpf:
    """Coefficients s of z P_n = s_{n+1} P_{n+1} + s_n P_{n-1}, P_n^m normalised on [-1, 1]."""
    return mp.sqrt(mp.mpf(n * n - m * m) / (4 * n * n - 1)) if n > m else mp.mpf(0)


@cache
def _solve(m: int, odd: int, c: float) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of n(n+1) + c^2 z^2 on the normalised P_n^m, n = m + odd, m + odd + 2, ..."""
    with mp.workdps(40):
        square = mp.mpf(c) ** 2
        matrix = mp.zeros(SIZE)
        for i in range(SIZE):
            n = m + odd + 2 * i
            matrix[i, i] = n * (n + 1) + square * (_step(n, m) ** 2 + _step(n + 1, m) ** 2)
            if i + 1 < SIZE:
                matrix[i, i + 1] = matrix[i + 1, i] = square * _step(n + 1, m) * _step(n + 2, m)
        values, vectors = mp.eigsy(matrix)
        return np.array([float(v) for v in values]), np.array(vectors.tolist(), dtype=float)


def characteristic_value(m: int, n: int, *, c: float) -> float:
    """lambda_mn(c), n >= m >= 0, with lambda_mn(0) = n (n + 1)."""
    return float(_solve(m, (n - m) % 2, c)[0][(n - m) // 2])


def _legendre(m: int, degree: int, z: np.ndarray) -> list[np.ndarray]:
    """P_n^m, n = m ... degree, with int_{-1}^1 P^2 = 1, by the three-term recursion."""
    diagonal = np.full_like(z, np.sqrt(0.5))
    for k in range(1, m + 1):
        diagonal = np.sqrt((2 * k + 1) / (2 * k) * (1 - z**2)) * diagonal
    values = [diagonal, z * diagonal / float(_step(m + 1, m))]
    for n in range(m + 2, degree + 1):
        values.append((z * values[-1] - float(_step(n - 1, m)) * values[-2]) / float(_step(n, m)))
    return values


def angular(m: int, n: int, z: np.ndarray, *, c: float) -> np.ndarray:
    """S_mn(c, z), normalised to int_{-1}^1 S^2 = 1 with a positive coefficient of P_n^m."""
    odd, place = (n - m) % 2, (n - m) // 2
    vector = _solve(m, odd, c)[1][:, place]
    functions = _legendre(m, m + odd + 2 * SIZE - 2, np.asarray(z, dtype=float))[odd::2]
    return np.sign(vector[place]) * sum(a * function for a, function in zip(vector, functions, strict=True))


def density(z: np.ndarray, *, c: float) -> np.ndarray:
    """p = S_00(c, z) / int_{S^2} S_00 dvol, positive; the integral is 2 pi sqrt 2 times the coefficient of P_0."""
    return angular(0, 0, z, c=c) / (2 * np.pi * np.sqrt(2) * abs(_solve(0, 0, c)[1][0, 0]))


def eigenvalues(count: int, *, c: float) -> np.ndarray:
    """The `count` smallest eigenvalues of -L, with multiplicity, 0 included."""
    top = int(np.ceil(np.sqrt(count))) - 1  # the harmonics of degree <= top number at least `count`
    degree = top  # n(n+1) <= lambda_mn <= n(n+1) + c^2, so a lower value may have a degree above top
    while degree * (degree + 1) < top * (top + 1) + c**2:
        degree += 1
    pairs = [(m, n) for n in range(degree + 1) for m in range(n + 1)]
    values = [characteristic_value(m, n, c=c) for m, n in pairs for _ in range(2 if m else 1)]
    return (np.sort(values)[:count] - characteristic_value(0, 0, c=c)) / 2


def eigenfunction(m: int, n: int, points: np.ndarray, *, c: float) -> np.ndarray:
    """S_m'n(c, z) cos(m phi) / S_00 for m >= 0, with sin(|m| phi) for m < 0 (m' = |m|); points (Q, 3) -> (Q,)."""
    longitude = np.arctan2(points[:, 1], points[:, 0])
    wave = np.cos(m * longitude) if m >= 0 else np.sin(-m * longitude)
    return angular(abs(m), n, points[:, 2], c=c) * wave / angular(0, 0, points[:, 2], c=c)
