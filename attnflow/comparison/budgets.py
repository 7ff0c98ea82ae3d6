"""What the error of attention over N points is made of, each part measured by an experiment of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from scipy.special import stdtrit

from attnflow._checks import check_integer, check_positive
from attnflow._lifting import check_function, evaluate
from attnflow.attention import Attention, check_attention
from attnflow.comparison.error_budget import ErrorBudget, Part
from attnflow.densities.base import Density
from attnflow.equations.continuum import DriftDiffusion
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.sums.empirical import EmpiricalAttention
from attnflow.sums.population import PopulationAttention
from attnflow.sums.sampling_variance import mean_shift
from attnflow.trajectories import count_layers

FEWEST_SAMPLES = 16  # half of them make the parts, half the total
ROUNDED = 8  # of them, at which rounding is looked at
CONFIDENCE = 0.999
POWERS, MOST_HALVINGS = 3, 6  # of the bandwidth, by which its limit is extrapolated
CERTAIN = 1e-3  # a limit, relative to the bias

Statistic = Callable[[np.ndarray], float]  # a mean square of the samples that are chosen, by their numbers


class Lives(NamedTuple):
    """What is examined: the three lives of an attention."""

    empirical: Callable[..., Any] = EmpiricalAttention
    population: Callable[..., Any] = PopulationAttention
    limit: Callable[..., Any] = DriftDiffusion


class _Question(NamedTuple):
    """What is asked of a life: its generator, or its semigroup after some layers, of f at weighed points."""

    f: Callable
    at: DiscreteMeasure
    time: float | None
    layers: int

    def __call__(self, life: Any) -> np.ndarray:
        """Return the answer, (Q, c)."""
        points = self.at.points
        if self.time is None:
            found = life.generator(self.f, at=points)
        else:
            found = life.evolve(self.f, times=self.time, at=points).values[0]
        return found.reshape(len(points), -1)

    def of_values(self, life: EmpiricalAttention, own: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Return the same of values of f at the points of a life, and at the queries: nothing is evaluated again."""
        points = self.at.points
        if self.time is None:
            found = (life.layer(own, at=points) - start) / life.attention.bandwidth
        else:
            found = life.evolve(own, times=self.time, at=points).values[0]
        return found.reshape(len(points), -1)

    def square(self, field: np.ndarray) -> float:
        """Return the mean square of a field (Q, c) over the points."""
        return float(self.at.masses / self.at.mass @ (field**2).sum(axis=1))


class _Samples(NamedTuple):
    """Answers of samples (S, Q, c): of the life at hand, by sums over all pairs, and of some rounded otherwise."""

    found: np.ndarray
    dense: np.ndarray
    rounded: np.ndarray


class _Known(NamedTuple):
    """Fields that no sample enters (Q, c): of the population, the limit as it is solved and as it is extrapolated."""

    population: np.ndarray
    limit: np.ndarray
    extrapolated: np.ndarray
    uncertainty: np.ndarray


def error_budget(
    attention: Attention,
    density: Density,
    f: Callable,
    *,
    n: int,
    at: object,
    keys: Iterable[Any],
    time: float | None = None,
    limit: DriftDiffusion | None = None,
) -> ErrorBudget:
    """Return the error of N points against the limit, part by part.

        A_N - lim = (A_N - E A_N) + (E A_N - A) + (A - lim) + the errors of the sums, of the solver and of rounding

    with (A_N f - f) / eps and L f, or A_N^n f and e^{tL} f, in the place of A_N and lim. Every part is measured:

    - fluctuation: the scatter over samples, whose variance for one layer is compared to the exact one of independent
      points [Si];
    - slow-down: how far their mean is from the population;
    - bias: how far the population is from the limit, extrapolated from populations at ever smaller bandwidths by
      Richardson's rule, without an equation being solved;
    - continuum solver: how far the solved limit is from the extrapolated one, told as far as that is certain;
    - kernel sum: sums as they are planned against those over all pairs;
    - round-off: sums over all pairs in another order, of points that are moved by their last digit.

    Parts are measured on one half of the samples, the total on the other: they must agree within their intervals (at
    99.9 %), no life may be off by more than it declares, and where mean and variance of independent points are known
    samples must have them. What fails is named in `gaps`.

    Args:
        attention: with a limit, and a population.
        density: p, from which the points are drawn.
        f: one ambient point (D,) -> scalar or (c,), in jax.numpy, smooth.
        n: how many points.
        at: where, points (Q, D) or a DiscreteMeasure, whose weights then count.
        keys: random keys of JAX, one for each sample, at least 16.
        time: t, a whole number of layers; None for the generator.
        limit: the limit as you have solved it, if not DriftDiffusion(attention, density): its error is told as well.

    Returns:
        Parts, total, and what does not add up; `repr` is a table.

    Raises:
        ConfigError: if there are fewer than 16 keys, n is no number of points, t is no whole number of layers, or one
            of the lives refuses.
        ConvergenceError: if a population or the limit is not found.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> attention, circle = af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Circle()
        >>> at, keys = circle.sample_uniform(16, np.random.default_rng(0)), jax.random.split(jax.random.key(0), 24)
        >>> budget = af.error_budget(attention, af.Uniform(circle), lambda x: x[0], n=300, at=at, keys=keys)
        >>> budget.closes, budget["fluctuation"].value > budget["bias"].value
        (True, True)
    """
    return budget_of(Lives(), attention, density, f, n=n, at=at, keys=keys, time=time, limit=limit)


