"""Hermite polynomials on the line."""

from __future__ import annotations

from typing import Self

import numpy as np
from scipy.sparse import csr_array, diags_array

from attnflow.densities.base import Density
from attnflow.densities.gaussian import Gaussian
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import DenseRule


class HermiteBasis(Basis):
    """He_n((x - mean)/sigma) / sqrt(n!), n <= degree, orthonormal in N(mean, sigma^2) [DLMF, 18.3].

    Args:
        mean: the centre.
        variance: sigma^2.
        degree: the largest degree.
    """

    name = "hermite"
    domain = "a Gaussian on the line"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return isinstance(density, Gaussian) and density.manifold.dim == 1

    @classmethod
    def degrees(cls, density: Density) -> range:
        return range(16, 161, 4)

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        # p is the reference density, not the stationary p^2: errors are wanted in L2(p), where the Hermite functions of
        # p^2 grow like 3^(n/2) and turn a rounding of 1e-17 into 1e-8.
        assert isinstance(density, Gaussian)
        return cls(float(density.mean[0]), float(density.covariance[0, 0]), degree)

    def __init__(self, mean: float, variance: float, degree: int) -> None:
        self.degree = degree
        self._mean = mean
        self._deviation = np.sqrt(variance)
        # phi_n sqrt w lives, up to round-off, within reach standard deviations of sqrt 2 sigma in position and in
        # wave number alike; the trapezoidal rule is then exact for products. Unlike Gauss nodes it also integrates
        # densities wider than w.
        reach = np.sqrt(2 * degree + 1) + 6
        count = int(np.ceil(reach * (3 * np.sqrt(2 * degree + 1) + 12) / np.pi))
        step = np.sqrt(2 * variance) * reach / count
        self.nodes = (mean + step * np.arange(-count, count + 1))[:, None]
        self.volumes = np.full(len(self.nodes), step)
        self.derivatives = (csr_array(diags_array(np.sqrt(np.arange(1, degree + 1)) / self._deviation, offsets=1)),)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        z = self._standardise(points)
        columns = np.ones((len(points), self.degree + 1))
        columns[:, 1] = z
        for n in range(1, self.degree):
            columns[:, n + 1] = (z * columns[:, n] - np.sqrt(n) * columns[:, n - 1]) / np.sqrt(n + 1)
        return columns

    def fields(self, points: np.ndarray) -> np.ndarray:
        return np.ones((1, len(points), 1))

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * self._standardise(points) ** 2) / (np.sqrt(2 * np.pi) * self._deviation)

    @property
    def orders(self) -> np.ndarray:
        return np.arange(self.size)

    def closely(self, nodes: int) -> DenseRule:
        # From end to end of the nodes: further out f may overflow, which the basis never sees.
        places = np.linspace(self.nodes[0, 0], self.nodes[-1, 0], nodes)
        return DenseRule(self, places[:, None], np.full(nodes, places[1] - places[0]))

    def _standardise(self, points: np.ndarray) -> np.ndarray:
        return (points[:, 0] - self._mean) / self._deviation
