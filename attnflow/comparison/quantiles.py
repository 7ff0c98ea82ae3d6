"""Optimal transport in one dimension: quantile functions on the line and, turned against each other, on the circle."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

_TURN = 2 * math.pi
_GOLDEN = (math.sqrt(5) - 1) / 2
_SECTIONS = 75  # (golden ratio)^75 of an interval of length two is 4e-16
_BISECTIONS = 55


class Quantiles(NamedTuple):
    """A quantile function: on the levels (lower_k, upper_k) it rises linearly from left_k to right_k.

    An atom has left = right; the mass of a node of a density is spread evenly over its cell.
    """

    lower: np.ndarray
    upper: np.ndarray
    left: np.ndarray
    right: np.ndarray

    def at(self, levels: np.ndarray, pieces: np.ndarray) -> np.ndarray:
        """Return the values at levels inside of pieces."""
        lower, left = self.lower[pieces], self.left[pieces]
        return left + (self.right[pieces] - left) * (levels - lower) / (self.upper[pieces] - lower)


def quantiles(x: np.ndarray, masses: np.ndarray, *, is_density: bool, turn: float | None = None) -> Quantiles:
    """Return the quantile function of masses at numbers x (N,).

    Args:
        x: the places.
        masses: with the sum one.
        is_density: whether masses are spread over cells, which end half way between neighbours.
        turn: the length of the circle on which x is counted; None on the line.
    """
    order = np.argsort(x, kind="stable")
    x, masses = x[order], masses[order]
    upper = np.cumsum(masses)
    upper /= upper[-1]
    lower = np.concatenate([[0.0], upper[:-1]])
    kept = upper > lower
    if not (is_density and len(x) > 1):
        return Quantiles(lower[kept], upper[kept], x[kept], x[kept])
    middles = (x[1:] + x[:-1]) / 2
    ends = (1.5 * x[[0, -1]] - 0.5 * x[[1, -2]]) if turn is None else (x[0] + x[-1] + np.array([-turn, turn])) / 2
    edges = np.concatenate([ends[:1], middles, ends[1:]])
    return Quantiles(lower[kept], upper[kept], edges[:-1][kept], edges[1:][kept])


def distance_on_line(a: Quantiles, b: Quantiles, *, order: int) -> float:
    """Return W_p = ( int_0^1 |Q_a(u) - Q_b(u)|^p du )^(1/p), exactly, for p = 1 and 2."""
    return _cost(a, b, order) ** (1 / order)


def distance_on_circle(a: Quantiles, b: Quantiles, *, order: int) -> float:
    """Return W_p of angles along arcs, for p = 1 and 2 [DSS].

    W_p^p = min_s int_0^1 |Q_a(u) - Q_b(u + s)|^p du with Q(u + 1) = Q(u) + 2 pi, a convex function of s. For p = 1 it
    is min_c int_0^(2 pi) |F_a - F_b - c|, at the median c of the difference.
    """
    if order == 1:
        return _distance_from_median(a, b)
    low, high = -1.0, 1.0
    inner = [high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)]
    costs = [_cost(a, _advanced(b, shift), order) for shift in inner]
    for _ in range(_SECTIONS):
        if costs[0] <= costs[1]:
            high, inner[1], costs[1] = inner[1], inner[0], costs[0]
            inner[0] = high - _GOLDEN * (high - low)
            costs[0] = _cost(a, _advanced(b, inner[0]), order)
        else:
            low, inner[0], costs[0] = inner[0], inner[1], costs[1]
            inner[1] = low + _GOLDEN * (high - low)
            costs[1] = _cost(a, _advanced(b, inner[1]), order)
    return min(costs) ** (1 / order)


def _cost(a: Quantiles, b: Quantiles, order: int) -> float:
    """Return int_0^1 |Q_a - Q_b|^p du: between levels of either both are linear."""
    levels = np.sort(np.concatenate([a.upper, b.upper]))
    levels = np.append(levels[(levels > 0) & (levels < 1)], 1.0)
    before = np.concatenate([[0.0], levels[:-1]])
    middle = (before + levels) / 2
    pieces = [np.minimum(np.searchsorted(each.upper, middle), len(each.upper) - 1) for each in (a, b)]
    start, end = (a.at(u, pieces[0]) - b.at(u, pieces[1]) for u in (before, levels))
    return float((levels - before) @ _mean_power(start, end, order))


def _mean_power(start: np.ndarray, end: np.ndarray, order: int) -> np.ndarray:
    """Return the mean of |d|^p while d runs from start to end."""
    if order == 2:
        return (start**2 + start * end + end**2) / 3
    crosses = start * end < 0
    both = np.abs(start) + np.abs(end)
    return np.where(crosses, (start**2 + end**2) / np.where(crosses, 2 * both, 1.0), both / 2)


def _advanced(b: Quantiles, shift: float) -> Quantiles:
    """Return Q(u + s) on [0, 1], for -1 <= s <= 1."""
    lower, upper = (np.concatenate([each - 1, each, each + 1]) - shift for each in (b.lower, b.upper))
    left, right = (np.concatenate([each - _TURN, each, each + _TURN]) for each in (b.left, b.right))
    seen = slice(np.searchsorted(upper, 0.0, side="right"), np.searchsorted(lower, 1.0))
    return Quantiles(lower[seen], upper[seen], left[seen], right[seen])


def _distance_from_median(a: Quantiles, b: Quantiles) -> float:
    """Return min_c int |F_a - F_b - c| over a turn: between places of either the difference is linear."""
    places = np.sort(np.mod(np.concatenate([a.left, a.right, b.left, b.right]), _TURN))
    places = np.append(places, places[0] + _TURN)
    before, after = places[:-1], places[1:]
    lengths = after - before
    start, end = (_level(a, x, middle) - _level(b, x, middle) for x, middle in _ends(before, after))
    low, high = np.minimum(start, end), np.maximum(start, end)
    spread = np.where(high > low, high - low, 1.0)
    below, above = low.min(), high.max()
    for _ in range(_BISECTIONS):
        c = (below + above) / 2
        share = np.where(high > low, np.clip((c - low) / spread, 0, 1), low <= c)
        below, above = (c, above) if lengths @ share < lengths.sum() / 2 else (below, c)
    return float(lengths @ _mean_power(start - above, end - above, 1))


def _ends(before: np.ndarray, after: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    middle = (before + after) / 2
    return [(before, middle), (after, middle)]


def _level(law: Quantiles, x: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """Return F, continued by F(x + 2 pi) = F(x) + 1, at an end x of an interval that holds `middle` and no place."""
    turns = np.floor((middle - law.left[0]) / _TURN)
    x, middle = x - turns * _TURN, middle - turns * _TURN
    piece = np.searchsorted(law.left, middle, side="right") - 1
    width = law.right[piece] - law.left[piece]
    share = np.where(width > 0, (x - law.left[piece]) / np.where(width > 0, width, 1.0), 1.0)
    return turns + law.lower[piece] + np.clip(share, 0, 1) * (law.upper[piece] - law.lower[piece])
