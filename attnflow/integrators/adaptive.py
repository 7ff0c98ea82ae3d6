"""Steps as long as a tolerance allows; tokens that have met move as one."""

from __future__ import annotations

import functools
from types import MappingProxyType

import numpy as np
from scipy.integrate import DOP853
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

from attnflow._checks import check_positive, check_times, check_tolerance
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.integrators.base import Integrator, Kept, Motion, Record, State, check_velocities
from attnflow.trajectories import Merging, TokenTrajectory

TIGHTER = 0.1  # the tolerance of the second solution, from which the error of the first is read
TIGHTEST = 1e-13  # of a step
MAX_STEPS = 100_000


@value
class Adaptive(Integrator):
    """The flow itself, by Dormand and Prince's method of order 8 with steps as long as `rtol` allows [HNW].

    Velocities are taken at the points of the manifold nearest to a stage, and the state is moved there after every
    step. The flow is solved at `rtol` and once more at a tenth of it: the second is returned. The largest distance
    between the two is its declared error, with that of velocities and of mergings on top; velocities are taken to be
    magnified like steps, mergings are not.

    Tokens nearer than `merge` can become one, at their centre of mass and with the sum of their masses: as far as
    attention sees only the law of its tokens, this is exact up to that distance. What keeps steps short in a
    cluster, that its tokens fall together at a rate of order one, is then gone: steps grow to the time scale of what is
    left, and waits that are exponentially long in beta take no longer than others. Each merging is an event.

    Args:
        rtol: tolerance of a step, relative to the size of a coordinate, or absolute where that is below one.
        merge: distance below which tokens become one; None for never.

    Raises:
        ConfigError: if `rtol` is not between 0 and 1 or `merge` not positive; as it is used, if the order of the tokens
            matters, because of a mask, and some would be merged.

    Example:
        >>> import attnflow as af
        >>> flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=0.5), manifold=af.Circle())
        >>> tokens = [[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]]
        >>> moved = flow.evolve(tokens, times=1e6, integrator=af.Adaptive(rtol=1e-6, merge=1e-3))
        >>> [event.tokens for event in moved.events]
        [(0, 1, 2)]
    """

    rtol: float = 1e-8
    merge: float | None = None

    order = 8

    def __post_init__(self) -> None:
        merge = None if self.merge is None else check_positive(self.merge, "merge")
        freeze(self, rtol=check_tolerance(self.rtol, "rtol"), merge=merge)

    def solve(self, motion: Motion, start: np.ndarray, times: object, kept: Kept) -> TokenTrajectory:
        asked = check_times(times)
        if self.merge is not None and not motion.is_reordered:
            raise ConfigError(
                f"`merge` = {self.merge:g} makes one token of several, and under a mask each has a place of its own. "
                "Pass merge=None."
            )
        tighter = max(TIGHTER * self.rtol, TIGHTEST)
        state = kept.load()
        if "first" in state:
            first = state["first"]
        else:
            first = _Solution(self, motion, start, asked, rtol=tighter / TIGHTER, kept=kept, state=state).states
            state = {}
        second = _Solution(self, motion, start, asked, rtol=tighter, kept=kept, state=state, besides={"first": first})
        distance = float(np.sqrt(((second.states - first) ** 2).sum(axis=2).max()))
        # What steps were off by has grown to the distance; what velocities are off by, all the time, grows alike.
        grown = max(1.0, distance / (self.rtol * max(1.0, float(np.abs(second.states).max()))))
        return second.record.trajectory(
            solver_error=distance + grown * float(asked.max()) * motion.error + second.displaced.max(),
            method=f"{self!r}, {second.count} velocities, {motion.method}",
        )


