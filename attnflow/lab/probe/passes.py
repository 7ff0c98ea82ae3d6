"""One pass over the rows of a head, in blocks: everything that is a sum over pairs, without an N x N array."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow.lab.probe.sources import Logits, softmax
from attnflow.lab.probe.splitting import Sides, parts_of_rows, sides_of

BLOCK_PAIRS = 1 << 17  # of which ten arrays fit into the caches of a core
WIDEST = 64  # offsets of the band that is kept, each way
WAVES = 4  # cosines along the order of the tokens that a layer is tried on
ROUNDING = 1e-12  # of a logit, relative to the largest: what matrix products leave on a tie


class Moments(NamedTuple):
    """Row by row what attention makes of some features, centred by their mean.

    Args:
        features: f, shape (N, c).
        means: A f, shape (N, c).
        spreads: sum_j A_ij |f_j - (A f)_i|^2, shape (N,).
    """

    features: np.ndarray
    means: np.ndarray
    spreads: np.ndarray


@dataclass(frozen=True, eq=False)
class Pass:
    """What a pass has summed.

    Args:
        ess, typicality, gap, own_top: per row, shape (N,).
        received: sum_i A_ij, shape (N,).
        band: A_i,i+k for |k| up to the widest offset, 0 where there is no such key, shape (N, 2 w + 1).
        waves: A f of the cosines along the order of the tokens, shape (N, 4).
        parts: <C, C_D>, <C, C_b>, <C, W> and <C, C>, summed over all pairs.
        negative: number of pairs i != j with D_ij < 0.
        moved: per row, total variation without D, b and W, shape (N, 3).
        points: moments of the coordinates, or None.
        values: moments of the values, or None.
        halves: A f from each half of the keys, shape (2, N, c).
        linear: mean_j (1 + C_ij) f_j, shape (N, c).
    """

    ess: np.ndarray
    typicality: np.ndarray
    gap: np.ndarray
    own_top: np.ndarray
    received: np.ndarray
    band: np.ndarray
    waves: np.ndarray
    parts: np.ndarray
    negative: int
    moved: np.ndarray
    points: Moments | None
    values: Moments | None
    halves: np.ndarray | None
    linear: np.ndarray | None

    @property
    def count(self) -> int:
        """Number of tokens."""
        return len(self.ess)

    @property
    def passed_on(self) -> Moments | None:
        """Moments of the values, or of the coordinates where there are no values."""
        return self.points if self.values is None else self.values


def centred(features: np.ndarray | None) -> np.ndarray | None:
    """Return features less their mean: squares of small differences then do not cancel."""
    return None if features is None else features - features.mean(axis=0)


def widest_offset(count: int) -> int:
    """Return how far along the order the band reaches."""
    return min(WIDEST, count // 4)


def phases(count: int) -> np.ndarray:
    """Return pi k (i + 1/2)/N, k = 1, ..., 4, shape (N, 4): their cosines have no slope at the ends."""
    return np.pi / count * (np.arange(count)[:, None] + 0.5) * np.arange(1, WAVES + 1)


def pass_over(
    logits: Logits, points: np.ndarray | None, values: np.ndarray | None, *, rng: np.random.Generator
) -> Pass:
    """Return the sums of one pass.

    Args:
        logits: L, (N, N).
        points: coordinates of the tokens, shape (N, D), or None.
        values: what is passed on, shape (N, c), or None.
        rng: deals the keys into halves.
    """
    count = logits.count
    points, values = centred(points), centred(values)
    sides = sides_of(logits.own(), *logits.means())
    totals = _Totals(count, points, values, rng.permutation(count)[: count // 2])
    step = max(1, BLOCK_PAIRS // count)
    for start in range(0, count, step):
        totals.add(logits, sides, slice(start, min(start + step, count)))
    return totals.result()


class _Totals:
    def __init__(self, count: int, points: np.ndarray | None, values: np.ndarray | None, half: np.ndarray) -> None:
        self.points, self.values = points, values
        self.features = points if values is None else values
        self.half = np.sort(half)
        self.rows = np.zeros((count, 4))
        self.moved = np.zeros((count, 3))
        self.received, self.parts, self.negative = np.zeros(count), np.zeros(4), 0
        self.offsets = np.arange(-widest_offset(count), widest_offset(count) + 1)
        self.band = np.zeros((count, len(self.offsets)))
        self.cosines = np.cos(phases(count))
        self.waves = np.zeros_like(self.cosines)
        shape = None if self.features is None else self.features.shape
        self.halves = None if shape is None else np.zeros((2, *shape))
        self.linear = None if shape is None else np.zeros(shape)
        self.means = {id(f): np.zeros_like(f) for f in (points, values) if f is not None}
        self.spreads = {id(f): np.zeros(count) for f in (points, values) if f is not None}

    def add(self, logits: Logits, sides: Sides, rows: slice) -> None:
        block = logits.rows(rows)
        centred_block = block - block.mean(axis=1, keepdims=True)
        cost, circulation = parts_of_rows(block, logits.columns(rows), sides, rows)
        weights = softmax(block)
        self._add_rows(block, weights, rows)
        self._add_parts(centred_block, cost, circulation, sides.potential)
        for part, without in enumerate((cost / 2, -sides.potential, -circulation)):
            self.moved[rows, part] = np.abs(softmax(block + without) - weights).sum(axis=1) / 2
        self.received += weights.sum(axis=0)
        self._add_features(centred_block, weights, rows)

    def _add_rows(self, block: np.ndarray, weights: np.ndarray, rows: slice) -> None:
        places = np.arange(rows.start, rows.stop)
        own, top = block[np.arange(len(block)), places], block.max(axis=1)
        ties = ROUNDING * np.abs(block).max(axis=1)
        likes = block <= (own + ties)[:, None]
        self.rows[rows, 0] = 1 / np.einsum("ij,ij->i", weights, weights)
        self.rows[rows, 1] = np.einsum("ij,ij->i", weights, likes)
        self.rows[rows, 2] = top - own
        self.rows[rows, 3] = top - own <= ties
        keys = places[:, None] + self.offsets
        there = (keys >= 0) & (keys < weights.shape[1])
        self.waves[rows] = weights @ self.cosines
        self.band[rows] = np.where(there, np.take_along_axis(weights, np.where(there, keys, 0), axis=1), 0.0)

    def _add_parts(self, block: np.ndarray, cost: np.ndarray, circulation: np.ndarray, potential: np.ndarray) -> None:
        # The rows of `block` sum to 0, so that the row means of the parts need not be taken away.
        self.parts += (
            -np.vdot(block, cost) / 2,
            (block @ potential).sum(),
            np.vdot(block, circulation),
            np.vdot(block, block),
        )
        self.negative += int(np.count_nonzero(cost < -ROUNDING * np.abs(cost).max()))

    def _add_features(self, block: np.ndarray, weights: np.ndarray, rows: slice) -> None:
        for features in (self.points, self.values):
            if features is not None:
                means = weights @ features
                self.means[id(features)][rows] = means
                squares = weights @ np.einsum("ij,ij->i", features, features)
                self.spreads[id(features)][rows] = np.maximum(squares - np.einsum("ij,ij->i", means, means), 0)
        if self.features is not None and self.halves is not None and self.linear is not None:
            some = weights[:, self.half]
            share = some.sum(axis=1, keepdims=True)
            first = some @ self.features[self.half]
            tiny = np.finfo(float).tiny
            self.halves[0, rows] = first / np.maximum(share, tiny)
            self.halves[1, rows] = (self.means[id(self.features)][rows] - first) / np.maximum(1 - share, tiny)
            self.linear[rows] = block @ self.features / block.shape[1]

    def result(self) -> Pass:
        def moments(features: np.ndarray | None) -> Moments | None:
            if features is None:
                return None
            return Moments(features, self.means[id(features)], self.spreads[id(features)])

        ess, typicality, gap, own_top = self.rows.T
        return Pass(
            ess=ess,
            typicality=typicality,
            gap=gap,
            own_top=own_top,
            received=self.received,
            band=self.band,
            waves=self.waves,
            parts=self.parts,
            negative=self.negative,
            moved=self.moved,
            points=moments(self.points),
            values=moments(self.values),
            halves=self.halves,
            linear=self.linear,
        )


def between(features: np.ndarray) -> float:
    """Return the between-token variance, sum_i |f_i - mean f|^2."""
    return float(np.sum((features - features.mean(axis=0)) ** 2))


def ratio(top: float, bottom: float) -> float:
    """Return a quotient, NaN where it has no meaning."""
    return top / bottom if bottom > 0 else math.nan
