"""e^{tL} f in a basis: what one resolution answers, and how far it is from the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import numpy as np

from attnflow._lifting import evaluate
from attnflow.equations.discretizations.base import Basis
from attnflow.equations.discretizations.refinement import Level
from attnflow.equations.discretizations.scrutiny import Missed
from attnflow.equations.semigroups.krylov import KrylovSemigroup
from attnflow.errors import ConvergenceError

_ROUND_OFF = 1e-13  # of max |u|; measured 1e-15 to 5e-14 where log p is of order one
_ROUNDING = 4 * np.finfo(float).eps  # of the entries of A: three times what was measured over wells at long times
_RATED = 4  # resolutions over which the fall of their differences is measured: single ones vary
_SUSPECT = 1e-3  # of the size: by so much two resolutions may differ at times that were not asked
_HOPELESS = 100  # times the doubt allowed: so far no finer resolution will come
_LINE_NODES = 1 << 14  # of a close look at a function on the line
_FEW = 4  # times, and components of f, that are followed sooner than a matrix is exponentiated
_REACH = 2500.0  # |tA| up to which, by two Krylov spaces; on T^2, degree 20, two exponentials take four times as long
_ROUGH_DEGREE = 48  # from which a function on the line that is not resolved is looked at more closely


class Start(NamedTuple):
    """What one resolution begins with.

    Attributes:
        coefficients: of f, (K, c).
        doubts: by how much another rule's coefficients differ, (K, c), or (K, 0) where the error is known.
        lost: how far the sum is from f: no later error caused by it is larger, by the maximum principle.
        missing: the norm of what is above this resolution, where only its decay makes it small; 0 elsewhere.
        is_rough: whether f is too rough for every basis, or not asked to be resolved.
    """

    coefficients: np.ndarray
    doubts: np.ndarray
    lost: float
    missing: float
    is_rough: bool


class Solution(NamedTuple):
    """The answer of one resolution.

    Attributes:
        states: coefficients in time, (T, K, c).
        start: what it began with.
        ladder: falling times (L,), and there the coefficients of f and of the first functions, (L, K, c + c').
        way: all times met (S,), in any order, and the same coefficients there, (S, K, c + c').
        lost: the error due to what is not known of f.
        shape: of one value of f.
    """

    states: np.ndarray
    start: Start
    ladder: tuple[np.ndarray, np.ndarray]
    way: tuple[np.ndarray, np.ndarray]
    lost: float
    shape: tuple[int, ...]


class Path(NamedTuple):
    """The way of a solution through time.

    Attributes:
        spent: the time near each of its states, (S,).
        states: these, (S, K, c), rising in time.
        tests: those of the first functions, (S, K, c').
        memory: how long a disturbance matters.
    """

    spent: np.ndarray
    states: np.ndarray
    tests: np.ndarray
    memory: float

    def total(self, rates: np.ndarray) -> float:
        """Return what an error that grows at these rates (S,) amounts to, as far as it is remembered."""
        return float(min(self.spent @ rates, self.memory * rates.max()))


@dataclass(frozen=True)
class Evolution:
    """e^{tL} f, or e^{tL*} f, at many times.

    Attributes:
        differences: between each two neighbouring resolutions compared so far.
    """

    f: Callable
    times: np.ndarray
    points: np.ndarray
    weights: np.ndarray | None
    adjoint: bool
    is_compact: bool
    rtol: float
    differences: list[float] = field(default_factory=list)

    needs_matrix: ClassVar[bool] = False

    def is_swift(self, level: Level) -> bool:
        assert isinstance(level.semigroup, KrylovSemigroup)
        seen = level.scrutiny.seen(self.f, adjoint=self.adjoint)
        few = len(np.unique(self.times)) <= _FEW and seen.coefficients.shape[1] <= _FEW
        smooth = seen.lost <= self.rtol * seen.size
        return few and smooth and float(self.times.max()) * level.semigroup.operator.norm <= _REACH

    def solve(self, level: Level) -> Solution:
        basis = level.basis
        values = evaluate(self.f, basis.nodes)
        start = self._start(level, values.reshape(len(values), -1))
        last = _unit(basis, above=basis.degree - 4) if start.missing else np.zeros((basis.size, 0))
        begun = np.hstack([start.coefficients, _unit(basis, above=0, up_to=1)])
        columns = np.hstack([begun, start.doubts, last])
        followed = level.semigroup.follow(columns, watched=begun.shape[1], times=self.times, adjoint=self.adjoint)
        states, rungs, climbed = followed
        states, doubts, decay = np.split(states, np.cumsum([begun.shape[1], start.doubts.shape[1]]), axis=2)
        # What is left of the last four degrees bounds what is left of those above, which decay faster: twice is safe.
        lost = start.lost + self._norm(basis, doubts) + 2 * self._norm(basis, decay) * start.missing
        if self.times.min() == 0:
            found = self.values(basis, start.coefficients, at=self.points)
            lost += self._reduce(_lengths(found - evaluate(self.f, self.points).reshape(found.shape)))
        way = (np.concatenate([[0.0], rungs, self.times]), np.concatenate([begun[None], climbed, states]))
        count = start.coefficients.shape[1]
        return Solution(states[..., :count], start, (rungs, climbed), way, lost, values.shape[1:])

    def compare(self, level: Level, fine: Solution, coarse: Solution) -> tuple[float, float]:
        basis = level.basis
        size = self._norm(basis, fine.states)
        if self.is_compact:
            # What is left of a rough f in the end may be no more than its rounding.
            share = min(1.0, _ROUND_OFF / self.rtol) if fine.start.is_rough else 1.0
            size = max(size, share * self._norm(basis, fine.start.coefficients))
        elif not self.adjoint:  # the sum itself may be far from f far out
            size = max(size, self._reduce(_lengths(evaluate(self.f, self.points).reshape(len(self.points), -1))))
        if self.is_compact and not size < np.inf:
            return np.inf, np.inf  # a low resolution may grow without bound where a finer one does not
        noise = self._noise(level)
        if not noise <= self.rtol * size < np.inf:
            raise _refusal(f"rounding alone is {noise:.3g} at degree {basis.degree}", self.remedy(level))
        self.differences.append(self._distance(basis, _less(fine.states, coarse.states)))
        error = _left_after(self.differences) + fine.lost + _ROUND_OFF * size + noise
        # A close look at L, and at the times between.
        path = self._path(fine)
        scale = float(basis.reference_density(basis.nodes).max()) if self.adjoint else 1.0
        if not error <= self.rtol * size:
            if self.is_compact:
                hopeless = _HOPELESS * np.sqrt(self.rtol) * size
                missed = level.scrutiny.missed_with_matrix
                hidden = self._leak(missed, fine, path, basis) * size
                if hidden > hopeless:
                    missed = level.scrutiny.missed_at_best
                    hidden = self._leak(missed, fine, path, basis) * size
                if hidden > hopeless:
                    raise _refusal(
                        f"what no resolution sees of the density or the cost may change it by {hidden:.3g}, most at "
                        f"{np.round(missed.place, 6).tolist()}",
                        self.remedy(level),
                    )
            return error, size
        peak = scale * (level.peak if self.adjoint and self.is_compact else 1.0)
        squares = np.sum(path.states**2, axis=2)  # (S, K)
        bends = np.array([path.total(np.sqrt(squares @ basis.slopes**power)) for power in (2, 4)])
        rounded = np.sqrt(squares @ level.sizes(adjoint=self.adjoint))
        error += peak * float(level.missed.aliases @ bends) + scale * _ROUNDING * path.total(rounded)
        leak = self._leak(level.missed, fine, path, basis)
        doubt = max(self._apart(fine, coarse), leak if leak > np.sqrt(self.rtol) else 0.0)
        return max(error, doubt * size), size

    def remedy(self, level: Level) -> str:
        if self.is_compact:
            return "Use a smoother function or density, or a larger `rtol`."
        farthest = self.points[np.argmax(_lengths(level.basis.evaluate(self.points)))]
        place = ", ".join(f"{x:.6g}" for x in farthest)
        return (
            "Polynomials resolve what by then is no narrower than about .3 deviations of the density and grows slowly, "
            f"and magnify rounding far out, most at x = {place} of `at`. Use a smoother function, later "
            "times, points nearer to the mean, or a larger `rtol`."
        )

    def values(self, basis: Basis, coefficients: np.ndarray, *, at: np.ndarray | None = None) -> np.ndarray:
        """Return values (..., Q, c) at points, or at the nodes."""
        values = basis.synthesise_at_nodes(coefficients) if at is None else basis.synthesise(coefficients, at=at)
        if self.adjoint:
            values *= basis.reference_density(basis.nodes if at is None else at)[:, None]
        return values

    def _start(self, level: Level, values: np.ndarray) -> Start:
        """Return the coefficients of f, from its values (M, c) at the nodes, and what is known of their error.

        Where f is too rough for every basis its coefficients are taken from a rule with very many nodes, and what they
        leave of f is asked to have decayed.
        """
        basis, scrutiny = level.basis, level.scrutiny
        own = basis.analyse_density(values) if self.adjoint else basis.analyse(values)
        none = np.zeros((basis.size, 0))
        if not self.is_compact:
            return self._start_on_line(level, own)
        seen = scrutiny.seen(self.f, adjoint=self.adjoint)
        if seen.lost > self.rtol * seen.size:
            if not level.has_matrix:
                raise _refusal(f"at degree {basis.degree} a function must be smooth", self.remedy(level))
            if self.times.min() == 0 or np.linalg.norm(seen.doubts[0]) > self.rtol * seen.norm:
                raise ConvergenceError(
                    f"the drift-diffusion is not resolved at degree {scrutiny.top.degree}: initially the error is "
                    f"{seen.lost:.3g}, {self.rtol * seen.size:.3g} is asked, as the function is rough at "
                    f"{np.round(seen.place, 6).tolist()}. Use a smoother function, or a larger `rtol`."
                )
            kept = slice(basis.size)
            return Start(seen.coefficients[kept], seen.doubts[kept], 0.0, seen.beyond(basis.size), True)
        lost = float(_lengths(values - self.values(basis, own)).max())
        unseen = _lengths(seen.coefficients)[scrutiny.top.orders > 1.5 * basis.degree].sum()  # between the nodes
        scale = float(basis.reference_density(basis.nodes).max()) if self.adjoint else 1.0
        return Start(own, none, lost + seen.lost + 2 * scale * float(unseen), 0.0, False)

    def _start_on_line(self, level: Level, own: np.ndarray) -> Start:
        """Return the same on the line, where errors of f are those of L2(p).

        A rough f is taken as elsewhere. Initial densities with tails twice as wide as p have no such norm; their
        moments still resolve them later.
        """
        basis, scrutiny = level.basis, level.scrutiny
        none = np.zeros((basis.size, 0))
        if not self.adjoint:
            rule, values, _ = scrutiny.moments(self.f, basis, adjoint=False, nodes=_LINE_NODES)
            size, lost = (
                float(np.sqrt(rule.weights @ _lengths(part) ** 2)) for part in (values, values - rule.synthesise(own))
            )
            if lost > self.rtol * size and self.times.min() > 0 and basis.degree >= _ROUGH_DEGREE:
                seen = scrutiny.seen(self.f, adjoint=False)
                if seen.beyond(scrutiny.top.size) > self.rtol * seen.norm:
                    kept = slice(basis.size)
                    return Start(seen.coefficients[kept], seen.doubts[kept], 0.0, seen.beyond(basis.size), True)
            return Start(own, none, lost, 0.0, False)
        *_, moments = scrutiny.moments(self.f, basis, adjoint=True, nodes=_LINE_NODES)
        *_, others = scrutiny.moments(self.f, basis, adjoint=True, nodes=_LINE_NODES // 2)
        return Start(moments, moments - others, 0.0, 0.0, True)

    def _path(self, solution: Solution) -> Path:
        """Return the way that a solution takes."""
        rungs, climbed = solution.ladder
        count = solution.states.shape[2]
        times, states = solution.way
        order = np.argsort(times, kind="stable")
        # What is left of the first functions, without the constant, says how long a disturbance is remembered.
        left = np.append(1.0, np.linalg.norm(climbed[::-1, 1:, count:], axis=1).max(axis=1))
        stretches = np.diff([0.0, *rungs[::-1], times.max()])
        memory = float(stretches @ _logarithmic_mean(left, np.append(left[1:], left[-1])))
        return Path(np.append(np.diff(times[order]), 0.0), states[order, :, :count], states[order, :, count:], memory)

    def _leak(self, missed: Missed, solution: Solution, path: Path, basis: Basis) -> float:
        """Return how much L sends out of the basis on the way, relative to the size of the solution.

        A rough f is cut off to begin with; there it is asked of the first functions.
        """
        states = path.tests if solution.start.is_rough else path.states
        sizes = np.linalg.norm(states, axis=2)
        return path.total(missed.leak(sizes, basis)) / max(float(np.linalg.norm(sizes[0])), 1e-300)

    def _apart(self, fine: Solution, coarse: Solution) -> float:
        """Return how far two resolutions differ at times that were not asked, relative to their size, if suspiciously.

        At long times modes that both take for fast have decayed in both, however slow they are in truth.
        """
        rungs = min(len(fine.ladder[0]), len(coarse.ladder[0]))
        first = fine.states.shape[2] if fine.start.is_rough else 0  # a rough f differs at early times
        of_fine, of_coarse = (solution.ladder[1][:rungs, :, first:] for solution in (fine, coarse))
        apart = np.linalg.norm(_less(of_fine, of_coarse), axis=1)
        whole = np.linalg.norm(of_fine, axis=1).max(axis=0, initial=0.0)
        worst = float((apart / np.maximum(whole, 1e-300)).max(initial=0.0))
        return worst if worst > _SUSPECT else 0.0

    def _norm(self, basis: Basis, coefficients: np.ndarray) -> float:
        if self.is_compact:
            return float(_lengths(self.values(basis, coefficients)).max())
        return self._reduce(_lengths(self.values(basis, coefficients, at=self.points)))

    def _distance(self, basis: Basis, difference: np.ndarray) -> float:
        """Return the norm of what two resolutions differ by, which must not be small by accident at few points."""
        if self.is_compact:
            return self._norm(basis, difference)
        bounds = basis.bound(difference, at=self.points)
        if self.adjoint:
            bounds *= basis.reference_density(self.points)[:, None]
        return self._reduce(_lengths(bounds))

    def _reduce(self, lengths: np.ndarray) -> float:
        """Return the norm of lengths (..., Q) at the points where the solution is asked."""
        if self.is_compact or self.weights is None:
            return float(lengths.max())
        return float(np.sqrt((lengths**2 @ self.weights).max() / self.weights.sum()))

    def _noise(self, level: Level) -> float:
        """Return the rounding of the coefficients of f as time leaves it, on the line, where polynomials grow far out.

        Each of them is a sum whose rounding is relative to the largest terms.
        """
        if self.is_compact:
            return 0.0
        basis = level.basis
        values = np.abs(evaluate(self.f, basis.nodes)).reshape(len(basis.nodes), -1).max(axis=1)
        weights = basis.volumes if self.adjoint else basis.weights
        sizes = np.abs(basis.at_nodes).T @ (weights * values)
        left = level.semigroup.propagate(np.diag(sizes), times=self.times, adjoint=self.adjoint)
        return float(np.finfo(float).eps * self._norm(basis, left))


def _refusal(reason: str, remedy: str) -> ConvergenceError:
    """Return the error that says why the solution is not resolved."""
    return ConvergenceError(f"the drift-diffusion is not resolved: {reason}. {remedy}")


def _lengths(values: np.ndarray) -> np.ndarray:
    """Return Euclidean norms over the components, the last axis."""
    return np.linalg.norm(values, axis=-1)


def _logarithmic_mean(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the mean along an exponential that falls from a to b, which bounds that of a sum of exponentials."""
    a, b = np.maximum(a, 1e-300), np.maximum(b, 1e-300)
    alike = np.abs(a - b) < 1e-6 * a
    return np.where(alike, a, (a - b) / np.where(alike, 1.0, np.log(a / b)))


def _left_after(differences: list[float]) -> float:
    """Return how far the last resolution may be from the truth: the last difference, or the sum of those to come.

    If they fall by a factor q the sum is q / (1 - q) times the last; twice that is safe, as q itself rises slowly. On
    the line, where log p or f has a feature as narrow as p, q is about .7; elsewhere mostly below .1.
    """
    *_, last = differences
    first = differences[-_RATED - 1 :][0]
    if not 0 < last < first < np.inf:
        return last
    q = (last / first) ** (1 / min(_RATED, len(differences) - 1))
    return last * max(1.0, 2 * q / (1 - q))


def _less(fine: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Return the difference of coefficients (..., K, c), of which the coarse ones are fewer."""
    difference = fine.copy()
    difference[:, : coarse.shape[1]] -= coarse
    return difference


def _unit(basis: Basis, *, above: int, up_to: float = np.inf) -> np.ndarray:
    """Return the coefficients (K, k) of the functions of some degrees."""
    degrees = basis.orders
    return np.eye(basis.size)[:, (degrees > above) & (degrees <= up_to)]
