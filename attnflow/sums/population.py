"""The population life of an attention: infinitely many points, bandwidth eps."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator

import numpy as np

from attnflow._checks import check_integer, check_tolerance
from attnflow._lifting import check_function, evaluate
from attnflow.attention import Attending, check_attention
from attnflow.densities.base import Density, check_density
from attnflow.densities.integration import check_mass
from attnflow.errors import ConfigError, ConvergenceError, PrecisionError
from attnflow.manifolds.base import MAX_NODES
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.normalizations.softmax import Softmax
from attnflow.precision import require_x64
from attnflow.profiles.gaussian import Gaussian
from attnflow.sums.answers import EDGE, Answer, OnManifold, Result, Work, size_of
from attnflow.sums.layers import Layers
from attnflow.sums.operators.base import RowOperator
from attnflow.sums.operators.kinds import operator_of
from attnflow.sums.operators.spectra import Eigenpairs
from attnflow.sums.sampling_variance import Sampling
from attnflow.sums.sharpness import Sharpness
from attnflow.sums.zonal import ZonalResolutions, finer, is_zonal
from attnflow.trajectories import Spectrum, Trajectory, count_layers

BEST_RTOL = 1e-12
MAX_REFINEMENTS = 12  # the last rule is nine times finer than the bandwidth asks for
MAX_SHARP_REFINEMENTS = 3  # of one that the density, the cost or f asks for: it should need none
ROUND_OFF = 1e-14  # of an average, relative to the largest value averaged
ZONAL_PAIRS = 2**23  # of nodes; fewer are summed within milliseconds
_KEPT = 4  # operators: two for the density, two for a function


class PopulationAttention:
    """Attention over a density, the operator of one layer with N = infinity [RZ].

        A f(x) = int k(x, y) e^{u(y)} f(y) p(y) dvol(y) / int k(x, y) e^{u(y)} p(y) dvol(y),   k = exp(-D / 2eps)

    with the log key weights u of the attention's normalisation under p, u = 0 for softmax.

    The integrals are sums over a quadrature whose resolution follows from the bandwidth, the kernel's band limit being
    about sqrt(2 log(1/rtol) / eps), and from the density, the cost and f, which are looked at on very many other nodes,
    once each. Every answer is computed on two resolutions and refined until they agree. A feature of the density or of
    f, taken as a Gaussian, is seen if it is wider than 1e-5 on the unit circle, .002 on S^2 and T^2, .02 on S^3 and
    T^3; a narrower one may be missed. In more dimensions only the two resolutions are compared.

    On spheres and tori the squared distance and the dot product are zonal: harmonics diagonalise their kernels. Where
    sums over the nodes would take more than some ten milliseconds, harmonics are taken in place of them, up to the
    degree that the density and f need, at a cost that does not depend on the bandwidth; `Trajectory.method` says so.
    Densities whose kernel means span so much that rounding would be felt keep the quadrature, as other costs do.

    Args:
        attention: the cost, the bandwidth and what is done with rows; or several heads, a MultiHead.
        density: p, on a manifold with a quadrature.
        rtol: tolerance on max |error| / max |values|, at least 1e-12; values those averaged or those found, whichever
            are larger. Where rounding alone is more, a RuntimeWarning says so.

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

    def __init__(self, attention: Attending, density: Density, *, rtol: float = 1e-8) -> None:
        require_x64()
        if check_tolerance(rtol, "rtol") < BEST_RTOL:
            raise PrecisionError(f"`rtol` must be at least {BEST_RTOL:g} in float64, got {rtol:g}.")
        self.attention = check_attention(attention, known=True)
        self.density = check_density(density)
        if len(self.attention.heads) > 1 and not density.manifold.is_compact:
            raise ConfigError(f"the population of several heads needs a compact manifold, got {density.manifold}.")
        self.rtol = rtol
        # A Gaussian kernel of variance eps keeps the modes up to sqrt(2 log(1/rtol) / eps); some more for f and p.
        self._least_degree = math.ceil(math.sqrt(-2 * math.log(rtol) / attention.bandwidth)) + 12
        self._degree = self._least_degree
        self._is_settled = False  # whether that degree is known to resolve the density and the cost
        self._operators: dict[int, RowOperator] = {}
        self._look()

    def __repr__(self) -> str:
        return f"PopulationAttention({self.attention!r}, {self.density!r})"

    def _look(self) -> None:
        heads, density = self.attention.heads, self.density
        self._sharpness = [Sharpness(head, density, rtol=self.rtol) for head in heads]
        zonal = self.attention.rows == "divided" and is_zonal(heads[0], density)
        self._zonal = ZonalResolutions(heads[0], density, rtol=self.rtol) if zonal else None

    def __getstate__(self) -> dict:
        return vars(self) | {"_operators": {}, "_sharpness": None, "_zonal": None}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._look()

    def at_bandwidth(self, bandwidth: float) -> PopulationAttention:
        """Return the population of the same attention at another bandwidth."""
        return PopulationAttention(self.attention.at_bandwidth(bandwidth), self.density, rtol=self.rtol)

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
        return self._evolve(check_function(f), np.array([1]), self._queries(at).points).values[0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return the difference quotient (A f - f) / eps; arguments as in `layer`."""
        check_function(f)
        queries = self._queries(at).points
        now = evaluate(f, queries)
        eps = self.attention.bandwidth

        def difference(layers: Layers) -> Answer:
            own = evaluate(f, layers.first.measure.points)
            size = size_of(own, now, layers.first)
            values, outside = self._average(layers, own, counts=[1], at=queries, size=size)
            return Answer((values[0] - now) / eps, size, roundings=1 / eps, outside=outside / eps)

        return self._converge(difference, f, work=Work(len(queries))).values

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
        result = self._evolve(check_function(f), counts, measure.points)
        return Trajectory(
            times=counts * self.attention.bandwidth,
            points=measure.points,
            values=result.values,
            weights=measure.masses,
            solver_error=result.error,
            method=result.layers.method,
        )

    def log_normalizer(self, at: object = None) -> np.ndarray:
        """Return log int e^{u(y) - D(x, y) / 2eps} p(y) dvol(y) at the points (Q, D), shape (Q,); u = 0 for softmax."""
        queries = self._queries(at).points

        def log_total(layers: Layers) -> Answer:
            _, outside = self._average(layers, np.ones(len(layers.rest.measure)), counts=[1], at=queries, size=1.0)
            return Answer(layers.rest.log_normalizer(queries), 1.0, outside=outside)

        result = self._converge(log_total, work=Work(len(queries)))
        check_mass(self.density, math.log(result.layers.rest.measure.mass))
        return result.values

    def sampling_variance(
        self, f: Callable, at: object = None, *, count: int | None = None, layers: int = 1
    ) -> np.ndarray:
        """Return how much N independent points scatter: lim N Var[A_N f(x)], or Var[A_N f(x)] of `count` points [Si].

            lim N Var[A_N f(x)] = int k^2 e^{2u} (f - A f(x))^2 p dvol / (int k e^u p dvol)^2   with u = 0 or known,

        x being no sample point. Over eps^2 it is that of the generator. In general it is int h_y(x)^2 p(y) dvol with
        h_y(x) = d A f(x) / d(mass at y): key weights that are estimated from the points are differentiated as well,
        and so are frozen layers. The limit asks for some 30 neighbours; with `count` it is exact for any number.

        Args:
            f: a function of one ambient point, written in jax.numpy.
            at: where, points (Q, D) on the manifold.
            count: N, for one layer whose key weights are not estimated; N - 1 where x is a point that leaves itself
                out. None for the limit.
            layers: n, for the variance of A_N^n f(x).

        Returns:
            (Q,) or (Q, c).

        Raises:
            ConfigError: if it is not known of such an attention, or `count` given where only the limit is.
            ResourceError: if layers or estimated key weights need matrices of more than 8192 nodes.
            ConvergenceError: if no affordable quadrature reaches `rtol`.

        Example:
            >>> import attnflow as af
            >>> af.enable_x64()
            >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
            >>> population = af.PopulationAttention(attention, af.Uniform(af.Circle()))
            >>> exact, limit = (population.sampling_variance(lambda x: x[1], at=[[1, 0]], count=N) for N in (100, None))
            >>> round(float(100 * exact[0] / limit[0]), 3)  # of 13 neighbours
            1.078
        """
        sampling, queries = Sampling(self.attention, count=count, layers=layers), self._queries(at).points

        def variance(layers: Layers) -> Answer:
            return sampling(layers.first, evaluate(f, layers.first.measure.points), queries)

        return self._converge(variance, check_function(f), squares=True).values

    def spectrum(self, k: int) -> Spectrum:
        """Return the k smallest eigenvalues of (I - A) / eps, for a symmetric cost; those of A are accurate to `rtol`.

        Eigenfunctions have unit norm in the stationary law, and extend to other points by one layer, u = A u / lambda.

        Args:
            k: how many.

        Raises:
            ConfigError: if the cost is not symmetric.
            ResourceError: if eigenvectors are asked on so many nodes that they need more than a gigabyte.
        """
        check_integer(k, "k", minimum=1)
        pairs: dict[object, Eigenpairs] = {}

        def eigenvalues(layers: Layers) -> Answer:
            pairs[layers.rest] = layers.rest.eigenpairs(k)
            return Answer(pairs[layers.rest][0], 1.0)

        result = self._converge(eigenvalues, nodes=k, work=Work(0, 1))
        operator = result.layers.rest
        spectrum = operator.spectrum(pairs[operator], error=result.error)
        if spectrum.solver_error * self.attention.bandwidth > self.rtol:
            warnings.warn(
                f"the eigenvalues of A may be off by {spectrum.solver_error * self.attention.bandwidth:.2g}, above "
                f"`rtol` = {self.rtol:g}: on {len(operator.measure)} nodes they come from sums, whose errors count as "
                "often as an eigenfunction is large. Use a larger bandwidth.",
                RuntimeWarning,
                stacklevel=2,
            )
        return spectrum._replace(eigenfunctions=OnManifold(self.density.manifold, spectrum.eigenfunctions))

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a population has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure

    def _evolve(self, f: Callable, counts: np.ndarray, queries: np.ndarray) -> Result:
        start = evaluate(f, queries)

        def iterates(layers: Layers) -> Answer:
            own = evaluate(f, layers.first.measure.points)
            size = size_of(own, start, layers.first)
            values, outside = self._average(layers, own, counts=counts.tolist(), at=queries, size=size, at_zero=start)
            return Answer(values, size, roundings=max(1, int(counts.max())), outside=outside)

        return self._converge(iterates, f, work=Work(len(queries), max(0, int(counts.max()) - 1)))

    def _average(
        self, layers: Layers, own: np.ndarray, *, counts: list[int], at: np.ndarray, size: float,
        at_zero: np.ndarray | None = None,
    ) -> tuple[np.ndarray, float]:  # fmt: skip
        """Return iterates of values at the nodes of the first layer, and how much comes from the edge of all nodes.

        What a density that is not compact holds beyond its nodes is lost; so much as comes from the last of them, f
        being as large there as anywhere in between, tells how much that is.
        """
        if self.density.manifold.is_compact:
            return layers.iterate(own, counts=counts, at=at, at_zero=at_zero), 0.0
        masses = layers.first.measure.masses
        columns = own.reshape(len(own), -1)
        edge = np.where(masses < EDGE * masses.max(), np.abs(columns).max(axis=1) + size, 0.0)
        every = range(max(counts) + 1)  # a way from a query to values may pass the edge at any layer
        starts = np.zeros((len(at), columns.shape[1] + 1))
        if at_zero is not None:
            starts[:, :-1] = at_zero.reshape(len(at), -1)
        found = layers.iterate(np.column_stack([columns, edge]), counts=list(every), at=at, at_zero=starts)
        return found[counts, :, :-1].reshape(len(counts), len(at), *own.shape[1:]), float(found[..., -1].max())

    def _converge(
        self, compute: Callable[[Layers], Answer], f: Callable | None = None, *, nodes: int = 1,
        work: Work | None = None, squares: bool = False,
    ) -> Result:  # fmt: skip
        """Return the result on the finer of two resolutions that agree to `rtol`, and their difference plus round-off.

        Raises:
            ConvergenceError: if no affordable resolutions do, or an answer hangs on what lies beyond the nodes.
        """
        for coarse, fine, degree in self._resolutions(f, nodes=nodes, work=work, squares=squares):
            with np.errstate(under="ignore"):  # of kernels and masses
                answer, rough = compute(fine), compute(coarse)
            difference = float(np.abs(answer.values - rough.values).max())
            found, rounding = float(np.abs(answer.values).max()), answer.size * answer.roundings
            allowed = self.rtol * found + 1e3 * ROUND_OFF * answer.size * answer.roundings
            answer.require_inside(allowed, self.density)
            agree = difference <= self.rtol * found + 10 * ROUND_OFF * rounding < math.inf
            if agree and fine.holds(self.rtol):
                self._degree = degree
                error = difference + max(fine.worst_error, ROUND_OFF) * rounding
                self._warn_if_above(error, max(found, answer.size))
                return Result(answer.values, error, fine)
        profile = next((head.profile for head in self.attention.heads if not head.profile.is_smooth), Gaussian())
        remedy = (
            "a smoother f or a larger tolerance" if profile.is_smooth else f"a larger tolerance: {profile} has a kink"
        )
        raise ConvergenceError(
            f"the quadrature on {self.density.manifold} does not settle: at {len(fine.first.measure)} nodes it "
            f"still moves by {difference:.2g}, `rtol` = {self.rtol:g}. Use {remedy}."
        )

    def _resolutions(
        self, f: Callable | None, *, nodes: int, work: Work | None, squares: bool
    ) -> Iterator[tuple[Layers, Layers, int]]:
        """Return pairs of resolutions: by harmonics where they save time, then of quadratures that are ever finer.

        With the degree of the quadratures from which the next answer starts. Squares of the kernel and of f, which
        have sqrt(2) and 2 times the modes, start from half as fine again.
        """
        kinked = not all(head.profile.is_smooth for head in self.attention.heads)
        if self._zonal is not None and work is not None and (kinked or self._is_long(work)):
            for operators in self._zonal(f):
                coarse, fine = (Layers(operator, operator) for operator in operators)
                yield coarse, fine, self._degree
        degree = self._settled_degree(nodes)
        first = degree
        for sharpness in self._sharpness:
            first = first if f is None else sharpness.of_function(f, first)
        refinements = MAX_REFINEMENTS if first == self._least_degree else MAX_SHARP_REFINEMENTS
        if squares:
            degree, first = degree * 3 // 2, first * 3 // 2
        for _ in range(refinements):
            next_start = self._degree if squares else degree
            yield self._layers(first, degree), self._layers(finer(first), finer(degree)), next_start
            degree, first = finer(degree), finer(first)
            if self.density.quadrature_size(finer(first)) > MAX_NODES:
                break

    def _is_long(self, work: Work) -> bool:
        """Whether sums over the nodes that the bandwidth asks for would take long; if they cannot be had, they do not.

        Harmonics cost the same at every bandwidth.
        """
        nodes = self.density.quadrature_size(finer(self._degree))
        between = work.layers + (not isinstance(self.attention.normalization, Softmax))
        return nodes <= MAX_NODES and nodes * (work.queries + between * nodes) >= ZONAL_PAIRS

    def _warn_if_above(self, error: float, size: float) -> None:
        if error > self.rtol * size:
            warnings.warn(
                f"the error may be {error:.2g}, above `rtol` = {self.rtol:g} times the largest value, {size:.2g}: "
                "rounding counts once for every layer, and 1 / bandwidth times in a generator. Use fewer layers or a "
                "larger bandwidth.",
                RuntimeWarning,
                stacklevel=5,
            )

    def _settled_degree(self, nodes: int) -> int:
        """Return a degree that resolves the density and the cost, and at which there are at least so many nodes."""
        if not self._is_settled:
            for sharpness in self._sharpness:
                self._degree = sharpness.of_operator(self._degree)
            self._is_settled = True
        while self.density.quadrature_size(self._degree) < nodes:
            self._degree = finer(self._degree)
        return self._degree

    def _layers(self, first: int, rest: int) -> Layers:
        return Layers(self._operator(first), self._operator(rest))

    def _operator(self, degree: int) -> RowOperator:
        if degree not in self._operators:
            nodes, masses = self.density.quadrature(degree)
            massive = masses > 0  # of a peaked density most nodes have none
            measure = DiscreteMeasure(nodes[massive], masses[massive])
            self._operators[degree] = operator_of(self.attention, measure, rtol=self.rtol / 10)
            for oldest in list(self._operators)[:-_KEPT]:
                del self._operators[oldest]
        return self._operators[degree]