def budget_of(
    lives: Lives, attention: Attention, density: Density, f: Callable, *, n: int, at: object, keys: Iterable[Any],
    time: float | None = None, limit: Any = None,
) -> ErrorBudget:  # fmt: skip
    """Return the budget of lives that are given, right or wrong."""
    if len(check_attention(attention, known=True).heads) > 1:
        raise ConfigError("`attention` must be one head, got several: their bandwidths differ. Ask each head.")
    check_function(f)
    n = check_integer(n, "n", minimum=2)
    drawn = _keys(keys)
    layers = 1 if time is None else int(count_layers(check_positive(time, "time"), attention.bandwidth)[0])
    question = _Question(f, _queries(at), time, layers)
    if limit is None:
        limit = lives.limit(attention, density)
    if not hasattr(limit, "adjoint_evolve"):
        raise ConfigError(f"`limit` must be a DriftDiffusion, got {type(limit).__name__}. Drop it to have one solved.")
    population = lives.population(attention, density)
    extrapolated, uncertainty = _extrapolated(question, attention, density)
    known = _Known(question(population), question(limit), extrapolated, uncertainty)
    if not np.ptp(evaluate(f, np.vstack([question.at.points, density.sample(n, key=drawn[0])])), axis=0).any():
        raise ConfigError("`f` must not be constant: attention keeps constants, and no error is left to tell.")
    half = len(drawn) // 2
    samples, declared = _sampled(lives, question, attention, density, n=n, keys=drawn[:half])
    others = np.stack([question(lives.empirical(attention, density.sample(n, key=key))) for key in drawn[half:]])
    exact = _exact(population, question, n=n) if layers == 1 else None
    balance = _Balance(question, known, samples, exact, declared=(_declared_by(limit, question, known.limit), declared))
    return balance.budget(others, n=n)


def _keys(keys: Iterable[Any]) -> list:
    try:
        drawn = list(keys)
    except TypeError:
        drawn = []
    if len(drawn) < FEWEST_SAMPLES:
        raise ConfigError(
            f"`keys` must be at least {FEWEST_SAMPLES} random keys, one for each sample, got {len(drawn)}. Pass "
            "jax.random.split(key, 32)."
        )
    return drawn


def _queries(at: object) -> DiscreteMeasure:
    if at is None:
        raise ConfigError("`at` is required: errors are measured at points that are no sample. Pass points (Q, D).")
    return as_measure(at, "at")


def _sampled(
    lives: Lives, question: _Question, attention: Attention, density: Density, *, n: int, keys: list
) -> tuple[_Samples, float]:
    """Return the answers of samples by three kinds of sums, and the largest error that those at hand declare."""
    start, declared = evaluate(question.f, question.at.points), 0.0
    found: list[np.ndarray] = []
    dense: list[np.ndarray] = []
    rounded: list[np.ndarray] = []
    order = np.random.default_rng(0).permutation(n)
    grown = 1 / attention.bandwidth if question.time is None else question.layers
    for key in keys:
        points = density.sample(n, key=key)
        life = lives.empirical(attention, points)
        found.append(question(life))
        own = evaluate(question.f, points)
        declared = max(declared, life.solver_error * float(np.abs(own).max()) * grown)
        sums = EmpiricalAttention(attention, points, method="dense")
        dense.append(question.of_values(sums, own, start))
        if len(rounded) < ROUNDED:
            moved = EmpiricalAttention(attention, np.nextafter(points, np.inf)[order], method="dense")
            rounded.append(question.of_values(moved, own[order], start))
    return _Samples(np.stack(found), np.stack(dense), np.stack(rounded)), declared


