"""Legendre polynomials on an interval."""

from __future__ import annotations

from typing import Self

import numpy as np
import scipy.fft
from scipy.sparse import csr_array

from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import GridRule
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.interval import Interval, chebyshev_rule
from attnflow.resolution import close_degree, rule_at


class LegendreBasis(Basis):
    """sqrt(2n + 1) P_n on an interval, n <= degree, orthonormal in the uniform measure [DLMF, 18.3].

    Args:
        interval: where.
        degree: the largest degree.
    """

    name = "legendre"
    domain = "intervals"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return type(density.manifold) is Interval

    @classmethod
    def degrees(cls, density: Density) -> range:
        return range(12, 161, 4)

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        return cls(density.manifold, degree)

    def __init__(self, interval: Manifold, degree: int) -> None:
        assert isinstance(interval, Interval)
        self.degree = degree
        self._interval = interval
        places, weights = chebyshev_rule(3 * degree)
        self.nodes = (interval.low + interval.volume * places)[:, None]
        self.volumes = interval.volume * weights
        n = np.arange(degree + 1)
        # P_n' = sum of (2k + 1) P_k over k = n - 1, n - 3, ...
        is_lower = (n[:, None] < n) & ((n[:, None] + n) % 2 == 1)
        slopes = np.sqrt(np.outer(2 * n + 1, 2 * n + 1)) * 2 / interval.volume
        self.derivatives = (csr_array(np.where(is_lower, slopes, 0.0)),)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        interval = self._interval
        s = (2 * points[:, 0] - (interval.low + interval.high)) / interval.volume
        columns = np.ones((len(points), self.degree + 1))
        columns[:, 1] = s
        for n in range(1, self.degree):
            columns[:, n + 1] = ((2 * n + 1) * s * columns[:, n] - n * columns[:, n - 1]) / (n + 1)
        return columns * np.sqrt(2 * np.arange(self.degree + 1) + 1)

    def fields(self, points: np.ndarray) -> np.ndarray:
        return np.ones((1, len(points), 1))

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1 / self._interval.volume)

    @property
    def orders(self) -> np.ndarray:
        return np.arange(self.size)

    @property
    def outward(self) -> np.ndarray:
        return _outward(self.volumes)

    def closely(self, nodes: int) -> GridRule:
        return self.finely(close_degree(self._interval, nodes))

    def finely(self, degree: int) -> GridRule:
        return _Angles(self, degree)


class _Angles(GridRule):
    """Nodes (1 - cos t) / 2 at equally spaced t, where cosines are the polynomials of Chebyshev."""

    def __init__(self, basis: LegendreBasis, degree: int) -> None:
        super().__init__(*rule_at(basis._interval, degree))
        self.outward = _outward(self.volumes)
        degree = basis.degree
        places = basis._interval.low + basis._interval.volume * chebyshev_rule(degree)[0]
        self._cosines = scipy.fft.dct(basis.evaluate(places[:, None]), type=1, axis=0) / degree  # of each polynomial
        self._cosines[[0, -1]] /= 2

    def analyse(self, values: np.ndarray) -> np.ndarray:
        weighed = self.weights[:, None] * values
        degree = len(self._cosines) - 1
        sums = scipy.fft.dct(weighed, type=1, axis=0)[: degree + 1] + weighed[:1]
        sums += (-1.0) ** np.arange(degree + 1)[:, None] * weighed[-1:]
        return self._cosines.T @ (sums / 2)

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        waves = np.zeros((len(self.nodes), coefficients.shape[1]))
        waves[: len(self._cosines)] = self._cosines @ coefficients / 2
        waves[0] *= 2
        return scipy.fft.dct(waves, type=1, axis=0)


def _outward(volumes: np.ndarray) -> np.ndarray:
    """Return -1 and 1 at the first and the last node, over their volumes, (Q, 1)."""
    outward = np.zeros((len(volumes), 1))
    outward[[0, -1], 0] = -1 / volumes[0], 1 / volumes[-1]
    return outward
