"""Fixed points of log key weights, quickly: Anderson's extrapolation of an iteration that converges by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow._extrapolation import extrapolated
from attnflow.errors import ConvergenceError

DEPTH = 20  # earlier iterates that are extrapolated: 14 sweeps for 30 of a symmetric cost, 25 for thousands of another
WATCHED = 3  # sweeps at the end, from which is seen what a sweep leaves once all that falls fast has fallen
NO_DIGIT = 1e-2  # an update that is less certain than this settles nothing
WORSE = 10.0  # times the least change so far, above which an extrapolation starts afresh
SLOWEST = 1 - 1e-4  # contraction that is still told from one


class FixedPoint(NamedTuple):
    """What was found.

    Args:
        values: u, shape (N,).
        residual: max |update(u) - u|.
        error: what u may be off by, with the errors of the updates: a share of the residual that is seen to be left by
            a sweep leaves the rest.
        sweeps: how many updates it took.
    """

    values: np.ndarray
    residual: float
    error: float
    sweeps: int


def fixed_point(
    update: Callable[[np.ndarray], tuple[np.ndarray, float]], start: np.ndarray, *, rtol: float, max_sweeps: int
) -> FixedPoint:
    """Return u with update(u) = u, by iterates u <- update(u) that are extrapolated from the last few [WN].

    Args:
        update: from u (N,) to new ones, and a bound on their error.
        start: the first u.
        rtol: the largest change that is let be, where errors of the updates are not larger.
        max_sweeps: how many updates at most.

    Raises:
        ConvergenceError: if there are not enough.
    """
    inputs: list[np.ndarray] = []
    outputs: list[np.ndarray] = []
    values, least = start, np.inf
    for sweep in range(1, max_sweeps + 1):
        found, error = update(values)
        change = float(np.abs(found - values).max())
        if change <= max(rtol, error) and error < NO_DIGIT:
            return _settled(update, found, change=change, sweeps=sweep)
        if not change <= WORSE * least:
            inputs, outputs = [], []
        least = min(least, change)
        inputs, outputs = [*inputs, values][-DEPTH:], [*outputs, found][-DEPTH:]
        values = extrapolated(inputs, outputs)
    raise ConvergenceError(
        f"the key weights still change by {least:.2g}, above {rtol:.2g}, after {max_sweeps} sweeps: there may be none, "
        "as where a point that leaves itself out is heavier than all others, or points are too far apart. Pass a "
        "larger `bandwidth` or `max_sweeps`."
    )


def _settled(update: Callable, values: np.ndarray, *, change: float, sweeps: int) -> FixedPoint:
    """Return what a few more sweeps tell: how much of a change is left by one, and so how far the fixed point is."""
    left = 0.5
    for more in range(1, WATCHED + 1):
        found, error = update(values)
        residual = float(np.abs(found - values).max())
        if residual > error:
            left = min(residual / change, SLOWEST)
        if more == WATCHED or residual <= error:
            break
        values, change = found, residual
    return FixedPoint(values, residual, (residual + error) / (1 - left), sweeps + more)
