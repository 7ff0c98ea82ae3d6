"""What is measured: one step by every engine, growing sizes, the planner's choices and exponents of growth."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from attnflow.lab.bench.engines import CLOUDS, Engine, Problem, gradient_engine, own_engines, peers, planned_sum
from attnflow.lab.bench.measuring import Measurement, blank, race
from attnflow.sums.planning.costs import Cost

BUDGET = 15.0  # seconds; a layer that is predicted to take longer is not run
HOPELESS = 20.0  # times the best prediction
RTOL = 1e-6
BEST_OF = 5
QUICK_COUNTS = (4096, 8192)


def one_step(*, quick: bool = False) -> list[Measurement]:
    """Time one layer on the sphere in R^3 by every engine in double and single precision, and a gradient."""
    problem = Problem.draw(QUICK_COUNTS[0] if quick else 16384, cloud="sphere", bandwidth=0.01, rtol=RTOL)
    own = [engine for engine in own_engines() if engine.name != "auto"]
    single = [engine for engine in own_engines(dtype="float32") if engine.name in ("dense", "gpu")]
    return race([*own, *single, gradient_engine(), *peers()[0]], problem, rounds=2 if quick else BEST_OF)


def sizes(step: Sequence[Measurement], *, quick: bool = False) -> Iterator[Measurement]:
    """Yield rows for more and more points on the sphere at several bandwidths, predicted beyond the budget.

    Args:
        step: of `one_step`: the time of other engines grows like N^2 from there.
        quick: two sizes at one bandwidth.
    """
    bandwidths = (1e-2,) if quick else (1e-2, 1e-3, 1e-4)
    counts = QUICK_COUNTS if quick else (4096, 16384, 65536, 262144, 1048576)
    others = [engine for engine in peers()[0] if (engine.name, engine.dtype) != ("KeOps", "float32")]
    others = [engine for engine in others if engine.name != "torch"]
    known = {(row.engine, row.dtype): row for row in step}
    for bandwidth, count in itertools.product(bandwidths, counts):
        problem = Problem.draw(count, cloud="sphere", bandwidth=bandwidth, rtol=RTOL)
        predicted = {name: cost.first for name, cost in costs(problem).items()}
        for engine in others:
            reference = known[engine.name, engine.dtype]
            if reference.seconds is not None:
                predicted[engine.name] = reference.seconds * (count / reference.points) ** 2
        yield from _within_budget([*own_engines(), *others], problem, predicted, limit=BUDGET, rounds=1 if quick else 3)


def costs(problem: Problem) -> dict[str, Cost]:
    """Return the cost model's prediction for every method, and for the choice among them under "auto"."""
    plan = planned_sum(problem, method="auto", dtype="float64").plan(problem.points, columns=2)
    return {**plan.costs, "auto": plan.costs[plan.method]}


def _within_budget(
    engines: Sequence[Engine], problem: Problem, predicted: dict[str, float], *, limit: float, rounds: int
) -> list[Measurement]:
    """Return measurements of the engines that are predicted to stay within the limit, predictions of the others."""
    quick = [engine for engine in engines if predicted.get(engine.name, 0.0) <= limit]
    measured = {row.engine: row for row in race(quick, problem, rounds=rounds)}
    rows = [measured.get(engine.name, blank(engine, problem)) for engine in engines]
    return [replace(row, predicted=predicted.get(row.engine)) for row in rows]


@dataclass(frozen=True)
class Choice:
    """What the planner chose for one problem, and what every method takes.

    Args:
        cloud, dim, points, bandwidth, rtol: the problem.
        method: the choice.
        seconds: measured, first layer, by method; None for those that are hopeless or refused.
        cpu: the same, of all cores together.
        predicted: the seconds by the cost model.
    """

    cloud: str
    dim: int
    points: int
    bandwidth: float
    rtol: float
    method: str
    seconds: dict[str, float | None]
    cpu: dict[str, float | None]
    predicted: dict[str, float]

    @property
    def best(self) -> str:
        """The fastest of the measured methods."""
        return _least(self.seconds)

    @property
    def ratio(self) -> float:
        """Time of the choice relative to the best; infinite for a choice that was refused."""
        return _relative(self.seconds, self.method)

    @property
    def cpu_ratio(self) -> float:
        """The same in seconds of all cores, which other processes lengthen less."""
        return _relative(self.cpu, self.method)


