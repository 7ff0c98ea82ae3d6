"""The forest of claims: where each measurement lies, in units of the margin that its claim allows.

A row draws (measured - predicted) / margin with its interval, so that all claims share one axis: supported is what lies
between -1 and 1. The axis is linear there and logarithmic beyond, since controls miss by hundreds of margins.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from attnflow.judge.verdicts import Verdict

WIDTH, HEIGHT, EDGE = 300, 16, 6  # of a row, in its own units, and what is left free at its ends for arrows
DECADES = 4  # what misses by more than 10^4 margins is an arrow at the end
TICKS = [(-1e4, "−10⁴"), (-100, "−100"), (-1, "−1"), (0, "0"), (1, "1"), (100, "100"), (1e4, "10⁴")]


@dataclass(frozen=True)
class Mark:
    """One measurement in a row.

    Args:
        verdict: what it led to.
        at: where it lies along the row.
        low, high: where its interval begins and ends; None if it has none.
        beyond: -1 or 1 if it lies beyond the left or the right end of the axis, 0 otherwise.
    """

    verdict: Verdict
    at: float
    low: float | None
    high: float | None
    beyond: int


def marks(claim: Verdict, controls: Sequence[Verdict]) -> list[Mark]:
    """Return what the row of a claim draws: its controls, each in units of its own margin, and over them the claim."""
    drawn = [_mark(verdict) for verdict in [*controls, claim]]
    return [mark for mark in drawn if mark is not None]


def place(margins: float) -> float:
    """Return where a number of margins lies along a row; half of the row is for what is within one margin.

    Example:
        >>> from attnflow.lab.report.forest import place
        >>> [place(margins) for margins in (-1e9, -1, 0, 1, 100, 1e9)]
        [6.0, 78.0, 150.0, 222.0, 258.0, 294.0]
    """
    size = abs(margins)
    share = 0.5 * size if size <= 1 else 0.5 + 0.5 * min(math.log10(size) / DECADES, 1.0)
    return round(WIDTH / 2 + math.copysign(share, margins) * (WIDTH / 2 - EDGE), 1)


def axis() -> list[tuple[float, str]]:
    """Return where along a row which label of the axis stands."""
    return [(place(margins), label) for margins, label in TICKS]


def _mark(verdict: Verdict) -> Mark | None:
    if verdict.measured is None:
        return None
    at = _margins(verdict, verdict.measured)
    ends = [None if end is None else place(_margins(verdict, end)) for end in (verdict.low, verdict.high)]
    beyond = int(math.copysign(abs(at) > 10**DECADES, at))
    return Mark(verdict, at=place(at), low=ends[0], high=ends[1], beyond=beyond)


def _margins(verdict: Verdict, value: float) -> float:
    """Return by how many margins a value misses the prediction; a flag, which has no margin, misses without bound."""
    missed = value - verdict.predicted
    return missed / verdict.margin if verdict.margin else math.copysign(math.inf, missed) if missed else 0.0
