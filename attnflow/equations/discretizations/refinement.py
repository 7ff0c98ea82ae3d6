"""Raising the resolution until two of them agree."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from attnflow.densities.base import Density
from attnflow.equations.discretizations.applied import AppliedOperator
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.scrutiny import Missed, Scrutiny
from attnflow.equations.expansions.coefficients import AmbientCoefficients
from attnflow.equations.semigroups.dense import Semigroup, one_blas_thread, stationary_moments
from attnflow.equations.semigroups.krylov import KrylovSemigroup
from attnflow.errors import ConfigError, ConvergenceError


class Level:
    """The generator at one resolution.

    Attributes:
        basis: its functions.
        scrutiny: the close look at f and at L that all resolutions share.
        has_matrix: whether the generator is a matrix; where that would take long it is only applied.
        semigroup: of it.
    """

    def __init__(self, basis: Basis, scrutiny: Scrutiny, *, best: Callable[[], Level] | None = None) -> None:
        """Make the matrix, or, given the map to the largest resolution with one, what applies the generator."""
        self.has_matrix = best is None
        self.basis = basis if self.has_matrix else basis.with_transforms()
        self.scrutiny = scrutiny
        self._best = best
        coefficients = scrutiny.coefficients(self.basis.nodes)
        self._tensors = {"diffusions": coefficients.diffusions, "drifts": coefficients.drifts}
        self.semigroup: Semigroup | KrylovSemigroup
        if self.has_matrix:
            self.semigroup = Semigroup(basis.operator(**self._tensors))
        else:
            self.semigroup = KrylovSemigroup(AppliedOperator(self.basis, **self._tensors))

    @property
    def matrix(self) -> np.ndarray:
        """Of the generator, (K, K)."""
        assert isinstance(self.semigroup, Semigroup)
        return self.semigroup.matrix

    def sizes(self, *, adjoint: bool) -> np.ndarray:
        """Return the squared norms of the columns of the generator, (K,), or of its rows; bounds, without a matrix."""
        if isinstance(self.semigroup, KrylovSemigroup):
            return self.semigroup.operator.sizes**2
        return np.sum(self.semigroup.matrix**2, axis=1 if adjoint else 0)

    @functools.cached_property
    def missed(self) -> Missed:
        """What this resolution misses of L."""
        return self.scrutiny.missed(self.basis, self.basis.along_fields(self.basis.nodes, **self._tensors))

    @functools.cached_property
    def peak(self) -> float:
        """The largest value of the stationary density, relative to the reference density, as far as it is a scale."""
        if self._best is not None:
            return self._best().peak
        return float((self.basis.at_nodes @ stationary_moments(self.matrix)).max())


class Problem(Protocol):
    """What is solved at rising resolutions until two of them agree.

    Attributes:
        needs_matrix: whether it cannot be solved with a generator that is only applied.
    """

    needs_matrix: ClassVar[bool]

    def is_swift(self, level: Level) -> bool:
        """Return whether it is solved sooner with the generator of a level, which is only applied, than with a matrix.

        It is asked only where no matrix is needed.
        """

    def solve(self, level: Level) -> Any:
        """Return the solution at one resolution."""

    def compare(self, level: Level, fine: Any, coarse: Any) -> tuple[float, float]:
        """Return the error of `coarse`, with `fine` at `level` taken as the truth, and the size of what was asked.

        What `level` misses itself, as far as it is seen by a close look, is part of the error.
        """

    def remedy(self, level: Level) -> str:
        """Return what to do where the largest resolution does not answer."""


class Refined(NamedTuple):
    """The resolution that answered, its solution and the declared error."""

    level: Level
    solution: Any
    error: float


class Refinement:
    """The matrices of one generator in bases of rising degree, made when they are first needed.

    Args:
        basis: the kind of basis, which serves the density.
        density: p.
        coefficients: the map from points (M, D) to the tensors of L there.
    """

    def __init__(
        self, basis: type[Basis], density: Density, *, coefficients: Callable[[np.ndarray], AmbientCoefficients]
    ) -> None:
        self._basis = basis
        self._density = density
        self._scrutiny = Scrutiny(basis, density, coefficients=coefficients)
        self._levels: dict[tuple[int, bool], Level] = {}
        self._is_asked_again = False

    def solve(self, problem: Problem, *, rtol: float, minimum_size: int = 0) -> Refined:
        """Raise the degree until two of them agree to the tolerance; return the finer one.

        Args:
            problem: what to solve.
            rtol: error <= rtol size is asked.
            minimum_size: the number of functions below which a basis is passed over.

        Raises:
            ConfigError: if no basis has so many functions.
            ConvergenceError: if the largest degree misses the tolerance.
        """
        with one_blas_thread(), np.errstate(all="ignore"):  # what is not finite is seen as such
            found = self._refine(problem, rtol=rtol, minimum_size=minimum_size)
        self._is_asked_again = True
        return found

    def _refine(self, problem: Problem, *, rtol: float, minimum_size: int) -> Refined:
        degrees = [*self._basis.degrees(self._density)]
        if not problem.needs_matrix:
            degrees += self._basis.high_degrees(self._density)
        coarse, error, size = None, np.inf, np.inf
        for degree in degrees:
            level = self._level_for(problem, degree)
            if level.basis.size < minimum_size:
                continue
            fine = problem.solve(level)
            if coarse is not None:
                error, size = problem.compare(level, fine, coarse)
                if np.isfinite(size) and error <= rtol * size:
                    return Refined(level, fine, error)
            coarse = fine
        if coarse is None:
            raise ConfigError(f"`k` must be smaller than the number of functions, {level.basis.size}.")
        raise ConvergenceError(
            f"the drift-diffusion is not resolved at degree {degrees[-1]} on {self._density.manifold}: the error is "
            f"{error:.3g}, {rtol * size:.3g} is asked. {problem.remedy(level)}"
        )

    def _level_for(self, problem: Problem, degree: int) -> Level:
        """Return a resolution, without a matrix where that is sooner: exponentials are kept for the next question."""
        if degree > self._basis.degrees(self._density)[-1]:
            return self._level(degree, has_matrix=False)
        if not (problem.needs_matrix or self._is_asked_again or degree < self._basis.swift_degree(self._density)):
            level = self._level(degree, has_matrix=False)
            if problem.is_swift(level):
                return level
        return self._level(degree)

    def _level(self, degree: int, *, has_matrix: bool = True) -> Level:
        if (degree, has_matrix) not in self._levels:
            best = None if has_matrix else lambda: self._level(self._basis.degrees(self._density)[-1])
            self._levels[degree, has_matrix] = Level(self._basis.on(self._density, degree), self._scrutiny, best=best)
        return self._levels[degree, has_matrix]
