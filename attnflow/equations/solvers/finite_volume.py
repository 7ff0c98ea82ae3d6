"""The drift-diffusion on cells, as a process of jumps between them: positivity, entropy and detailed balance."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from attnflow._checks import check_integer
from attnflow._lifting import evaluate
from attnflow._values import freeze, static, value
from attnflow.densities.base import Density
from attnflow.equations.discretizations.cells import DOMAIN, Cells, cells_of, counts_of, has_cells
from attnflow.equations.discretizations.exponential_fitting import (
    along_coordinates,
    balanced,
    carried,
    stationary,
)
from attnflow.equations.expansions.base import Expansion
from attnflow.equations.semigroups.dense import one_blas_thread, real_modes
from attnflow.equations.semigroups.jump_modes import balanced_modes, general_modes
from attnflow.equations.semigroups.rational_krylov import propagate
from attnflow.equations.solvers.base import Answer, Discretization, Solver
from attnflow.equations.solvers.extrapolation import extrapolate, magnification
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.manifolds.base import Manifold
from attnflow.measures import DiscreteMeasure
from attnflow.resolution import close_nodes, close_rule, roughest
from attnflow.trajectories import Spectrum

_PROBES = 256  # points at which answers are compared besides those asked, and as many where log p bends most
_LEAST_LAW = 1e-300  # of a cell: its root is a number
_DOUBT = 1e-3  # of an eigenfunction that is returned
_SHARE = 0.05  # of the tolerance that the semigroup may take


@value
class FiniteVolume(Discretization):
    r"""Cells along orthogonal coordinates, between which mass jumps at rates of Scharfetter and Gummel [SG].

    L becomes the generator Q of a process of jumps: rates >= 0, rows that sum to 0. Between neighbours i and j at the
    distance d, with a face of area A, volumes V, C along d and 2 C^-1 b d = psi_j - psi_i,

        q_ij = C A B(psi_i - psi_j) / (2 d V_i),   B(x) = x / (e^x - 1).

    Where L is reversible (symmetric costs) psi is the logarithm of its law: detailed balance then holds exactly with
    V e^psi. Errors are of order h^2 at the centres.

    Without `cells` the grids grow until extrapolated answers agree to `rtol` of the solver, on circles, flat tori and
    intervals by five powers of h^2, on S^2, whose poles allow one, to about 1e-6. With `cells` that one grid answers,
    unchanged, and is compared with half as many: a density stays >= 0, its mass at the centres is exact, no relative
    entropy rises, and between the centres values are averages of those there. Ask for a `rtol` such as 1e-2 then.

    Args:
        cells: along each angle, or from pole to pole, an even number of at least 8; None extrapolates.

    Raises:
        ConfigError: if `cells` is something else.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> p = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
        >>> volumes = af.FiniteVolume(cells=100)
        >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
        >>> limit = af.DriftDiffusion(attention, p, rtol=1e-2, discretization=volumes)
        >>> flow = limit.adjoint_evolve(lambda x: 1 + x[1], times=[0.0, 0.5], at=volumes.grid(p.manifold))
        >>> mass = flow.values @ flow.weights
        >>> bool(abs(mass[1] / mass[0] - 1) < 1e-13), bool(flow.values.min() >= 0)
        (True, True)
    """

    cells: int | None = static()

    name = "finite volume"
    domain = f"'finite volume' serves {DOMAIN}"

    def __init__(self, cells: int | None = None) -> None:
        if cells is not None and check_integer(cells, "cells", minimum=8) % 2:
            raise ConfigError(f"`cells` must be even, so that half as many can be compared, got {cells}.")
        freeze(self, cells=cells)

    def serves(self, density: Density) -> bool:
        return has_cells(density.manifold)

    def solver(self, expansion: Expansion, density: Density, *, rtol: float) -> FiniteVolumeSolver:
        return FiniteVolumeSolver(expansion, density, cells=self.cells, rtol=rtol)

    def grid(self, manifold: Manifold) -> DiscreteMeasure:
        """Return the centres of the cells with their volumes, which `at` takes.

        Raises:
            ConfigError: if `cells` were not given, or the manifold is not served.
        """
        if self.cells is None:
            raise ConfigError("a grid has `cells`, got None. Pass them, as in FiniteVolume(cells=100).")
        return cells_of(manifold, self.cells).measure


class Level:
    """The process of jumps on one grid.

    Attributes:
        cells: of the manifold.
        jumps: between them.
        is_reversible: whether detailed balance holds.
        law: the stationary probabilities of the cells, (K,).
    """

    def __init__(self, cells: Cells, expansion: Expansion) -> None:
        self.cells = cells
        found = expansion.coefficients(cells.centres)
        self._fields = np.hstack([found.diffusions.reshape(len(cells.centres), -1), found.drifts])
        log_law = expansion.log_law(cells.centres)
        along = along_coordinates(cells, found.diffusions)
        self.is_reversible = log_law is not None
        if log_law is not None:
            self.jumps = balanced(cells, along, log_law)
            weights = cells.volumes * np.exp(log_law - log_law.max())
            self.law = weights / weights.sum()
        else:
            self.jumps = carried(cells, along, np.einsum("qai,qi->qa", cells.axes, found.drifts))
            self.law = stationary(self.jumps.matrix)

    def missed(self, fields: np.ndarray, *, at: np.ndarray) -> float:
        """Return by how much C and b, as they are between the centres, differ from fields (Q, D^2 + D), relatively."""
        differences = np.abs(self.cells.interpolate(self._fields, at=at) - fields).max(axis=0)
        width = self.cells.centres.shape[1] ** 2
        scale = float(np.abs(self._fields[:, :width]).max())
        drift = max(float(np.abs(self._fields[:, width:]).max()), scale)
        return float(max(differences[:width].max() / scale, differences[width:].max() / drift))

    def modes(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the smallest eigenvalues of -Q, and eigenvectors (K, count) of norm one in the law."""
        if self.is_reversible:
            values, vectors = balanced_modes(self.jumps.matrix, count)
            vectors = vectors / np.sqrt(np.maximum(self.law, _LEAST_LAW))[:, None]
        else:
            values, vectors = real_modes(*general_modes(self.jumps.matrix, count))
        values[0], vectors[:, 0] = 0.0, 1.0
        vectors = vectors / np.sqrt(self.law @ vectors**2)
        first = np.argmax(np.abs(vectors) > 0.5 * np.abs(vectors).max(axis=0), axis=0)
        return values, vectors * np.sign(vectors[first, np.arange(count)])

    def doubts(self, values: np.ndarray, vectors: np.ndarray) -> np.ndarray:
        """Return by how much eigenvectors (K, k) miss their equation, relative to the largest value and rate, (k,).

        Where the law is least they are divided by its root, and what is rounding before may be all there is.
        """
        missed = np.abs(self.jumps.matrix @ vectors + vectors * values).max(axis=0)
        return missed / np.abs(vectors).max(axis=0) / max(float(values.max()), 1e-300)


