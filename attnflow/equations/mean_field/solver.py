"""The mean field twice, at two resolutions and two sizes of steps, whose difference is the declared error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.equations.mean_field.problem import Answer, BrokenOffError, Problem, Solver
from attnflow.equations.mean_field.spectral import LeftError, Level, Run, State, padded

_ATTEMPTS, _TIGHTER = 3, 1e-2  # each at a hundredth of the tolerances of the one before
_COARSER, _LOOSER = 0.8, 10.0  # degrees and tolerances of the run that is compared
_AIM = 0.3  # of the tolerance, that the looser run is to keep
_ROUNDING = 1e-13  # of a density
_LEAST_STEP = 3e-14  # tolerance of steps; SciPy takes no smaller one


class Path(NamedTuple):
    """The same density twice, by the finer and the coarser run, and why it ends."""

    fine: list[State]
    coarse: list[State]
    left: str

    @property
    def times(self) -> np.ndarray:
        """When, (T,)."""
        return np.array([state.time for state in self.fine])


class SpectralSolver(Solver):
    """Densities by their moments in a basis whose degree rises as they ask for it.

    Args:
        problem: what moves.
    """

    def __init__(self, problem: Problem) -> None:
        self._problem = problem
        self._attempts: list[tuple[Run, Run]] = []

    def evolve(self, times: np.ndarray, *, points: np.ndarray) -> Answer:
        for number in range(_ATTEMPTS):
            fine, coarse = self._runs(number)
            path = _follow(fine, coarse, times)
            errors, size = self._compare(path)
            good = np.maximum.accumulate(errors) <= self._problem.rtol * size
            if path.left or (number == _ATTEMPTS - 1 and not good.all()):
                kept = _first(path, int(np.sum(good)))
                answer = self._answer(kept, errors, points=points) if kept.fine else None
                raise BrokenOffError(path.left or _differ(path, errors, rtol=self._problem.rtol, size=size), answer)
            if good.all():
                break
        return self._answer(path, errors, points=points)

    def velocity(self, points: np.ndarray) -> np.ndarray:
        run = self._runs(0)[0]
        try:
            state = run.start()
        except LeftError as left:
            raise BrokenOffError(str(left), None) from left
        level = run.level(state.place)
        frame = level.basis.fields(points)
        velocities = level.field.towards(points, rtol=self._problem.rtol)(level.at_nodes(state.moments))
        return np.einsum("aqi,aqj,qj->qi", frame, frame, velocities)

    def _runs(self, number: int) -> tuple[Run, Run]:
        while len(self._attempts) <= number:
            rtol = _AIM * self._problem.rtol * _TIGHTER ** len(self._attempts)
            fine = Run(self._problem, share=1.0, rtol=max(rtol / _LOOSER, _ROUNDING), least_step=_LEAST_STEP)
            least = _LOOSER * _LEAST_STEP  # so that both take other steps however small the tolerance
            coarse = Run(self._problem, share=_COARSER, rtol=max(rtol, _ROUNDING), least_step=least)
            self._attempts.append((fine, coarse))
        return self._attempts[number]

    def _highest(self, path: Path) -> Level:
        """Return the level in whose basis all densities of a path are."""
        runs = zip(self._attempts[-1], (path.fine, path.coarse), strict=True)
        levels = [run.level(max(state.place for state in states)) for run, states in runs]
        return max(levels, key=lambda level: level.basis.size)

    def _compare(self, path: Path) -> tuple[np.ndarray, float]:
        """Return by how much the two densities differ anywhere, or are negative, (T,), and their largest value."""
        if not path.fine:
            return np.zeros(0), 1.0
        level, errors, largest = self._highest(path), [], 0.0
        for fine, coarse in zip(path.fine, path.coarse, strict=True):
            density, other = (level.at_nodes(padded(each.moments, level.basis.size)) for each in (fine, coarse))
            errors.append(max(float(np.abs(density - other).max()), -float(density.min())))
            largest = max(largest, float(density.max()))
        return np.array(errors), largest

    def _answer(self, path: Path, errors: np.ndarray, *, points: np.ndarray) -> Answer:
        level = self._highest(path)
        moments = np.stack([padded(state.moments, level.basis.size) for state in path.fine])
        method = self._attempts[-1][0].level(path.fine[-1].place).method
        error = float(errors[: len(path.fine)].max())
        return Answer(path.times, level.at(moments, points), error, method)


def _follow(fine: Run, coarse: Run, times: np.ndarray) -> Path:
    """Return both runs at rising times, or up to the last time at which both resolve the density."""
    path = Path([], [], "")
    try:
        now = fine.start(), coarse.start()
    except LeftError as left:
        return path._replace(left=f"the density is not resolved: {left}. Pass a smoother one.")
    for time in times:
        now, reason = _advance((fine, coarse), now, float(time))
        path.fine.append(now[0])
        path.coarse.append(now[1])
        if reason:
            return path._replace(left=f"the density leaves the resolved range at t = {now[0].time:.6g}: {reason}.")
    return path


def _advance(runs: tuple[Run, Run], now: tuple[State, State], time: float) -> tuple[tuple[State, State], str]:
    """Return both states at a time, or at an earlier one until which both runs resolve them, and why they end there."""
    then: list[State] = list(now)
    goal, reason, place, arrived = time, "", 0, 0
    while arrived < 2:  # both runs in turn, until they are at one time
        try:
            if then[place].time != goal:
                then[place] = runs[place].advance(now[place], goal)
            arrived += 1
        except LeftError as left:
            then[place], goal, reason, arrived = left.state, left.state.time, str(left), 1
        place = 1 - place
    return (then[0], then[1]), reason


def _first(path: Path, count: int) -> Path:
    return Path(path.fine[:count], path.coarse[:count], path.left)


def _differ(path: Path, errors: np.ndarray, *, rtol: float, size: float) -> str:
    place = int(np.argmax(errors > rtol * size))
    return (
        f"two resolutions differ by {errors[place]:.3g} at t = {path.times[place]:.6g}, and {rtol * size:.3g} is "
        "asked. Pass a larger `rtol` or shorter times."
    )
