"""Ordinary differential equations of moments, whose solutions may end in finite time."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.integrate import DOP853
from scipy.integrate._ivp.base import DenseOutput

_SHARPEST = 3e-14  # a tolerance of steps that float64 can keep
_POLE = 1e-5  # of t: the time left at which a pole is told, whose place is then known to a share of that
_SLOPE = (
    0.25  # by which the time left may shrink faster or slower than time goes by; seen to be .02 in eight dimensions
)
_STEPS = 5000  # at most; more are for stiff equations, to which steps of this kind are not suited
_OVERFLOW = 1e150  # sizes whose squares are still numbers of float64
_AHEAD = 1000  # times the last time asked for, up to which a blow-up is looked for
_STEPS_AHEAD = 250  # at most; the way to a pole takes about a hundred
_GROWN_AHEAD = 1e12  # as often as the start, a factor that so close to a pole is about 300
_BISECTIONS = 60


class Course(NamedTuple):
    """A solution y(t) of shape (1 + D, D): a mean, and columns whose products sum to a covariance S.

    Args:
        start: y(0).
        pieces: it, step by step.
        end: the time up to which it exists; infinity if none was seen.
        why: why it goes no further, in words; "" if it does.
    """

    start: np.ndarray
    pieces: list[DenseOutput]
    end: float
    why: str

    @property
    def reach(self) -> float:
        """The time up to which it is known."""
        return self.pieces[-1].t if self.pieces else 0.0

    def __call__(self, times: np.ndarray) -> np.ndarray:
        """Return y at times within its reach, (T, 1 + D, D)."""
        if not self.pieces:
            return np.repeat(self.start[None], len(times), axis=0)
        index = np.searchsorted([piece.t for piece in self.pieces], times)
        index = np.minimum(index, len(self.pieces) - 1)
        return np.array([self.pieces[k](t).reshape(self.start.shape) for k, t in zip(index, times, strict=True)])

    def first(self, happens: Callable[[np.ndarray], bool], *, up_to: float) -> float:
        """Return the first time at which a state is so, told at the ends of steps; infinity if there is none."""
        for piece in self.pieces:
            low, high = piece.t_old, min(piece.t, up_to)
            if low < up_to and happens(self(np.array([high]))[0]):
                for _ in range(_BISECTIONS):
                    middle = (low + high) / 2
                    low, high = (low, middle) if happens(self(np.array([middle]))[0]) else (middle, high)
                return float(high)
        return math.inf


def integrate(
    field: Callable[[np.ndarray], np.ndarray], start: np.ndarray, last: float, *, rtol: float, looks_ahead: bool
) -> Course:
    """Return the solution of y' = field(y) up to a time, and whether it ends.

    Where S ~ C / (T - t) blows up, |S| / (d|S| / dt) is the time that is left, and T is read off at the last step.

    Args:
        field: of y (1 + D, D); not a number where y has left the field's domain.
        start: y(0).
        last: the time up to which the solution is to be known.
        rtol: tolerance of a step, relative to y.
        looks_ahead: whether to go on beyond that time for an end that comes later.
    """
    rtol = max(rtol, _SHARPEST)
    size = max(np.abs(start).max(), np.finfo(float).tiny)
    with np.errstate(over="ignore", invalid="ignore"):  # a start beyond 1e150 has no size, and no first step
        solver = DOP853(
            lambda t, y: field(y.reshape(start.shape)).ravel(), 0.0, start.ravel(),
            last * (_AHEAD if looks_ahead else 1), rtol=rtol, atol=max(rtol * size * 1e-3, np.finfo(float).tiny),
        )  # fmt: skip
    pieces: list[DenseOutput] = []
    steps = steps_ahead = 0
    left = math.inf
    while solver.status == "running" and steps_ahead < _STEPS_AHEAD:
        with np.errstate(over="ignore", invalid="ignore"):  # a step beyond the end is no number, and shortened
            solver.step()
        if solver.status == "failed":
            return Course(start, pieces, float(solver.t), "the sum of the weights of keys ceases to be finite at")
        if solver.t_old < last:
            pieces.append(solver.dense_output())
        else:
            steps_ahead += 1
        steps += 1
        now = np.abs(solver.y).max()
        before, left = left, _time_left(solver.y.reshape(start.shape), solver.f.reshape(start.shape))
        step, end = solver.t - solver.t_old, solver.t + left
        is_pole = abs(before - left - step) < _SLOPE * step and left < _POLE * solver.t
        if (is_pole and not solver.t < last < end) or now > _OVERFLOW:
            return Course(start, pieces, float(end), "the covariance grows beyond bounds at")
        if steps > _STEPS and solver.t < last:
            return Course(start, pieces, math.inf, f"{_STEPS} steps do not get beyond")
        if steps_ahead and now > _GROWN_AHEAD * size:
            break
    return Course(start, pieces, math.inf, "")


def _time_left(state: np.ndarray, derivative: np.ndarray) -> float:
    """Return |S| / (d|S| / dt), infinite where S does not grow."""
    columns, change = state[1:], derivative[1:]
    scale = np.abs(columns).max()
    if scale == 0:
        return math.inf
    columns, change = columns / scale, change / scale
    covariance = columns.T @ columns
    growth = 2 * np.vdot(covariance, change.T @ columns)
    return float(np.vdot(covariance, covariance) / growth) if growth > 0 else math.inf
