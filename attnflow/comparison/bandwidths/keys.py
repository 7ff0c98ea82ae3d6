"""Keys that attention averages over: nodes of a density, or a sample, and what one layer of N of them scatters by."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow._lifting import evaluate
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.kernel_sums.pairs import cost_matrix
from attnflow.sums.operators.keys import MeasureKeys, Totals
from attnflow.sums.sharpness import Sharpness

PRECISION = 1e-3  # of variances: a predicted error needs no more
MOST_KEYS = 4096  # that tell the size of a law
PAIRS = 4_000_000  # of queries and keys at once; their kernel takes 32 MB


class Keys(NamedTuple):
    """A law of keys: points y_j (M, D), masses m_j (M,) with the sum one, and key weights v_j = e^{u_j} (M,)."""

    points: np.ndarray
    masses: np.ndarray
    weights: np.ndarray


class OneLayer(NamedTuple):
    """What one layer of N keys is at queries: with k = exp(-D / 2eps) v, T = int k p and g = f - A f(x).

    Args:
        average: A f, shape (Q, c).
        spread: lim N Var[A_N f] = int k^2 g^2 p / T^2, (Q, c).
        square: E (A_N f - A f)^2 to second order in 1/N, (Q, c).
        shift: E (A_N f - A f) = -(1/N) int k^2 g p / T^2, (Q, c).
        neighbours: N int k p / k(x, x), k without v, (Q,).
    """

    average: np.ndarray
    spread: np.ndarray
    square: np.ndarray
    shift: np.ndarray
    neighbours: np.ndarray


def key_weights(attention: Attention, points: np.ndarray) -> np.ndarray:
    """Return v = e^u at points (M, D), up to a factor.

    Raises:
        ConfigError: if the normalisation weighs keys by how much they are attended, so that v scatters as well.
    """
    keys = MeasureKeys(points, Totals(lambda _: (np.zeros(len(points)), 0.0)))
    found = np.broadcast_to(np.asarray(attention.normalization.log_key_weights(keys), dtype=float), len(points))
    if keys.asked:
        raise ConfigError(
            f"`normalization` must not weigh keys by how much they are attended, got {attention.normalization!r}: its "
            "weights scatter with the keys, which no prediction here knows. Take softmax or KeyWeights."
        )
    return np.exp(found - found.max())


def key_weights_of_sample(attention: Attention, points: np.ndarray) -> np.ndarray:
    """Return v = e^u at the points of a sample, up to a factor, also where u depends on how much keys are attended."""
    own = attention.replace(normalization="softmax")

    def log_totals(log_weights: np.ndarray) -> tuple[np.ndarray, float]:
        masses = np.exp(np.broadcast_to(log_weights, len(points)) - np.max(log_weights))
        life = EmpiricalAttention(own.exchanged(), DiscreteMeasure(points, masses))
        return life.log_normalizer(at=points) + np.max(log_weights), 0.0

    found = attention.normalization.log_key_weights(MeasureKeys(points, Totals(log_totals)))
    weights = np.broadcast_to(np.asarray(found, dtype=float), len(points))
    return np.exp(weights - weights.max())


class Law:
    """The keys of an attention under a density, on as many nodes as a bandwidth asks for.

    Args:
        attention: its cost, its profile and its normalisation; the bandwidth is given to each method.
        density: p.
        f: what is averaged, which the nodes have to resolve; None for constants.
    """

    def __init__(self, attention: Attention, density: Density, f: Callable | None) -> None:
        self.attention = attention
        self.density = density
        self._f = f

    def nodes(self, bandwidth: float, *, precision: float = PRECISION) -> Keys:
        """Return nodes that resolve p, f and the square of the kernel, a Gaussian at half the bandwidth."""
        sharpness = Sharpness(self.attention.replace(bandwidth=bandwidth), self.density, rtol=precision)
        degree = math.ceil(math.sqrt(-4 * math.log(precision) / bandwidth)) + 3
        degree = sharpness.of_operator(degree) if self._f is None else sharpness.of_function(self._f, degree)
        return self.keys(self.density.quadrature(degree))

    def keys(self, measure: DiscreteMeasure) -> Keys:
        """Return the nodes of a quadrature as keys."""
        points, masses = measure
        seen = masses > masses.max() * 1e-30
        return Keys(points[seen], masses[seen] / masses.sum(), key_weights(self.attention, points[seen]))


def costs_of_own(attention: Attention, points: np.ndarray) -> np.ndarray:
    """Return D(x, x) at points (Q, D)."""
    cost = attention.pseudometric
    return np.zeros(len(points)) if cost.vanishes_on_diagonal else evaluate(lambda x: cost(x, x), points, name="cost")


def widest_bandwidth(attention: Attention, keys: Keys, at: np.ndarray, dim: int) -> float:
    """Return the bandwidth at which a kernel is as wide as the law of the keys: the mean of D(x, y) / 2m."""
    step = -(-len(keys.points) // MOST_KEYS)
    masses = keys.masses[::step] / keys.masses[::step].sum()
    costs = cost_matrix(attention.pseudometric, at, keys.points[::step]) - costs_of_own(attention, at)[:, None]
    return float(np.mean(costs @ masses)) / (2 * dim)


def kernel(attention: Attention, queries: np.ndarray, own: np.ndarray, keys: Keys, bandwidth: float) -> np.ndarray:
    """Return k(x, y) v(y) / k(x, x) of queries and keys, (Q, M)."""
    logits = attention.profile.logit(cost_matrix(attention.pseudometric, queries, keys.points), bandwidth=bandwidth)
    logits = np.asarray(logits) - np.asarray(attention.profile.logit(own, bandwidth=bandwidth))[:, None]
    with np.errstate(under="ignore"):
        return np.exp(logits) * keys.weights


def one_layer(
    attention: Attention, keys: Keys, values: np.ndarray, *, at: np.ndarray, bandwidth: float, count: int,
    rows: np.ndarray | None = None,
) -> OneLayer:  # fmt: skip
    """Return what one layer of `count` keys is at queries.

    Args:
        attention: the attention; its bandwidth is not used.
        keys: their law.
        values: f at the keys, (M, c).
        at: queries x, (Q, D).
        bandwidth: eps.
        count: N.
        rows: which keys the queries are, (Q,), to be left out; None for queries apart.
    """
    own = costs_of_own(attention, at)
    block = max(1, PAIRS // len(keys.points))
    parts = []
    for start in range(0, len(at), block):
        some = slice(start, start + block)
        found = kernel(attention, at[some], own[some], keys, bandwidth)
        if rows is not None:
            found[np.arange(len(found)), rows[some]] = 0.0
        parts.append(_moments(found, keys, values, count=count))
    return OneLayer(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _moments(found: np.ndarray, keys: Keys, values: np.ndarray, *, count: int) -> OneLayer:
    """Return the moments from kernels (Q, M), by the expansion of a ratio of means in their fluctuations.

    With a = k / T and b = a g, E (A_N f - A f)^2 = E b^2 / N + (3 E b^2 Var a + 6 (E a b)^2 - 2 E b^2 (a - 1)) / N^2.
    """
    masses = keys.masses
    total = found @ masses
    average = found @ (masses[:, None] * values) / total[:, None]
    with np.errstate(under="ignore"):
        powers = [found**j * masses / total[:, None] ** j for j in (2, 3)]
    square_of_a = powers[0].sum(axis=1)[:, None]
    ab = powers[0] @ values - average * square_of_a
    bb, abb = (
        w @ values**2 - 2 * average * (w @ values) + average**2 * w.sum(axis=1)[:, None] for w in powers
    )  # fmt: skip
    second = 3 * bb * (square_of_a - 1) + 6 * ab**2 - 2 * (abb - bb)
    return OneLayer(average, bb, bb / count + second / count**2, -ab / count, count * (found @ (masses / keys.weights)))