class Question(NamedTuple):
    """What is asked of every grid.

    Attributes:
        ask: the map from a grid to an array, and a bound on its error but for that of the grid.
        size: the map from an answer to what the tolerance is relative to.
    """

    ask: Callable[[Level], tuple[np.ndarray, float]]
    size: Callable[[np.ndarray], float]


class FiniteVolumeSolver(Solver):
    """A drift-diffusion on grids of cells.

    Args:
        expansion: gives C, b and the reversible law.
        density: p.
        cells: of the one grid that answers; None extrapolates.
        rtol: max |error| <= rtol max |u|.
    """

    def __init__(self, expansion: Expansion, density: Density, *, cells: int | None, rtol: float) -> None:
        self._expansion, self._density, self._count, self._rtol = expansion, density, cells, rtol
        self._levels: dict[int, Level] = {}

    def evolve(
        self, f: Callable, *, times: np.ndarray, points: np.ndarray, weights: np.ndarray | None, adjoint: bool
    ) -> Answer:
        shape = evaluate(f, points).shape[1:]
        places = np.concatenate([points, self._density.manifold.spread(_PROBES)])
        rough, truth = (None, None) if self._count else self._roughest(f)

        def ask(level: Level) -> tuple[np.ndarray, float]:
            cells = level.cells
            initial = evaluate(f, cells.centres).reshape(len(cells.centres), -1)
            states, error = self._propagate(level, initial, times, adjoint=adjoint)
            between = cells.interpolate if self._count is None else cells.average
            found = between(np.moveaxis(states, 0, 1).reshape(len(initial), -1), at=places)
            if rough is not None:
                error += float(np.abs(cells.interpolate(initial, at=rough) - truth).max())
            return np.moveaxis(found.reshape(len(places), len(times), -1), 1, 0), error

        start = float(np.abs(evaluate(f, places)).max())
        values, error, level = self._resolve(Question(ask, lambda found: max(start, float(np.abs(found).max()))))
        return Answer(values[:, : len(points)].reshape(len(times), len(points), *shape), error, self._method(level))

    def spectrum(self, count: int) -> Spectrum:
        def ask(level: Level) -> tuple[np.ndarray, float]:
            rounding = 10 * np.finfo(float).eps * level.jumps.fastest
            return level.modes(max(count, 2))[0], rounding

        values, error, level = self._resolve(Question(ask, lambda found: float(np.abs(found).max())), size=count + 2)
        own, vectors = level.modes(max(count, 2))
        doubts = level.doubts(own, vectors)[:count]
        functions = Eigenfunctions(self._density.manifold, level.cells, vectors[:, :count], doubts)
        return Spectrum(values[:count], functions, error)

    def _propagate(
        self, level: Level, initial: np.ndarray, times: np.ndarray, *, adjoint: bool
    ) -> tuple[np.ndarray, float]:
        """Return states (T, K, c) and a bound on their error; of densities by the masses of the cells."""
        volumes = level.cells.volumes[:, None] if adjoint else np.ones((1, 1))
        with one_blas_thread():
            if self._count is not None:
                found = level.jumps.propagate(initial * volumes, times=times, adjoint=adjoint)
            else:
                tolerance = _SHARE * self._rtol * float(volumes.min() / volumes.max())
                found = propagate(
                    level.jumps.matrix,
                    initial * volumes,
                    times=times,
                    tolerance=tolerance,
                    law=level.law,
                    adjoint=adjoint,
                )
        return found.states / volumes, found.error / float(volumes.min())

    def _resolve(self, question: Question, *, size: int = 0) -> tuple[np.ndarray, float, Level]:
        """Return the answer of the finest grid that was needed, its error and that grid.

        Raises:
            ConvergenceError: if it misses the tolerance.
        """
        if self._count is not None:
            return self._compare(question, count=self._count, size=size)
        answers: list[np.ndarray] = []
        counts: list[int] = []
        own: list[float] = []
        error = scale = np.inf
        for count in counts_of(self._density.manifold):
            level = self._level(count)
            if len(level.cells.centres) < size:
                continue
            answer, rest = question.ask(level)
            answers, counts, own = [*answers, answer], [*counts, count], [*own, rest]
            if len(answers) > 1:
                best, error, scale = self._extrapolate(level, question, answers=answers, counts=counts, own=own)
                if error <= self._rtol * scale:
                    return best, error, level
        raise self._refusal(count, error, scale, "Use a smoother function or density, or a larger `rtol`.")

    def _extrapolate(
        self, level: Level, question: Question, *, answers: list[np.ndarray], counts: list[int], own: list[float]
    ) -> tuple[np.ndarray, float, float]:
        """Return the extrapolated answer, its error, by the last two columns of the table, and its size.

        Where all columns are in use already at the coarser grids, the error is how far the last grid has moved it.
        """
        columns = level.cells.columns
        best = extrapolate(answers, counts, columns=columns)
        before = slice(None, -1) if len(answers) > columns + 1 else slice(1, None)
        other = extrapolate(answers[before], counts[before], columns=columns)
        scale = question.size(best)
        error = float(np.abs(best - other).max())
        error += magnification(counts, columns=columns) * max(own[-columns - 1 :])
        if error <= self._rtol * scale:
            error += self._missed(level) * scale
        return best, error, scale

    def _compare(self, question: Question, *, count: int, size: int) -> tuple[np.ndarray, float, Level]:
        """Return the answer of the one grid, and its error: half of how far half as many cells are from it.

        A third of that is the error as h -> 0.
        """
        fine, coarse = self._level(count), self._level(count // 2)
        if len(coarse.cells.centres) < size:
            raise ConfigError(f"`k` must be smaller than half the number of cells, {len(fine.cells.centres)}.")
        (answer, rest), (other, _) = question.ask(fine), question.ask(coarse)
        error = 0.5 * float(np.abs(answer - other).max()) + rest
        scale = question.size(answer)
        if not error <= self._rtol * scale:
            remedy = "Use more `cells`, a larger `rtol`, or leave `cells` out: errors are then extrapolated."
            raise self._refusal(count, error, scale, remedy)
        return answer, error, fine

    def _refusal(self, count: int, error: float, scale: float, remedy: str) -> ConvergenceError:
        return ConvergenceError(
            f"the drift-diffusion is not resolved by {count} cells along a coordinate on {self._density.manifold}: the "
            f"error is {error:.3g}, {self._rtol * scale:.3g} is asked. {remedy}"
        )

    def _level(self, count: int) -> Level:
        if count not in self._levels:
            self._levels[count] = Level(cells_of(self._density.manifold, count), self._expansion)
        return self._levels[count]

    def _method(self, level: Level) -> str:
        extrapolated = "" if self._count else ", extrapolated"
        return f"Finite volume, {level.cells.count} cells{extrapolated}"

    def _roughest(self, f: Callable) -> tuple[np.ndarray, np.ndarray]:
        """Return the places where f bends most among very many, and f there."""
        manifold = self._density.manifold
        nodes = close_rule(manifold, close_nodes(manifold)).points
        values = evaluate(f, nodes).reshape(len(nodes), -1)
        places = roughest(values, _PROBES)
        return nodes[places], values[places]

    def _missed(self, level: Level) -> float:
        places, fields = self._look
        return level.missed(fields, at=places)

    @functools.cached_property
    def _look(self) -> tuple[np.ndarray, np.ndarray]:
        """C and b where log p bends most among very many nodes, and all over M."""
        manifold = self._density.manifold
        nodes = close_rule(manifold, close_nodes(manifold)).points
        rough = nodes[roughest(self._density.log_densities(nodes), _PROBES)]
        places = np.concatenate([rough, manifold.spread(_PROBES)])
        found = self._expansion.coefficients(places)
        return places, np.hstack([found.diffusions.reshape(len(places), -1), found.drifts])


@dataclass(frozen=True)
class Eigenfunctions:
    """The map from points (Q, D) on M to the values (Q, k) there, of order h^2 on the finest grid.

    Raises:
        ConvergenceError: if one of them is not known.
    """

    manifold: Manifold
    cells: Cells
    values: np.ndarray
    doubts: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        worst = int(np.argmax(self.doubts))
        if not self.doubts[worst] <= _DOUBT:
            raise ConvergenceError(
                f"eigenfunction {worst} misses its equation by {self.doubts[worst]:.2g} of itself, by rounding where "
                f"the stationary law is least. Ask for the first {int(np.argmax(self.doubts > _DOUBT))} only, or use a "
                "less peaked density."
            )
        return self.cells.interpolate(self.values, at=self.manifold.check(points, "points"))
