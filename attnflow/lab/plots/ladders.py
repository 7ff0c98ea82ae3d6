"""Ladders: what a claim measured at each level, what was fitted, and what was predicted."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.levels import Level
from attnflow.judge.rates import RateFit, fit_limit, fit_rate, jackknife, seed_interval
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict
from attnflow.judge.words import number
from attnflow.lab.plots.style import BLUE, GREY, INK, PALE, SYMBOLS, VERMILLION, figure

SIZE_LABELS = {
    "bandwidth": "bandwidth ε",
    "points": "number of points N",
    "layers": "number of layers n",
    "neighbours": "number of neighbours nb",
}
LEGEND_ROW = 11  # points
LABEL_CHARACTERS = 30
LIMIT_AT = 0.03  # where the limit stands, as a fraction of the width, on the side of the fine levels
PREDICTION: dict[str, Any] = {"color": GREY, "linestyle": (0, (4, 2)), "linewidth": 1.1, "zorder": 1}
POINTS: dict[str, Any] = {"color": BLUE, "linestyle": "none", "marker": "o", "markersize": 4.5, "capsize": 2}
SLOPES: dict[str, Any] = {"linestyle": "-", "linewidth": 0.7, "markersize": 3.5, "capsize": 1.5}
FINAL: dict[str, Any] = {"color": VERMILLION, "marker": "s", "markersize": 4.5, "capsize": 2.5, "clip_on": False}
LEGEND: dict[str, Any] = {
    "fontsize": 7,
    "borderpad": 0.2,
    "borderaxespad": 0.2,
    "labelspacing": 0.3,
    "handlelength": 2.4,
}


class Summary(NamedTuple):
    """One number per level that has one, with its interval."""

    sizes: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray


def claim_figure(claim: Claim, levels: Sequence[Level], verdict: Verdict, *, label: str | None = None) -> Figure:
    """The figure of one claim: a ladder over its local slopes, a limit, or the distances of an identity."""
    name = KINDS[claim.kind].figure
    made = figure(width=4.2, height=3.9 if name == "ladder" else 3.0)
    if name == "ladder":
        upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
        ladder(upper, levels, claim=claim, verdict=verdict, label=label)
        local_slopes(lower, levels, claim=claim, verdict=verdict)
        upper.set_xlabel("")
        upper.tick_params(labelbottom=False)
        made.align_ylabels([upper, lower])
    else:
        draw = limit if name == "limit" else identity
        upper = draw(made.subplots(), levels, claim=claim, verdict=verdict, label=label)
    _title(upper, verdict)
    return made


def ladder(ax: Axes, levels: Sequence[Level], *, claim: Claim, verdict: Verdict, label: str | None = None) -> Axes:
    """Draw the RMS over seeds of each level with its 99.9 % interval, the fitted curve and the predicted slope.

        log e = c + r log h + d h^q

    Levels under the declared floor are hollow, the floor is hatched.

    Args:
        ax: where to draw.
        levels: the measurements, coarse to fine.
        claim: an exponent.
        verdict: the claim's verdict on these levels.
        label: of the vertical axis; the name of the quantity unless given.

    Returns:
        The axes.
    """
    rms = _summarise(levels, statistic="log")
    floor = _floor(claim, rms)
    used = rms.values >= floor
    ax.set(xscale="log", yscale="log")
    _points(ax, _where(rms, used), label=_seeds(levels))
    if (~used).any():
        _points(ax, _where(rms, ~used), label="dropped: under the floor", markerfacecolor="white")
    if floor.any():
        bottom = min(rms.values.min(), floor[floor > 0].min()) / 3
        look: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "hatch": "////", "linewidth": 0}
        ax.fill_between(rms.sizes, floor, bottom, label="declared floor", **look)
    anchor = rms.values[used][-1] if used.any() else np.nan
    if verdict.measured is not None:
        fit = _fit_rate(claim, levels)
        sizes = np.geomspace(rms.sizes[used][0], rms.sizes[used][-1], 100)
        curve = _corrected_power(rms.sizes[used], rms.values[used], fit=fit, power=claim.correction_power, at=sizes)
        ax.plot(sizes, curve, color=VERMILLION, label=f"corrected fit: slope {number(fit.rate, margin=claim.margin)}")
        anchor = curve[-1]
    if used.any():
        ends = rms.sizes[[0, -1]]
        line = anchor * (ends / rms.sizes[used][-1]) ** claim.predicted
        ax.plot(ends, line, label=f"predicted slope {number(claim.predicted)}", **PREDICTION)
    ax.set_ylabel(_quantity(claim, label))
    _size_axis(ax, levels, claim=claim)
    _log_axis(ax)
    _legend(ax)
    return ax


def local_slopes(ax: Axes, levels: Sequence[Level], *, claim: Claim, verdict: Verdict) -> Axes:
    """Draw the slopes between neighbouring levels, the predicted one with its margin, and the fitted one at the limit.

    The interval of a slope takes its two levels as independent.

    Args:
        ax: where to draw.
        levels: the measurements, coarse to fine.
        claim: an exponent.
        verdict: the claim's verdict on these levels.

    Returns:
        The axes.
    """
    rms = _summarise(levels, statistic="log")
    rms = _where(rms, rms.values >= _floor(claim, rms))
    step, half = np.diff(np.log(rms.sizes)), np.log(rms.high / rms.low) / 2
    slopes, widths = np.diff(np.log(rms.values)) / step, np.hypot(half[1:], half[:-1]) / np.abs(step)
    _margin(ax, claim)
    ax.set_xscale("log")
    ax.margins(y=0.2)
    ax.errorbar(np.sqrt(rms.sizes[1:] * rms.sizes[:-1]), slopes, yerr=widths, elinewidth=0.7, **(POINTS | SLOPES))
    _final(ax, verdict, levels=levels)
    ax.set_ylabel("local slope")
    _size_axis(ax, levels, claim=claim)
    return ax


def limit(ax: Axes, levels: Sequence[Level], *, claim: Claim, verdict: Verdict, label: str | None = None) -> Axes:
    """Draw the value of each level with its 99.9 % interval, the fitted curve, its limit, and the predicted value.

        value = L + d h

    Args:
        ax: where to draw.
        levels: the measurements, coarse to fine.
        claim: a constant.
        verdict: the claim's verdict on these levels.
        label: of the vertical axis; the name of the quantity unless given.

    Returns:
        The axes.
    """
    found = _summarise(levels, statistic=claim.statistic)
    ax.set_xscale("log")
    _margin(ax, claim)
    _points(ax, found, label=_seeds(levels))
    if verdict.measured is not None and len(levels) > 1:
        fit = fit_limit(
            found.sizes, _table(levels), confidence=FAMILY_CONFIDENCE, statistic=claim.statistic,
            correction_power=claim.correction_power,
        )  # fmt: skip
        sizes = np.geomspace(found.sizes[0], found.sizes[-1], 100)
        h = 1 / sizes if _sizes_rise(levels) else sizes
        ax.plot(
            sizes,
            fit.limit + fit.correction * h**claim.correction_power,
            color=VERMILLION,
            label=f"corrected fit: limit {number(fit.limit, margin=claim.margin)}",
        )
        _final(ax, verdict, levels=levels)
    ax.set_ylabel(_quantity(claim, label))
    _size_axis(ax, levels, claim=claim)
    _legend(ax)
    return ax


def identity(ax: Axes, levels: Sequence[Level], *, claim: Claim, verdict: Verdict, label: str | None = None) -> Axes:
    """Draw the largest distance from the predicted value at each level, under the tolerance or over it.

    Distances of zero stand hollow at the bottom of the logarithmic axis.

    Args:
        ax: where to draw.
        levels: the measurements.
        claim: an identity or a flag.
        verdict: the claim's verdict on these levels.
        label: of the vertical axis; the name of the quantity unless given.

    Returns:
        The axes.
    """
    found = [level for level in levels if _is_drawable(level)]
    sizes = np.array([level.size for level in found])
    distance = np.array([np.abs(level.values - claim.predicted).max() for level in found])
    positive = np.append(distance[distance > 0], claim.margin or 1.0)
    bottom = positive.min() / 10
    nonzero = distance > 0
    ax.set(xscale="log", yscale="log", ylim=(bottom, positive.max() * 10))
    look: dict[str, Any] = {"color": BLUE, "linestyle": "none", "marker": "o", "markersize": 4.5}
    if nonzero.any():
        ax.plot(sizes[nonzero], distance[nonzero], label="largest of a level", **look)
    if (~nonzero).any():
        zeros = np.full(np.count_nonzero(~nonzero), bottom)
        ax.plot(sizes[~nonzero], zeros, markerfacecolor="white", clip_on=False, label="zero", **look)
    if claim.margin:
        ax.axhline(claim.margin, label=f"tolerance {number(claim.margin, digits=2)}", **PREDICTION)
    ax.set_ylabel(f"|{_quantity(claim, label)}{f' − {claim.predicted:g}' if claim.predicted else ''}|")
    _size_axis(ax, levels, claim=claim)
    _legend(ax)
    return ax


def _title(ax: Axes, verdict: Verdict) -> None:
    """The claim's id and its verdict in words, above the legend; they take height of the layout, never width."""
    words = f"{SYMBOLS[verdict.verdict]} {verdict.verdict}{' (control)' if verdict.control else ''}"
    if verdict.measured is not None:
        words += f":  {verdict.measured_in_words}"
    legend = ax.get_legend()
    above = 4 + LEGEND_ROW * -(-len(legend.get_texts()) // 2 if legend else 0)
    ax.set_title(verdict.id, loc="left", weight="bold", color=INK, pad=above + 12)
    ax.annotate(
        words, (0, 1), (0, above), xycoords="axes fraction", textcoords="offset points", fontsize=7.5, color=INK
    ).set_in_layout(False)


def _summarise(levels: Sequence[Level], *, statistic: str) -> Summary:
    """The mean or rms over seeds of each level; "log" is the rms with an interval that cannot reach zero."""
    rows = []
    for level in levels:
        if not _is_drawable(level) or (statistic == "log" and not level.values.any()):
            continue
        one, error = np.ones(1), level.solver_error or 0.0
        if level.deterministic or len(level.values) < 2:
            value = abs(level.values[0]) if statistic == "log" else level.values[0]
            rows.append((level.size, value, value - error, value + error))
        elif statistic == "log":
            rms = np.sqrt(np.mean(level.values**2))
            relative = (level.values[None] / rms) ** 2
            _, width = jackknife(relative, np.log, weights=0.5 * one, confidence=FAMILY_CONFIDENCE)
            rows.append((level.size, rms, rms * np.exp(-width), rms * np.exp(width)))
        else:
            value, width = seed_interval(
                level.values[None], statistic=statistic, weights=one, confidence=FAMILY_CONFIDENCE
            )
            rows.append((level.size, value, value - width, value + width))
    return Summary(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def _is_drawable(level: Level) -> bool:
    return level.failed is None and level.values.size > 0 and bool(np.isfinite(level.values).all())


def _where(summary: Summary, chosen: np.ndarray) -> Summary:
    return Summary(*(column[chosen] for column in summary))


def _points(ax: Axes, found: Summary, **look: Any) -> None:
    widths = np.abs([found.values - found.low, found.high - found.values])
    ax.errorbar(found.sizes, found.values, yerr=widths, elinewidth=0.9, **(POINTS | look))


def _floor(claim: Claim, found: Summary) -> np.ndarray:
    """One floor per level; those of a quick ladder are the first of the full one's."""
    floor = np.asarray(claim.floor or 0.0, dtype=np.float64)
    return np.full(len(found.sizes), floor) if floor.ndim == 0 else floor[: len(found.sizes)]


def _table(levels: Sequence[Level]) -> np.ndarray:
    if levels[0].deterministic:
        return np.array([level.values[0] for level in levels])
    return np.stack([level.values for level in levels])


def _corrected_power(sizes: np.ndarray, rms: np.ndarray, *, fit: RateFit, power: float, at: np.ndarray) -> np.ndarray:
    """The fitted curve; its constant leaves residuals of mean zero, as least squares do."""
    rises = sizes[-1] > sizes[0]

    def shape(size: np.ndarray) -> np.ndarray:
        return fit.rate * np.log(size) + fit.correction * (1 / size if rises else size) ** power

    return np.exp(np.mean(np.log(rms) - shape(sizes)) + shape(at))


def _fit_rate(claim: Claim, levels: Sequence[Level]) -> RateFit:
    floor = claim.floor[: len(levels)] if isinstance(claim.floor, tuple) else claim.floor
    return fit_rate(
        [level.size for level in levels], _table(levels), confidence=FAMILY_CONFIDENCE, floor=floor,
        correction_power=claim.correction_power,
    )  # fmt: skip


def _margin(ax: Axes, claim: Claim) -> None:
    margin = claim.margin or 0.0
    ax.axhspan(claim.predicted - margin, claim.predicted + margin, color=PALE, linewidth=0, zorder=0)
    ax.axhline(claim.predicted, label=f"predicted {number(claim.predicted)} ± {number(margin, digits=2)}", **PREDICTION)


def _final(ax: Axes, verdict: Verdict, *, levels: Sequence[Level]) -> None:
    """The fitted exponent or limit with its interval, at the end of the axis towards which the ladder goes."""
    if verdict.measured is None:
        return
    low, high = (verdict.measured if end is None else end for end in (verdict.low, verdict.high))
    x = 1 - LIMIT_AT if _sizes_rise(levels) else LIMIT_AT
    width = [[verdict.measured - low], [high - verdict.measured]]
    ax.errorbar([x], [verdict.measured], yerr=width, elinewidth=1.1, transform=ax.get_yaxis_transform(), **FINAL)


def _sizes_rise(levels: Sequence[Level]) -> bool:
    return levels[-1].size > levels[0].size


def _legend(ax: Axes) -> None:
    """Above the axes in two columns, where it hides nothing."""
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles=handles[::-1], loc="lower left", bbox_to_anchor=(0, 1), ncols=2, columnspacing=1.0, **LEGEND)


def _log_axis(ax: Axes) -> None:
    """Show at least a factor of three, and label 1, 2 and 5 where there are few powers of ten."""
    low, high = ax.get_ylim()
    widen = max(1.0, np.sqrt(3 * low / high))
    ax.set_ylim(low / widen, high * widen)
    if high / low < 100:
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(lambda value, _: number(value))
        ax.set_yticks([], minor=True)


def _quantity(claim: Claim, label: str | None) -> str:
    """What is measured, in lines that the height of the axes holds."""
    words = label or claim.quantity.replace(".", " ").replace("_", " ")
    return textwrap.fill(words, LABEL_CHARACTERS, break_on_hyphens=False)


def _seeds(levels: Sequence[Level]) -> str:
    seeds = max(len(level.values) for level in levels)
    return "measured" if levels[0].deterministic else f"{seeds} seeds, {100 * FAMILY_CONFIDENCE:g} % interval"


def _size_axis(ax: Axes, levels: Sequence[Level], *, claim: Claim) -> None:
    """Label some of the levels, from the coarsest on, and the limit where it stands, beyond the finest."""
    sizes = [level.size for level in levels]
    step = (sizes[-1] / sizes[0]) ** 0.07 if len(sizes) > 1 else 2.0
    low, high = sorted((sizes[0] / step, sizes[-1] * step**2))
    ax.set_xlim(low, high)
    ticks = sizes[:: 1 + (len(sizes) - 1) // 5]
    labels = [_size(size) for size in ticks]
    if any(container[0].get_marker() == FINAL["marker"] for container in ax.containers):
        rises = _sizes_rise(levels)
        ticks.append(low * (high / low) ** (1 - LIMIT_AT if rises else LIMIT_AT))
        labels.append("∞" if rises else "0")
    ax.set_xticks(ticks, labels)
    ax.set_xticks([], minor=True)
    ax.set_xlabel(SIZE_LABELS.get(claim.size, claim.size))


def _size(size: float) -> str:
    """A size for a reader: 0.025, 16 000, 10⁷."""
    if size < 1000:
        return f"{size:.3g}"
    power = math.log10(size)
    return f"{size:,.0f}".replace(",", "\u2009") if size < 1e6 or power % 1 else number(size, digits=1)
