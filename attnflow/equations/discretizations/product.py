"""Products of functions on products of manifolds."""

from __future__ import annotations

import functools
import itertools
from typing import Self

import numpy as np
from scipy.sparse import csr_array, eye_array, kron

from attnflow.densities.base import Density
from attnflow.densities.uniform import Uniform
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.close import GridRule
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hyperspherical import HypersphericalBasis
from attnflow.equations.discretizations.legendre import LegendreBasis
from attnflow.manifolds.base import Manifold
from attnflow.manifolds.product import Product, join
from attnflow.measures import DiscreteMeasure
from attnflow.resolution import close_degree

_MATRIX = 1100, 1 << 24  # functions, and values of all of them at all nodes, with which L is a matrix: 128 MB
_APPLIED = 6000, 1 << 19  # functions, and nodes, with which it is applied


class ProductBasis(Basis):
    """phi_i(x1) psi_j(x2) whose orders sum to at most `degree`, for functions phi_i and psi_j of the two parts.

    Args:
        product: M1 x M2.
        degree: the largest sum of two orders.
    """

    name = "product"
    domain = "products of these"

    @classmethod
    def serves(cls, density: Density) -> bool:
        return _serves(density.manifold)

    @classmethod
    def degrees(cls, density: Density) -> range:
        return _degrees(density.manifold)[0]

    @classmethod
    def high_degrees(cls, density: Density) -> range:
        return _degrees(density.manifold)[1]

    @classmethod
    def examined_degree(cls, density: Density) -> int:
        return [*cls.degrees(density), *cls.high_degrees(density)][-1]

    @classmethod
    def on(cls, density: Density, degree: int) -> Self:
        return cls(density.manifold, degree)

    def __init__(self, product: Manifold, degree: int) -> None:
        assert isinstance(product, Product)
        self.degree = degree
        self._product = product
        self._first, self._second = (_part(part, degree) for part in (product.first, product.second))
        both = [DiscreteMeasure(part.nodes, part.volumes) for part in (self._first, self._second)]
        self.nodes, self.volumes = join(*both)
        sums = np.add.outer(self._first.orders, self._second.orders)
        pairs = np.argwhere(sums <= degree)
        totals = sums[tuple(pairs.T)]
        order = np.argsort(totals, kind="stable")
        self._pairs, self._orders = pairs[order], totals[order]
        places = np.ravel_multi_index(tuple(self._pairs.T), sums.shape)
        ones = [eye_array(size, format="csr") for size in sums.shape]
        whole = [kron(along, ones[1], format="csr") for along in self._first.derivatives]
        whole += [kron(ones[0], along, format="csr") for along in self._second.derivatives]
        self.derivatives = tuple(csr_array(along[places][:, places]) for along in whole)

    def evaluate(self, points: np.ndarray) -> np.ndarray:
        parts = zip((self._first, self._second), self._product.split(points), self._pairs.T, strict=True)
        left, right = (part.evaluate(own)[:, numbers] for part, own, numbers in parts)
        return left * right

    def fields(self, points: np.ndarray) -> np.ndarray:
        left, right = self._product.split(points)
        first, second = self._first.fields(left), self._second.fields(right)
        fields = np.zeros((len(first) + len(second), *points.shape))
        fields[: len(first), :, : left.shape[1]] = first
        fields[len(first) :, :, left.shape[1] :] = second
        return fields

    def reference_density(self, points: np.ndarray) -> np.ndarray:
        return np.full(len(points), 1 / self._product.volume)

    @property
    def outward(self) -> np.ndarray | None:
        return _outward(self._first, self._second, widths=self._widths)

    @property
    def orders(self) -> np.ndarray:
        return self._orders

    def closely(self, nodes: int) -> GridRule:
        return self.finely(close_degree(self._product, nodes))

    def finely(self, degree: int) -> GridRule:
        return _Grid(self._first.finely(degree), self._second.finely(degree), pairs=self._pairs, widths=self._widths)

    @property
    def _widths(self) -> tuple[int, int]:
        return self._product.first.ambient_dim, self._product.second.ambient_dim


