"""Logarithmic axes that are seen to be so: few labels at round numbers, and a mark at every digit."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator

from attnflow.judge.levels import Level
from attnflow.judge.verdicts import Judgement
from attnflow.judge.words import number

SIZE_LABELS = {
    "bandwidth": r"bandwidth $\varepsilon$",
    "points": "number of points $N$",
    "layers": "number of layers $n$",
    "neighbours": "number of neighbours",
    "inverse_temperature": r"inverse temperature $\beta$",
    "tokens": "number of tokens $N$",
    "keys": "number of keys $n$",
    "time": "time $t$",
    "dt": r"step $\Delta t$",
}
LIMIT_AT = 0.03  # where the limit stands, as a fraction of the width, on the side of the fine levels
ROUND = ((1.0,), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), tuple(map(float, range(1, 10))))  # in one decade
ENOUGH = 3  # labels from which a reader sees the scale
FEW_DECADES = 100.0  # a range below which powers of ten alone would be too few labels


def log_axis(axis: Axis) -> None:
    """Show at least a factor of three, and label round numbers where there are few powers of ten."""
    low, high = axis.get_view_interval()
    widen = max(1.0, np.sqrt(3 * low / high))
    set_limits = axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim  # type: ignore[attr-defined]
    set_limits(low / widen, high * widen, auto=None)  # what is drawn later still widens it
    if high / low < FEW_DECADES:
        axis.set_major_locator(LogLocator(subs=_digits(low / widen, high * widen)))
        axis.set_major_formatter(lambda value, _: number(value))
        axis.set_minor_locator(LogLocator(subs=ROUND[-1]))
        axis.set_minor_formatter(lambda value, _: "")


def size_axis(ax: Axes, judgement: Judgement, labels: Mapping[str, str]) -> None:
    """Label round sizes between the coarsest and the finest, and the limit where it stands, beyond the finest.

    Sizes that are not all positive, as temperatures of either sign, get a plain axis; no limit is read off them.
    """
    sizes = [level.size for level in judgement.levels]
    name = judgement.claim.size
    ax.set_xlabel({**SIZE_LABELS, **labels}.get(name, name.replace("_", " ")))
    if min(sizes) <= 0:
        ax.set_xscale("linear")
        return
    coarse, fine = sizes[0], sizes[-1]
    step = (fine / coarse) ** 0.07 if len(sizes) > 1 else 2.0
    low, high = sorted((coarse / step, fine * step**2))
    ax.set_xlim(low, high)
    inside = min(coarse, fine), max(coarse, fine)
    ticks = _round_numbers(*inside, digits=_digits(*inside)) or [coarse]  # a ladder of one level
    words = [_size(size) for size in ticks]
    if judgement.fit is not None:
        rises = sizes_rise(judgement.levels)
        ticks.append(low * (high / low) ** (1 - LIMIT_AT if rises else LIMIT_AT))
        words.append("∞" if rises else "0")
    ax.set_xticks(ticks, words)
    ax.set_xticks(_round_numbers(*inside, digits=ROUND[-1]), [], minor=True)


def sizes_rise(levels: Sequence[Level]) -> bool:
    """Return whether sizes grow from coarse to fine, as numbers of points do."""
    return levels[-1].size > levels[0].size


def _digits(low: float, high: float) -> tuple[float, ...]:
    """Return the fewest digits of a decade at which this range has enough labels."""
    enough = (digits for digits in ROUND if len(_round_numbers(low, high, digits=digits)) >= ENOUGH)
    return next(enough, ROUND[-1])


def _round_numbers(low: float, high: float, *, digits: Sequence[float]) -> list[float]:
    """Return the numbers with these digits in a range, its ends included."""
    powers = range(math.floor(math.log10(low)), math.floor(math.log10(high)) + 1)
    slack = 1 + 1e-9  # of an end that is a round number but for its last digit
    return [d * 10.0**p for p in powers for d in digits if low / slack <= d * 10.0**p <= high * slack]


def _size(size: float) -> str:
    """Return a size for a reader: 0.025, 16 000, 10⁷."""
    return f"{size:.3g}" if size < 1000 else f"{size:,.0f}".replace(",", "\u2009") if size < 1e5 else number(size)
