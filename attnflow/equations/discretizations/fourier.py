"""Trigonometric polynomials on the circle and on flat tori."""

from __future__ import annotations

import itertools
import math
from typing import Self

import numpy as np
from scipy.sparse import csr_array

from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import GridRule, from_waves, to_waves
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.sphere import Sphere
from attnflow.manifolds.torus import FlatTorus
from attnflow.resolution import close_degree, rule_at


class FourierBasis(Basis):
    """Products of 1, sqrt 2 cos(k t), sqrt 2 sin(k t) with |k|_2 <= degree, orthonormal in the uniform measure.

    Args:
        manifold: Sphere(1) or FlatTorus(m), m <= 3.
        degree: the largest length of a wave vector.
    """

    name = "fourier"
    domain = "the unit circle and FlatTorus(1), (2) and (3)"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return density.manifold in (Sphere(1), *(FlatTorus(dim) for dim in (1, 2, 3)))

    @classmethod
    def degrees(cls, density: Density) -> range:
        return (range(12, 161, 4), range(8, 21, 4), range(4, 7, 2))[density.manifold.dim - 1]

    @classmethod
    def high_degrees(cls, density: Density) -> range:
        return (range(0), range(24, 53, 4), range(8, 15, 2))[density.manifold.dim - 1]

    @classmethod
    def swift_degree(cls, density: Density) -> float:
        return 16 if density.manifold.dim == 2 else math.inf

    @classmethod
    def examined_degree(cls, density: Density) -> int:
        every = [*cls.degrees(density), *cls.high_degrees(density)]
        return every[-1] if density.manifold.dim == 3 else cls.degrees(density)[-1]

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        return cls(density.manifold, degree)

    def __init__(self, manifold: Manifold, degree: int) -> None:
        self.degree = degree
        self.nodes, self.volumes = manifold.quadrature(3 * degree)
        self._manifold = manifold
        self._dim = manifold.dim
        self._volume = manifold.volume
        self._modes = _modes(manifold.dim, degree)
        self.derivatives = tuple(_derivative(self._modes, axis) for axis in range(manifold.dim))

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        circles = _circles(points, self._dim)
        waves = [_trigonometric(x + 1j * y, self.degree) for x, y in np.moveaxis(circles, 0, -1)]
        return np.prod([wave[:, mode] for wave, mode in zip(waves, self._modes.T, strict=True)], axis=0)

    def fields(self, points: np.ndarray) -> np.ndarray:
        fields = np.zeros((self._dim, len(points), self._dim, 2))
        for axis, (x, y) in enumerate(np.moveaxis(_circles(points, self._dim), 0, -1)):
            fields[axis, :, axis] = np.stack([-y, x], axis=-1)
        return fields.reshape(self._dim, len(points), -1)

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1 / self._volume)

    def closely(self, nodes: int) -> GridRule:
        return self.finely(close_degree(self._manifold, nodes))

    def finely(self, degree: int) -> GridRule:
        return _Angles(self._manifold, modes=self._modes, degree=degree)


class _Angles(GridRule):
    """Equally spaced angles."""

    def __init__(self, manifold: Manifold, *, modes: np.ndarray, degree: int) -> None:
        super().__init__(*rule_at(manifold, degree))
        self._dim, self._places = manifold.dim, tuple(modes.T)
        self._count = round(len(self.nodes) ** (1 / manifold.dim))
        self._degree = (int(modes.max()) + 1) // 2

    def analyse(self, values: np.ndarray) -> np.ndarray:
        grid = values.reshape(*[self._count] * self._dim, -1)
        for axis in range(self._dim):
            grid = to_waves(grid, axis=axis, degree=self._degree)
        return grid[self._places]

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        grid = np.zeros((*[2 * self._degree + 1] * self._dim, coefficients.shape[-1]))
        grid[self._places] = coefficients
        for axis in range(self._dim):
            grid = from_waves(grid, axis=axis, nodes=self._count)
        return grid.reshape(len(self.nodes), -1)


def _circles(points: np.ndarray, dim: int) -> np.ndarray:
    return points.reshape(len(points), dim, 2)


def _trigonometric(z: np.ndarray, degree: int) -> np.ndarray:
    """Return 1, sqrt 2 cos t, sqrt 2 sin t, sqrt 2 cos 2t, ... (Q, 2 degree + 1) at z = e^{it} (Q,)."""
    phases = np.multiply.outer(np.angle(z), np.arange(1, degree + 1))
    columns = np.sqrt(2) * np.stack([np.cos(phases), np.sin(phases)], axis=-1)
    return np.concatenate([np.ones((len(z), 1)), columns.reshape(len(z), -1)], axis=1)


def _modes(dim: int, degree: int) -> np.ndarray:
    """Return which function of each angle is multiplied, (K, dim), by rising length of the wave vector."""
    modes = np.array(list(itertools.product(range(2 * degree + 1), repeat=dim)))
    squares = np.sum(((modes + 1) // 2) ** 2, axis=1)
    order = np.argsort(squares, kind="stable")
    return modes[order][squares[order] <= degree**2]


def _derivative(modes: np.ndarray, axis: int) -> csr_array:
    """Return the matrix of d/dt_axis: cos kt -> -k sin kt, sin kt -> k cos kt."""
    place = {tuple(mode): index for index, mode in enumerate(modes.tolist())}
    mode = modes[:, axis]
    wave = (mode + 1) // 2
    is_cosine = mode % 2 == 1
    partners = modes.copy()
    partners[:, axis] = np.where(is_cosine, mode + 1, np.maximum(mode - 1, 0))
    moved = np.flatnonzero(wave)
    rows = [place[tuple(partner)] for partner in partners[moved].tolist()]
    entries = np.where(is_cosine, -wave, wave)[moved].astype(float)
    return csr_array((entries, (rows, moved)), shape=(len(modes), len(modes)))
