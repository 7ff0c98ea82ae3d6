"""Hermite polynomials on the line, and products of them in few dimensions."""

from __future__ import annotations

import itertools
import math
from typing import Self

import numpy as np
from numpy.polynomial.hermite_e import hermegauss
from scipy.sparse import csr_array

from attnflow.densities.base import Density
from attnflow.densities.gaussian import Gaussian
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import DenseRule


class HermiteBasis(Basis):
    """Products of He_n(z_i) / sqrt(n!) of total degree <= degree, orthonormal in N(mean, covariance) [DLMF, 18.3].

    z are the coordinates along the principal axes, in standard deviations.

    Args:
        mean: the centre, (d,) or, on the line, a number.
        covariance: (d, d), or the variance.
        degree: the largest degree.
    """

    name = "hermite"
    domain = "a Gaussian on EuclideanSpace(1), (2) and (3)"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return isinstance(density, Gaussian) and density.manifold.dim <= 3

    @classmethod
    def degrees(cls, density: Density) -> range:
        return (range(16, 161, 4), range(8, 41, 4), range(4, 15, 2))[density.manifold.dim - 1]

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        # p is the reference density, not the stationary p^2: errors are wanted in L2(p), where the Hermite functions of
        # p^2 grow like 3^(n/2) and turn a rounding of 1e-17 into 1e-8.
        assert isinstance(density, Gaussian)
        return cls(density.mean, density.covariance, degree)

    def __init__(self, mean: np.ndarray | float, covariance: np.ndarray | float, degree: int) -> None:
        self.degree = degree
        self._mean = np.atleast_1d(mean)
        variances, self._axes = np.linalg.eigh(np.atleast_2d(covariance))
        self._deviations = np.sqrt(variances)
        dim = len(self._mean)
        powers = np.array([n for n in itertools.product(range(degree + 1), repeat=dim) if sum(n) <= degree])
        self._powers = powers[np.argsort(powers.sum(axis=1), kind="stable")]
        self.derivatives = tuple(self._lowering(axis) for axis in range(dim))
        if dim == 1:
            # phi_n sqrt w lives, up to round-off, within reach standard deviations of sqrt 2 sigma in position and in
            # wave number alike; the trapezoidal rule is then exact for products. Unlike Gauss nodes it also integrates
            # densities wider than w.
            reach = np.sqrt(2 * degree + 1) + 6
            count = int(np.ceil(reach * (3 * np.sqrt(2 * degree + 1) + 12) / np.pi))
            step = np.sqrt(2 * variances[0]) * reach / count
            self.nodes = (self._mean[0] + step * np.arange(-count, count + 1))[:, None]
            self.volumes = np.full(len(self.nodes), step)
        else:
            self.nodes, self.volumes = self._gauss_rule(3 * degree // 2 + 2)

    def _lowering(self, axis: int) -> csr_array:
        """Return the matrix of the derivative along a principal axis: He_n' = n He_{n-1}."""
        place = {tuple(power): index for index, power in enumerate(self._powers.tolist())}
        moved = np.flatnonzero(self._powers[:, axis])
        lower = self._powers[moved] - np.eye(len(self._mean), dtype=int)[axis]
        rows = [place[tuple(power)] for power in lower.tolist()]
        entries = np.sqrt(self._powers[moved, axis]) / self._deviations[axis]
        return csr_array((entries, (rows, moved)), shape=(len(self._powers),) * 2)

    def _gauss_rule(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the product of Gauss rules of `count` nodes along each axis, and its weights for int h dvol."""
        z, weights = hermegauss(count)
        volumes = weights * np.exp(z**2 / 2)
        dim = len(self._mean)
        mesh = np.stack(np.meshgrid(*[z] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        products = np.prod(np.stack(np.meshgrid(*[volumes] * dim, indexing="ij"), axis=-1).reshape(-1, dim), axis=1)
        return self._mean + (mesh * self._deviations) @ self._axes.T, products * np.prod(self._deviations)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        columns = [_hermite(z, self.degree) for z in self._standardise(points).T]
        return np.prod([each[:, power] for each, power in zip(columns, self._powers.T, strict=True)], axis=0)

    def fields(self, points: np.ndarray) -> np.ndarray:
        return np.repeat(self._axes.T[:, None, :], len(points), axis=1)

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        scale = np.prod(np.sqrt(2 * np.pi) * self._deviations)
        return np.exp(-0.5 * np.sum(self._standardise(points) ** 2, axis=1)) / scale

    @property
    def orders(self) -> np.ndarray:
        return self._powers.sum(axis=1)

    def closely(self, nodes: int) -> DenseRule:
        dim = len(self._mean)
        if dim > 1:
            own = round(len(self.nodes) ** (1 / dim))
            return DenseRule(self, *self._gauss_rule(max(3 * own // 2, math.ceil(nodes ** (1 / dim)))))
        # From end to end of the nodes: further out f may overflow, which the basis never sees.
        places = np.linspace(self.nodes[0, 0], self.nodes[-1, 0], nodes)
        return DenseRule(self, places[:, None], np.full(nodes, places[1] - places[0]))

    def _standardise(self, points: np.ndarray) -> np.ndarray:
        return (points - self._mean) @ self._axes / self._deviations


def _hermite(z: np.ndarray, degree: int) -> np.ndarray:
    """Return He_n(z) / sqrt(n!), (Q, degree + 1)."""
    columns = np.ones((len(z), degree + 1))
    columns[:, 1] = z
    for n in range(1, degree):
        columns[:, n + 1] = (z * columns[:, n] - np.sqrt(n) * columns[:, n - 1]) / np.sqrt(n + 1)
    return columns
