"""Points sorted in space, tile by tile, and the tiles that are near one another."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.profiles.gaussian import GAUSSIAN
from attnflow.sums.kernel_sums.blocks import ceil_div

SEARCH = 256  # query tiles searched at once: bounds the memory of a search


def spatial_order(points: np.ndarray, size: int) -> np.ndarray:
    """Return a permutation after which every `size` consecutive points are close together.

    Halving along the widest coordinate as in a k-d tree [Bentley]. The left part holds a power of two of tiles, so
    that nodes of the tree are aligned runs of tiles.
    """
    order = np.arange(len(points))
    parts = [(0, len(points))]
    while parts:
        start, stop = parts.pop()
        tiles = ceil_div(stop - start, size)
        if tiles < 2:
            continue
        left = size << ((tiles - 1).bit_length() - 1)
        part = order[start:stop]
        here = points[part]
        widest = np.argmax(here.max(axis=0) - here.min(axis=0))
        order[start:stop] = part[np.argpartition(here[:, widest], left)]
        parts += [(start, start + left), (start + left, stop)]
    return order


class Boxes(NamedTuple):
    """Bounding boxes low, high (T, D) of the tiles of sorted points."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def around(cls, points: np.ndarray, size: int) -> Boxes:
        starts = np.arange(0, len(points), size)
        return cls(np.minimum.reduceat(points, starts), np.maximum.reduceat(points, starts))


class Neighbours(NamedTuple):
    """Of each query tile, the key tiles `tiles[first:last]`, and a bound on what all the others weigh.

    Args:
        first, last: (T,), int32.
        tiles: int32.
        neglected: sum of w_j exp(-|x - y_j|^2 / 2eps) over the keys left out, at most, for any x of the tile, (T,).
    """

    first: np.ndarray
    last: np.ndarray
    tiles: np.ndarray
    neglected: np.ndarray


class KeyTree:
    """A binary tree over tiles of keys, each node with its bounding box and its mass.

    Args:
        points: the keys in the order of `spatial_order`, shape (N, D).
        weights: their masses, shape (N,).
        size: of a tile.
    """

    def __init__(self, points: np.ndarray, weights: np.ndarray, *, size: int) -> None:
        boxes = Boxes.around(points, size)
        mass = np.add.reduceat(weights, np.arange(0, len(points), size))
        empty = (1 << (len(mass) - 1).bit_length()) - len(mass)
        low = np.pad(boxes.low, ((0, empty), (0, 0)), constant_values=np.inf)
        high = np.pad(boxes.high, ((0, empty), (0, 0)), constant_values=-np.inf)
        levels = [(low, high, np.pad(mass, (0, empty)))]
        while len(levels[-1][2]) > 1:
            low, high, mass = levels[-1]
            levels.append((np.minimum(low[::2], low[1::2]), np.maximum(high[::2], high[1::2]), mass[::2] + mass[1::2]))
        self._levels = levels[::-1]  # from the root to the tiles

    def neighbours(self, queries: Boxes, *, bandwidth: float, tail: float) -> Neighbours:
        """Return the tiles of keys with exp(-d^2 / 2eps) > tail, d the distance of the boxes."""
        counts, tiles, neglected = [], [], []
        for start in range(0, len(queries.low), SEARCH):
            part = Boxes(queries.low[start : start + SEARCH], queries.high[start : start + SEARCH])
            found, near, lost = self._search(part, bandwidth=bandwidth, tail=tail)
            counts.append(np.bincount(found, minlength=len(part.low)))
            tiles.append(near)
            neglected.append(lost)
        last = np.cumsum(np.concatenate(counts))
        first = last - np.concatenate(counts)
        return Neighbours(
            first.astype(np.int32), last.astype(np.int32), np.concatenate(tiles).astype(np.int32),
            np.concatenate(neglected),
        )  # fmt: skip

    def _search(self, queries: Boxes, *, bandwidth: float, tail: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pairs (query tile, key tile), in the order of the query tiles, and the neglected mass of each query tile."""
        lost = np.zeros(len(queries.low))
        query, node = np.arange(len(queries.low)), np.zeros(len(queries.low), np.int64)
        for depth, (low, high, mass) in enumerate(self._levels):
            if depth:  # every node that was kept splits into its two children
                query, node = np.repeat(query, 2), (2 * node[:, None] + np.arange(2)).ravel()
            gap = np.maximum(low[node] - queries.high[query], queries.low[query] - high[node])
            kernel = np.exp(GAUSSIAN.logit((np.maximum(gap, 0.0) ** 2).sum(axis=1), bandwidth=bandwidth))
            near = kernel > tail
            far = ~near
            lost = lost + np.bincount(query[far], weights=mass[node[far]] * kernel[far], minlength=len(lost))
            query, node = query[near], node[near]
        return query, node, lost
