"""How fine a quadrature must be for a density, a cost and a function: told by integrals over very many nodes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

import jax
import numpy as np

from attnflow._lifting import VALUE_BLOCK, evaluate, map_blocks
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.densities.integration import CLOSE_NODES, close_nodes
from attnflow.manifolds.base import rule_of
from attnflow.resolution import close_rule
from attnflow.sums.operators.keys import MeasureKeys

AGREEMENT = 1e-11  # of integrals, relative; sums of 1e5 terms reach 1e-14
TEMPERED = 8.0  # e-foldings to which densities and kernels are flattened, so that what is small shows as well
QUERIES = 3  # whose kernels are looked at, besides that of the likeliest point
MOST_CHANNELS = 8  # of a function; of more, so many combinations
_REMEMBERED = 64


class Rule(NamedTuple):
    """Nodes (Q, D), the logarithms of their weights (Q,) and of what they weigh, p e^u or nothing, (Q,)."""

    nodes: np.ndarray
    log_weights: np.ndarray
    log_density: np.ndarray


class Sharpness:
    """The degrees at which a density, an attention's cost and key weights, and functions are resolved.

    A rule resolves them if all of the integrals

        int psi p^t e^{tu} h dvol,    t in {1, s},    psi in {1, k(x_1, .)^s, ...},    h in {1, f, f^2},

    agree with those on a rule with very many nodes (2^16 in one dimension, 2^17 else). The powers s < 1 flatten what
    they stand at to eight e-foldings: a feature is seen also where p or k is small. A Gaussian feature of width s is
    seen wherever the nearest of the many nodes is within about 6 s, see `close_look`.

    Args:
        attention: the cost and the normalisation.
        density: p.
        rtol: tolerance of the averages; integrals are compared to a thousandth of it, at best 1e-11.
    """

    def __init__(self, attention: Attention, density: Density, *, rtol: float) -> None:
        self._attention = attention
        self._density = density
        self._is_rule_of_manifold = density.manifold.is_compact and type(density).quadrature is Density.quadrature
        self._tolerance = max(AGREEMENT, rtol / 1000)
        self._degrees: dict[Callable, int] = {}

    def of_operator(self, degree: int) -> int:
        """Return the first degree, from the given one on, that resolves the density, the cost and the key weights."""
        return self._first(degree, lambda nodes: np.ones((len(nodes), 1)))

    def of_function(self, f: Callable, degree: int) -> int:
        """Return the first degree, from the given one on, that resolves a function as well."""
        if not isinstance(f, Hashable):
            return self._of_function(f, degree)
        if self._degrees.get(f, -1) < degree:
            if len(self._degrees) >= _REMEMBERED:
                self._degrees.clear()
            self._degrees[f] = self._of_function(f, degree)
        return self._degrees[f]

    def _of_function(self, f: Callable, degree: int) -> int:
        channels = _channels(evaluate(f, self._close.nodes))
        with np.errstate(under="ignore"):
            largest = np.abs(channels).max(axis=0)
        largest[largest == 0] = 1.0

        def powers(nodes: np.ndarray) -> np.ndarray:
            values = channels if nodes is self._close.nodes else _channels(evaluate(f, nodes))
            with np.errstate(under="ignore"):
                values = values / largest
                return np.hstack([values, values**2])

        return self._first(degree, powers)

    def _first(self, degree: int, powers: Callable[[np.ndarray], np.ndarray]) -> int:
        if self._density.quadrature_size(degree) >= len(self._close.nodes):
            return degree
        values = powers(self._close.nodes)
        with np.errstate(under="ignore"):
            expected, sizes = self._tests.T @ values, self._tests.T @ np.abs(values)
        while True:
            rule = self._rule(degree)
            with np.errstate(under="ignore"):
                integrals = self._weigh(rule).T @ powers(rule.nodes)
            finer = degree * 3 // 2
            if (np.abs(integrals - expected) <= self._rounding * sizes).all():
                return degree
            if self._density.quadrature_size(finer) >= len(self._close.nodes):
                return degree
            degree = finer

    @functools.cached_property
    def _close(self) -> Rule:
        return self._as_rule(*self._close_measure())

    def _close_measure(self) -> Any:
        manifold = self._density.manifold
        if self._is_rule_of_manifold:
            return close_rule(manifold, close_nodes(manifold))
        degree, most = 8, CLOSE_NODES[min(manifold.dim, 2) - 1]
        while self._density.quadrature_size(degree + degree // 4) < 2 * most and degree < most:
            degree += degree // 4
        return self._density.quadrature(degree)

    def _rule(self, degree: int) -> Rule:
        if self._is_rule_of_manifold:
            return self._as_rule(*rule_of(self._density.manifold, degree))
        return self._as_rule(*self._density.quadrature(degree))

    def _as_rule(self, nodes: np.ndarray, weights: np.ndarray) -> Rule:
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights)
        potential = _potential(self._attention, nodes)
        if self._is_rule_of_manifold:
            return Rule(nodes, log_weights, self._density.log_densities(nodes) + potential)
        return Rule(nodes, log_weights + potential, np.zeros(len(nodes)))

    @functools.cached_property
    def _tests(self) -> np.ndarray:
        return self._weigh(self._close)

    @functools.cached_property
    def _rounding(self) -> float:
        sizes = np.abs(self._close.log_density)
        return self._tolerance + 4 * np.finfo(float).eps * float(sizes.max())

    @functools.cached_property
    def _queries(self) -> np.ndarray:
        """Where the kernels stand whose product with the density is integrated."""
        some = np.random.default_rng(0).choice(len(self._close.nodes), QUERIES, replace=False)
        return self._close.nodes[np.append(some, np.argmax(self._close.log_density + self._close.log_weights))]

    @functools.cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest logit of each kernel, and the power that flattens it."""
        logits = self._logits(self._close.nodes)
        finite = np.isfinite(logits)
        highest = np.where(finite, logits, -np.inf).max(axis=0)
        spans = highest - np.where(finite, logits, np.inf).min(axis=0)
        with np.errstate(divide="ignore"):
            return highest, np.minimum(1.0, TEMPERED / spans)

    def _weigh(self, rule: Rule) -> np.ndarray:
        """Return the weight of every node in every integral, (Q, T)."""
        close = self._close.log_density
        span = float(np.ptp(close))
        powers = {1.0, min(1.0, TEMPERED / span)} if span else {1.0}
        highest, flattened = self._scales
        with np.errstate(under="ignore", over="ignore"):
            masses = [np.exp(rule.log_weights + power * (rule.log_density - close.max())) for power in powers]
            kernels = np.exp(flattened * (self._logits(rule.nodes) - highest))
            kernels = np.column_stack([np.ones(len(rule.nodes)), kernels])
            return np.hstack([mass[:, None] * kernels for mass in masses])

    def _logits(self, nodes: np.ndarray) -> np.ndarray:
        if self._attention.is_gaussian:  # a cost without parameters need not be compiled
            squares = np.stack([np.sum((nodes - x) ** 2, axis=1) for x in self._queries], axis=1)
            return -squares / (2 * self._attention.bandwidth)
        rows = functools.partial(_compiled_logits, self._attention, self._queries)
        return np.nan_to_num(map_blocks(rows, nodes, block=VALUE_BLOCK), nan=-np.inf, posinf=np.inf, neginf=-np.inf)


@jax.jit
def _compiled_logits(attention: Attention, queries: jax.Array, nodes: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: jax.vmap(lambda x: attention.logit(x, y))(queries))(nodes)


def _potential(attention: Attention, nodes: np.ndarray) -> np.ndarray:
    """Return the log key weights as far as they are functions of the key: the log totals, smooth as k, are left out."""
    keys = MeasureKeys(nodes, lambda _: (np.zeros(len(nodes)), 0.0))
    return np.broadcast_to(np.asarray(attention.normalization.log_key_weights(keys), dtype=float), len(nodes))


def _channels(values: np.ndarray) -> np.ndarray:
    """Return the values (N,) or (N, c) of a function as a few columns."""
    columns = values.reshape(len(values), -1)
    if columns.shape[1] <= MOST_CHANNELS:
        return columns
    return columns @ np.random.default_rng(0).standard_normal((columns.shape[1], MOST_CHANNELS))
