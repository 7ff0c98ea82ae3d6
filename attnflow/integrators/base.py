"""What moves, what an integrator must offer, and what is recorded on the way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol

import numpy as np

from attnflow.errors import AttnflowError, DataError
from attnflow.trajectories import Merging, TokenTrajectory

State = Mapping[str, np.ndarray]  # what a computation can go on from


class Kept(Protocol):
    """Where a state is kept, for the case that the process is killed."""

    def load(self) -> State:
        """Return the state from which to go on, empty at the start."""

    def keep(self, state: Callable[[], State]) -> None:
        """Keep a state, or let it go by."""


class Motion(Protocol):
    """Tokens x (N, D) that move by dx/dt = v(x), on a manifold or in space.

    Attributes:
        manifold: None in space.
        weights: what the trajectory says of masses, (N,) or None.
        masses: of the tokens, (N,).
        is_reordered: whether nothing depends on the order of the tokens.
        error: a bound on the error of all velocities so far.
        method: how velocities are computed, in words.
    """

    weights: np.ndarray | None
    masses: np.ndarray
    error: float
    method: str

    @property
    def manifold(self) -> object: ...

    @property
    def is_reordered(self) -> bool: ...

    def velocity(self, points: np.ndarray, masses: np.ndarray, *, tangential: bool = True) -> np.ndarray:
        """Return v (N, D) at the points of the manifold nearest to these, with its normal part or without."""

    def retract(self, points: np.ndarray) -> np.ndarray:
        """Return the points of the manifold nearest to these (N, D)."""

    def state(self) -> State:
        """Return what later velocities depend on besides the tokens."""

    def restore(self, state: State) -> None:
        """Go on from such a state."""


class Integrator(ABC):
    """How tokens are moved from time to time.

    Attributes:
        order: p, where the error after a fixed time is O(dt^p), or, of an adaptive one, that of its steps.
    """

    order: int

    @abstractmethod
    def solve(self, motion: Motion, start: np.ndarray, times: object, kept: Kept) -> TokenTrajectory:
        """Return where tokens (N, D) are at the times, from time 0, or from the state that was kept last.

        Raises:
            AttnflowError: if a velocity fails, naming the time, or tokens overflow; what was found until then is its
                attribute `trajectory`.
        """


def check_velocities(velocities: np.ndarray) -> None:
    """Raise DataError where tokens (N, D) have no velocity."""
    bad = np.flatnonzero(~np.isfinite(velocities).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} velocities are no numbers, the first is that of token {bad[0]}: no key that it sees has mass, "
            "its cost is no number, or a sum overflows. EmpiricalAttention(attention, tokens).layer(tokens) says which."
        )


class Record:
    """States at the times that were asked for, kept until an evolution ends or fails.

    Args:
        motion: whose tokens.
        times: in any order, (T,).
        start: the tokens at time 0.
    """

    def __init__(self, motion: Motion, times: np.ndarray, start: np.ndarray) -> None:
        self._motion = motion
        self.times, self._places = np.unique(times, return_inverse=True)
        self._states: list[np.ndarray] = []
        self.last = 0.0, start
        self.events: list[Merging] = []

    def add(self, points: np.ndarray) -> None:
        """Keep the state at the next time."""
        self._states.append(points)

    def state(self) -> State:
        """Return all that is kept."""
        members = [event.tokens for event in self.events]
        return {
            "record.states": np.array(self._states).reshape(len(self._states), *self.last[1].shape),
            "record.time": np.array(self.last[0]),
            "record.points": self.last[1],
            "event.times": np.array([event.time for event in self.events]),
            "event.sizes": np.array([len(tokens) for tokens in members], dtype=int),
            "event.tokens": np.array([token for tokens in members for token in tokens], dtype=int),
            "event.points": np.array([event.point for event in self.events]),
        }

    def restore(self, state: State) -> None:
        """Go on from what was kept."""
        self._states = list(state["record.states"])
        self.last = float(state["record.time"]), state["record.points"]
        members = np.split(state["event.tokens"], np.cumsum(state["event.sizes"])[:-1])
        self.events = [
            Merging(float(time), tuple(tokens.tolist()), point)
            for time, tokens, point in zip(state["event.times"], members, state["event.points"], strict=False)
        ]

    @property
    def states(self) -> np.ndarray:
        """The states at all times, in the order in which they were asked for, (T, N, D)."""
        return np.stack(self._states)[self._places]

    def trajectory(self, *, solver_error: float, method: str) -> TokenTrajectory:
        """Return the states at all times as they were asked for."""
        return TokenTrajectory(
            self.times[self._places], self.states, self._motion.weights, solver_error, method, tuple(self.events)
        )

    @contextmanager
    def until(self, what: str) -> Iterator[None]:
        """Let an error tell during what it came, and carry the states until then, the last good one included."""
        try:
            yield
        except AttnflowError as error:
            told = type(error)(f"{what}: {error}")
            told.trajectory = self._partial()  # type: ignore[attr-defined]
            raise told from error

    def _partial(self) -> TokenTrajectory:
        time, points = self.last
        kept = [(t, state) for t, state in zip(self.times, self._states, strict=False) if t < time]
        times, states = zip(*kept, (time, points), strict=True)
        return TokenTrajectory(
            np.array(times), np.stack(states), self._motion.weights, np.inf, "broken off", tuple(self.events)
        )
