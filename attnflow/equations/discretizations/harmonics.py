"""Real spherical harmonics on S^2."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.sparse import coo_array, csr_array

from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import GridRule, from_waves, to_waves
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.sphere import Sphere
from attnflow.resolution import close_degree, rule_at


class HarmonicBasis(Basis):
    """Real spherical harmonics of degree <= `degree` on S^2, orthonormal in the uniform measure [DLMF, 14.30].

    The function of degree l and order m (cosine for m >= 0, sine for m < 0) is column l^2 + l + m.

    Args:
        sphere: Sphere(2).
        degree: the largest degree l.
    """

    name = "harmonics"
    domain = "Sphere(2)"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return density.manifold == Sphere(2)

    @classmethod
    def degrees(cls, density: Density) -> range:
        return range(8, 33, 4)

    @classmethod
    def high_degrees(cls, density: Density) -> range:
        return range(40, 97, 8)

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        return cls(density.manifold, degree)

    def __init__(self, sphere: Manifold, degree: int) -> None:
        self.degree = degree
        self.nodes, self.volumes = sphere.quadrature(3 * degree)
        self._volume = sphere.volume
        self.derivatives = rotations(degree)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        return solid_harmonics(points, self.degree, squares=1.0)

    def fields(self, points: np.ndarray) -> np.ndarray:
        return np.stack([np.cross(axis, points) for axis in np.eye(3)])

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1 / self._volume)

    @property
    def orders(self) -> np.ndarray:
        return np.floor(np.sqrt(np.arange(self.size)))

    def closely(self, nodes: int) -> GridRule:
        return self.finely(close_degree(Sphere(2), nodes))

    def finely(self, degree: int) -> GridRule:
        return _Rings(self, degree)


class _Rings(GridRule):
    """Rings of equally spaced longitudes at the heights of a Gauss rule."""

    def __init__(self, basis: HarmonicBasis, degree: int) -> None:
        super().__init__(*rule_at(Sphere(2), degree))
        heights, starts = np.unique(self.nodes[:, 2], return_index=True)  # rings rise in the rule
        self._shape = (len(heights), len(self.nodes) // len(heights))
        self._masses = self.weights[starts] * self._shape[1]
        l = np.sqrt(np.arange(basis.size)).astype(int)  # noqa: E741
        m = np.arange(basis.size) - l * l - l
        meridian = np.column_stack([np.sqrt(1 - heights**2), np.zeros_like(heights), heights])
        legendre = basis.evaluate(meridian)[:, l * l + l + np.abs(m)] / np.where(m == 0, 1, np.sqrt(2))
        self._degree = basis.degree
        self._size = basis.size
        waves = np.where(m > 0, 2 * m - 1, -2 * m)  # the place of cos m t or sin |m| t
        places = [np.flatnonzero(waves == wave) for wave in range(2 * basis.degree + 1)]
        self._parts = [(functions, legendre[:, functions]) for functions in places]

    def analyse(self, values: np.ndarray) -> np.ndarray:
        rings = to_waves(values.reshape(*self._shape, -1), axis=1, degree=self._degree)
        coefficients = np.empty((self._size, rings.shape[2]))
        for wave, (functions, legendre) in enumerate(self._parts):
            coefficients[functions] = legendre.T @ (self._masses[:, None] * rings[:, wave])
        return coefficients

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        waves = np.stack([legendre @ coefficients[functions] for functions, legendre in self._parts], axis=1)
        return from_waves(waves, axis=1, nodes=self._shape[1]).reshape(len(self.nodes), -1)


def solid_harmonics(points: np.ndarray, degree: int, *, squares: np.ndarray | float | None = None) -> np.ndarray:
    """Return |x|^l Y_lm(x / |x|), (Q, (degree + 1)^2), at points (Q, 3), whose |x|^2 may be known."""
    horizontal, z = points[:, 0] + 1j * points[:, 1], points[:, 2]
    square = np.sum(points**2, axis=1) if squares is None else squares
    columns = np.empty((len(points), (degree + 1) ** 2))
    sectoral = np.ones(len(points), dtype=complex)
    for m in range(degree + 1):
        if m > 0:
            sectoral = sectoral * horizontal * np.sqrt((2 * m + 1) / (2 * m))
        below, current = np.zeros_like(sectoral), sectoral
        for l in range(m, degree + 1):  # noqa: E741
            if m == 0:
                columns[:, l * l + l] = current.real
            else:
                columns[:, l * l + l + m] = np.sqrt(2) * current.real
                columns[:, l * l + l - m] = np.sqrt(2) * current.imag
            below, current = current, (z * current - _coupling(l, m) * square * below) / _coupling(l + 1, m)
    return columns


def _coupling(l: int, m: int) -> float:  # noqa: E741
    """Return the coefficient in z Y_lm = coupling(l + 1) Y_{l+1,m} + coupling(l) Y_{l-1,m}."""
    return np.sqrt((l * l - m * m) / (4 * l * l - 1))


def rotations(degree: int) -> tuple[csr_array, ...]:
    """Return the rotations X_a = i L_a in real harmonics, from the ladder operators L_x +- i L_y of complex ones."""
    l = np.repeat(np.arange(degree + 1), 2 * np.arange(degree + 1) + 1)  # noqa: E741
    column = np.arange(len(l))
    m = column - l * l - l
    size = (len(l), len(l))
    inner = m < l
    raise_entries = np.sqrt(l * (l + 1) - m * (m + 1.0))[inner]
    raising = coo_array((raise_entries, (column[inner] + 1, column[inner])), shape=size).tocsr()
    lowering = raising.T.tocsr()
    turn = coo_array((m.astype(float), (column, column)), shape=size).tocsr()
    momenta = ((raising + lowering) / 2, (raising - lowering) / 2j, turn)
    to_real = _complex_from_real(l, m)
    return tuple(csr_array((to_real.conj().T @ (1j * momentum) @ to_real).real) for momentum in momenta)


def _complex_from_real(l: np.ndarray, m: np.ndarray) -> csr_array:  # noqa: E741
    """Return each real harmonic as a combination of complex ones with the Condon-Shortley sign, a unitary matrix.

    For m > 0: cosine ((-1)^m Y_m + Y_{-m}) / sqrt 2, sine ((-1)^m Y_m - Y_{-m}) / (i sqrt 2).
    """
    column = np.arange(len(l))
    order = np.abs(m)
    up, down = l * l + l + order, l * l + l - order
    phase = np.where(m > 0, 1.0, -1j)
    entries_up = np.where(m == 0, 1.0, (-1.0) ** order * phase / np.sqrt(2))
    entries_down = np.where(m > 0, 1.0, 1j) / np.sqrt(2)
    paired = m != 0
    rows = np.concatenate([up, down[paired]])
    columns = np.concatenate([column, column[paired]])
    return coo_array((np.concatenate([entries_up, entries_down[paired]]), (rows, columns))).tocsr()