def _least(times: dict[str, float | None]) -> str:
    known = {name: seconds for name, seconds in times.items() if seconds is not None}
    return min(known, key=lambda name: known[name])


def _relative(times: dict[str, float | None], method: str) -> float:
    chosen, best = times[method], times[_least(times)]
    return float("inf") if chosen is None or best is None else chosen / best


def planner_grid(*, quick: bool = False) -> list[tuple[str, float, int, float]]:
    """Return cloud, bandwidth, size and tolerance of 60 problems in 1, 2, 3, 4 and 6 coordinates."""
    if quick:
        return list(itertools.product(("square", "sphere"), (0.05,), (4096,), (1e-6,)))
    return list(itertools.product(CLOUDS, (0.05, 3e-3, 2e-4), (8192, 65536), (1e-6, 1e-10)))


def planner_check(grid: Iterable[tuple[str, float, int, float]]) -> Iterator[Choice]:
    """Yield the planner's choice against every method that is not hopeless, problem by problem."""
    for cloud, bandwidth, count, rtol in grid:
        problem = Problem.draw(count, cloud=cloud, bandwidth=bandwidth, rtol=rtol)
        plan = planned_sum(problem, method="auto", dtype="float64").plan(problem.points, columns=2)
        predicted = {name: cost.first for name, cost in plan.costs.items()}
        engines = [engine for engine in own_engines() if engine.name in predicted]
        rows = _within_budget(engines, problem, predicted, limit=HOPELESS * min(predicted.values()), rounds=3)
        seconds, cpu = ({row.engine: getattr(row, name) for row in rows} for name in ("seconds", "cpu"))
        dim = problem.points.shape[1]
        yield Choice(cloud, dim, count, bandwidth, rtol, plan.method, seconds, cpu, predicted)


@dataclass(frozen=True)
class Growth:
    """How the time of a method grows with N.

    Args:
        engine, cloud: what was summed where.
        held: what stays fixed.
        points, bandwidths: the levels.
        seconds, next_seconds: of the first layer and of a further one.
    """

    engine: str
    cloud: str
    held: str
    points: list[int]
    bandwidths: list[float]
    seconds: list[float]
    next_seconds: list[float]

    @property
    def exponent(self) -> float:
        """The slope of log seconds of the first layer over log N, by least squares over all levels."""
        return slope(self.points, self.seconds)

    @property
    def next_exponent(self) -> float:
        """The same of a further layer."""
        return slope(self.points, self.next_seconds)


def slope(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Return the slope of the straight line through the logarithms, by least squares."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def growth(*, quick: bool = False) -> Iterator[Growth]:
    """Yield Fourier sums at a fixed bandwidth, and cutoff sums at a fixed number of neighbours."""
    counts = [2**12, 2**14] if quick else [2**14, 2**16, 2**18, 2**20]
    many = counts if quick else [2**16, 2**18, 2**20, 2**22]
    yield _growth("fourier", "square", "bandwidth", many, [1e-3] * len(many))
    for cloud in ("square", "sphere"):
        # About 150 neighbours within sqrt(40 eps), where a kernel is below 1e-8, in two dimensions.
        yield _growth("cutoff", cloud, "neighbours", counts, [16 / n for n in counts])


def _growth(name: str, cloud: str, held: str, counts: list[int], bandwidths: list[float]) -> Growth:
    rows = [
        race([_engine(name)], Problem.draw(n, cloud=cloud, bandwidth=eps, rtol=RTOL), rounds=BEST_OF, enough=BUDGET)[0]
        for n, eps in zip(counts, bandwidths, strict=True)
    ]
    return Growth(
        name, cloud, held, counts, bandwidths, [row.seconds or np.nan for row in rows],
        [row.next_seconds or np.nan for row in rows],
    )  # fmt: skip


def _engine(name: str) -> Engine:
    return next(engine for engine in own_engines() if engine.name == name)
