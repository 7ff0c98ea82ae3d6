"""Attention at infinitely many points and vanishing bandwidth: a drift-diffusion, solved by spectral methods.

The generator comes from the Laplace expansion alone, as tensors C and b at quadrature nodes; in a basis it becomes a
matrix A (K, K), and e^{tL} f has the coefficients e^{tA} c. Nothing here knows a sum over points.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from attnflow._checks import check_integer, check_times, check_tolerance
from attnflow._lifting import check_function, evaluate
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.densities.gaussian import Gaussian
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.fourier import FourierBasis
from attnflow.equations.discretizations.harmonics import HarmonicBasis
from attnflow.equations.discretizations.hermite import HermiteBasis
from attnflow.equations.expansions.laplace import LaplaceExpansion
from attnflow.equations.semigroups.dense import Semigroup, real_modes, slowest_modes, stationary_moments
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.sphere import Sphere
from attnflow.manifolds.torus import FlatTorus
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.trajectories import Spectrum, Trajectory

_DEGREE_STEP = 4  # n and n + 4 degrees are compared; errors fall by about 10^2 per two degrees
_ROUND_OFF = 1e-13  # of max |u|; measured 1e-15 to 5e-14 where log p is of order one
_EIGENVALUE_ROUND_OFF = 1e-15  # of the largest entry of the matrix, which is about half the degree squared
_COVER_NODES = 700  # queries at which the minimiser is looked for, when the solver is made
_SAME_EIGENVALUE = 1e-7  # relative distance below which eigenfunctions are made orthogonal


class _Level(NamedTuple):
    """The generator at one resolution."""

    basis: Basis
    semigroup: Semigroup


class _Problem(Protocol):
    """What is solved at rising resolutions until two of them agree."""

    def solve(self, level: _Level) -> Any:
        """The solution at one resolution."""

    def compare(self, level: _Level, fine: Any, coarse: Any) -> tuple[float, float]:
        """The error of `coarse`, `fine` at `level` taken as the truth, and the size of what was asked."""


class DriftDiffusion:
    r"""The limit of attention as N -> infinity, then eps -> 0: the semigroup e^{tL} of a drift-diffusion [RZ].

        d_t u = L u,   L f = 1/2 tr(G^-1 Hess f) + b . grad f,   G = 1/2 Hess_y D at y = x

    On the circle, T^1 and T^2 (Fourier), S^2 (harmonics) and the line with a Gaussian density (Hermite) everything is
    offered; elsewhere only `generator`. The resolution grows until n and n + 4 degrees agree to `rtol`; what is left
    is declared as `solver_error`. On closed manifolds it is the maximum over the quadrature nodes, which oversample
    M. On the line functions may grow, so it is the L2 norm in the weights of `at` where it brings weights and the
    maximum over its points otherwise.

    Args:
        attention: its pseudo-metric, whose minimiser must be the query; the bandwidth is only read by `layer`.
        density: p, the law of the keys.
        rtol: max |error| <= rtol max |u|, over the times asked and the initial time.

    Raises:
        ConfigError: if `rtol` is not positive, `attention` or `density` is something else, or the minimiser of the
            pseudo-metric is not the query.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> circle = af.Circle()
        >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(circle))
        >>> flow = limit.evolve(lambda x: x[1], times=[0.0, 2.0], at=np.array([[0.6, 0.8]]))
        >>> np.round(flow.values[:, 0] / 0.8, 6)  # e^{-t/2}
        array([1.      , 0.367879])
    """

    def __init__(self, attention: Attention, density: Density, *, rtol: float = 1e-8) -> None:
        self.rtol = check_tolerance(rtol, "rtol")
        self.attention = attention
        self.density = density
        self._search = self._expansion = LaplaceExpansion(attention, density)
        if not attention.pseudometric.vanishes_on_diagonal:
            self._search.require_fixed_minimizer(_cover(density))
            # Searched for, a minimiser is found to 1e-8 only.
            self._expansion = LaplaceExpansion(attention, density, at_query=True)
        self._level = functools.cache(self._make_level)

    def layer(self, f: Callable, at: object = None) -> np.ndarray:
        """One layer in the limit, e^{eps L} f with eps the bandwidth: (Q,), or (Q, c) for a vector f."""
        return self.evolve(f, times=self.attention.bandwidth, at=at).values[0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """L f at points (Q, D), on any manifold, by automatic differentiation: (Q,), or (Q, c) for a vector f."""
        check_function(f)
        points = self._queries(at).points
        self._search.require_fixed_minimizer(points)
        return self._expansion.generator(f, at=points)

    def evolve(self, f: Callable, times: object, at: object = None) -> Trajectory:
        """u(t) = e^{tL} f.

        Args:
            f: one ambient point (D,) -> scalar or (c,), in jax.numpy, smooth.
            times: t >= 0, one or many, in any order.
            at: points (Q, D), or a DiscreteMeasure or Trajectory, whose weights the answer then carries; required.

        Returns:
            Values (T, Q), or (T, Q, c) for a vector f.

        Raises:
            ConfigError: if a time is negative, `at` is missing or the manifold has no spectral solver.
            ConvergenceError: if the largest resolution misses `rtol`.
        """
        return self._solve(f, times=times, at=at, adjoint=False)

    def adjoint_evolve(self, r0: Callable, times: object, at: object = None) -> Trajectory:
        """r(t), the density of particles that start from r0: d_t r = L* r, for plain attention
        d_t r = 1/2 Lap r - div(r grad log p). Its mass is conserved to round-off.

        Args:
            r0: the initial density with respect to dvol, as `f` in `evolve`; it may be signed.
            times: as in `evolve`.
            at: as in `evolve`.

        Returns:
            Values (T, Q), or (T, Q, c) for a vector r0.

        Raises:
            ConfigError: as in `evolve`.
            ConvergenceError: as in `evolve`.
        """
        return self._solve(r0, times=times, at=at, adjoint=True)

    def spectrum(self, k: int) -> Spectrum:
        """The k smallest eigenvalues of -L, with multiplicity, 0 included.

        The eigenfunctions have norm one in L2 of the stationary law (p^2 / int p^2 for plain attention), are orthogonal
        in it within an eigenspace (if L is reversible, all are), and are positive where they first exceed half their
        largest value. `solver_error` is declared for the eigenvalues.

        Args:
            k: how many, at least 1.

        Raises:
            ConfigError: if k is not a positive integer, the manifold has no spectral solver, or an eigenvalue is
                complex, as it may be where L is not reversible.
            ConvergenceError: if the largest resolution misses `rtol`.
        """
        count = check_integer(k, "k", minimum=1)
        problem = _Eigenproblem(max(count, 2))  # the second eigenvalue sets the scale of the first, which is 0
        level, modes, error = self._refine(problem, minimum_size=problem.count + 1)
        eigenvalues, vectors = real_modes(*modes)
        functions = _normalise(level, eigenvalues=eigenvalues[:count], vectors=vectors[:, :count])

        def eigenfunctions(points: np.ndarray) -> np.ndarray:
            return level.basis.synthesise(functions, at=self.density.manifold.check(points, "points"))

        return Spectrum(eigenvalues[:count], eigenfunctions, error)

    def _solve(self, f: Callable, *, times: object, at: object, adjoint: bool) -> Trajectory:
        measure = self._queries(at)
        brought = getattr(at, "weights", None)  # bare points ask for a maximum, weighted ones for an L2 norm
        is_compact = self.density.manifold.is_compact
        problem = _Evolution(check_function(f), check_times(times), measure.points, brought, adjoint, is_compact)
        level, (states, _, _, shape), error = self._refine(problem)
        values = problem.values(level.basis, states, at=measure.points)
        return Trajectory(
            problem.times, measure.points, values.reshape(*values.shape[:2], *shape), measure.masses, error
        )

    def _refine(self, problem: _Problem, *, minimum_size: int = 0) -> tuple[_Level, Any, float]:
        """Raise the resolution until two of them agree to the tolerance; the finer one, its solution, its error."""
        degrees, _ = _discretization(self.density)
        coarse, error, size = None, np.inf, np.inf
        for degree in degrees:
            level = self._level(degree)
            if level.basis.size < minimum_size:
                continue
            fine = problem.solve(level)
            if coarse is not None:
                error, size = problem.compare(level, fine, coarse)
                if error <= self.rtol * size:
                    return level, fine, error
            coarse = fine
        if coarse is None:
            raise ConfigError(f"`k` must be smaller than the number of functions, {level.basis.size}.")
        raise ConvergenceError(
            f"the drift-diffusion is not resolved at degree {degrees[-1]} on {self.density.manifold}: the error is "
            f"{error:.3g}, {self.rtol * size:.3g} is asked. Use a smoother function or density, or a larger `rtol`."
        )

    def _make_level(self, degree: int) -> _Level:
        _, basis_of_degree = _discretization(self.density)
        basis = basis_of_degree(degree)
        coefficients = self._expansion.coefficients(basis.nodes)
        matrix = basis.operator(diffusions=coefficients.diffusions, drifts=coefficients.drifts)
        return _Level(basis, Semigroup(matrix))

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a continuum has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure


@dataclass(frozen=True)
class _Evolution:
    """e^{tL} f, or e^{tL*} f, at many times."""

    f: Callable
    times: np.ndarray
    points: np.ndarray
    weights: np.ndarray | None
    adjoint: bool
    is_compact: bool

    def solve(self, level: _Level) -> _Solution:
        basis = level.basis
        values = evaluate(self.f, basis.nodes)
        columns = values.reshape(len(values), -1)
        initial = basis.analyse_density(columns) if self.adjoint else basis.analyse(columns)
        states = level.semigroup.propagate(initial, times=self.times, adjoint=self.adjoint)
        return _Solution(states, initial, columns - self.values(basis, initial), values.shape[1:])

    def compare(self, level: _Level, fine: _Solution, coarse: _Solution) -> tuple[float, float]:
        difference = fine.states.copy()
        difference[:, : coarse.states.shape[1]] -= coarse.states
        size = max(self._norm(level.basis, fine.states), self._norm(level.basis, fine.initial))
        error = self._norm(level.basis, difference) + self._lost(level.basis, fine.residual) + _ROUND_OFF * size
        return error, size

    def values(self, basis: Basis, coefficients: np.ndarray, *, at: np.ndarray | None = None) -> np.ndarray:
        """Values (..., Q, c) at points, or at the nodes."""
        values = basis.at_nodes @ coefficients if at is None else basis.synthesise(coefficients, at=at)
        if self.adjoint:
            values *= basis.reference_density(basis.nodes if at is None else at)[:, None]
        return values

    def _norm(self, basis: Basis, coefficients: np.ndarray) -> float:
        if self.is_compact:
            return float(_lengths(self.values(basis, coefficients)).max())
        lengths = _lengths(self.values(basis, coefficients, at=self.points))
        if self.weights is None:
            return float(lengths.max())
        return float(np.sqrt((lengths**2 @ self.weights).max() / self.weights.sum()))

    def _lost(self, basis: Basis, residual: np.ndarray) -> float:
        """What of f is outside the basis: no later error caused by it is larger, by the maximum principle.

        On the line the same holds in L2(p) up to a factor sqrt 2. There initial densities with tails twice as wide as
        p have no such norm; their moments still resolve them at later times, so nothing is asked of them initially.
        """
        if self.is_compact:
            return float(_lengths(residual).max())
        return 0.0 if self.adjoint else float(np.sqrt(basis.weights @ _lengths(residual) ** 2))


class _Solution(NamedTuple):
    """Coefficients (T, K, c) in time, initially (K, c), f minus its projection (M, c), shape of one value of f."""

    states: np.ndarray
    initial: np.ndarray
    residual: np.ndarray
    shape: tuple[int, ...]


@dataclass(frozen=True)
class _Eigenproblem:
    """The slowest modes of -L."""

    count: int

    def solve(self, level: _Level) -> tuple[np.ndarray, np.ndarray]:
        return slowest_modes(level.semigroup.matrix, self.count)

    def compare(self, level: _Level, fine: Any, coarse: Any) -> tuple[float, float]:
        """The residual of the coarse modes: it also holds the eigenvectors, whose errors are far above those of the
        eigenvalues, to the tolerance.
        """
        values, vectors = coarse
        image = level.semigroup.matrix[:, : len(vectors)] @ vectors
        image[: len(vectors)] += vectors * values
        residual = np.linalg.norm(image, axis=0) / np.linalg.norm(vectors, axis=0)
        round_off = _EIGENVALUE_ROUND_OFF * np.abs(level.semigroup.matrix).max()
        return float(max(residual.max(), np.abs(fine[0] - values).max()) + round_off), float(np.abs(fine[0]).max())


def _normalise(level: _Level, *, eigenvalues: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Eigenvectors (K, k) of norm one in the stationary law, orthogonal within an eigenspace, with fixed signs."""
    basis = level.basis
    law = basis.at_nodes @ stationary_moments(level.semigroup.matrix)
    splits = np.flatnonzero(np.diff(eigenvalues) > _SAME_EIGENVALUE * eigenvalues[-1]) + 1
    columns = []
    for eigenspace in np.split(vectors, splits, axis=1):
        values = basis.at_nodes @ eigenspace
        gram = values.T @ ((basis.weights * law)[:, None] * values)
        # A mode on top of a high barrier has a norm below round-off in the law; a little of another keeps it finite.
        other = 100 * np.finfo(float).eps * eigenspace.T @ eigenspace
        columns.append(np.linalg.solve(np.linalg.cholesky(gram + other), eigenspace.T).T)
    normalised = np.concatenate(columns, axis=1)
    values = basis.at_nodes @ normalised
    first = np.argmax(np.abs(values) > 0.5 * np.abs(values).max(axis=0), axis=0)
    return normalised * np.sign(values[first, np.arange(values.shape[1])])


