"""Attention at infinitely many points and vanishing bandwidth: a drift-diffusion.

The generator comes from the Laplace expansion alone. Nothing here knows a sum over points.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnflow._checks import check_integer, check_times, check_tolerance
from attnflow._lifting import examine
from attnflow.attention import Attention
from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.expansions.laplace import SEARCHED, LaplaceExpansion
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.equations.solvers.base import Discretization, Solver
from attnflow.equations.solvers.kinds import choose_discretization, describe_kinds
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.trajectories import Spectrum, Trajectory


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
        discretization: how it is solved, such as Spectral(); "auto" takes the first that serves the density. The name
            of a basis, "fourier", "harmonics" or "hermite", stands for Spectral(name).

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
        discretization: str | type[Basis] | Discretization = "auto",
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
        chosen = choose_discretization(discretization, density=density)
        self._solver_or_none = None if chosen is None else chosen.solver(self._expansion, density, rtol=self.rtol)

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
        return self._solver.spectrum(check_integer(k, "k", minimum=1))

    def _solve(self, f: Callable, *, times: object, at: object, adjoint: bool) -> Trajectory:
        measure = self._queries(at)
        brought = getattr(at, "weights", None)  # bare points ask for a maximum, weighted ones for an L2 norm
        instants = check_times(times)
        known = examine(f, measure.points)
        answer = self._solver.evolve(known, times=instants, points=measure.points, weights=brought, adjoint=adjoint)
        return Trajectory(instants, measure.points, answer.values, measure.masses, answer.error, method=answer.method)

    @property
    def _solver(self) -> Solver:
        if self._solver_or_none is None:
            raise ConfigError(
                f"there is no spectral solver for {type(self.density).__name__} on {self.density.manifold}: "
                f"{describe_kinds()}. Use `generator`, which works pointwise on every manifold."
            )
        return self._solver_or_none

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a continuum has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure


def _remake(
    attention: Attention, density: Density, rtol: float, discretization: str | type[Basis] | Discretization
) -> DriftDiffusion:
    """Return a solver from what it was made of."""
    return DriftDiffusion(attention, density, rtol=rtol, discretization=discretization)
