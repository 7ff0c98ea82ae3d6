"""Seconds, memory and the error that was delivered."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import psutil

from attnflow.errors import AttnflowError
from attnflow.lab.bench.engines import SINGLE_RTOL, Answer, Engine, Problem, own_engines, promised_rtol

CHECKED_ROWS = 64
ENOUGH = 2.0  # seconds
SAMPLING = 2e-3  # seconds between two looks at the memory
WARM_POINTS = 300


@dataclass(frozen=True)
class Measurement:
    """One engine on one problem; None is "not measured".

    Args:
        engine, dtype: who.
        dim, points, bandwidth, rtol: D, N, eps and the tolerance that was asked.
        cores: that it uses.
        seconds: of the first layer, with all that is prepared for these points; the best of several, compiled before.
        cpu: seconds of all cores together for it, which other processes lengthen less.
        next_seconds: of a further layer on the same points.
        predicted: seconds of the first layer by the cost model, for other engines as N^2 from fewer points.
        error: max |error| of the averages of 64 random rows of random signs, against a direct sum.
        row_sum_error: max relative error of the sums of these rows.
        declared: the largest error that was promised.
        memory: by how many bytes the process grew during the first layer.
        method: what summed it; the choice of the planner where the engine is "auto".
        note: why it was not measured.
    """

    engine: str
    dtype: str
    dim: int
    points: int
    bandwidth: float
    rtol: float
    cores: int
    seconds: float | None = None
    cpu: float | None = None
    next_seconds: float | None = None
    predicted: float | None = None
    error: float | None = None
    row_sum_error: float | None = None
    declared: float | None = None
    memory: float | None = None
    method: str = ""
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Pairs per second and core; all N^2 are counted, also those that a method avoids."""
        return None if self.seconds is None else self.points**2 / self.seconds / self.cores


class _Runs:
    """The runs of one engine so far."""

    def __init__(self, engine: Engine, enough: float) -> None:
        self.engine = engine
        self.enough = enough
        self.first: list[float] = []
        self.cpu: list[float] = []
        self.next: list[float] = []
        self.memory = 0.0
        self.answer: Answer | None = None
        self.note = ""

    def wanted(self) -> bool:
        return not self.note and sum(self.first) + sum(self.next) < self.enough

    def run(self, problem: Problem) -> None:
        """Time a first layer, and a second one where that is quick; the memory is looked at once."""
        self.answer = None
        gc.collect()
        try:
            with _Memory(looking=not self.first) as memory:
                start, busy = time.perf_counter(), time.process_time()
                layer = self.engine.prepare(problem)
                self.answer = layer()
                self.first.append(time.perf_counter() - start)
                self.cpu.append(time.process_time() - busy)
            self.memory = max(self.memory, memory.growth)
            if self.first[-1] < self.enough:
                start = time.perf_counter()
                layer()
                self.next.append(time.perf_counter() - start)
        except AttnflowError as error:
            self.note = str(error)

    def measurement(self, problem: Problem) -> Measurement:
        row = blank(self.engine, problem)
        if self.answer is None:
            return replace(row, note=self.note)
        error, row_sum_error = delivered(self.answer, problem)
        return replace(
            row, seconds=min(self.first), cpu=min(self.cpu), next_seconds=min(self.next, default=None), error=error,
            row_sum_error=row_sum_error, declared=self.answer.declared, memory=self.memory, method=self.answer.method,
        )  # fmt: skip


def race(engines: Sequence[Engine], problem: Problem, *, rounds: int, enough: float = ENOUGH) -> list[Measurement]:
    """Time engines in turn, so that what else the machine does meets all of them alike.

    Args:
        engines: who takes part; each has been compiled before, on a few points.
        problem: the points and values.
        rounds: how often each runs at most.
        enough: seconds after which an engine does not run again.
    """
    runs = [_Runs(engine, enough) for engine in engines]
    for engine in engines:
        warm(engine, problem)
    for _ in range(rounds):
        for run in runs:
            if run.wanted():
                run.run(problem)
    return [run.measurement(problem) for run in runs]


def blank(engine: Engine, problem: Problem) -> Measurement:
    """Return a row in which nothing is measured yet."""
    count, dim = problem.points.shape
    return Measurement(
        engine=engine.name, dtype=engine.dtype, dim=dim, points=count, bandwidth=problem.bandwidth,
        rtol=promised_rtol(problem, engine.dtype), cores=engine.cores,
    )  # fmt: skip


def warm(engine: Engine, problem: Problem) -> None:
    """Compile what an engine runs by a layer of a few points, which takes the same code; "auto" may take any method."""
    few = Problem(problem.points[:WARM_POINTS], problem.values[:WARM_POINTS], 0.1, SINGLE_RTOL)
    few = problem if engine.compiled_per_size else few
    for each in [engine] if engine.name != "auto" else own_engines(dtype=engine.dtype):
        key = (each.name, each.dtype, few.points.shape)
        if key not in _warmed:
            with contextlib.suppress(AttnflowError):  # told when the problem itself is tried
                each.prepare(few)()
            _warmed.add(key)


_warmed: set[tuple] = set()


def delivered(answer: Answer, problem: Problem) -> tuple[float | None, float | None]:
    """Return the largest errors of averages and of row sums over some random rows, against a direct sum in float64."""
    if answer.averages is None:
        return None, None
    points = problem.points
    rows = np.random.default_rng(1).choice(len(points), min(CHECKED_ROWS, len(points)), replace=False)
    squares = sum((x[rows, None] - x) ** 2 for x in points.T)
    kernel = np.exp(squares / (-2 * problem.bandwidth))
    totals = kernel.sum(axis=1)
    error = np.abs(answer.averages[rows] - kernel @ problem.values[:, 0] / totals).max()
    if answer.totals is None:
        return float(error), None
    return float(error), float(np.abs(answer.totals[rows] / totals - 1).max())


class _Memory:
    """By how much the process grows within a `with` block."""

    def __init__(self, *, looking: bool) -> None:
        self.growth = 0.0
        self._looking = looking
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> _Memory:
        if self._looking:
            _give_back_freed_memory()
        self._before = psutil.Process().memory_info().rss
        if self._looking:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._looking:
            self._thread.join()

    def _look(self) -> None:
        process = psutil.Process()
        while not self._done.wait(SAMPLING):
            self.growth = max(self.growth, process.memory_info().rss - self._before)


def _give_back_freed_memory() -> None:
    """Give what earlier runs freed back to the system (glibc only), as it would be used again and not be seen."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
