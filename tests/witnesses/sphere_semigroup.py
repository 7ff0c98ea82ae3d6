"""e^{tL} f, its adjoint and the spectrum on S^2 by the Schroedinger form, for a polynomial log p = g.

With u = p f the generator is -H, H = -Lap/2 + V, V = Lap p/(2p) = (Lap g + |grad g|^2)/2, a polynomial: Galerkin in
real harmonics of degree <= L with a quadrature that is exact for V, then eigh.  e^{tL} = p^{-1} e^{-tH} p and
e^{tL*} = p e^{-tH} p^{-1}.  With L = 22, |g| and max |f| of order one and t >= 0.2 the error is about 1e-13.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from .polynomials import Polynomial, sphere_inner, sphere_laplacian
from .quadrature import sphere_rule

Function = Callable[[np.ndarray], np.ndarray]  # points (M, 3) -> (M,)


def harmonics(points: np.ndarray, *, degree: int) -> np.ndarray:
    """Orthonormal real harmonics of degree <= L at points (Q, 3), columns (n, m) grouped by m; -> (Q, (L + 1)^2).

    P_m = c_m Re or Im (x + iy)^m needs no angles; the recursion in n is the three-term one in z.  [DLMF, 14.30]
    """
    z, horizontal = points[:, 2], points[:, 0] + 1j * points[:, 1]
    columns, sectoral = [], np.full(len(points), np.sqrt(1 / (4 * np.pi)), dtype=complex)
    for m in range(degree + 1):
        if m > 0:
            sectoral = sectoral * horizontal * np.sqrt((2 * m + 1) / (2 * m))
        family = [sectoral, np.sqrt(2 * m + 3) * z * sectoral]
        for n in range(m + 2, degree + 1):
            family.append((z * family[-1] - _step(n - 1, m) * family[-2]) / _step(n, m))
        for value in family[: degree - m + 1]:
            columns += [value.real] if m == 0 else [np.sqrt(2) * value.real, np.sqrt(2) * value.imag]
    return np.stack(columns, axis=-1)


def _step(n: int, m: int) -> float:
    return np.sqrt((n * n - m * m) / (4 * n * n - 1))


def _degrees(degree: int) -> np.ndarray:
    """The degree of each column of `harmonics`."""
    return np.array([n for m in range(degree + 1) for n in range(m, degree + 1) for _ in range(2 if m else 1)])


@lru_cache(maxsize=4)
def _nodes(degree: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    points, weights = sphere_rule(degree + 8, 2 * degree + 16)
    return points, weights, harmonics(points, degree=degree)


@lru_cache(maxsize=4)
def _diagonalise(log_density: Polynomial, degree: int) -> tuple[np.ndarray, np.ndarray]:
    points, weights, basis = _nodes(degree)
    gradient, hessian = log_density.gradient(points), log_density.hessian(points)
    laplacian = sphere_laplacian(points, gradient=gradient, hessian=hessian)
    potential = (laplacian + sphere_inner(points, gradient, gradient)) / 2
    degrees = _degrees(degree)
    kinetic = np.diag(degrees * (degrees + 1) / 2)
    return np.linalg.eigh(kinetic + basis.T @ ((weights * potential)[:, None] * basis))


def _propagate(points: np.ndarray, u: Function, *, time: float, log_density: Polynomial, degree: int) -> np.ndarray:
    """e^{-tH} u at points (Q, 3)."""
    nodes, weights, basis = _nodes(degree)
    values, vectors = _diagonalise(log_density, degree)
    initial = vectors.T @ (basis.T @ (weights * u(nodes)))
    return harmonics(points, degree=degree) @ (vectors @ (np.exp(-time * values) * initial))


def evolve(points: np.ndarray, *, time: float, log_density: Polynomial, f: Function, degree: int = 22) -> np.ndarray:
    """e^{tL} f at points (Q, 3) of the unit sphere; f maps points (M, 3) to (M,).  [RZ]"""

    def weighted(x: np.ndarray) -> np.ndarray:
        return np.exp(log_density(x)) * f(x)

    u = _propagate(points, weighted, time=time, log_density=log_density, degree=degree)
    return u / np.exp(log_density(points))


def adjoint_evolve(
    points: np.ndarray, *, time: float, log_density: Polynomial, r0: Function, degree: int = 22
) -> np.ndarray:
    """r_t at points (Q, 3), d_t r = 1/2 Lap r - div(r grad log p)."""

    def weighted(x: np.ndarray) -> np.ndarray:
        return r0(x) / np.exp(log_density(x))

    u = _propagate(points, weighted, time=time, log_density=log_density, degree=degree)
    return u * np.exp(log_density(points))


def eigenvalues(count: int, *, log_density: Polynomial, degree: int = 22) -> np.ndarray:
    """The `count` smallest eigenvalues of -L, with multiplicity, 0 included."""
    return _diagonalise(log_density, degree)[0][:count]


def normalizer(log_density: Polynomial, *, latitudes: int = 32) -> float:
    """int_{S^2} exp(log_density) dvol, by Gauss quadrature (spectrally accurate)."""
    points, weights = sphere_rule(latitudes, 2 * latitudes)
    return float(weights @ np.exp(log_density(points)))