def _extrapolated(question: _Question, attention: Attention, density: Density) -> tuple[np.ndarray, np.ndarray]:
    """Return the answer in the limit of vanishing bandwidth, extrapolated from populations, and its uncertainty.

    From the last four bandwidths three powers are taken out, and the bandwidth is halved until that is certain beside
    the bias, or for six times: terms such as e^{-2/eps}, which are no powers, fade. The uncertainty is what the last
    power changed, or half of what the last halving did, which is sixteen times what is left of a fourth power.
    """
    row = [first := question(PopulationAttention(attention, density))]
    for level in range(1, MOST_HALVINGS + 1):
        halved = attention.replace(bandwidth=attention.bandwidth / 2**level)
        before, row = row[:POWERS], [question(PopulationAttention(halved, density))]
        for power, coarser in enumerate(before, start=1):
            row.append(row[-1] + (row[-1] - coarser) / (2**power - 1))
        uncertainty = np.maximum(np.abs(row[-1] - row[-2]), np.abs(row[-1] - before[-1]) / 2)
        if level >= POWERS and question.square(uncertainty) <= CERTAIN**2 * question.square(first - row[-1]):
            break
    return row[-1], uncertainty


def _exact(population: Any, question: _Question, *, n: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the mean and the variance of what N independent points answer less the population's, or None."""
    eps = population.attention.bandwidth if question.time is None else 1.0
    points = question.at.points
    try:
        variance = population.sampling_variance(question.f, at=points, count=n)
        shift = mean_shift(population, question.f, points, count=n)
    except ConfigError:  # known of one layer alone whose key weights are
        return None
    return shift.reshape(len(points), -1) / eps, variance.reshape(len(points), -1) / eps**2


def _declared_by(limit: Any, question: _Question, found: np.ndarray) -> float:
    if question.time is None:  # derivatives by JAX: exact but for rounding
        return limit.rtol * float(np.abs(found).max())
    return limit.evolve(question.f, times=question.time, at=question.at.points).solver_error


class _Balance(NamedTuple):
    """All that was measured, from which parts are made and added.

    Attributes:
        exact: what independent points have for a mean, less the population, and for a variance, (Q, c) each; or None.
        declared: bounds on the errors of the solver and of sums.
    """

    question: _Question
    known: _Known
    samples: _Samples
    exact: tuple[np.ndarray, np.ndarray] | None
    declared: tuple[float, float]

    def budget(self, others: np.ndarray, *, n: int) -> ErrorBudget:
        """Return the budget, the total being that of other samples."""
        square, known, samples = self.question.square, self.known, self.samples
        count = len(samples.found)
        shift, variance = self.exact or (np.full_like(known.limit, math.nan),) * 2
        uncertainty = math.sqrt(square(known.uncertainty))
        parts = (
            _positive("fluctuation", self._scatter, count, expected=math.sqrt(self._mean(variance))),
            _signed("slow-down", self._moved_from(known.population), count, expected=math.sqrt(square(shift))),
            _certain("bias", math.sqrt(square(self._bias)), uncertainty),
            _certain("continuum solver", math.sqrt(square(self._solver)), uncertainty, expected=self.declared[0]),
            _positive("kernel sum", self._apart_from(samples.found), count, expected=self.declared[1]),
            _positive("round-off", self._apart_from(samples.rounded), len(samples.rounded)),
        )
        together = _positive("parts together", self._together, count)
        squares = np.array([square(each - known.limit) for each in others])
        predicted = math.sqrt(self._mean(variance) + square(shift + self._bias + self._solver))
        total = _positive("observed total", lambda some: float(squares[some].mean()), len(others), expected=predicted)
        what = "the generator" if self.question.time is None else f"the semigroup at t = {self.question.time:g}"
        return ErrorBudget(what, n, parts, together, total, squares, self._gaps(parts, together, total))

    @property
    def _bias(self) -> np.ndarray:
        return self.known.population - self.known.extrapolated

    @property
    def _solver(self) -> np.ndarray:
        return self.known.extrapolated - self.known.limit

    def _mean(self, variance: np.ndarray) -> float:
        return self.question.square(np.sqrt(variance))

    def _scatter(self, some: np.ndarray) -> float:
        return self._mean(self.samples.dense[some].var(axis=0, ddof=1))

    def _moved_from(self, reference: np.ndarray) -> Statistic:
        """Return the mean square of how far the mean of samples is from a field; what they scatter is taken off."""

        def moved(some: np.ndarray) -> float:
            mean = self.samples.dense[some].mean(axis=0)
            return self.question.square(mean - reference) - self._scatter(some) / len(some)

        return moved

    def _apart_from(self, values: np.ndarray) -> Statistic:
        squares = np.array([self.question.square(each) for each in values - self.samples.dense[: len(values)]])
        return lambda some: float(squares[some].mean())

    def _together(self, some: np.ndarray) -> float:
        """Return the mean square of all parts: those that all samples share are added with their signs."""
        found, dense = self.samples.found[some], self.samples.dense[some]
        slow_down, sums = dense.mean(axis=0) - self.known.population, (found - dense).mean(axis=0)
        scatter = self._mean(found.var(axis=0, ddof=1))  # with what sums do to it
        shared = self.question.square(slow_down + self._bias + self._solver + sums)
        return shared + scatter * (1 - 1 / len(some))

    def _gaps(self, parts: tuple[Part, ...], together: Part, total: Part) -> tuple[str, ...]:
        fluctuation, _, _, *with_bounds, _ = parts
        gaps = []
        if not _agree(together, total):
            gaps.append(f"the parts make {together.value:.2e}, the total is {total.value:.2e}")
        if self.exact is not None:
            reference = self.known.population + self.exact[0]
            off = _signed("slow-down", self._moved_from(reference), len(self.samples.dense))
            if off.low > 0:
                gaps.append(f"slow-down is off by {off.value:.2e} from that of independent points")
            gaps += [
                f"{part.name} is {part.value:.2e}, of independent points {part.expected:.2e}"
                for part in (fluctuation, total)
                if not part.low <= part.expected <= part.high
            ]
        gaps += [
            f"{part.name} is {part.value:.2e}, declared {part.expected:.2e}"
            for part in with_bounds
            if part.low > part.expected
        ]
        return tuple(gaps)


def _jackknife(statistic: Statistic, count: int) -> tuple[float, float]:
    """Return a statistic of all samples and the half-width of its interval [Tukey1958, Efron1982]."""
    every = np.arange(count)
    without = np.array([statistic(np.delete(every, one)) for one in every])
    error = math.sqrt((count - 1) / count * float(np.sum((without - without.mean()) ** 2)))
    return statistic(every), float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * error


def _certain(name: str, value: float, uncertainty: float, *, expected: float = math.nan) -> Part:
    return Part(name, value, max(0.0, value - uncertainty), value + uncertainty, expected)


def _positive(name: str, statistic: Statistic, count: int, *, expected: float = math.nan) -> Part:
    """Return the root of a mean square; the interval is one of its logarithm, as that of a variance is skew."""
    square, half = _jackknife(statistic, count)
    if not square > 0:
        return Part(name, 0.0, 0.0, 0.0, expected)
    value, factor = math.sqrt(square), math.exp(min(half / square, 700.0) / 2)
    return Part(name, value, value / factor, value * factor, expected)


def _signed(name: str, statistic: Statistic, count: int, *, expected: float = math.nan) -> Part:
    """Return the root of a mean square from which noise was taken off, and which may then be below zero."""
    square, half = _jackknife(statistic, count)
    value, low, high = (math.sqrt(max(0.0, each)) for each in (square, square - half, square + half))
    return Part(name, value, low, high, expected)


def _agree(first: Part, second: Part) -> bool:
    """Whether two roots of mean squares differ by no more than their intervals, of logarithms, say together."""
    apart = abs(math.log(first.value / second.value))
    return apart <= math.hypot(math.log(first.high / first.value), math.log(second.high / second.value))
