"""A million tokens that move through layers, beside what sums over all pairs would take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from attnflow.attention import Attention
from attnflow.integrators.layer import Layer
from attnflow.manifolds.sphere import Sphere
from attnflow.pseudometrics.plain import DotProduct
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.tokens import TokenFlow

COUNT, LAYERS = 2**20, 20
QUICK_COUNT, QUICK_LAYERS = 2**14, 2
PAIRS_COUNT = 2**13  # of tokens whose pairs are all summed, to know what a pair takes
BANDWIDTH, DT, RTOL = 0.05, 0.02, 1e-6
PLACES = {"circle": 1, "sphere": 2}


@dataclass(frozen=True)
class MotionRow:
    """Tokens moved through some layers.

    Args:
        place: of which they move on.
        points, layers: N, and how many layers.
        bandwidth, rtol: of the attention, softmax <x, y> / eps, and the tolerance of a layer.
        method: how the last layer was summed.
        seconds, cpu: of all layers by the clock and of all cores; what compiles has run before.
        pair: seconds of all cores for one pair, where all are summed.
        declared: the declared error of the trajectory.
    """

    place: str
    points: int
    layers: int
    bandwidth: float
    rtol: float
    method: str
    seconds: float
    cpu: float
    pair: float
    declared: float

    @property
    def per_token(self) -> float:
        """Seconds of all cores for one token in one layer."""
        return self.cpu / (self.points * self.layers)

    @property
    def of_all_pairs(self) -> float:
        """Seconds of all cores, relative to what all pairs would take."""
        return self.per_token / (self.points * self.pair)


def motion_rows(*, quick: bool = False) -> Iterator[MotionRow]:
    """Yield a row on the circle and one on the sphere."""
    count, layers = (QUICK_COUNT, QUICK_LAYERS) if quick else (COUNT, LAYERS)
    for place, dim in PLACES.items():
        tokens = _drawn(count, dim)
        attention = Attention(DotProduct(), bandwidth=BANDWIDTH)
        flow = TokenFlow(attention, manifold=Sphere(dim), rtol=RTOL)
        flow.evolve(tokens, DT, integrator=Layer(DT))
        start = time.perf_counter(), time.process_time()
        moved = flow.evolve(tokens, layers * DT, integrator=Layer(DT))
        seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
        method = moved.method.split(", ")[-1].removesuffix(" sums")
        pair = _pair_seconds(attention, tokens[:PAIRS_COUNT])
        yield MotionRow(place, count, layers, BANDWIDTH, RTOL, method, seconds, cpu, pair, moved.solver_error)


def _drawn(count: int, dim: int) -> np.ndarray:
    """Return independent tokens (N, D), denser to one side."""
    points = np.random.default_rng(0).standard_normal((count, dim + 1)) + 0.3
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def _pair_seconds(attention: Attention, tokens: np.ndarray) -> float:
    layer = EmpiricalAttention(attention, tokens, method="dense")
    times = []
    for _ in range(3):  # the first compiles
        start = time.process_time()
        layer.layer(tokens)
        times.append(time.process_time() - start)
    return min(times) / len(tokens) ** 2
