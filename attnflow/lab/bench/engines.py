"""What is compared: the methods of attnflow, NumPy, KeOps and torch, each behind one interface."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.spatial.distance import cdist

from attnflow._optional import optional
from attnflow.attention import Attention
from attnflow.manifolds.sphere import Sphere
from attnflow.pseudometrics.plain import SquaredDistance
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.kernel_sums.gpu import has_gpu
from attnflow.sums.planning.planner import METHODS, PlannedSum

BLOCK = 512  # rows of a NumPy block: 64 MB at 16 384 points
SINGLE_RTOL = 1e-4  # what float32 can promise

CLOUDS: dict[str, Callable[[int, np.random.Generator], np.ndarray]] = {
    "interval": lambda n, rng: rng.uniform(-1, 1, (n, 1)),
    "square": lambda n, rng: rng.uniform(-1, 1, (n, 2)),
    "sphere": lambda n, rng: Sphere(2).sample_uniform(n, rng),
    "S^3": lambda n, rng: Sphere(3).sample_uniform(n, rng),
    "S^5": lambda n, rng: Sphere(5).sample_uniform(n, rng),
}


class Problem(NamedTuple):
    """One attention layer of one channel.

    Args:
        points: shape (N, D).
        values: random signs, shape (N, 1): smooth values hide errors.
        bandwidth: eps.
        rtol: tolerance asked of the methods that have one.
    """

    points: np.ndarray
    values: np.ndarray
    bandwidth: float
    rtol: float

    @classmethod
    def draw(cls, count: int, *, cloud: str, bandwidth: float, rtol: float) -> Problem:
        """Draw the first points of one random cloud."""
        rng = np.random.default_rng(0)
        return cls(CLOUDS[cloud](count, rng), rng.choice([-1.0, 1.0], (count, 1)), bandwidth, rtol)


class Answer(NamedTuple):
    """What a layer gave.

    Args:
        averages: shape (N,); None of a gradient.
        totals: sums of the kernel's rows, shape (N,); None where they cannot be had.
        declared: the largest error that is promised of an average; None where nothing is promised.
        method: what summed it.
    """

    averages: np.ndarray | None
    totals: np.ndarray | None
    declared: float | None
    method: str


class Engine(NamedTuple):
    """Something that computes layers.

    Args:
        name: as printed.
        dtype: "float64" or "float32".
        cores: how many it uses.
        prepare: what is done once for some points; gives what computes a layer.
        compiled_per_size: whether each N is compiled anew.
    """

    name: str
    dtype: str
    cores: int
    prepare: Callable[[Problem], Callable[[], Answer]]
    compiled_per_size: bool = False


def own_engines(*, dtype: str = "float64") -> list[Engine]:
    """Return the methods of attnflow that this machine can run, and "auto" for the planner's choice."""
    return [_planned(method, dtype) for method in (*METHODS, "auto") if method != "gpu" or has_gpu()]


def gradient_engine() -> Engine:
    """Return the engine that differentiates the sum of a dense layer's averages by the points."""

    def prepare(problem: Problem) -> Callable[[], Answer]:
        def gradient() -> Answer:
            np.asarray(_gradient(problem.points, problem.values, problem.bandwidth))
            return Answer(None, None, None, "dense")

        return gradient

    return Engine("gradient", "float64", _cores(), prepare, compiled_per_size=True)


@jax.jit
@jax.grad
def _gradient(points: Any, values: Any, bandwidth: Any) -> Any:
    attention = Attention(SquaredDistance(), bandwidth=bandwidth)
    return EmpiricalAttention(attention, points, method="dense").layer(values).sum()


def peers() -> tuple[list[Engine], list[str]]:
    """Return NumPy, KeOps and torch, and the names of those that are not installed."""
    engines, missing = [Engine("NumPy", "float64", 1, _numpy)], []
    keops, torch = optional("pykeops"), optional("torch")
    for name, module, prepare in (("KeOps", keops, _keops), ("torch", torch, _torch)):
        if module is None:
            missing.append(name)
        else:
            engines += [Engine(name, dtype, _cores(), prepare(module, dtype)) for dtype in ("float64", "float32")]
    return engines, missing