def _discretization(density: Density) -> tuple[range, Callable[[int], Basis]]:
    """The degrees worth trying, at most about a thousand functions, and the basis of one degree."""
    manifold = density.manifold
    if isinstance(manifold, Sphere | FlatTorus) and manifold.dim == 1:
        return range(12, 161, _DEGREE_STEP), functools.partial(FourierBasis, manifold)
    if isinstance(manifold, FlatTorus) and manifold.dim == 2:
        return range(8, 21, _DEGREE_STEP), functools.partial(FourierBasis, manifold)
    if isinstance(manifold, Sphere) and manifold.dim == 2:
        return range(8, 33, _DEGREE_STEP), functools.partial(HarmonicBasis, manifold)
    if isinstance(density, Gaussian) and manifold.dim == 1:
        # p is the reference density, not the stationary p^2: errors are wanted in L2(p), where the Hermite functions of
        # p^2 grow like 3^(n/2) and turn a rounding of 1e-17 into 1e-8.
        mean, variance = float(density.mean[0]), float(density.covariance[0, 0])
        return range(16, 161, _DEGREE_STEP), functools.partial(HermiteBasis, mean, variance)
    raise ConfigError(
        f"there is no spectral solver for {type(density).__name__} on {manifold}: it offers the circle, FlatTorus(1), "
        "FlatTorus(2), Sphere(2) and a Gaussian on the line. Use `generator`, which works pointwise on every manifold."
    )


def _cover(density: Density) -> np.ndarray:
    """Some hundred points all over the manifold."""
    nodes = density.quadrature(int(_COVER_NODES ** (1 / density.manifold.dim))).points
    return nodes[:: 1 + len(nodes) // _COVER_NODES]


def _lengths(values: np.ndarray) -> np.ndarray:
    """Euclidean norms over the components, the last axis."""
    return np.linalg.norm(values, axis=-1)
