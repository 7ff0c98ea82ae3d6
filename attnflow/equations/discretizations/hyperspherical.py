"""Harmonics on S^3."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.sparse import block_diag, coo_array, csr_array

from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import GridRule
from attnflow.equations.discretizations.harmonics import HarmonicBasis, rotations, solid_harmonics
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.sphere import Sphere
from attnflow.resolution import close_degree, rule_at

_SPHERE = Sphere(2)


class HypersphericalBasis(Basis):
    """Harmonics of degree <= `degree` on S^3, orthonormal in the uniform measure.

    At x = (y, h) they are Y_nlm = C_{n-l}(h) Y_lm(y), with solid harmonics Y_lm of S^2 and Gegenbauer polynomials C of
    degree n - l and parameter l + 1 [DLMF, 18.3]: number l^2 + l + m of the (n + 1)^2 of degree n. The fields are the
    multiplications x -> ix, jx, kx of quaternions: orthonormal, and nabla_{X_a} X_b changes its sign with a and b.

    Args:
        sphere: Sphere(3).
        degree: the largest degree n.
    """

    name = "hyperspherical"
    domain = "Sphere(3)"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return density.manifold == Sphere(3)

    @classmethod
    def degrees(cls, density: Density) -> range:
        return range(4, 11, 2)

    @classmethod
    def high_degrees(cls, density: Density) -> range:
        return range(12, 21, 2)

    @classmethod
    def examined_degree(cls, density: Density) -> int:
        return [*cls.degrees(density), *cls.high_degrees(density)][-1]

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        return cls(density.manifold, degree)

    def __init__(self, sphere: Manifold, degree: int) -> None:
        self.degree = degree
        self.nodes, self.volumes = sphere.quadrature(3 * degree)
        self._sphere = sphere
        turns, tilts = _turns_and_tilts(degree)
        self.derivatives = tuple(csr_array(turn + tilt) for turn, tilt in zip(turns, tilts, strict=True))

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        solid, polar = solid_harmonics(points[:, :3], self.degree), _gegenbauer(points[:, 3], self.degree)
        order = np.repeat(np.arange(self.degree + 1), 2 * np.arange(self.degree + 1) + 1)  # l of each solid harmonic
        parts = [solid[:, : (n + 1) ** 2] * polar[n][:, order[: (n + 1) ** 2]] for n in range(self.degree + 1)]
        return np.concatenate(parts, axis=1)

    def fields(self, points: np.ndarray) -> np.ndarray:
        y, h = points[:, :3], points[:, 3:]
        return np.stack([np.hstack([np.cross(axis, y) + h * axis, -(y @ axis)[:, None]]) for axis in np.eye(3)])

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1 / self._sphere.volume)

    @property
    def orders(self) -> np.ndarray:
        n = np.arange(self.degree + 1)
        return np.repeat(n, (n + 1) ** 2)

    def closely(self, nodes: int) -> GridRule:
        return self.finely(close_degree(Sphere(3), nodes))

    def finely(self, degree: int) -> GridRule:
        return _Spheres(self, degree)


class _Spheres(GridRule):
    """Spheres S^2 with one rule at the heights of a Gauss rule."""

    def __init__(self, basis: HypersphericalBasis, degree: int) -> None:
        super().__init__(*rule_at(Sphere(3), degree))
        heights, starts = np.unique(self.nodes[:, 3], return_index=True)  # spheres rise in the rule
        inner = len(self.nodes) // len(heights)
        self._inner = HarmonicBasis(_SPHERE, basis.degree).finely(degree)
        self._shape = (len(heights), inner)
        self._masses = np.add.reduceat(self.weights, starts)
        n, polar = np.arange(basis.degree + 1), _gegenbauer(heights, basis.degree)
        radii = np.sqrt(1 - heights**2)
        starts = np.cumsum(np.append(0, (n + 1) ** 2))
        self._size = starts[-1]
        self._polar = [
            radii[:, None] ** order * np.stack([polar[k][:, order] for k in n[order:]], axis=1) for order in n
        ]
        self._places = [starts[k:-1, None] + np.arange(k * k, (k + 1) ** 2) for k in n]  # of all degrees and m

    def analyse(self, values: np.ndarray) -> np.ndarray:
        columns = values.shape[1]
        by_node = np.moveaxis(values.reshape(*self._shape, columns), 1, 0).reshape(self._shape[1], -1)
        waves = self._inner.analyse(by_node).reshape(-1, self._shape[0], columns)
        coefficients = np.empty((self._size, columns))
        for order, (polar, places) in enumerate(zip(self._polar, self._places, strict=True)):
            part = waves[order**2 : (order + 1) ** 2] * self._masses[:, None]
            coefficients[places] = np.einsum("hn,mhc->nmc", polar, part, optimize=True)
        return coefficients

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        columns = coefficients.shape[1]
        parts = [
            np.einsum("hn,nmc->mhc", polar, coefficients[places], optimize=True)
            for polar, places in zip(self._polar, self._places, strict=True)
        ]
        by_node = self._inner.synthesise(np.concatenate(parts).reshape(-1, self._shape[0] * columns))
        return np.moveaxis(by_node.reshape(self._shape[1], self._shape[0], columns), 0, 1).reshape(-1, columns)


def _coupling(n: float, l: np.ndarray) -> np.ndarray:  # noqa: E741
    """Return the coefficient in h Y_nl = coupling(n + 1) Y_{n+1,l} + coupling(n) Y_{n-1,l}."""
    return 0.5 * np.sqrt((n - l) * (n + l + 1) / (n * (n + 1)))


def _gegenbauer(heights: np.ndarray, degree: int) -> list[np.ndarray]:
    """Return C_{n-l}(h) (Q, n + 1) for l = 0, ..., n at heights h (Q,), for each n."""
    l = np.arange(degree + 1)  # noqa: E741
    firsts = np.sqrt(np.cumprod(np.append(1.0, (2 * l[1:] + 2) / (2 * l[1:] + 1))))  # 1 / mean of r^2l on S^3
    levels = [np.full((len(heights), 1), firsts[0])]
    for n in range(1, degree + 1):
        older, old = (levels[n - 2] if n > 1 else np.zeros_like(levels[0])), levels[n - 1]
        new = heights[:, None] * old
        new[:, : n - 1] -= _coupling(n - 1, l[: n - 1]) * older[:, : n - 1] if n > 1 else 0.0
        levels.append(np.hstack([new / _coupling(n, l[:n]), np.full((len(heights), 1), firsts[n])]))
    return levels


def _turns_and_tilts(degree: int) -> tuple[list[csr_array], list[csr_array]]:
    """Return the derivatives along y -> e_a x y and along (y, h) -> (h e_a, -y_a), a = 1, 2, 3.

    The third tilt takes Y_nlm to Y_{n,l-1,m} with sqrt(((n + 1)^2 - l^2) (l^2 - m^2) / (4 l^2 - 1)), as the vector of
    Runge and Lenz does; the others are its commutators with turns.
    """
    blocks = [turn.tocsc() for turn in rotations(degree)]
    turns = [csr_array(block_diag([block[: s * s, : s * s] for s in range(1, degree + 2)])) for block in blocks]
    parts = []
    for n in range(degree + 1):
        l = np.repeat(np.arange(1, n + 1), 2 * np.arange(1, n + 1) - 1)  # noqa: E741  # orders with |m| < l
        m = np.concatenate([[0], *(np.arange(1 - k, k) for k in range(1, n + 1))])[1:].astype(int)
        entries = np.sqrt(((n + 1) ** 2 - l**2) * (l**2 - m**2) / (4 * l**2 - 1.0))
        upper = coo_array((entries, ((l - 1) ** 2 + l - 1 + m, l * l + l + m)), shape=((n + 1) ** 2,) * 2)
        parts.append(upper - upper.T)
    third = csr_array(block_diag(parts))
    first = turns[1] @ third - third @ turns[1]
    second = turns[0] @ third - third @ turns[0]
    return turns, [csr_array(-first), csr_array(second), third]