class _Grid(GridRule):
    """The product of two rules with fast sums."""

    def __init__(self, first: GridRule, second: GridRule, *, pairs: np.ndarray, widths: tuple[int, int]) -> None:
        super().__init__(*join(*(DiscreteMeasure(part.nodes, part.volumes) for part in (first, second))))
        self._first, self._second = first, second
        self._pairs = tuple(pairs.T)
        self._sizes = tuple(pairs.max(axis=0) + 1)
        self.outward = _outward(first, second, widths=widths)

    def analyse(self, values: np.ndarray) -> np.ndarray:
        columns = values.shape[1]
        half = self._first.analyse(values.reshape(len(self._first.nodes), -1))
        half = half.reshape(len(half), len(self._second.nodes), columns).swapaxes(0, 1)
        whole = self._second.analyse(np.ascontiguousarray(half).reshape(len(self._second.nodes), -1))
        whole = whole.reshape(len(whole), -1, columns)
        return whole[self._pairs[1], self._pairs[0]]

    def synthesise(self, coefficients: np.ndarray) -> np.ndarray:
        columns = coefficients.shape[1]
        whole = np.zeros((*self._sizes, columns))
        whole[self._pairs] = coefficients
        half = self._first.synthesise(whole.reshape(self._sizes[0], -1))
        half = half.reshape(len(half), self._sizes[1], columns).swapaxes(0, 1)
        values = self._second.synthesise(np.ascontiguousarray(half).reshape(self._sizes[1], -1))
        return values.reshape(len(values), -1, columns).swapaxes(0, 1).reshape(len(self.nodes), columns)


def _outward(first: Basis | GridRule, second: Basis | GridRule, *, widths: tuple[int, int]) -> np.ndarray | None:
    """Return the outward normals at the nodes of a product from those of its parts, which may have none."""
    if first.outward is None and second.outward is None:
        return None
    sizes = len(first.nodes), len(second.nodes)
    left, right = (
        np.zeros((size, width)) if part.outward is None else part.outward
        for part, size, width in zip((first, second), sizes, widths, strict=True)
    )
    return np.hstack([np.repeat(left, sizes[1], axis=0), np.tile(right, (sizes[0], 1))])


def _kind(manifold: Manifold) -> type[Basis] | None:
    """Return the kind of basis of a part."""
    kinds = (FourierBasis, HarmonicBasis, HypersphericalBasis, LegendreBasis, ProductBasis)
    density = Uniform(manifold)  # these ask for the manifold alone
    return next((kind for kind in kinds if kind.serves(density)), None)


def _part(manifold: Manifold, degree: int) -> Basis:
    kind = _kind(manifold)
    assert kind is not None
    return kind.on(Uniform(manifold), degree)


def _serves(manifold: Manifold) -> bool:
    return type(manifold) is Product and all(_kind(part) for part in (manifold.first, manifold.second))


@functools.lru_cache(maxsize=32)
def _degrees(product: Product) -> tuple[range, range]:
    """Return the degrees at which L becomes a matrix, at least two, and those at which it is applied."""
    step = 4 if product.dim == 2 else 2
    with_matrix, applied = 2 * step, 0
    for degree in itertools.count(step, step):
        parts = [_part(part, degree) for part in (product.first, product.second)]
        size = int(np.sum(np.add.outer(*(part.orders for part in parts)) <= degree))
        nodes = len(parts[0].nodes) * len(parts[1].nodes)
        if size <= _MATRIX[0] and size * nodes <= _MATRIX[1]:
            with_matrix = max(with_matrix, degree)
        elif size > _APPLIED[0] or nodes > _APPLIED[1]:
            break
        applied = degree
    return range(step, with_matrix + 1, step), range(with_matrix + step, applied + 1, step)
