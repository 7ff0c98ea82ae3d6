"""How fine a quadrature must be for a density, a cost and a function: told by integrals over very many nodes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import NamedTuple

import jax
import numpy as np

from attnflow._lifting import VALUE_BLOCK, evaluate, map_blocks
from attnflow._tracing import Fixed
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.features.random_features import RandomFeatures
from attnflow.manifolds.base import rule_of
from attnflow.measures import DiscreteMeasure
from attnflow.resolution import close_nodes, close_rule
from attnflow.sums.operators.keys import MeasureKeys, Totals

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
        known = _close_channels if isinstance(f, Hashable) else _close_channels.__wrapped__
        channels = known(f, Fixed(self._density))
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
            expected, sizes = self._tests @ values, self._tests @ np.abs(values)
        while True:
            rule = self._rule(degree)
            with np.errstate(under="ignore"):
                integrals = self._weigh(rule, self._logits(rule.nodes)) @ powers(rule.nodes)
            finer = degree * 3 // 2
            if (np.abs(integrals - expected) <= self._rounding * sizes).all():
                return degree
            if self._density.quadrature_size(finer) >= len(self._close.nodes):
                return degree
            degree = finer

    @functools.cached_property
    def _close(self) -> Rule:
        rule = _close_rule(Fixed(self._density))
        return rule._replace(log_density=rule.log_density + _potential(self._attention, rule.nodes))

    def _rule(self, degree: int) -> Rule:
        rule = _rule(self._density, degree)
        return rule._replace(log_density=rule.log_density + _potential(self._attention, rule.nodes))

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
    def _tests(self) -> np.ndarray:
        return self._weigh(self._close, self._close_logits)

    @functools.cached_property
    def _close_logits(self) -> np.ndarray:
        return self._logits(self._close.nodes)

    @functools.cached_property
    def _scales(self) -> tuple[np.ndarray, np.ndarray]:
        """The largest logit of each kernel, and the power that flattens it."""
        logits = self._close_logits
        finite = np.isfinite(logits)
        highest = np.where(finite, logits, -np.inf).max(axis=1)
        spans = highest - np.where(finite, logits, np.inf).min(axis=1)
        return highest, TEMPERED / np.maximum(spans, TEMPERED)

    def _weigh(self, rule: Rule, logits: np.ndarray) -> np.ndarray:
        """Return the weight of every node in every integral, (T, Q)."""
        close = self._close.log_density
        highest, flattened = self._scales
        with np.errstate(under="ignore", over="ignore"):
            kernels = np.exp(flattened[:, None] * (logits - highest[:, None]))
            masses = [
                np.exp(rule.log_weights + power * (rule.log_density - close.max()))
                for power in {1.0, TEMPERED / max(float(np.ptp(close)), TEMPERED)}
            ]
            return np.vstack([part for mass in masses for part in (mass, mass * kernels)])

    def _logits(self, nodes: np.ndarray) -> np.ndarray:
        """Return the logits of the chosen queries at the nodes, (K, Q)."""
        if isinstance(self._attention.pseudometric, RandomFeatures):  # waves of known frequencies: two rules show them
            return np.zeros((len(self._queries), len(nodes)))
        if self._attention.is_gaussian:  # a cost without parameters need not be compiled
            x = self._queries
            squares = np.sum(x**2, axis=1)[:, None] - 2 * x @ nodes.T + np.einsum("ij,ij->i", nodes, nodes)
            return -squares / (2 * self._attention.bandwidth)
        rows = functools.partial(_compiled_logits, self._attention, self._queries)
        logits = map_blocks(rows, nodes, block=VALUE_BLOCK).T
        return np.where(np.isnan(logits), -np.inf, logits)


@jax.jit
def _compiled_logits(attention: Attention, queries: jax.Array, nodes: jax.Array) -> jax.Array:
    return jax.vmap(lambda y: jax.vmap(lambda x: attention.logit(x, y))(queries))(nodes)


def _has_rule_of_manifold(density: Density) -> bool:
    return density.manifold.is_compact and not density.brings_quadrature


def _rule(density: Density, degree: int) -> Rule:
    if _has_rule_of_manifold(density):
        return _of_measure(density, rule_of(density.manifold, degree))
    return _of_measure(density, density.quadrature(degree))


@functools.lru_cache(maxsize=4)
def _close_rule(fixed: Fixed) -> Rule:
    """Return the rule with very many nodes; attentions of many bandwidths share it."""
    density: Density = fixed.content
    if _has_rule_of_manifold(density):
        return _of_measure(density, close_rule(density.manifold, close_nodes(density.manifold)))
    degree, most = 8, 2 * close_nodes(density.manifold)
    while density.quadrature_size(degree + degree // 4) < most and degree < most:
        degree += degree // 4
    return _of_measure(density, density.quadrature(degree))


def _of_measure(density: Density, measure: DiscreteMeasure) -> Rule:
    nodes, weights = measure
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    is_volume = _has_rule_of_manifold(density)  # what a density brings of its own holds p already
    return Rule(nodes, log_weights, density.log_densities(nodes) if is_volume else np.zeros(len(nodes)))


@functools.lru_cache(maxsize=4)
def _close_channels(f: Callable, fixed: Fixed) -> np.ndarray:
    return _channels(evaluate(f, _close_rule(fixed).nodes))


def _potential(attention: Attention, nodes: np.ndarray) -> np.ndarray:
    """Return the log key weights as far as they are functions of the key: the log totals, smooth as k, are left out."""
    keys = MeasureKeys(nodes, Totals(lambda _: (np.zeros(len(nodes)), 0.0)))
    return np.broadcast_to(np.asarray(attention.normalization.log_key_weights(keys), dtype=float), len(nodes))


def _channels(values: np.ndarray) -> np.ndarray:
    """Return the values (N,) or (N, c) of a function as a few columns."""
    columns = values.reshape(len(values), -1)
    if columns.shape[1] <= MOST_CHANNELS:
        return columns
    return columns @ np.random.default_rng(0).standard_normal((columns.shape[1], MOST_CHANNELS))
