"""The kernel of an attention as an operator on densities, (K g)(x) = int k(x, y) g(y) dvol(y), from one set of nodes.

A kernel that a basis diagonalises, as that of a squared distance or a dot product on spheres and flat tori, is its
symbol; any other is a matrix on the nodes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import numpy as np
from scipy.special import expit

from attnflow.attention import Attention
from attnflow.equations.discretizations.base import Basis
from attnflow.errors import ConfigError, ConvergenceError, ResourceError
from attnflow.manifolds.base import Manifold
from attnflow.normalizations.unnormalized import Sigmoid
from attnflow.precision import require_x64

Apply = Callable[[np.ndarray], np.ndarray]

_QUERIES, _KEYS = 64, 1024  # of a block of logits: one shape reaches the compiler
_LARGEST_LOGIT = 700.0  # e^700 is 1e304
_LARGEST_MATRIX = 1 << 25  # entries, 268 MB
_PROBES = 8  # generic queries from which a symbol is read: each function of a basis is large at one of them
_FEW = 400  # nodes, for which a matrix takes less time than two transforms
_LARGEST_RULES = {1: 1 << 16, 2: 1 << 17, 3: 1 << 19}  # nodes of the quadrature of a symbol, by dimension
_DIAGONAL = 100.0  # times the tolerance: a kernel that a basis does not diagonalise is off by a share of its size


class Kernel(ABC):
    """An operator on functions with values (M, c) at the nodes.

    Attributes:
        nodes: y_j, (M, D).
    """

    nodes: np.ndarray

    @abstractmethod
    def to_nodes(self, values: np.ndarray) -> np.ndarray:
        """Return int k(x_i, y) g(y) dvol(y) at the nodes, (M, c)."""

    @abstractmethod
    def from_nodes(self, values: np.ndarray) -> np.ndarray:
        """Return int k(y, x_i) g(y) dvol(y), queries and keys exchanged, (M, c)."""

    @abstractmethod
    def towards(self, points: np.ndarray) -> Apply:
        """Return the map from values (M, c) to int k(x, y) g(y) dvol(y) at points (Q, D), (Q, c)."""


class DiagonalKernel(Kernel):
    """A kernel with int k(x, y) phi_n(y) dvol(y) = lambda_n phi_n(x) for every function of a basis; so it is symmetric.

    Args:
        basis: with fast sums over its nodes.
        symbol: lambda_n, (K,).
    """

    def __init__(self, basis: Basis, symbol: np.ndarray) -> None:
        self.nodes = basis.nodes
        self._basis = basis
        self._symbol = symbol[:, None]
        self._matrix = self._transformed(np.eye(len(self.nodes))) if len(self.nodes) <= _FEW else None

    def to_nodes(self, values: np.ndarray) -> np.ndarray:
        if self._matrix is not None:
            return self._matrix @ values
        return self._transformed(values)

    def _transformed(self, values: np.ndarray) -> np.ndarray:
        rule = self._basis.rule
        return rule.synthesise(self._symbol * rule.analyse(values))

    def from_nodes(self, values: np.ndarray) -> np.ndarray:
        return self.to_nodes(values)

    def towards(self, points: np.ndarray) -> Apply:
        functions = self._basis.evaluate(points)
        return lambda values: functions @ (self._symbol * self._basis.rule.analyse(values))


class MatrixKernel(Kernel):
    """A kernel by its values between nodes.

    Args:
        attention: whose kernel it is.
        nodes: (M, D).
        volumes: (M,).

    Raises:
        ResourceError: if there are too many nodes.
    """

    def __init__(self, attention: Attention, nodes: np.ndarray, volumes: np.ndarray) -> None:
        if len(nodes) ** 2 > _LARGEST_MATRIX:
            raise ResourceError(
                f"the kernel of {attention!r} would be a matrix on {len(nodes)} nodes. Only costs that harmonics "
                "diagonalise, such as SquaredDistance() and DotProduct(), go on from here; use a smoother density, a "
                "larger bandwidth or shorter times."
            )
        self.nodes = nodes
        self._attention, self._volumes = attention, volumes
        logits = _logits(attention, nodes, nodes)
        self._shift = _shift(attention, logits)
        self._kernel = _weigh(attention, logits, shift=self._shift)
        self._rows = self._kernel * volumes

    def to_nodes(self, values: np.ndarray) -> np.ndarray:
        return self._rows @ values

    def from_nodes(self, values: np.ndarray) -> np.ndarray:
        return self._kernel.T @ (self._volumes[:, None] * values)

    def towards(self, points: np.ndarray) -> Apply:
        rows = _weigh(self._attention, _logits(self._attention, points, self.nodes), shift=self._shift) * self._volumes
        return lambda values: rows @ values


def kernel_on(basis: Basis, attention: Attention, manifold: Manifold, *, rtol: float) -> Kernel:
    """Return the kernel of one attention on the nodes of a basis with fast sums.

    Args:
        basis: of the manifold.
        attention: one head.
        manifold: where the tokens are.
        rtol: what the symbol may be off by, relative to its largest entry.

    Raises:
        ConvergenceError: if no affordable quadrature resolves the kernel.
        ResourceError: if it is not diagonal and there are too many nodes.
    """
    symbol = _symbol(basis, attention, manifold, rtol=rtol)
    if symbol is None:
        return MatrixKernel(attention, basis.nodes, basis.rule.volumes)
    return DiagonalKernel(basis, symbol)


def _symbol(basis: Basis, attention: Attention, manifold: Manifold, *, rtol: float) -> np.ndarray | None:
    """Return lambda (K,), by quadratures that are refined until two agree; None if the basis does not diagonalise it.

    At generic queries x the projections int k(x, y) phi_n(y) dvol(y) are lambda_n phi_n(x) for all of them, or never.
    """
    queries = manifold.sample_uniform(_PROBES, np.random.default_rng(0))
    functions = basis.evaluate(queries).T
    before: np.ndarray | float = np.inf
    degree, moved, largest = 24, np.inf, _LARGEST_RULES[manifold.dim]
    while manifold.quadrature_size(degree - 1) <= largest:
        if degree > 2 * basis.degree:
            rule = basis.finely(degree - 1)
            logits = _logits(attention, queries, rule.nodes)
            projections = rule.analyse_density(_weigh(attention, logits, shift=_shift(attention, logits)).T)
            scale = float(np.abs(projections).max())
            if attention.rows == "divided":  # a factor is of no account, and the shift moves with the nodes
                projections, scale = projections / scale, 1.0
            moved = float(np.abs(projections - before).max() / scale)
            if moved <= rtol:
                symbol = np.sum(functions * projections, axis=1) / np.sum(functions**2, axis=1)
                off = np.abs(projections - symbol[:, None] * functions).max()
                return symbol if off <= _DIAGONAL * rtol * scale else None
            before = projections
        degree = 4 * degree // 3 if degree % 3 == 0 else 3 * degree // 2
    raise ConvergenceError(
        f"the kernel of {attention!r} is not resolved by {largest} nodes on {manifold}: its projections still "
        f"move by {moved:.2g}. Use a larger bandwidth or a smooth profile."
    )


@jax.jit
def _block(attention: Attention, queries: jax.Array, keys: jax.Array) -> jax.Array:
    return jax.vmap(lambda x: jax.vmap(lambda y: attention.logit(x, y))(keys))(queries)


def _logits(attention: Attention, queries: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Return the logits (Q, M), in blocks."""
    require_x64()
    rows = []
    for top in range(0, len(queries), _QUERIES):
        some = queries[np.minimum(np.arange(top, top + _QUERIES), len(queries) - 1)]
        parts = [
            np.asarray(_block(attention, some, keys[np.minimum(np.arange(left, left + _KEYS), len(keys) - 1)]))
            for left in range(0, len(keys), _KEYS)
        ]
        rows.append(np.concatenate(parts, axis=1)[: len(queries) - top, : len(keys)])
    return np.concatenate(rows)


def _shift(attention: Attention, logits: np.ndarray) -> float:
    """Return by how much logits are lowered before they are exponentiated: rows that are divided do not see it."""
    largest = float(logits.max())
    if attention.rows == "divided":
        return largest
    if attention.rows == "undivided" and largest > _LARGEST_LOGIT:
        raise ConfigError(
            f"the kernel of {attention!r} reaches e^{largest:.4g}, which is no number, and its rows are not divided. "
            "Use a larger bandwidth, SquaredDistance(), or normalization='softmax'."
        )
    return 0.0


def _weigh(attention: Attention, logits: np.ndarray, *, shift: float) -> np.ndarray:
    """Return the kernel from its logits."""
    with np.errstate(under="ignore"):
        if isinstance(attention.normalization, Sigmoid):
            return np.asarray(expit(logits + attention.normalization.bias))
        return np.exp(logits - shift)
