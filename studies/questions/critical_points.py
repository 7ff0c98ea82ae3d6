"""All critical points of an energy of pairs on the circle, by Newton's method from many starts, and a count of them.

Tokens at angles t_i, of weights w_i that are whole numbers, move by

    dt_i/dt = v_i = (1/n) sum_j w_j f(t_j - t_i),   f(s) = e^{beta cos s} sin s,   n = sum_j w_j,

uphill in (1/2n) sum_ij w_i w_j e^{beta cos(t_i - t_j)} / beta. Where tokens coincide they stay together, so that every
critical point of n single tokens is a shape: k places on the circle, apart from one another, with weights that are a
partition of n. A shape is found in the torus of its k angles, where it is a critical point too; it is counted once,
whatever turns, reflects or renames it.

How it grows is known from two sorts of directions: those in which its places move, and those in which the tokens of a
place part, at the rate -(1/n) sum_j w_j f'(t_j - t_i), once for each of the tokens of the place but one.

That none is missing has a witness. On the torus of n - 1 angles, one of n held, the signs of all critical points that
do not degenerate add up to the Euler characteristic, zero; and so they do on the torus on which tokens are bound
together in k clusters, of every partition: one equation for each. In each a shape counts as often as clusters may be
laid onto its places, halved, thirded, ... if it has a rotation of its own, and twice if it is not its own mirror image.
"""

import functools
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CONVERGED = 1e-11  # of velocities
APART = 1e-4  # of places that are two
ALIKE = 1e-3  # of gaps of one shape, found twice
STEPS, FINAL = 60, 3
LONGEST = 0.7  # of a step


@dataclass(frozen=True)
class Shape:
    """Places on the circle with weights, at which no token moves.

    Args:
        weights: of the places, counterclockwise, k whole numbers.
        angles: of the places, (k,).
        rates: at which the places leave one another, largest first, (k - 1,).
        parting: at which the tokens of each place part, (k,).
        hits: how many starts led there.
    """

    weights: tuple[int, ...]
    angles: np.ndarray
    rates: np.ndarray
    parting: np.ndarray
    hits: int

    @property
    def largest_rate(self) -> float:
        """The largest rate at which anything leaves it; it is stable where that is negative."""
        parts = [rate for weight, rate in zip(self.weights, self.parting, strict=True) if weight > 1]
        return float(max([*self.rates, *parts]))

    @property
    def smallest(self) -> float:
        """The rate nearest to zero, in absolute value; how far it is from degenerate."""
        parts = [rate for weight, rate in zip(self.weights, self.parting, strict=True) if weight > 1]
        return float(np.abs([*self.rates, *parts]).min())

    @property
    def tokens(self) -> np.ndarray:
        """The angle of every token, (n,)."""
        return np.repeat(self.angles, self.weights)


def partitions(count: int, largest: int | None = None) -> Iterator[tuple[int, ...]]:
    """Yield the ways to write a whole number as a sum, largest summand first."""
    if count == 0:
        yield ()
    for first in range(min(count, largest or count), 0, -1):
        for rest in partitions(count - first, first):
            yield (first, *rest)