class _Solution:
    """One solution, at a tolerance of its own.

    Attributes:
        states: at the times, (T, N, D).
        displaced: by how much each token was moved as it was merged, (N,).
        count: of velocities.
    """

    def __init__(
        self, how: Adaptive, motion: Motion, start: np.ndarray, times: np.ndarray, *, rtol: float, kept: Kept,
        state: State, besides: State = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self._motion = motion
        self._merge = how.merge
        self._rtol = rtol
        self._shape = start.shape
        self._masses = motion.masses
        self._leaders = np.arange(len(start))  # of each token the one that it moves with
        self.displaced = np.zeros(len(start))
        self.count = 0
        self.record = Record(motion, times, start)
        self._kept, self._besides = kept, besides
        self._run(list(self.record.times), state)
        self.states = self.record.states

    def _run(self, pending: list[float], state: State) -> None:
        last = pending[-1]
        solver: DOP853 | None = None
        first_step: float | None = None
        if state:
            time, points, solver, first_step = self._restored(state, last)
            pending = pending[len(state["record.states"]) :]
        else:
            time, points = 0.0, self._merged(0.0, self.record.last[1])
        for _ in range(MAX_STEPS):
            while pending and pending[0] <= time:
                self.record.add(points)
                pending.pop(0)
            self.record.last = time, points
            if not pending:
                return
            self._kept.keep(functools.partial(self._state, solver, first_step))
            with self.record.until(f"after time {time:.6g}"), np.errstate(over="ignore", invalid="ignore"):
                if solver is None:
                    solver = self._solver(time, points, last, first_step)
                self._step(solver)
            self._record_between(solver, pending)
            time, leaders = solver.t, self._leaders
            points = self._merged(time, self._placed(solver.y))
            solver.y = points.ravel()
            if self._leaders is not leaders:
                first_step, solver = solver.h_abs, None
        with self.record.until(f"after time {time:.6g}"):
            raise ConvergenceError(
                f"{MAX_STEPS} steps do not suffice until {last:g}. Pass earlier `times`, a larger `rtol`, or `merge=`."
            )

    def _state(self, solver: DOP853 | None, first_step: float | None) -> State:
        """Return what the next step depends on; of a solver that is to be made anew the length of its first step."""
        known = {} if solver is None else {"solver.f": solver.f, "solver.h": np.array(solver.h_abs)}
        known |= {} if first_step is None else {"first_step": np.array(first_step)}
        return {
            "leaders": self._leaders, "masses": self._masses, "displaced": self.displaced,
            "count": np.array(self.count), **known, **self._besides, **self.record.state(), **self._motion.state(),
        }  # fmt: skip

    def _restored(self, state: State, last: float) -> tuple[float, np.ndarray, DOP853 | None, float | None]:
        """Return time, tokens, solver and first step as they were when the state was kept."""
        self.record.restore(state)
        self._leaders, self._masses, self.displaced = state["leaders"], state["masses"], state["displaced"]
        time, points = self.record.last
        solver = None
        if "solver.f" in state:
            solver = self._solver(time, points, last, float(state["solver.h"]))
            solver.f, solver.h_abs = state["solver.f"], float(state["solver.h"])
        self.count = int(state["count"])  # what the solver has asked for as it was made is not counted
        self._motion.restore(state)
        return time, points, solver, float(state["first_step"]) if "first_step" in state else None

    def _solver(self, time: float, points: np.ndarray, last: float, first_step: float | None) -> DOP853:
        first = None if first_step is None else min(first_step, last - time)
        solver = DOP853(self._velocity, time, points.ravel(), last, rtol=self._rtol, atol=self._rtol, first_step=first)
        check_velocities(solver.f.reshape(self._shape))  # of what is no number the solver would seek a step for ever
        return solver

    def _step(self, solver: DOP853) -> None:
        words = solver.step()
        if solver.status == "failed":
            raise ConvergenceError(
                f"steps become shorter than 1e-16 of the time ({words}): velocities grow without bound, or are not "
                "smooth. Pass earlier `times`."
            )

    def _velocity(self, _: float, flat: np.ndarray) -> np.ndarray:
        self.count += 1
        points = flat.reshape(self._shape)[self._leaders]
        return self._motion.velocity(points, self._masses)[self._leaders].ravel()

    def _record_between(self, solver: DOP853, pending: list[float]) -> None:
        """Keep the states at times within the step; its end comes after what is merged there."""
        if pending[0] < solver.t:
            between = solver.dense_output()
            while pending[0] < solver.t:
                self.record.add(self._placed(between(pending.pop(0))))

    def _placed(self, flat: np.ndarray) -> np.ndarray:
        """Return tokens (N, D) on the manifold, those that move together in one place to the last digit."""
        return self._motion.retract(flat.reshape(self._shape))[self._leaders]

    def _merged(self, time: float, points: np.ndarray) -> np.ndarray:
        """Return the tokens, those that are near one another in one place, and keep who moves with whom."""
        if self._merge is None:
            return points
        alone = np.unique(self._leaders)
        pairs = cKDTree(points[alone]).query_pairs(self._merge, output_type="ndarray")
        if not len(pairs):
            return points
        graph = coo_array((np.ones(len(pairs)), pairs.T), shape=(len(alone), len(alone)))
        count, labels = connected_components(graph, directed=False)
        group = np.empty(len(points), dtype=int)
        group[alone] = labels
        group = group[self._leaders]
        sums = np.zeros((count, 1 + points.shape[1]))
        np.add.at(sums, group, self._motion.masses[:, None] * np.column_stack([np.ones(len(points)), points]))
        first = np.array([np.flatnonzero(group == each)[0] for each in range(count)])
        with np.errstate(divide="ignore", invalid="ignore"):
            centres = sums[:, 1:] / sums[:, :1]
        centres = np.where(sums[:, :1] > 0, centres, points[first])  # of tokens without mass
        moved = points.copy()
        for each in np.flatnonzero(np.bincount(labels) > 1):
            members = np.flatnonzero(group == each)
            moved[members] = centres[each]
            moved[members] = self._motion.retract(moved)[members[0]]
            self.record.events.append(Merging(float(time), tuple(members.tolist()), moved[members[0]]))
        self.displaced += np.sqrt(((moved - points) ** 2).sum(axis=1))
        self._leaders = first[group]
        self._masses = np.bincount(self._leaders, weights=self._motion.masses, minlength=len(points))
        return moved
