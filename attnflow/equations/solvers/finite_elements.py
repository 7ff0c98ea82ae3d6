"""The drift-diffusion on a surface by finite elements, on triangles cut until two levels agree."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.sparse import csc_array
from scipy.sparse.linalg import LinearOperator, SuperLU, eigsh, splu

from attnflow._checks import check_integer
from attnflow._lifting import evaluate
from attnflow._values import freeze, static, value
from attnflow.densities.base import Density
from attnflow.equations.discretizations.elements import Elements
from attnflow.equations.discretizations.patches import DOMAIN, Patches, has_patches, patches_of
from attnflow.equations.expansions.base import Expansion
from attnflow.equations.expansions.laplace import LaplaceExpansion
from attnflow.equations.expansions.reversible import check_reversible, reversible_coefficients
from attnflow.equations.semigroups.rational_krylov import propagate
from attnflow.equations.solvers.base import Answer, Discretization, Solver
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.trajectories import Spectrum

MOST_FUNCTIONS = 200_000  # of the finer level: its factors take half a gigabyte
_SHARE_OF_TIME = 1e-3  # of the tolerance, for the error in time
_LEAST_TIME_RTOL = 1e-13
_SETTLED = 2000  # functions from which on the fall of errors is believed
_SLOWEST = 1.2  # factor by which they fall per level
_FIRST_SIZE = 6  # functions per eigenvalue at least, on the coarser level


@value
class FiniteElements(Discretization):
    r"""Continuous piecewise polynomials on a surface, for symmetric costs: L in weak form.

        int rho v d_t u dA = -1/2 int rho <G^-1 grad u, grad v> dA   for all v,   rho = p^2 / sqrt(det G)

    On a TriangulatedSurface they are polynomials on its triangles: the problem that is solved is that on the
    polyhedron, and what the mesh is away from a smooth surface is not in the declared error. On S^2, FlatTorus(2) and
    surfaces that are given by a map from them, such as Ellipsoid or TorusOfRevolution, they are polynomials on flat
    triangles that a smooth map carries to the surface: nothing is left of its shape, and errors are those of the
    surface itself, of order h^(degree + 1).

    Every triangle is cut into four until two levels agree to the `rtol` of DriftDiffusion, of which the finer answers;
    their difference, the maximum over its nodes and the points asked, is declared, and is more than its error by a
    factor of 2^(degree + 1) - 1 where u is smooth. At a vertex of a TriangulatedSurface whose angles sum to a, u
    behaves like the power 2 pi / a of the distance, so that errors end up falling by no more than 2^(2 pi / a) per
    level; where a is above 2 pi, more than the difference is declared. At most 200000 functions are taken: a tolerance
    that asks for more is refused, with one that is within reach. The default of 1e-8 mostly is not; 1e-3 to 1e-5 are.
    Constants are kept and masses conserved to round-off; positivity is not promised. Obtuse triangles are taken as they
    are: they cost functions, not the truth of what is declared.

    In time, rational Krylov approximations are taken until a bound by their residual is a thousandth of the tolerance.
    f is seen at 9 nodes of each of the finer triangles, 16 for degree 2; narrower features may be missed.

    Args:
        degree: of the polynomials, 1 or 2.

    Raises:
        ConfigError: if the degree is another.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> corners = np.array([[1.0, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
        >>> surface = af.TriangulatedSurface(corners, [[0, 1, 2], [0, 2, 3], [0, 3, 1], [1, 3, 2]])
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> method = af.FiniteElements(degree=2)
        >>> limit = af.DriftDiffusion(attention, af.Uniform(surface), rtol=1e-4, discretization=method)
        >>> bool(np.abs(limit.spectrum(4).eigenvalues - np.array([0, 1, 1, 1]) * np.pi**2 / 12).max() < 1e-4)
        True
    """

    degree: int = static()

    name = "finite elements"

    def __init__(self, degree: int = 1) -> None:
        if check_integer(degree, "degree", minimum=1) > 2:
            raise ConfigError(f"`degree` must be 1 or 2, got {degree}. Refine the mesh instead: `surface.refined()`.")
        freeze(self, degree=degree)

    @property
    def domain(self) -> str:
        return f"{self.name!r} serves {DOMAIN}"

    def serves(self, density: Density) -> bool:
        return has_patches(density.manifold)

    def solver(self, expansion: Expansion, density: Density, *, rtol: float) -> FiniteElementSolver:
        if not isinstance(expansion, LaplaceExpansion):
            raise ConfigError(
                f"{self.name!r} serve the limit of an attention, not another diffusion. Use a manifold that a spectral "
                "basis serves, such as af.Ellipsoid((1, 1.3, 0.7))."
            )
        return FiniteElementSolver(expansion, patches_of(density.manifold), degree=self.degree, rtol=rtol)


class System:
    """M u' = -S u on one level.

    Args:
        expansion: of the attention.
        elements: the functions.

    Attributes:
        rho: relative to its largest value, at the nodes (F Q,).
        log_scale: the logarithm of that.
    """

    def __init__(self, expansion: LaplaceExpansion, elements: Elements) -> None:
        self.elements = elements
        coefficients = reversible_coefficients(expansion, elements.points, elements.frames, curved=elements.is_curved)
        self.log_scale = float(coefficients.log_densities.max())
        self.rho = np.exp(coefficients.log_densities - self.log_scale)
        self.stiffness, self.mass = elements.matrices(coefficients, self.rho)

    def propagate(self, loads: np.ndarray, *, times: np.ndarray, rtol: float, adjoint: bool) -> np.ndarray:
        """Return the coefficients of e^{tL} f, or of e^{tL*} f over rho, (T, N, c), from loads (N, c).

        A density evolves by its loads, d_t b = -S M^-1 b, so that errors are relative to it: where rho is small the
        quotient is large, and an error of that, carried to where rho is large, would count.

        Raises:
            ConvergenceError: if it is not answered to `rtol` times the largest coefficient, or density.
        """
        of_ones = np.asarray(self.mass.sum(axis=0)).ravel()
        areas = self.elements.areas.reshape(len(self.elements.members), -1).sum(axis=1)
        share = float(areas.min() / areas.max()) if adjoint else 1.0  # loads of small triangles are small
        factors = factorise(self.mass)
        states = propagate(
            -self.stiffness,
            loads if adjoint else factors.solve(loads),
            times=times,
            tolerance=max(share * rtol, _LEAST_TIME_RTOL),
            law=of_ones / of_ones.sum(),
            mass=self.mass,
            adjoint=adjoint,
        ).states
        return np.stack([factors.solve(state) for state in states]) if adjoint else states

    def load(self, f: Callable, *, adjoint: bool) -> tuple[np.ndarray, tuple[int, ...]]:
        """Return int f rho phi_i dA, or int f phi_i dA of a density, (N, c), and the shape of f."""
        values = evaluate(f, self.elements.points)
        columns = values.reshape(len(values), -1)
        return self.elements.load(columns if adjoint else self.rho[:, None] * columns), values.shape[1:]


class _Flow(NamedTuple):
    """Coefficients (T, N, c) along time on one level, values at the points asked (T, Q, c), and the shape of f."""

    states: np.ndarray
    values: np.ndarray
    shape: tuple[int, ...]


class FiniteElementSolver(Solver):
    """A drift-diffusion in elements on ever finer triangles.

    Args:
        expansion: of the attention, whose minimiser is the query.
        patches: of the surface.
        degree: of the polynomials.
        rtol: max |error| <= rtol max |u|.
    """

    def __init__(self, expansion: LaplaceExpansion, patches: Patches, *, degree: int, rtol: float) -> None:
        self._expansion, self._patches, self._surface = expansion, patches, patches.manifold
        self._degree, self._rtol = degree, rtol
        self._system = functools.lru_cache(maxsize=3)(self._make)
        self._first = 0

    def _make(self, level: int) -> System:
        check_reversible(self._expansion)  # not before an answer is asked: `generator` needs no symmetry
        return System(self._expansion, Elements(self._patches, level, self._degree))

    def evolve(
        self, f: Callable, *, times: np.ndarray, points: np.ndarray, weights: np.ndarray | None, adjoint: bool
    ) -> Answer:
        moving = times > 0
        now = evaluate(f, points)
        values = np.broadcast_to(now, (len(times), *now.shape)).copy()
        if not moving.any():
            return Answer(values, 0.0, "f itself, at t = 0")

        def solve(system: System) -> _Flow:
            loads, shape = system.load(f, adjoint=adjoint)
            states = system.propagate(loads, times=times[moving], rtol=_SHARE_OF_TIME * self._rtol, adjoint=adjoint)
            return _Flow(states, self._at(system, states, points, adjoint=adjoint), shape)

        def compare(fine: tuple[System, _Flow], coarse: tuple[System, _Flow]) -> tuple[float, float]:
            elements = fine[0].elements
            before = coarse[0].elements.evaluate(coarse[1].states, *coarse[0].elements.place_of_finer(elements))
            apart, size = _lengths(fine[1].states - before), _lengths(fine[1].states)
            if adjoint:
                rho = elements.largest(fine[0].rho)
                apart, size = rho * apart, rho * size
            there = _lengths(fine[1].values - coarse[1].values).max()
            start = float(_lengths(evaluate(f, elements.points).reshape(len(elements.points), -1)).max())
            largest = max(float(size.max()), start)
            error = self._left_of(max(float(apart.max()), float(there)), order=self._patches.smoothness)
            return error + _SHARE_OF_TIME * self._rtol * largest, largest

        (system, flow), error = self._refine(solve, compare)
        values[moving] = flow.values.reshape(-1, *now.shape)
        return Answer(values, error, self._method(system))

    def spectrum(self, count: int) -> Spectrum:
        asked = max(count, 2)  # the second eigenvalue sets the scale of the first, which is 0

        def compare(fine: tuple, coarse: tuple) -> tuple[float, float]:
            difference = float(np.abs(fine[1][0] - coarse[1][0]).max())
            return self._left_of(difference, order=2 * self._patches.smoothness), float(fine[1][0].max())

        def solve(system: System) -> tuple[np.ndarray, np.ndarray]:
            return smallest_eigenpairs(system.stiffness, system.mass, count=asked, area=self._surface.volume)

        (system, (eigenvalues, vectors)), error = self._refine(solve, compare, least=_FIRST_SIZE * asked)
        functions = Eigenfunctions(self._surface, system.elements, vectors[:, :count])
        return Spectrum(eigenvalues[:count], functions, error)

    def _left_of(self, difference: float, *, order: float) -> float:
        """Return the error of the finer of two levels that differ: less than that, where the order is above one."""
        return difference * max(1.0, 1 / (2**order - 1))

    def _refine(self, solve: Callable, compare: Callable, *, least: int = 0) -> tuple[tuple, float]:
        """Return the finer of two levels that agree, with what it answers, and the error.

        Raises:
            ConvergenceError: if no affordable level does.
        """
        level = self._first
        while self._functions(level) < least:
            level += 1
        if self._functions(level + 1) > MOST_FUNCTIONS:
            raise ConvergenceError(
                f"{self._surface} cut into four has more than {MOST_FUNCTIONS} functions of degree {self._degree}. "
                "Use a coarser mesh: the solver cuts the triangles of this one."
            )
        coarse = self._solved(solve, level)
        fall, error = 2.0 ** (self._degree + 1), math.inf
        while True:
            level += 1
            fine = self._solved(solve, level)
            before, (error, size) = error, compare(fine, coarse)
            if error <= self._rtol * size:
                self._first = level - 1
                return fine, error
            if before < math.inf and self._functions(level) > _SETTLED:
                fall = min(max(before / error, _SLOWEST), fall)
            left = math.log(error / (self._rtol * size), fall)
            if self._functions(level) * 4 ** max(left - 1, 1) > MOST_FUNCTIONS:
                raise self._refusal(level, error / size, fall)
            coarse = fine

    def _refusal(self, level: int, error: float, fall: float) -> ConvergenceError:
        """Return the error that says how far finite elements are from the tolerance, and how far they can go."""
        functions = self._functions(level)
        left = math.floor(math.log(MOST_FUNCTIONS / functions, 4))
        within_reach = min(2 * error / fall**left, 0.5)
        return ConvergenceError(
            f"finite elements of degree {self._degree} on {self._surface} err by about {error:.2g} of the largest "
            f"value with {functions} functions, {self._rtol:g} is asked, and {MOST_FUNCTIONS} functions, the most that "
            f"are taken, would not do. Pass `rtol={within_reach:.1g}` to DriftDiffusion"
            f"{', or FiniteElements(degree=2)' if self._degree == 1 else ''}."
        )

    def _solved(self, solve: Callable, level: int) -> tuple:
        system = self._system(level)
        return system, solve(system)

    def _functions(self, level: int) -> int:
        """Return about how many functions a level has: half as many vertices as triangles."""
        return len(self._patches.faces) * 4 ** (level + self._degree - 1) // 2 + 2

    def _at(self, system: System, states: np.ndarray, points: np.ndarray, *, adjoint: bool) -> np.ndarray:
        faces, weights = system.elements.place(points)
        values = system.elements.evaluate(states, faces, weights)
        if adjoint:
            frames, curved = self._patches.frames(points), self._patches.is_curved
            found = reversible_coefficients(self._expansion, points, frames, curved=curved)
            values *= np.exp(found.log_densities - system.log_scale)[:, None]
        return values

    def _method(self, system: System) -> str:
        return f"Finite elements of degree {self._degree}, {len(system.elements.members)} triangles"


@dataclass(frozen=True)
class Eigenfunctions:
    """The map from points (Q, 3) on the surface to the values (Q, k) there."""

    surface: Manifold
    elements: Elements
    coefficients: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return self.elements.evaluate(self.coefficients, *self.elements.place(self.surface.check(points, "points")))


def factorise(matrix: csc_array) -> SuperLU:
    """Return the factors of a symmetric positive definite matrix (N, N), without pivoting."""
    options = dict(SymmetricMode=True, ColPerm="MMD_AT_PLUS_A")
    return splu(csc_array(matrix), permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options)


def smallest_eigenpairs(
    stiffness: csc_array, mass: csc_array, *, count: int, area: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues (k,) and vectors (N, k), of norm one in the law and with fixed signs.

    By Lanczos' method for (S + s M)^-1 M, s about the smallest positive eigenvalue.
    """
    shift = 1 / area
    factor = factorise(stiffness + shift * mass)
    inverse = LinearOperator(mass.shape, matvec=factor.solve, dtype=float)
    start = np.random.default_rng(0).standard_normal(mass.shape[0])
    values, vectors = eigsh(stiffness, count, M=mass, sigma=-shift, which="LM", OPinv=inverse, v0=start, tol=0)
    order = np.argsort(values)
    values, vectors = np.maximum(values[order], 0.0), vectors[:, order] * math.sqrt(float(mass.sum()))
    first = np.argmax(np.abs(vectors) > 0.5 * np.abs(vectors).max(axis=0), axis=0)
    return values, vectors * np.sign(vectors[first, np.arange(count)])


def _lengths(values: np.ndarray) -> np.ndarray:
    """Return Euclidean norms over the components, the last axis."""
    return np.linalg.norm(values, axis=-1)