def moves(angles: np.ndarray, weights: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return velocities (S, k) at angles (S, k) and their derivatives (S, k, k)."""
    apart = angles[:, None, :] - angles[:, :, None]
    cosine, sine = np.cos(apart), np.sin(apart)
    kernel = np.exp(beta * cosine) * weights / weights.sum()
    slopes = kernel * (cosine - beta * sine**2)
    diagonal = np.arange(len(weights))
    totals = slopes.sum(axis=2)
    slopes[:, diagonal, diagonal] -= totals
    return (kernel * sine).sum(axis=2), slopes


def zeros(weights: np.ndarray, beta: float, starts: np.ndarray) -> np.ndarray:
    """Return the zeros of the velocities (S', k) to which damped steps of Gauss and Newton lead from angles (S, k)."""
    angles, found = starts.copy(), []
    for _ in range(STEPS):
        v, slopes = moves(angles, weights, beta)
        done = np.abs(v).max(axis=1) < 1e-7
        found.append(angles[done])
        angles, v, slopes = angles[~done], v[~done, 1:], slopes[~done, 1:, 1:]
        if not len(angles):
            break
        squared = np.einsum("sij,sik->sjk", slopes, slopes)
        damping = 1e-14 + 1e-3 * (v**2).sum(axis=1)
        squared += damping[:, None, None] * np.eye(len(weights) - 1)
        steps = -np.linalg.solve(squared, np.einsum("sij,si->sj", slopes, v)[..., None])[..., 0]
        lengths = np.linalg.norm(steps, axis=1, keepdims=True)
        angles[:, 1:] += steps * np.minimum(1, LONGEST / np.maximum(lengths, 1e-300))
    angles = np.concatenate(found)
    for _ in range(FINAL):  # undamped: these double the digits
        v, slopes = moves(angles, weights, beta)
        angles[:, 1:] -= np.einsum("sij,sj->si", np.linalg.pinv(slopes[:, 1:, 1:], rcond=1e-9), v[:, 1:])
    return angles[np.abs(moves(angles, weights, beta)[0]).max(axis=1) < CONVERGED]


def ordered(angles: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return weights and gaps to the next place (S, k), from the place and in the direction that make them least."""
    best: np.ndarray | None = None
    for direction in (1, -1):
        turned = np.mod(direction * angles, 2 * np.pi)
        order = np.argsort(turned, axis=1)
        turned = np.take_along_axis(turned, order, 1)
        gaps = np.diff(np.concatenate([turned, turned[:, :1] + 2 * np.pi], axis=1), axis=1)
        for first in range(len(weights)):
            rows = np.concatenate([np.roll(weights[order], -first, 1), np.roll(gaps, -first, 1)], axis=1)
            if best is None:
                best = rows
                continue
            differences = rows - best
            where = np.argmax(np.abs(differences) > ALIKE / 4, axis=1)
            best = np.where(differences[np.arange(len(rows)), where][:, None] < -ALIKE / 4, rows, best)
    assert best is not None
    return best[:, : len(weights)], best[:, len(weights) :]


def shapes_of(weights: tuple[int, ...], beta: float, *, starts: int, seed: int) -> list[Shape]:
    """Return the critical shapes whose places have these weights."""
    drawn = np.random.default_rng([seed, *weights]).uniform(0, 2 * np.pi, (starts, len(weights)))
    drawn -= drawn[:, :1]
    w = np.array(weights, dtype=float)
    at = zeros(w, beta, drawn)
    chords = np.abs(np.exp(1j * at)[:, :, None] - np.exp(1j * at)[:, None, :]) + 9 * np.eye(len(w))
    at = at[chords.min(axis=(1, 2)) > APART]
    if not len(at):
        return []
    sizes, gaps = ordered(at, w)
    shapes, left = [], np.arange(len(at))
    while len(left):
        same = np.abs(np.concatenate([sizes - sizes[left[0]], gaps - gaps[left[0]]], axis=1)).max(axis=1) < ALIKE
        shapes.append(_shape(sizes[left[0]], gaps[left[0]], beta=beta, hits=int(same.sum())))
        left = left[~same[left]]
    return shapes


def _shape(sizes: np.ndarray, gaps: np.ndarray, *, beta: float, hits: int) -> Shape:
    angles = np.concatenate([[0.0], np.cumsum(gaps[:-1])])
    slopes = moves(angles[None], sizes, beta)[1][0]
    roots = np.sqrt(sizes)
    rates = np.linalg.eigvalsh((symmetric := slopes * roots[:, None] / roots) / 2 + symmetric.T / 2)[::-1]
    turning = int(np.argmin(np.abs(rates)))
    # a token that leaves its place is drawn back by it with the slope of f at 0, which the diagonal of `slopes` lacks
    parting = np.diag(slopes) - sizes * np.exp(beta) / sizes.sum()
    return Shape(
        tuple(int(size) for size in sizes), angles, np.delete(rates, turning), parting, hits,
    )  # fmt: skip


@functools.cache
def shapes(count: int, beta: float, *, starts: int, seed: int = 0) -> tuple[Shape, ...]:
    """Return the critical shapes of so many tokens, one point left out.

    Args:
        count: n.
        beta: of e^{beta cos s}.
        starts: of Newton's method, for each partition of n.
        seed: of the starts.
    """
    found = [shapes_of(p, beta, starts=starts, seed=seed) for p in partitions(count) if len(p) > 1]
    return tuple(shape for each in found for shape in each)


def euler(clusters: tuple[int, ...], shapes: tuple[Shape, ...], *, beta: float, with_point: bool = True) -> int:
    """Return the sum of the signs of the critical points on the torus of some clusters.

    Args:
        clusters: their weights, a partition of n.
        shapes: of n tokens.
        beta: of e^{beta cos s}.
        with_point: whether all tokens in one point count.
    """
    point = Shape((sum(clusters),), np.zeros(1), np.zeros(0), np.array([-np.exp(beta)]), 0)
    return sum(_signs(clusters, shape) for shape in ((point, *shapes) if with_point else shapes))


def _signs(clusters: tuple[int, ...], shape: Shape) -> int:
    """Return the signs of all places in which clusters can be laid onto a shape."""
    own = int(np.prod(np.sign(-shape.rates)))
    parting = np.sign(-shape.parting).astype(int).tolist()
    laid = _laid(tuple(sorted(Counter(clusters).items())), tuple(zip(shape.weights, parting, strict=True)))
    return own * laid * (1 if _is_mirrored(shape) else 2) // _turns(shape)


@functools.cache
def _laid(left: tuple[tuple[int, int], ...], places: tuple[tuple[int, int], ...]) -> int:
    """Return sum over the ways to lay clusters, (weight, how many), onto places, (weight, s), of s^(clusters - 1)."""
    if not places:
        return int(not any(count for _, count in left))
    (weight, sign), total = places[0], 0
    for taken in _takings(left, weight):
        ways = math.prod(math.comb(count, some) for (_, count), some in zip(left, taken, strict=True))
        rest = tuple((size, count - some) for (size, count), some in zip(left, taken, strict=True))
        total += ways * sign ** (sum(taken) - 1) * _laid(rest, places[1:])
    return total


def _takings(left: tuple[tuple[int, int], ...], weight: int) -> Iterator[tuple[int, ...]]:
    if not left:
        if weight == 0:
            yield ()
        return
    (size, count), rest = left[0], left[1:]
    for some in range(min(count, weight // size) + 1):
        for others in _takings(rest, weight - some * size):
            yield (some, *others)


def _cycle(shape: Shape) -> np.ndarray:
    gaps = np.diff([*shape.angles, 2 * np.pi])
    return np.stack([shape.weights, gaps])


def _turns(shape: Shape) -> int:
    """Return how many rotations leave a shape as it is."""
    cycle = _cycle(shape)
    return sum(np.abs(np.roll(cycle, first, 1) - cycle).max() < ALIKE for first in range(cycle.shape[1]))


def _is_mirrored(shape: Shape) -> bool:
    """Return whether a shape is its own mirror image."""
    weights, gaps = _cycle(shape)
    mirrored = np.stack([weights[::-1], np.roll(gaps[::-1], -1)])  # the gap after a place is the one before it
    cycle = np.stack([weights, gaps])
    return any(np.abs(np.roll(mirrored, first, 1) - cycle).max() < ALIKE for first in range(len(weights)))
