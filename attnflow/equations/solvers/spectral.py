"""The drift-diffusion in a basis of smooth functions, whose degree rises until two resolutions agree.

The generator comes from the Laplace expansion alone, as tensors C and b at quadrature nodes; in a basis it becomes a
matrix A (K, K), and e^{tL} f has the coefficients e^{tA} c. Nothing here knows a sum over points.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from attnflow._values import freeze, static, value
from attnflow.densities.base import Density
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.kinds import KINDS, named_basis
from attnflow.equations.discretizations.refinement import Refinement
from attnflow.equations.expansions.base import Expansion
from attnflow.equations.semigroups.dense import real_modes
from attnflow.equations.semigroups.eigenmodes import Eigenproblem, normalise
from attnflow.equations.semigroups.evolution import Evolution
from attnflow.equations.solvers.base import Answer, Discretization, Solver
from attnflow.errors import ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.trajectories import Spectrum

NORM_TOLERANCE = 1e-3  # of squared norms of eigenfunctions


@value
class Spectral(Discretization):
    """Expansion in smooth functions, whose error falls by about 10^2 per two degrees  [the default].

    Args:
        basis: "fourier" (circle, T^1 to T^3), "harmonics" (S^2), "hyperspherical" (S^3), "legendre" (intervals),
            "product" (of these) or "hermite" (R^1 to R^3, Gaussian); None takes the one that serves the density.

    Raises:
        ConfigError: if there is no such basis.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> limit = af.DriftDiffusion(attention, af.Uniform(af.Sphere(2)), discretization=af.Spectral())
        >>> np.round(limit.spectrum(4).eigenvalues, 10) + 0.0  # l (l + 1) / 2
        array([0., 1., 1., 1.])
    """

    basis: type[Basis] | None = static()

    name = "spectral"

    def __init__(self, basis: str | type[Basis] | None = None) -> None:
        freeze(self, basis=None if basis is None else named_basis(basis))

    @property
    def domain(self) -> str:
        return "; ".join(f"{kind.name!r} serves {kind.domain}" for kind in self._kinds)

    @property
    def _kinds(self) -> tuple[type[Basis], ...]:
        return KINDS if self.basis is None else (self.basis,)

    def serves(self, density: Density) -> bool:
        return any(kind.serves(density) for kind in self._kinds)

    def solver(self, expansion: Expansion, density: Density, *, rtol: float) -> SpectralSolver:
        basis = next(kind for kind in self._kinds if kind.serves(density))
        return SpectralSolver(Refinement(basis, density, coefficients=expansion.coefficients), density, rtol=rtol)


class SpectralSolver(Solver):
    """A drift-diffusion in bases of rising degree.

    Args:
        refinement: its matrices.
        density: p.
        rtol: max |error| <= rtol max |u|.
    """

    def __init__(self, refinement: Refinement, density: Density, *, rtol: float) -> None:
        self.refinement = refinement
        self._manifold = density.manifold
        self._rtol = rtol

    def evolve(
        self, f: Callable, *, times: np.ndarray, points: np.ndarray, weights: np.ndarray | None, adjoint: bool
    ) -> Answer:
        problem = Evolution(f, times, points, weights, adjoint, self._manifold.is_compact, self._rtol)
        level, solution, error = self.refinement.solve(problem, rtol=self._rtol)
        values = problem.values(level.basis, solution.states, at=points)
        return Answer(values.reshape(len(times), len(points), *solution.shape), error, level.basis.method)

    def spectrum(self, count: int) -> Spectrum:
        problem = Eigenproblem(
            max(count, 2), self._rtol
        )  # the second eigenvalue sets the scale of the first, which is 0
        level, modes, error = self.refinement.solve(problem, rtol=self._rtol, minimum_size=problem.count + 1)
        eigenvalues, vectors = real_modes(modes.values, modes.vectors)
        found = normalise(level, eigenvalues=eigenvalues[:count], vectors=vectors[:, :count])
        functions = Eigenfunctions(self._manifold, level.basis, found.vectors, found.doubts)
        return Spectrum(eigenvalues[:count], functions, error)


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
