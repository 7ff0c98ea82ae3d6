"""One attention layer and its gradient at the size of tokens, d coordinates and as many channels, beside torch."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from attnflow._optional import optional
from attnflow.attention import Attention
from attnflow.lab.bench.engines import SINGLE_RTOL
from attnflow.pseudometrics.base import PseudoMetric
from attnflow.pseudometrics.linear import QueryKey
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance
from attnflow.sums.empirical import EmpiricalAttention

DIM = 64  # coordinates and channels
COUNTS = (4096, 16384)  # the first alone for a quick look
SPINNING = 0.3  # seconds: the threads of torch wait so long for more, at work, and the next to be timed would pay
ROUNDS = 3
CHECKED_ROWS = 64


@dataclass(frozen=True)
class TokenRow:
    """One pass of attnflow, and of torch where it is installed.

    Args:
        cost, dtype: of the attention.
        points, dim: N, and d = C.
        direction: "layer", or "gradient" of a sum of the layer's squares by points and values, the layer included.
        first: seconds of all cores for the first call, which compiles.
        seconds, cpu: of a further call by the clock and of all cores, the best of several.
        torch_seconds, torch_cpu: those of scaled_dot_product_attention, forward or forward and backward.
        error: of some rows of the layer against a direct sum, or of the gradient against torch's, relative to the
            largest entry.
        torch_error: the former of torch.
    """

    cost: str
    dtype: str
    points: int
    dim: int
    direction: str
    first: float
    seconds: float
    cpu: float
    torch_seconds: float | None
    torch_cpu: float | None
    error: float | None
    torch_error: float | None

    @property
    def ratio(self) -> float | None:
        """Seconds of all cores, relative to torch."""
        return None if self.torch_cpu is None else self.cpu / self.torch_cpu


class Tokens(NamedTuple):
    """Points X (N, d), which are queries and keys, values V (N, d), the bandwidth, and two matrices (d, d)."""

    points: np.ndarray
    values: np.ndarray
    bandwidth: float
    of_queries: np.ndarray
    of_keys: np.ndarray

    @classmethod
    def draw(cls, count: int, *, dtype: str) -> Tokens:
        """Draw normal points and values, and matrices that keep sizes; eps = sqrt(d) is the usual scale of logits."""
        rng = np.random.default_rng(0)
        points, values = (rng.standard_normal((count, DIM)).astype(dtype) for _ in range(2))
        matrices = ((rng.standard_normal((DIM, DIM)) / np.sqrt(DIM)).astype(dtype) for _ in range(2))
        return cls(points, values, float(np.sqrt(DIM)), *matrices)


COSTS: dict[str, Callable[[Tokens], PseudoMetric]] = {
    "dot product": lambda tokens: DotProduct(),
    "squared distance": lambda tokens: SquaredDistance(),
    "queries and keys": lambda tokens: QueryKey(tokens.of_queries, tokens.of_keys),
    "queries and keys, causal": lambda tokens: QueryKey(tokens.of_queries, tokens.of_keys),
}
CAUSAL = {"queries and keys, causal"}  # whose layers are timed alone: masks have no gradient


class Passes(NamedTuple):
    """The two things that are timed: what gives a layer (N, d), and what gives the gradient by the points (N, d)."""

    layer: Callable[[], np.ndarray]
    gradient: Callable[[], np.ndarray]


def token_rows(*, quick: bool = False) -> Iterator[TokenRow]:
    """Yield rows for all costs and precisions, a layer and mostly a gradient each, at more and more points."""
    torch = optional("torch")
    for count, dtype, cost in itertools.product(COUNTS[:1] if quick else COUNTS, ("float64", "float32"), COSTS):
        tokens = Tokens.draw(count, dtype=dtype)
        own = _own(tokens, cost, dtype)
        peer = None if torch is None else _torch(torch, tokens, cost)
        exact, rows = _direct(tokens, cost)
        for direction in ("layer",) if cost in CAUSAL else Passes._fields:
            run, other = getattr(own, direction), None if peer is None else getattr(peer, direction)
            start = time.process_time()
            run()
            first = time.process_time() - start
            (seconds, cpu, result), theirs = _in_turn(run, other)
            torch_seconds, torch_cpu, torch_result = theirs or (None, None, None)
            errors: list[float | None] = [None, None]
            if direction == "layer":
                errors = [None if each is None else _distance(each[rows], exact) for each in (result, torch_result)]
            elif torch_result is not None:
                errors[0] = _distance(result, torch_result)
            yield TokenRow(cost, dtype, count, DIM, direction, first, seconds, cpu, torch_seconds, torch_cpu, *errors)


Timed = tuple[float, float, np.ndarray]


def _in_turn(run: Callable[[], np.ndarray], other: Callable[[], np.ndarray] | None) -> tuple[Timed, Timed | None]:
    """Return the best of some runs by the clock and of all cores, with the last result, of the one and the other."""
    runs = [run] if other is None else [run, other]
    if other is not None:
        other()  # as the one has run before
    times: list[list[tuple[float, float]]] = [[] for _ in runs]
    results = [np.empty(0) for _ in runs]
    for _ in range(ROUNDS):
        for place, each in enumerate(runs):
            if other is not None:
                time.sleep(SPINNING)
            start = time.perf_counter(), time.process_time()
            results[place] = each()
            times[place].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    timed = [(*map(min, zip(*pairs, strict=True)), result) for pairs, result in zip(times, results, strict=True)]
    return timed[0], timed[1] if len(timed) > 1 else None


def _own(tokens: Tokens, cost: str, dtype: str) -> Passes:
    """Return a layer and a gradient through the public face."""
    attention = Attention(COSTS[cost](tokens), bandwidth=tokens.bandwidth, mask="causal" if cost in CAUSAL else None)
    options: dict[str, Any] = dict(dtype=dtype) if dtype == "float64" else dict(dtype=dtype, rtol=SINGLE_RTOL)

    def layer(points: Any, values: Any) -> Any:
        return EmpiricalAttention(attention, points, **options).layer(values)

    gradient = jax.grad(lambda points, values: (layer(points, values) ** 2).sum(), argnums=(0, 1))
    return Passes(
        lambda: np.asarray(layer(tokens.points, tokens.values)),
        lambda: np.asarray(jax.block_until_ready(gradient(tokens.points, tokens.values))[0]),
    )


def _torch(torch: Any, tokens: Tokens, cost: str) -> Passes:
    """Take -|x - y|^2 / 2eps as x.y / eps - |y|^2 / 2eps, a product with one coordinate more: |x|^2 cancels."""
    points, values = (torch.from_numpy(array).requires_grad_() for array in (tokens.points, tokens.values))
    of_queries, of_keys = (torch.from_numpy(matrix) for matrix in (tokens.of_queries, tokens.of_keys))
    attend = torch.nn.functional.scaled_dot_product_attention

    def forward() -> Any:
        queries, keys, channels = points, points, values
        if cost.startswith("queries and keys"):
            queries, keys = points @ of_queries.T, points @ of_keys.T
        elif cost == "squared distance":
            one = torch.ones_like(points[:, :1])
            queries, keys = torch.hstack([points, one]), torch.hstack([points, -(points**2).sum(1, keepdim=True) / 2])
            channels = torch.hstack([values, one])  # as wide as the keys, else torch keeps all pairs
        packed = (array[None, None] for array in (queries, keys, channels))
        return attend(*packed, scale=1 / tokens.bandwidth, is_causal=cost in CAUSAL)[0, 0, :, : values.shape[1]]

    def layer() -> np.ndarray:
        with torch.no_grad():
            return forward().numpy()

    def gradient() -> np.ndarray:
        points.grad = values.grad = None
        (forward() ** 2).sum().backward()
        return points.grad.numpy().copy()

    return Passes(layer, gradient)


def _direct(tokens: Tokens, cost: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the layer at some rows in float64, and which rows they are."""
    points, values = tokens.points.astype(np.float64), tokens.values.astype(np.float64)
    rows = np.random.default_rng(1).choice(len(points), min(CHECKED_ROWS, len(points)), replace=False)
    if cost == "squared distance":
        logits = np.stack([((x - points) ** 2).sum(axis=1) for x in points[rows]]) / (-2 * tokens.bandwidth)
    elif cost == "dot product":
        logits = points[rows] @ points.T / tokens.bandwidth
    else:
        matrices = tokens.of_queries.astype(np.float64), tokens.of_keys.astype(np.float64)
        logits = points[rows] @ matrices[0].T @ (points @ matrices[1].T).T / tokens.bandwidth
    if cost in CAUSAL:
        logits[np.arange(len(points)) > rows[:, None]] = -np.inf
    kernel = np.exp(logits - logits.max(axis=1, keepdims=True))
    return kernel @ values / kernel.sum(axis=1, keepdims=True), rows


def _distance(result: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(result - expected).max() / np.abs(expected).max())
