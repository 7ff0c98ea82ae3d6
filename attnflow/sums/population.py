"""The population life of an attention: infinitely many points, bandwidth eps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow._checks import check_integer, check_tolerance
from attnflow._lifting import check_function, evaluate
from attnflow.attention import Attention, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.errors import ConfigError, ConvergenceError, PrecisionError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.precision import require_x64
from attnflow.sums.operators.softmax import SoftmaxOperator
from attnflow.trajectories import Spectrum, Trajectory, count_layers

BEST_RTOL = 1e-12
MAX_REFINEMENTS = 12  # the last rule is nine times finer than the bandwidth asks for
ROUND_OFF = 1e-14  # of an average, relative to the largest value averaged


class _Resolution(NamedTuple):
    """The operator on a quadrature and on the coarser one it is checked against."""

    coarse: SoftmaxOperator
    fine: SoftmaxOperator


class PopulationAttention:
    """Attention over a density, the operator of one layer with N = infinity [RZ].

        A f(x) = int k(x, y) e^{u(y)} f(y) p(y) dvol(y) / int k(x, y) e^{u(y)} p(y) dvol(y),   k = exp(-D / 2eps)

    with the log key weights u of the attention's normalisation under p, u = 0 for softmax.

    The integrals are sums over a quadrature whose resolution follows from the bandwidth: the kernel's band limit is
    about sqrt(2 log(1/rtol) / eps). Every answer is computed on two resolutions and refined until they agree.

    Args:
        attention: the cost and the bandwidth.
        density: p, on a manifold with a quadrature.
        rtol: tolerance on max |error| / max |values|, at least 1e-12.

    Raises:
        ConfigError: if `rtol` is not positive, `attention` not an Attention or `density` not a density.
        PrecisionError: if JAX computes in float32, or `rtol` is below 1e-12.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> circle = af.Circle()
        >>> population = af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(circle))
        >>> eigenvalue = population.layer(lambda x: x[0], at=[[1.0, 0.0]])  # I_1(10) / I_0(10)
        >>> bool(abs(eigenvalue[0] - 0.9485998259548459) < 1e-12)
        True
    """

    def __init__(self, attention: Attention, density: Density, *, rtol: float = 1e-8) -> None:
        require_x64()
        if check_tolerance(rtol, "rtol") < BEST_RTOL:
            raise PrecisionError(f"`rtol` must be at least {BEST_RTOL:g} in float64, got {rtol:g}.")
        self.attention = check_attention(attention, known=True)
        self.density = check_density(density)
        self.rtol = rtol
        # A Gaussian kernel of variance eps keeps the modes up to sqrt(2 log(1/rtol) / eps); some more for f and p.
        self._degree = math.ceil(math.sqrt(-2 * math.log(rtol) / attention.bandwidth)) + 12
        self._operators: dict[int, SoftmaxOperator] = {}

    def layer(self, f: Callable, at: object = None) -> np.ndarray:
        """Return one layer, A f.

        Args:
            f: a function of one ambient point, written in jax.numpy.
            at: where to evaluate, points (Q, D) on the manifold; required, as a population has no points of its own.

        Returns:
            (Q,) or (Q, c).

        Raises:
            ConfigError: if `f` is not a function or `at` is missing.
            ConvergenceError: if no affordable quadrature reaches `rtol`.
        """
        return self._evolve(check_function(f), np.array([1]), self._queries(at).points)[0][0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return the difference quotient (A f - f) / eps; arguments as in `layer`."""
        check_function(f)
        queries = self._queries(at).points
        now = evaluate(f, queries)
        eps = self.attention.bandwidth

        def difference(operator: SoftmaxOperator) -> tuple[np.ndarray, float]:
            own = evaluate(f, operator.measure.points)
            return (operator(own, queries) - now) / eps, _size(own, now, operator) / eps

        return self._converge(difference)[0]

    def evolve(self, f: Callable, times: object, at: object = None) -> Trajectory:
        """Return the iterates A^n f at the times n eps.

        Args:
            f: a function of one ambient point, written in jax.numpy.
            times: one or several nonnegative whole numbers of layers, in units of time; 0 gives f.
            at: where to record, points (Q, D) or a DiscreteMeasure, whose weights the trajectory then carries.

        Returns:
            A Trajectory at the realised n eps; its solver error is the difference of two resolutions.

        Raises:
            ConfigError: if a time is not a whole number of layers (the two nearest are named).
            ConvergenceError: if no affordable quadrature reaches `rtol`.
        """
        counts = count_layers(times, self.attention.bandwidth)
        measure = self._queries(at)
        values, error = self._evolve(check_function(f), counts, measure.points)
        return Trajectory(
            times=counts * self.attention.bandwidth,
            points=measure.points,
            values=values,
            weights=measure.masses,
            solver_error=error,
            method=f"quadrature, {len(self._resolution().fine.measure)} nodes",
        )

    def log_normalizer(self, at: object = None) -> np.ndarray:
        """Return log int e^{u(y) - D(x, y) / 2eps} p(y) dvol(y) at the points (Q, D), shape (Q,); u = 0 for softmax."""
        queries = self._queries(at).points
        return self._converge(lambda operator: (operator.log_normalizer(queries), 1.0))[0]

    def spectrum(self, k: int) -> Spectrum:
        """Return the k smallest eigenvalues of (I - A) / eps, for a symmetric cost; those of A are accurate to `rtol`.

        Eigenfunctions have unit norm in the stationary law, and extend to other points by one layer, u = A u / lambda.

        Args:
            k: how many.

        Raises:
            ConfigError: if the cost is not symmetric.
            ResourceError: if the bandwidth needs more than 4096 nodes.
        """
        check_integer(k, "k", minimum=1)
        while len(self._resolution().coarse.measure) < k:
            self._refine()
        pairs = {}

        def eigenvalues(operator: SoftmaxOperator) -> tuple[np.ndarray, float]:
            pairs[operator] = operator.eigenpairs(k)
            return pairs[operator][0], 1.0

        _, error = self._converge(eigenvalues)
        operator = self._resolution().fine
        spectrum = operator.spectrum(pairs[operator], error=error)

        def eigenfunctions(points: np.ndarray) -> np.ndarray:
            return spectrum.eigenfunctions(self.density.manifold.check(points, "points"))

        return spectrum._replace(eigenfunctions=eigenfunctions)

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a population has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure

    def _evolve(self, f: Callable, counts: np.ndarray, queries: np.ndarray) -> tuple[np.ndarray, float]:
        start = evaluate(f, queries)

        def iterates(operator: SoftmaxOperator) -> tuple[np.ndarray, float]:
            own = evaluate(f, operator.measure.points)
            values = operator.iterate(own, counts=counts.tolist(), at=queries, at_zero=start)
            return values, _size(own, start, operator) * max(1, int(counts.max()))

        return self._converge(iterates)

    def _converge(self, compute: Callable[[SoftmaxOperator], tuple[np.ndarray, float]]) -> tuple[np.ndarray, float]:
        """Return the result on the finer of two resolutions that agree to `rtol`, and their difference plus round-off.

        `compute` gives, with its result, the size of the numbers that it sums: round-off is relative to it.
        """
        for _ in range(MAX_REFINEMENTS):
            operators = self._resolution()
            fine, size = compute(operators.fine)
            difference = float(np.abs(fine - compute(operators.coarse)[0]).max())
            if difference <= self.rtol * np.abs(fine).max() + 10 * ROUND_OFF * size:
                return fine, difference + max(operators.fine.worst_error, ROUND_OFF) * size
            self._refine()
        raise ConvergenceError(
            f"the quadrature on {self.density.manifold} does not settle: at {len(operators.fine.measure)} nodes it "
            f"still moves by {difference:.2g}, `rtol` = {self.rtol:g}. Use a smoother f or a larger tolerance."
        )

    def _refine(self) -> None:
        finer = self._resolution().fine
        self._degree = self._finer(self._degree)
        self._operators = {self._degree: finer}

    def _resolution(self) -> _Resolution:
        return _Resolution(self._operator(self._degree), self._operator(self._finer(self._degree)))

    @staticmethod
    def _finer(degree: int) -> int:
        # The kernel's tail exp(-degree^2 eps / 2) = rtol falls to rtol^(1.2^2): the finer rule measures the coarser.
        return math.ceil(1.2 * degree) + 3

    def _operator(self, degree: int) -> SoftmaxOperator:
        if degree not in self._operators:
            nodes = DiscreteMeasure(*self.density.quadrature(degree))
            self._operators[degree] = SoftmaxOperator(self.attention, nodes, rtol=self.rtol / 10)
        return self._operators[degree]


def _size(own: np.ndarray, queried: np.ndarray, operator: SoftmaxOperator) -> float:
    """How large f is: its largest value where asked, or its norm in L2(p), the larger."""
    squares = (own.reshape(len(own), -1) ** 2).max(axis=1)
    return max(float(np.abs(queried).max()), math.sqrt(np.average(squares, weights=operator.measure.masses)))
