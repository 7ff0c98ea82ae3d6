"""Steps as long as a tolerance allows."""

from __future__ import annotations

import numpy as np
from scipy.integrate import DOP853

from attnflow._checks import check_times, check_tolerance
from attnflow._values import freeze, value
from attnflow.errors import ConvergenceError
from attnflow.integrators.base import Integrator, Motion, Record
from attnflow.trajectories import TokenTrajectory

TIGHTER = 0.1  # the tolerance of the second solution, from which the error of the first is read
MAX_STEPS = 100_000


@value
class Adaptive(Integrator):
    """The flow itself, by Dormand and Prince's method of order 8 with steps as long as `rtol` allows [HNW].

    Stages are moved to the nearest points of the manifold before their velocities are taken, and so is the state after
    every step. The flow is solved at `rtol` and once more at a tenth of it: the second is returned, and the largest
    distance between the two is its declared error.

    Args:
        rtol: tolerance of a step, relative to the size of a coordinate, or absolute where that is below one.

    Raises:
        ConfigError: if `rtol` is not between 0 and 1.

    Example:
        >>> import attnflow as af
        >>> af.Adaptive(rtol=1e-6).order
        8
    """

    rtol: float = 1e-8

    order = 8

    def __post_init__(self) -> None:
        freeze(self, rtol=check_tolerance(self.rtol, "rtol"))

    def solve(self, motion: Motion, start: np.ndarray, times: object) -> TokenTrajectory:
        asked = check_times(times)
        first, _ = self._solved(motion, start, asked, rtol=self.rtol)
        second, count = self._solved(motion, start, asked, rtol=TIGHTER * self.rtol)
        distance = float(np.linalg.norm(second.points - first.points, axis=2).max())
        error = distance + float(asked.max()) * motion.error
        method = f"{self!r}, {count} velocities, {motion.method}"
        return TokenTrajectory(second.times, second.points, second.weights, error, method, second.events)

    def _solved(
        self, motion: Motion, start: np.ndarray, times: np.ndarray, *, rtol: float
    ) -> tuple[TokenTrajectory, int]:
        record = Record(motion, times, start)

        def velocity(_: float, flat: np.ndarray) -> np.ndarray:
            return motion.velocity(flat.reshape(start.shape), motion.masses).ravel()

        pending = list(record.times)
        while pending and pending[0] == 0:
            record.add(start)
            pending.pop(0)
        if not pending:
            return record.trajectory(solver_error=0.0, method=""), 0
        with record.until("at time 0"):
            solver = DOP853(velocity, 0.0, start.ravel(), pending[-1], rtol=max(rtol, 1e-13), atol=rtol)
        for _ in range(MAX_STEPS):
            with record.until(f"after time {solver.t:.6g}"):
                self._step(solver)
            dense = solver.dense_output() if pending[0] < solver.t else None
            while pending and pending[0] <= solver.t:
                at = solver.y if pending[0] == solver.t or dense is None else dense(pending[0])
                record.add(motion.retract(at.reshape(start.shape)))
                pending.pop(0)
            points = motion.retract(solver.y.reshape(start.shape))
            record.last = solver.t, points
            if not pending:
                return record.trajectory(solver_error=0.0, method=""), solver.nfev
            solver.y = points.ravel()
        with record.until(f"after time {solver.t:.6g}"):
            raise ConvergenceError(f"{MAX_STEPS} steps do not suffice. Pass earlier `times` or a larger `rtol`.")
        raise AssertionError

    def _step(self, solver: DOP853) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            words = solver.step()
        if solver.status == "failed":
            raise ConvergenceError(
                f"steps become shorter than 1e-16 of the time ({words}): velocities grow without bound, or are not "
                "smooth. Pass earlier `times`."
            )