def _cores() -> int:
    return os.cpu_count() or 1


def planned_sum(problem: Problem, *, method: str, dtype: str) -> PlannedSum:
    """Return the kernel sum of a problem by a method of attnflow."""
    return PlannedSum(
        Attention(SquaredDistance(), bandwidth=problem.bandwidth),
        points=problem.points,
        log_weights=np.zeros(len(problem.points)),
        dtype=np.dtype(dtype),
        rtol=promised_rtol(problem, dtype),
        method=method,
    )


def promised_rtol(problem: Problem, dtype: str) -> float:
    """Return the tolerance that is asked in some dtype."""
    return problem.rtol if dtype == "float64" else max(problem.rtol, SINGLE_RTOL)


def _planned(method: str, dtype: str) -> Engine:
    def prepare(problem: Problem) -> Callable[[], Answer]:
        kernel_sum = planned_sum(problem, method=method, dtype=dtype)

        def layer() -> Answer:
            sums = kernel_sum(problem.values)
            totals = sums.total * np.exp(sums.shift) if sums.shift.any() else sums.total
            return Answer(sums.weighted[:, 0] / sums.total, totals, float(sums.error.max()), kernel_sum.method)

        return layer

    return Engine(method, dtype, _cores(), prepare)


def _numpy(problem: Problem) -> Callable[[], Answer]:
    points, columns = problem.points, _columns(problem)

    def layer() -> Answer:
        sums = np.empty(columns.shape)
        for start in range(0, len(points), BLOCK):
            kernel = cdist(points[start : start + BLOCK], points, "sqeuclidean")
            kernel /= -2 * problem.bandwidth
            np.exp(kernel, out=kernel)
            sums[start : start + BLOCK] = kernel @ columns
        return Answer(sums[:, 1] / sums[:, 0], sums[:, 0], None, "NumPy")

    return layer


def _keops(keops: Any, dtype: str) -> Callable[[Problem], Callable[[], Answer]]:
    keops.set_verbose(False)  # its compiler reports on stdout, amid the table

    def prepare(problem: Problem) -> Callable[[], Answer]:
        scaled = (problem.points / np.sqrt(2 * problem.bandwidth)).astype(dtype)
        columns = _columns(problem).astype(dtype)
        x, y = keops.numpy.LazyTensor(scaled[:, None, :]), keops.numpy.LazyTensor(scaled[None, :, :])
        kernel = (-((x - y) ** 2).sum(-1)).exp()

        def layer() -> Answer:
            sums = kernel @ columns
            return Answer(sums[:, 1] / sums[:, 0], sums[:, 0], None, "KeOps")

        return layer

    return prepare


def _torch(torch: Any, dtype: str) -> Callable[[Problem], Callable[[], Answer]]:
    """Take x.y / eps - |y|^2 / 2eps as a product of vectors with one coordinate more: |x|^2 cancels in the averages."""

    def prepare(problem: Problem) -> Callable[[], Answer]:
        x, eps = problem.points, problem.bandwidth
        arrays = (
            np.column_stack([x / eps, np.ones(len(x))]),
            np.column_stack([x, (x**2).sum(axis=1) / (-2 * eps)]),
            np.repeat(problem.values, x.shape[1] + 1, axis=1),  # as wide as x, else torch keeps all pairs: 4.5 GB
        )
        tensors = [torch.from_numpy(array.astype(dtype))[None, None] for array in arrays]
        attend = torch.nn.functional.scaled_dot_product_attention

        def layer() -> Answer:
            return Answer(attend(*tensors, scale=1.0)[0, 0, :, 0].numpy(), None, None, "torch")

        return layer

    return prepare


def _columns(problem: Problem) -> np.ndarray:
    return np.column_stack([np.ones(len(problem.points)), problem.values])
