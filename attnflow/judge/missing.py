"""What an undecided row lacks: by how much its interval would have to be narrower, and what would make it so."""

from __future__ import annotations

import math

MOST = 100.0  # a factor above which the measured number lies on the edge of the margin


def narrowing(
    measured: float, *, low: float, high: float, predicted: float, margin: float
) -> tuple[float, float] | None:
    """Return what an interval is now and what it must become to be decided, about the same number; None if it is.

    Both are the length of the part of it, below or above the number, that must shrink by most.

    Example:
        >>> from attnflow.judge.missing import narrowing
        >>> now, needed = narrowing(1.0, low=0.9, high=1.1, predicted=1.0, margin=0.05)
        >>> f"{now:.2f} {needed:.2f}"
        '0.10 0.05'
    """
    above, below = predicted + margin - measured, measured - (predicted - margin)  # to the ends of the margin
    if above < 0 or below < 0:  # it can only come to be refuted: by the part that reaches into the margin
        parts = [(measured - low, -above)] if above < 0 else [(high - measured, -below)]
    else:
        parts = [(high - measured, above), (measured - low, below)]
    too_long = [(now, needed) for now, needed in parts if now > needed]
    return min(too_long, key=lambda part: part[1] / part[0], default=None)


def times(factor: float) -> str:
    """Return a factor rounded up as a reader takes it.

    Example:
        >>> from attnflow.judge.missing import times
        >>> times(1.72), times(34.2), times(1e9)
        ('about 1.8 times', 'about 35 times', 'over 100 times')
    """
    if not factor <= MOST:
        return f"over {MOST:g} times"
    return f"about {math.ceil(factor * 10) / 10 if factor < 10 else math.ceil(factor):g} times"
