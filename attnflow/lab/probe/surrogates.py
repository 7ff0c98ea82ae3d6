"""Heads with nothing to find: what every number is compared with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from attnflow.lab.probe.sources import Given, Logits, Products

DRAWS = 8  # of each kind
TOKENS = 256  # at most, of a draw: a draw then takes two hundredths of a second


class Tokens(NamedTuple):
    """Some tokens: their logits, coordinates and values."""

    logits: Logits
    points: np.ndarray | None
    values: np.ndarray | None

    def of(self, which: np.ndarray) -> Tokens:
        """Return some of them."""
        points = None if self.points is None else self.points[which]
        return Tokens(self.logits.of(which), points, None if self.values is None else self.values[which])


def row_centred_deviation(logits: Logits) -> float:
    """Return the standard deviation of L_ij - mean_j L_ij."""
    matrix = logits.matrix()
    return float(np.sqrt(np.mean((matrix - matrix.mean(axis=1, keepdims=True)) ** 2)))


def gaussian_logits(some: Tokens, rng: np.random.Generator) -> Tokens:
    """Return independent normal logits of the same row-centred variance."""
    count = some.logits.count
    drawn = rng.standard_normal((count, count)) * row_centred_deviation(some.logits)
    return some._replace(logits=Given(drawn * math.sqrt(count / (count - 1))))


def shuffled_keys(some: Tokens, rng: np.random.Generator) -> Tokens:
    """Return the same logits with the keys dealt to other tokens."""
    count = some.logits.count
    return some._replace(logits=some.logits.of(np.arange(count), rng.permutation(count)))


def random_weights(some: Tokens, rng: np.random.Generator) -> Tokens | None:
    """Return queries and keys that are random projections of the tokens, of the same variance; None without points."""
    if some.points is None:
        return None
    dim = some.points.shape[1]
    width = min(64, dim)
    queries, keys = (some.points @ rng.standard_normal((dim, width)) for _ in range(2))
    drawn = Products(queries, keys, 1.0)
    wanted, found = row_centred_deviation(some.logits), row_centred_deviation(drawn)
    return some._replace(
        logits=Products(queries, keys, found / wanted) if wanted > 0 else Products(0 * queries, keys, 1.0)
    )


def shuffled_columns(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return points (N, D) with every column shuffled by itself."""
    return np.stack([rng.permutation(column) for column in points.T], axis=1)


def tokens_of_a_draw(count: int) -> int:
    """Return how many tokens a draw has: all of a few hundred, else as many as a half has in `uncertainty`."""
    return count if count <= TOKENS else tokens_of_a_half(count)


def tokens_of_a_half(count: int) -> int:
    """Return how many tokens are drawn where a number's spread is told: half of them, at most 256."""
    return min(count // 2, TOKENS)


def some_tokens(count: int, rng: np.random.Generator, *, most: int | None = None) -> np.ndarray:
    """Return which tokens a draw takes, in their order."""
    most = tokens_of_a_draw(count) if most is None else most
    return np.arange(count) if count <= most else np.sort(rng.choice(count, most, replace=False))
