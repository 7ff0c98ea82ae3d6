"""Circle with p ~ ce_0(theta, q): -L ce_n/ce_0 = (a_n - a_0)/2 ce_n/ce_0 and -L se_n/ce_0 = (b_n - a_0)/2 se_n/ce_0.

With u = p f the generator becomes -u''/2 + (p''/2p) u, and p'' = -(a_0 - 2 q cos 2 theta) p: the equation is
Mathieu's, y'' + (a - 2 q cos 2 theta) y = 0.  The Fourier matrices are solved with forty digits.  [DLMF, 28.4]
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import mpmath as mp
import numpy as np

SIZE = 24  # Fourier coefficients per symmetry class: the last are below 1e-40 for q <= 5 and n <= 20
Parity = Literal["even", "odd"]


def _matrix(start: int, parity: Parity, q: mp.mpf) -> tuple[mp.matrix, list[int]]:
    """-d^2 + 2 q cos 2 theta in the orthonormal basis cos(k theta) or sin(k theta), k = start, start + 2, ..."""
    waves = list(range(start, start + 2 * SIZE, 2))
    matrix = mp.zeros(SIZE)
    for i, k in enumerate(waves):
        matrix[i, i] = mp.mpf(k) ** 2
        if i + 1 < SIZE:
            matrix[i, i + 1] = matrix[i + 1, i] = q * (mp.sqrt(2) if k == 0 else 1)
    if start == 1:
        matrix[0, 0] += q if parity == "even" else -q
    return matrix, waves


@cache
def _solve(start: int, parity: Parity, q: float) -> tuple[list[int], np.ndarray, np.ndarray]:
    with mp.workdps(40):
        matrix, waves = _matrix(start, parity, mp.mpf(q))
        values, vectors = mp.eigsy(matrix)
        if start == 0:  # from the orthonormal constant 1/sqrt 2 to the coefficient of 1
            for j in range(SIZE):
                vectors[0, j] /= mp.sqrt(2)
        return waves, np.array([float(v) for v in values]), np.array(vectors.tolist(), dtype=float)


def _locate(n: int, parity: Parity) -> tuple[int, int]:
    """First wave number and place of ce_n or se_n in its symmetry class."""
    start = n % 2 if parity == "even" or n % 2 else 2
    return start, (n - start) // 2


def characteristic_a(n: int, *, q: float) -> float:
    """a_n(q), n >= 0, the characteristic value of ce_n."""
    start, place = _locate(n, "even")
    return float(_solve(start, "even", q)[1][place])


def characteristic_b(n: int, *, q: float) -> float:
    """b_n(q), n >= 1, the characteristic value of se_n."""
    start, place = _locate(n, "odd")
    return float(_solve(start, "odd", q)[1][place])


def ce(n: int, theta: np.ndarray, *, q: float) -> np.ndarray:
    """ce_n(theta, q) in radians, int_0^{2 pi} ce_n^2 = pi, ce_n(0) > 0."""
    start, place = _locate(n, "even")
    waves, _, vectors = _solve(start, "even", q)
    vector = vectors[:, place]
    return np.cos(np.multiply.outer(theta, waves)) @ (vector * np.sign(vector.sum()))


def se(n: int, theta: np.ndarray, *, q: float) -> np.ndarray:
    """se_n(theta, q) in radians, int_0^{2 pi} se_n^2 = pi, se_n'(0) > 0."""
    start, place = _locate(n, "odd")
    waves, _, vectors = _solve(start, "odd", q)
    vector = vectors[:, place]
    return np.sin(np.multiply.outer(theta, waves)) @ (vector * np.sign(vector @ waves))


def density(theta: np.ndarray, *, q: float) -> np.ndarray:
    """p = ce_0(theta, q) / int ce_0, positive."""
    vector = _solve(0, "even", q)[2][:, 0]
    return ce(0, theta, q=q) / (2 * np.pi * abs(vector[0]))


def eigenvalues(count: int, *, q: float) -> np.ndarray:
    """The `count` smallest eigenvalues of -L, with multiplicity, 0 included (count <= 41)."""
    waves = range(count // 2 + 1)
    values = [characteristic_a(n, q=q) for n in waves] + [characteristic_b(n, q=q) for n in waves if n]
    return (np.sort(values)[:count] - characteristic_a(0, q=q)) / 2


def eigenfunction(n: int, theta: np.ndarray, *, q: float, parity: Parity = "even") -> np.ndarray:
    """ce_n / ce_0 (even, eigenvalue (a_n - a_0)/2) or se_n / ce_0 (odd, (b_n - a_0)/2)."""
    return (ce if parity == "even" else se)(n, theta, q=q) / ce(0, theta, q=q)
