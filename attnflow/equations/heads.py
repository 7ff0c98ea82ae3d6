"""Several heads in the limit: components of f that do not mix, each with a generator of its own."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_tolerance
from attnflow._lifting import examine, shown
from attnflow._programs import at_point
from attnflow.attention import check_attention
from attnflow.densities.base import Density, check_density
from attnflow.densities.pulled_back import PulledBack
from attnflow.equations.diffusion import Diffusion
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.expansions.base import Expansion
from attnflow.equations.expansions.coefficients import AmbientCoefficients
from attnflow.equations.expansions.laplace import SEARCHED, LaplaceExpansion
from attnflow.equations.expansions.minimizers import nodes_of
from attnflow.equations.solvers.base import Discretization, Solver
from attnflow.equations.solvers.kinds import choose_discretization, describe_kinds
from attnflow.errors import ConfigError
from attnflow.heads import CommonBasis, MultiHead
from attnflow.trajectories import Spectrum, Trajectory

REAL = 1e-9  # of eigenvalues of output matrices: smaller imaginary parts are rounding
POSITIVE = 1e-12  # of the largest eigenvalue of a diffusion matrix


class CombinedExpansion:
    """The generator sum_h c_h L_h.

    Args:
        expansions: L_h, whose minimisers are the queries.
        weights: c_h.
    """

    def __init__(self, expansions: list[Expansion], weights: np.ndarray) -> None:
        self._expansions = expansions
        self._weights = weights

    def coefficients(self, points: np.ndarray) -> AmbientCoefficients:
        """Return C and b at points (Q, D), as tensors of R^D; raise ConfigError where C is not positive."""
        found = [expansion.coefficients(points) for expansion in self._expansions]
        parts = list(zip(self._weights, found, strict=True))
        diffusions = np.sum([weight * each.diffusions for weight, each in parts], axis=0)
        eigenvalues = np.linalg.eigvalsh(diffusions)
        if eigenvalues.min() < -POSITIVE * np.abs(eigenvalues).max():
            where = shown(points[eigenvalues.min(axis=1).argmin()])
            raise ConfigError(
                f"in one of the components that do not mix the heads have the weights {self._weights.tolist()}, and "
                f"the diffusion is not positive at {where}: heat would run "
                "backwards. Use the population, or output matrices with eigenvalues between 0 and 1."
            )
        return AmbientCoefficients(points, diffusions, np.sum([w * each.drifts for w, each in parts], axis=0))

    def log_law(self, points: np.ndarray) -> None:
        """Return None: of a sum of generators no reversible law is known."""

    def generator(self, f: Callable, at: object) -> np.ndarray:
        """Return sum_h c_h L_h f at points (Q, D)."""
        found = [expansion.generator(f, at) for expansion in self._expansions]
        return np.sum([weight * each for weight, each in zip(self._weights, found, strict=True)], axis=0)

    def pulled_back(self, density: PulledBack) -> CombinedExpansion:
        """Return the same generator on the manifold that is mapped to M."""
        return CombinedExpansion([each.pulled_back(density) for each in self._expansions], self._weights)


class HeadsDiffusion(Diffusion):
    r"""The limit of several heads, L H = sum_h (L_h H) W_h with sum_h W_h = I; made by `DriftDiffusion`.

    Output matrices that share eigenvectors V, as those of two heads do, leave the components f V apart: each has the
    semigroup of sum_h c_h L_h, c_h the eigenvalues. `generator` needs no such vectors.

    Args:
        attention: the heads, whose minimisers must be the query.
        density: p, the law of the keys.
        rtol: max |error| <= rtol max |u|.
        discretization: as of DriftDiffusion.

    Raises:
        ConfigError: if the output matrices do not sum to the identity, naming by how much, or a minimiser is not the
            query.
    """

    def __init__(
        self, attention: MultiHead, density: Density, *, rtol: float = 1e-8,
        discretization: str | type[Basis] | Discretization = "auto",
    ) -> None:  # fmt: skip
        self.rtol = check_tolerance(rtol, "rtol")
        self.attention: MultiHead = check_attention(attention, known=True)
        self.density = check_density(density)
        attention.require_identity()
        self._discretization = discretization
        searches = [LaplaceExpansion(head, density) for head in attention.heads]
        for search in searches:
            search.require_fixed_minimizer(nodes_of(density, SEARCHED))
        self._searches = searches
        self._expansions: list[Expansion] = [LaplaceExpansion(head, density, at_query=True) for head in attention.heads]
        self._solvers: dict[tuple[float, ...], Solver] = {}

    def __repr__(self) -> str:
        return f"DriftDiffusion({self.attention!r}, {self.density!r})"

    def __reduce__(self) -> tuple:
        """Return how to make it anew: matrices of solvers are not pickled."""
        made = functools.partial(HeadsDiffusion, rtol=self.rtol, discretization=self._discretization)
        return made, (self.attention, self.density)

    def layer(self, f: Callable, at: object = None) -> np.ndarray:
        """Return one layer in the limit, e^{eps L} f with eps the bandwidth, (Q, c)."""
        return self.evolve(f, times=self.attention.bandwidth, at=at).values[0]

    def generator(self, f: Callable, at: object = None) -> np.ndarray:
        """Return sum_h (L_h f) W_h at points (Q, D), shape (Q, c)."""
        points = self._queries(at).points
        self._check(f, points)
        for search in self._searches:
            search.require_fixed_minimizer(points)
        parts = [expansion.generator(f, at=points) for expansion in self._expansions]
        return np.sum([part @ matrix for part, matrix in zip(parts, self.attention.output, strict=True)], axis=0)

    def spectrum(self, k: int) -> Spectrum:
        """Refuse: that of a system is not one of functions.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("several heads have no eigenfunctions of one component. Ask DriftDiffusion of each head.")

    def _solve(self, f: Callable, *, times: object, at: object, adjoint: bool) -> Trajectory:
        self._check(f, self._queries(at).points)
        basis = self._basis
        vectors = np.linalg.inv(basis.vectors).T if adjoint else basis.vectors  # those of the transposes
        found: list[Trajectory] = []
        for vector, weights in zip(vectors.T, basis.values.T, strict=True):
            component = functools.partial(_component, f, tuple(vector.tolist()))
            part = _Component(self.density, self._solver_of(weights))
            found.append(part._solve(component, times=times, at=at, adjoint=adjoint))
        back = np.linalg.inv(vectors)
        return dataclasses.replace(
            found[0],
            values=np.stack([each.values for each in found], axis=-1) @ back,
            solver_error=float(max(each.solver_error for each in found) * np.abs(back).sum(axis=0).max()),
        )

    @functools.cached_property
    def _basis(self) -> CommonBasis:
        basis = self.attention.common_basis
        if basis is None or np.abs(np.imag(basis.values)).max() > REAL:
            raise ConfigError(
                "the output matrices share no real eigenvectors, so that the limit is a system that is not solved "
                "here. Use `generator`, or the population at a small bandwidth."
            )
        return CommonBasis(np.real(basis.vectors), np.real(basis.values))

    def _solver_of(self, weights: np.ndarray) -> Solver:
        key = tuple(np.round(weights, 12).tolist())
        if key not in self._solvers:
            chosen = choose_discretization(self._discretization, density=self.density)
            if chosen is None:
                raise ConfigError(
                    f"there is no solver for {type(self.density).__name__} on {self.density.manifold}: "
                    f"{describe_kinds()}. Use `generator`, which works pointwise on every manifold."
                )
            combined = CombinedExpansion(self._expansions, weights)
            self._solvers[key] = chosen.solver(combined, self.density, rtol=self.rtol / self._basis.condition)
        return self._solvers[key]

    def _check(self, f: Callable, points: np.ndarray) -> None:
        known = examine(f, points)
        shape = jax.eval_shape(lambda x: at_point(known, x), jnp.asarray(points[0])).shape
        self.attention.check_channels((len(points), *shape))


class _Component(Diffusion):
    """One component of several heads, with its solver."""

    def __init__(self, density: Density, solver: Solver) -> None:
        self.density = density
        self._solver_or_none = solver


def _component(f: Callable, vector: tuple[float, ...], x: jax.Array) -> jax.Array:
    return f(x) @ jnp.asarray(vector)
