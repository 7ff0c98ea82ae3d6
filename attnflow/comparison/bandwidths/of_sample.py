"""The error of one layer's generator over given points, told by the points alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from attnflow.attention import Attention
from attnflow.comparison.bandwidths.keys import PAIRS, Keys, costs_of_own, kernel, key_weights_of_sample
from attnflow.comparison.bandwidths.search import FEWEST, best_of, not_empty
from attnflow.comparison.bandwidths.suggestion import Prediction, root_mean_square

SEEN = 2.0  # mean square of a difference over its variance, from where on it tells a bias
COUNTED = 16.0  # neighbours, from where on kernel sums tell a dimension
_DROWNED = 1.05  # the same where nothing is seen any more
_LEVELS, _FINE = 5, 6  # bandwidths at least of the first look, and between the neighbours of the best of them


class Halved(NamedTuple):
    """What bandwidths eps and eps/2 are over one sample, at queries.

    Args:
        bandwidth: eps.
        square: estimated variance of (A_N f - f)/eps, (Q, c).
        difference: (A_N f - f)/eps at eps less that at eps/2, (Q, c).
        variance: its estimated variance, (Q, c).
        neighbours: of eps, (Q,).
        halved_neighbours: of eps/2, (Q,).
    """

    bandwidth: float
    square: np.ndarray
    difference: np.ndarray
    variance: np.ndarray
    neighbours: np.ndarray
    halved_neighbours: np.ndarray

    @property
    def slope(self) -> float:
        """Bias over bandwidth, squared: the difference is half of it, and noise."""
        found = np.sum(self.difference**2 - self.variance) / len(self.difference)
        return max(0.0, 4 * float(found)) / self.bandwidth**2

    @property
    def dimension(self) -> float:
        """Twice the slope of the logarithm of kernel sums."""
        return 2 * math.log2(self.neighbours.sum() / max(self.halved_neighbours.sum(), 1e-300))

    @property
    def clarity(self) -> float:
        """How much larger the difference is than its noise, squared."""
        return float(np.sum(self.difference**2) / np.sum(self.variance))


class SampleErrors:
    """Errors of (A_N - I) f / eps - L f of which neither p nor M is known.

    The noise is the variance of a ratio of means, sum_j a_j^2 (f_j - A_N f)^2 with the weights a of the row itself. The
    bias, eps B f, is twice the difference of bandwidths eps and eps/2 where that is seen above its own noise; at
    smaller bandwidths it is continued like eps. Key weights that depend on the points are taken as they are: that they
    scatter as well is left out.

    Args:
        attention: the attention; its bandwidth is not used.
        points: X_j, (N, D).
        values: f(X_j), (N, c).
        at: queries, (Q, D).
        at_queries: f at the queries, (Q, c).
        rows: which of the points the queries are, to be left out; None for queries apart.
    """

    def __init__(
        self, attention: Attention, points: np.ndarray, values: np.ndarray, *, at: np.ndarray, at_queries: np.ndarray,
        rows: np.ndarray | None,
    ) -> None:  # fmt: skip
        count = len(points)
        self._attention = attention
        self.keys = Keys(points, np.full(count, 1 / count), np.ones(count))
        centre = values.mean(axis=0)
        self._values, self._now = values - centre, at_queries - centre
        self._at, self._rows = at, rows
        self._own = costs_of_own(attention, at)

    def predict(self, *, highest: float) -> tuple[list[Prediction], list[Halved]]:
        """Return predictions at bandwidths halved from the highest on, rising, and more of them near the best.

        They end where the emptiest query has eight neighbours, or noise has drowned the difference at two in a row.

        Raises:
            ConfigError: if the emptiest query has fewer neighbours at the highest.
        """
        tried = [self._halved(highest)]
        not_empty(_predictions(tried)[0])
        while len(tried) < _LEVELS or tried[-1].clarity >= _DROWNED or tried[-2].clarity >= _DROWNED:
            emptiest, dimension = float(tried[-1].neighbours.min()), max(1.0, tried[-1].dimension)
            if emptiest <= 1.05 * FEWEST:
                break
            tried.append(self._halved(tried[-1].bandwidth * max(0.5, (FEWEST / emptiest) ** (2 / dimension))))
        tried.reverse()
        best = best_of(_predictions(tried))
        ends = tried[max(0, best - 1)].bandwidth, tried[min(len(tried) - 1, best + 1)].bandwidth
        if ends[0] < ends[1]:
            tried += [self._halved(eps) for eps in np.geomspace(*ends, _FINE + 2)[1:-1].tolist()]
        tried.sort(key=lambda halved: halved.bandwidth)
        return _predictions(tried), tried

    def _blocks(self) -> list[slice]:
        step = max(1, PAIRS // len(self.keys.points))
        return [slice(start, start + step) for start in range(0, len(self._at), step)]

    def _keys_at(self, bandwidth: float) -> Keys:
        weights = key_weights_of_sample(self._attention.replace(bandwidth=bandwidth), self.keys.points)
        return self.keys._replace(weights=weights)

    def _kernel(self, some: slice, keys: Keys, bandwidth: float) -> np.ndarray:
        found = kernel(self._attention, self._at[some], self._own[some], keys, bandwidth)
        if self._rows is not None:
            found[np.arange(len(found)), self._rows[some]] = 0.0
        return found

    def _halved(self, bandwidth: float) -> Halved:
        steps = bandwidth, bandwidth / 2
        keys = [self._keys_at(step) for step in steps]
        parts = [self._halved_of(some, keys, steps) for some in self._blocks()]
        return Halved(bandwidth, *(np.concatenate(part) for part in zip(*parts, strict=True)))

    def _halved_of(self, some: slice, keys: list[Keys], steps: tuple[float, float]) -> tuple[np.ndarray, ...]:
        values, now = self._values, self._now[some]
        kernels = [self._kernel(some, key, step) for key, step in zip(keys, steps, strict=True)]
        neighbours = [weights @ (1 / key.weights) for weights, key in zip(kernels, keys, strict=True)]
        rows = [weights / np.maximum(weights.sum(axis=1)[:, None], 1e-300) for weights in kernels]
        averages = [row @ values for row in rows]

        def covariance(a: int, b: int) -> np.ndarray:
            """Return sum_j a_j b_j (f_j - A f)(f_j - B f) / (eps_a eps_b) of rows a, b."""
            weights, (x, y) = rows[a] * rows[b], (averages[a], averages[b])
            found = weights @ values**2 - (x + y) * (weights @ values) + x * y * weights.sum(axis=1)[:, None]
            return found / (steps[a] * steps[b])

        own, cross, halved = covariance(0, 0), covariance(0, 1), covariance(1, 1)
        slopes = [(average - now) / step for average, step in zip(averages, steps, strict=True)]
        return own, slopes[0] - slopes[1], own + halved - 2 * cross, *neighbours


def dimension_of(tried: list[Halved]) -> tuple[float, float]:
    """Return the intrinsic dimension and its error: the slope of kernel sums at the smallest bandwidth with neighbours.

    The error is a standard one, from queries as if they were independent; curvature adds some of the bandwidth.
    """
    found = next((halved for halved in tried if np.median(halved.neighbours) >= COUNTED), tried[-1])
    ratios = found.neighbours - found.halved_neighbours * 2 ** (found.dimension / 2)
    error = 2 / math.log(2) * np.std(ratios) / math.sqrt(len(ratios)) / np.mean(found.neighbours)
    return found.dimension, float(error)


def _predictions(tried: list[Halved]) -> list[Prediction]:
    """Return predictions, the bias where it is not seen continued from the smallest bandwidth where it is.

    A kernel as wide as M changes little when it is halved; so that of a wider one is taken to be no smaller.
    """
    clear = [halved.clarity >= SEEN for halved in tried]
    first = next((k for k in range(len(tried)) if all(clear[k:])), len(tried) - 1)
    found, bias = [], 0.0
    for k, halved in enumerate(tried):
        bias = max(bias, math.sqrt(tried[max(k, first)].slope) * halved.bandwidth)
        noise = root_mean_square(halved.square, np.full(len(halved.square), 1 / len(halved.square)))
        found.append(Prediction(halved.bandwidth, math.hypot(bias, noise), bias, noise, float(halved.neighbours.min())))
    return found
