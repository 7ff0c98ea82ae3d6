"""What every diffusion on a manifold answers, whatever its generator is and however it is solved."""

from __future__ import annotations

from collections.abc import Callable

from attnflow._checks import check_integer, check_times
from attnflow._lifting import examine
from attnflow.densities.base import Density
from attnflow.equations.solvers.base import Solver
from attnflow.equations.solvers.kinds import describe_kinds
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.trajectories import Spectrum, Trajectory


class Diffusion:
    """The semigroup e^{tL} of a generator of second order on the manifold of a density.

    Attributes:
        density: its manifold is where functions live; what it is says the generator.
    """

    density: Density
    _solver_or_none: Solver | None

    def evolve(self, f: Callable, times: object, at: object = None) -> Trajectory:
        """Return u(t) = e^{tL} f.

        Args:
            f: one ambient point (D,) -> scalar or (c,), in jax.numpy, smooth.
            times: t >= 0, one or many, in any order.
            at: points (Q, D), or a DiscreteMeasure or Trajectory, whose weights the answer then carries; required.

        Returns:
            Values (T, Q), or (T, Q, c) for a vector f.

        Raises:
            ConfigError: if a time is negative, `at` is missing or the manifold has no solver.
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
            ConfigError: if k is not a positive integer, the manifold has no solver, or an eigenvalue is
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
                f"there is no solver for {type(self.density).__name__} on {self.density.manifold}: "
                f"{describe_kinds()}. Use `generator`, which works pointwise on every manifold."
            )
        return self._solver_or_none

    def _queries(self, at: object) -> DiscreteMeasure:
        if at is None:
            raise ConfigError("`at` is required: a continuum has no points of its own. Pass points (Q, D).")
        measure = as_measure(at, "at")
        self.density.manifold.check(measure.points, "at")
        return measure
