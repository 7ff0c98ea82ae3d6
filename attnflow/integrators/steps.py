"""Integrators whose steps have one length."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from attnflow._checks import check_positive
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, ConvergenceError
from attnflow.integrators.base import Integrator, Kept, Motion, Record, State, check_velocities
from attnflow.trajectories import TokenTrajectory, count_layers

MAX_STEPS = 10_000_000


@value
class FixedStep(Integrator):
    """Steps of one length dt; depth is how many there are.

    The declared error of a trajectory is that of its velocities, added up: a step is right by definition. How far the
    steps are from the flow is a matter of dt and of `order`.

    Args:
        dt: the time of a step.

    Raises:
        ConfigError: if `dt` is not positive.
    """

    dt: float

    def __post_init__(self) -> None:
        freeze(self, dt=check_positive(self.dt, "dt"))

    @abstractmethod
    def step(self, motion: Motion, points: np.ndarray) -> np.ndarray:
        """Return the tokens (N, D) after one step."""

    def check(self, motion: Motion) -> None:
        """Raise ConfigError if the step means nothing for such tokens."""

    def solve(self, motion: Motion, start: np.ndarray, times: object, kept: Kept) -> TokenTrajectory:
        self.check(motion)
        counts = count_layers(times, self.dt, name="dt")
        if counts.max() > MAX_STEPS:
            raise ConfigError(f"`times` asks for {counts.max():.3g} layers; at most {MAX_STEPS:.0e} are taken.")
        points, asked, total = start, set(counts.tolist()), int(counts.max())
        record = Record(motion, counts * self.dt, start)
        first, state = 0, kept.load()
        if state:
            first, points = int(state["steps"]), state["record.points"]
            record.restore(state)
            motion.restore(state)

        def reached() -> State:
            """Return the state before a step: after that what was asked for is recorded."""
            return {"steps": np.array(n), **record.state(), **motion.state()}

        for n in range(first, total + 1):
            if first < n:
                record.last = n * self.dt, points
                kept.keep(reached)
            if n in asked:
                record.add(points)
            if n < total:
                with record.until(f"layer {n + 1}, from time {n * self.dt:.6g}"):
                    points = self._checked(motion, points, is_first=n == 0)
        error = total * self.dt * motion.error
        return record.trajectory(solver_error=error, method=f"{self!r}, {total} layers, {motion.method}")

    @np.errstate(over="ignore", invalid="ignore")
    def _checked(self, motion: Motion, points: np.ndarray, *, is_first: bool) -> np.ndarray:
        moved = self.step(motion, points)
        bad = np.flatnonzero(~np.isfinite(moved).all(axis=1))
        if len(bad):
            if is_first:
                check_velocities(motion.velocity(points, motion.masses))
            centre = "" if motion.manifold is None else " or come where no point of the manifold is nearest, the centre"
            raise ConvergenceError(
                f"{len(bad)} tokens overflow{centre}, the first is token {bad[0]}: the step `dt` = {self.dt:g} is too "
                "large for these velocities, or they blow up in finite time. Pass a smaller `dt`, or earlier `times`."
            )
        return moved
