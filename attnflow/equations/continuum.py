"""Attention at infinitely many points and vanishing bandwidth: a drift-diffusion, solved by spectral methods.

The generator comes from the Laplace expansion alone, as tensors C and b at quadrature nodes; in a basis it becomes a
matrix A (K, K), and e^{tL} f has the coefficients e^{tA} c. Nothing here knows a sum over points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attnflow._checks import check_integer, check_times, check_tolerance
from attnflow._lifting import examine
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.kinds import choose_basis, describe_kinds
from attnflow.equations.discretizations.refinement import Refinement
from attnflow.equations.expansions.laplace import SEARCHED, LaplaceExpansion
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.equations.semigroups.dense import real_modes
from attnflow.equations.semigroups.eigenmodes import Eigenproblem, normalise
from attnflow.equations.semigroups.evolution import Evolution
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.trajectories import Spectrum, Trajectory

NORM_TOLERANCE = 1e-3  # of squared norms of eigenfunctions


class DriftDiffusion:
    r"""The limit of attention as N -> infinity, then eps -> 0: the semigroup e^{tL} of a drift-diffusion [RZ].

        d_t u = L u,   L f = 1/2 tr(G^-1 Hess f) + b . grad f,   G = 1/2 Hess_y D at y = x

    On the circle, T^1 and T^2 (Fourier), S^2 (harmonics) and the line with a Gaussian density (Hermite) everything is
    offered; elsewhere only `generator`. The resolution grows until n and n + 4 degrees agree to `rtol`; what is left
    is declared as `solver_error`. On compact manifolds it is the maximum over the quadrature nodes, which oversample
    M. On the line functions may grow, so it is the L2 norm in the weights of `at` where it brings weights and the
    maximum over its points otherwise.

    Two resolutions can agree by accident, so f, p and the cost are also looked at closely: f and log p at 2^16 nodes
    on curves and 2^17 on surfaces, which see a smooth feature of relative size 1e-8 down to a width of about 1e-5 and
    .002; L at 2^14, and where log p bends most; the solution at times between those asked. Narrower features may be
    missed. What no basis resolves is an error, but for an f too rough for all of them, such as a narrow bump: it is
    answered at times that have smoothed it.

    Args:
        attention: its pseudo-metric, whose minimiser must be the query; the bandwidth is only read by `layer`.
        density: p, the law of the keys.
        rtol: max |error| <= rtol max |u|, over the times asked and the initial time.
        discretization: the basis, "fourier", "harmonics" or "hermite"; "auto" takes the one that serves the density.

    Raises:
        ConfigError: if `rtol` is not positive, `attention` or `density` is something else, the minimiser of the
            pseudo-metric is not the query, or the discretization does not serve the density.

    Example:
        >>> import jax.numpy as jnp, numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> circle = af.Circle()
        >>> limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), af.Uniform(circle))
        >>> flow = limit.evolve(lambda x: x[1], times=[0.0, 2.0], at=np.array([[0.6, 0.8]]))
        >>> np.round(flow.values[:, 0] / 0.8, 6)  # e^{-t/2}
        array([1.      , 0.367879])
    """

    def __init__(
        self,
        attention: Attention,
        density: Density,
        *,
        rtol: float = 1e-8,
        discretization: str | type[Basis] = "auto",
    ) -> None:
        self.rtol = check_tolerance(rtol, "rtol")
        self.attention = attention
        self.density = density
        self._search = self._expansion = LaplaceExpansion(attention, density)
        if not attention.pseudometric.vanishes_on_diagonal:
            self._search.require_fixed_minimizer(nodes_of(density, SEARCHED))
            # Searched for, a minimiser is found to 1e-8 only.
            self._expansion = LaplaceExpansion(attention, density, at_query=True)
        self._discretization = discretization
        basis = choose_basis(discretization, density=density)
        self._refinement = (
            None if basis is None else Refinement(basis, density, coefficients=self._expansion.coefficients)
        )

    def __reduce__(self) -> tuple:
        """Return how to make the solver anew: its matrices are not pickled."""
        return _remake, (self.attention, self.density, self.rtol, self._discretization)

    def layer(self, f: Callable, at: object = None) -> np.ndarray:
        """Return one layer in the limit, e^{eps L} f with eps the bandwidth: (Q,), or (Q, c) for a vector f."""
        return self.evolve(f, times=self.attention.bandwidth, at=at).values[0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return L f at points (Q, D) of any manifold, by automatic differentiation: (Q,), or (Q, c) for a vector f."""
        points = self._queries(at).points
        examine(f, points)
        self._search.require_fixed_minimizer(points)
        return self._expansion.generator(f, at=points)

    def evolve(self, f: Callable, times: object, at: object = None) -> Trajectory:
        """Return u(t) = e^{tL} f.

        Args:
            f: one ambient point (D,) -> scalar or (c,), in jax.numpy, smooth.
            times: t >= 0, one or many, in any order.
            at: points (Q, D), or a DiscreteMeasure or Trajectory, whose weights the answer then carries; required.

        Returns:
            Values (T, Q), or (T, Q, c) for a vector f.

        Raises:
            ConfigError: if a time is negative, `at` is missing or the manifold has no spectral solver.
            ConvergenceError: if the largest resolution misses `rtol`, or, on the line, rounding does far out.
        """
        return self._solve(f, times=times, at=at, adjoint=False)

    def adjoint_evolve(self, r0: Callable, times: object, at: object = None) -> Trajectory:
        """Return r(t), the density of particles that start from r0.

        d_t r = L* r; for plain attention d_t r = 1/2 Lap r - div(r grad log p). Its mass is conserved to round-off.

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
        """Return the k smallest eigenvalues of -L, with multiplicity, 0 included.

        The eigenfunctions have norm one in L2 of the stationary law (p^2 / int p^2 for plain attention), are orthogonal
        in it within an eigenspace (if L is reversible, all are), and are positive where they first exceed half their
        largest value. `solver_error` is declared for the eigenvalues. Norms that are not known to a thousandth, as
        where an eigenfunction is largest on top of a high barrier, are an error when the eigenfunctions are asked.

        Args:
            k: how many, at least 1.

        Raises:
            ConfigError: if k is not a positive integer, the manifold has no spectral solver, or an eigenvalue is
                complex, as it may be where L is not reversible.
            ConvergenceError: if the largest resolution misses `rtol`.
        """
        count = check_integer(k, "k", minimum=1)
        problem = Eigenproblem(
            max(count, 2), self.rtol
        )  # the second eigenvalue sets the scale of the first, which is 0
        level, modes, error = self._solver().solve(problem, rtol=self.rtol, minimum_size=problem.count + 1)
        eigenvalues, vectors = real_modes(modes.values, modes.vectors)
        found = normalise(level, eigenvalues=eigenvalues[:count], vectors=vectors[:, :count])
        functions = Eigenfunctions(self.density.manifold, level.basis, found.vectors, found.doubts)
        return Spectrum(eigenvalues[:count], functions, error)

    def _solve(self, f: Callable, *, times: object, at: object, adjoint: bool) -> Trajectory:
        measure = self._queries(at)
        brought = getattr(at, "weights", None)  # bare points ask for a maximum, weighted ones for an L2 norm
        is_compact = self.density.manifold.is_compact
        problem = Evolution(
            examine(f, measure.points), check_times(times), measure.points, brought, adjoint, is_compact, self.rtol
        )
        level, solution, error = self._solver().solve(problem, rtol=self.rtol)
        values = problem.values(level.basis, solution.states, at=measure.points)
        values = values.reshape(len(problem.times), len(measure), *solution.shape)
        return Trajectory(problem.times, measure.points, values, measure.masses, error, method=level.basis.method)

    def _solver(self) -> Refinement:
        if self._refinement is None:
            raise ConfigError(
                f"there is no spectral solver for {type(self.density).__name__} on {self.density.manifold}: "
                f"{describe_kinds()}. Use `generator`, which works pointwise on every manifold."
            )
        return self._refinement

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a continuum has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure


@dataclass(frozen=True)
class Eigenfunctions:
    """The map from points (Q, D) on M to the values (Q, k) there.

    Raises:
        ConvergenceError: if the norm of one of them is not known.
    """

    manifold: Manifold
    basis: Basis
    coefficients: np.ndarray
    doubts: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        worst = int(np.argmax(self.doubts))
        if not self.doubts[worst] <= NORM_TOLERANCE:
            raise ConvergenceError(
                f"the norm of eigenfunction {worst} is off by up to {self.doubts[worst]:.2g}: it is largest where the "
                f"stationary law is least. Ask for the first {int(np.argmax(self.doubts > NORM_TOLERANCE))} only, for "
                "a smaller `rtol`, or use a less peaked density."
            )
        return self.basis.synthesise(self.coefficients, at=self.manifold.check(points, "points"))


def _remake(attention: Attention, density: Density, rtol: float, discretization: str | type[Basis]) -> DriftDiffusion:
    """Return a solver from what it was made of."""
    return DriftDiffusion(attention, density, rtol=rtol, discretization=discretization)
