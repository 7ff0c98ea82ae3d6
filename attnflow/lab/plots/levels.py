"""What all figures of a claim share: levels with intervals, a fitted curve, a prediction, and the controls in pale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes

from attnflow.judge.claims import Claim
from attnflow.judge.intervals import jackknife, seed_interval
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Judgement
from attnflow.judge.words import number
from attnflow.lab.plots.log_axes import LIMIT_AT, sizes_rise
from attnflow.lab.plots.style import BLUE, GREY, PALE, PALE_BLUE, PALE_GREY, PALE_VERMILLION, VERMILLION

NO_LABELS: Mapping[str, str] = MappingProxyType({})
NEAR = 12.0  # times the claim's own range; on a higher axis its margin would be a line
INVISIBLE = 1e-5  # of a value: an interval that no figure shows
SEEN = 0.02  # of the height of axes: half a marker
CURVE_POINTS = 40  # a straight line between them is off by less than a pixel


class Look(NamedTuple):
    """How one judgement is drawn: the claim in full colours, its controls pale and with other markers."""

    points: str
    curve: str
    prediction: str
    marker: str
    name: str  # in the legend, before what is shown; empty for the claim


CLAIM = Look(BLUE, VERMILLION, GREY, "o", "")
CONTROL_MARKERS = "D^vPX"


class Summary(NamedTuple):
    """One number per level that has one, with its interval."""

    sizes: np.ndarray
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def where(self, chosen: np.ndarray) -> Summary:
        """Return the chosen levels."""
        return Summary(*(column[chosen] for column in self))


def control_looks(controls: Sequence[Judgement]) -> list[tuple[Judgement, Look]]:
    """Return each control with its look; several are told apart by their markers, and in words by their ids."""
    several = len(controls) > 1
    return [
        (
            control,
            Look(
                PALE_BLUE,
                PALE_VERMILLION,
                PALE_GREY,
                CONTROL_MARKERS[index % len(CONTROL_MARKERS)],
                f"control {control.claim.id}" if several else "control",
            ),
        )
        for index, control in enumerate(controls)
    ]


def summarise(levels: Sequence[Level], *, statistic: str, confidence: float = FAMILY_CONFIDENCE) -> Summary:
    """Return the mean or rms over seeds of each level; "log" is the rms with an interval that cannot reach zero."""
    rows = []
    for level in levels:
        if not is_drawable(level) or (statistic == "log" and not level.values.any()):
            continue
        one, error = np.ones(1), level.solver_error or 0.0
        if level.deterministic or len(level.values) < 2:
            value = abs(level.values[0]) if statistic == "log" else level.values[0]
            rows.append((level.size, value, value - error, value + error))
        elif statistic == "log":
            rms = np.sqrt(np.mean(level.values**2))
            relative = (level.values[None] / rms) ** 2
            _, width = jackknife(relative, np.log, weights=0.5 * one, confidence=confidence)
            rows.append((level.size, rms, rms * np.exp(-width), rms * np.exp(width)))
        else:
            value, width = seed_interval(level.values[None], statistic=statistic, weights=one, confidence=confidence)
            rows.append((level.size, value, value - width, value + width))
    return Summary(*np.array(rows, dtype=np.float64).reshape(-1, 4).T)


def is_drawable(level: Level) -> bool:
    """Return whether a level has numbers, and finite ones."""
    return level.failed is None and level.values.size > 0 and bool(np.isfinite(level.values).all())


def points(ax: Axes, found: Summary, *, look: Look, **changes: Any) -> None:
    """Draw levels as markers with their intervals."""
    given: dict[str, Any] = {
        "color": look.points, "linestyle": "none", "marker": look.marker, "markersize": 4.5, "capsize": 2,
        "elinewidth": 0.9, "zorder": 2.5 if look is CLAIM else 1.5,
    }  # fmt: skip
    widths = np.abs([found.values - found.low, found.high - found.values])
    is_seen = (widths > INVISIBLE * np.abs(found.values)).any()
    ax.errorbar(found.sizes, found.values, yerr=widths if is_seen else None, **(given | changes))


def fitted_curve(ax: Axes, judgement: Judgement, found: Summary, *, look: Look, label: str | None = None) -> float:
    """Draw the fit that the verdict was read off between these levels; return its last value.

    The label tells by how much the fit misses a level, where that is seen: a verdict knows it, for what a fit leaves
    over widens its interval, and so should a reader.

    Args:
        ax: where to draw, with its levels already drawn.
        judgement: with a fit.
        found: the levels that were fitted.
        look: how to draw.
        label: in the legend.
    """
    assert judgement.fit is not None
    sizes = np.geomspace(found.sizes[0], found.sizes[-1], CURVE_POINTS)
    curve = judgement.fit.curve(sizes)
    if label:
        label += _missed(ax, found, judgement.fit.curve(found.sizes))
    ax.plot(sizes, curve, color=look.curve, label=label, zorder=2 if look is CLAIM else 1.2)
    return float(curve[-1])


def _missed(ax: Axes, found: Summary, fitted: np.ndarray) -> str:
    """Return by how much a fit is off a level beyond its interval, in words; nothing where no one could see it."""
    is_log = ax.get_yscale() == "log"
    low, fit, high, ends = (
        np.log(values) if is_log else values for values in (found.low, fitted, found.high, np.array(ax.get_ylim()))
    )
    off = float(np.maximum(low - fit, fit - high).max())
    if off <= SEEN * np.ptp(ends):
        return ""
    return ", off a level by " + (f"{100 * np.expm1(off):.2g} %" if is_log else number(off, digits=1))


def dashes(look: Look) -> dict[str, Any]:
    """Return how a predicted line is drawn; a pale one is dotted, to be told from the claim's in black and white."""
    style = (0, (4, 2)) if look is CLAIM else (0, (1, 1.5))
    return {"color": look.prediction, "linestyle": style, "linewidth": 1.1, "zorder": 1}


def predictions(ax: Axes, judgement: Judgement, controls: Sequence[Judgement]) -> None:
    """Draw the predicted number with its margin, and those of controls that predict another."""
    claim = judgement.claim
    margin = claim.margin or 0.0
    ax.axhspan(claim.predicted - margin, claim.predicted + margin, color=PALE, linewidth=0, zorder=0)
    label = f"predicted {number(claim.predicted)} ± {number(margin, digits=2)}"
    ax.axhline(claim.predicted, label=label, **dashes(CLAIM))
    for control, look in control_looks(controls):
        other = control.claim.predicted
        if other != claim.predicted:
            ax.axhline(other, label=f"{look.name} predicts {number(other)}", **dashes(look))


def window(claim: Sequence[np.ndarray], *, controls: Sequence[np.ndarray]) -> tuple[float, float]:
    """Return ends of a linear axis on which the claim's numbers can be told apart, and its controls' if they are near.

    Args:
        claim: its numbers, margin and intervals included.
        controls: numbers of its controls, intervals included; left out where they would press the claim's into a line.
    """
    own, both = np.concatenate(claim), np.concatenate([*claim, *controls])
    shown = both if np.ptp(both) <= NEAR * np.ptp(own) else own
    room = 0.08 * (float(np.ptp(shown)) or abs(float(shown[0])) or 1.0)
    return float(shown.min()) - room, float(shown.max()) + room


def pale_points(ax: Axes, found: Summary, *, look: Look, label: str | None = None, **changes: Any) -> None:
    """Draw levels of a control; those beyond the axis are triangles at its edge, and the label tells where they are."""
    low, high = ax.get_ylim()
    inside = (low <= found.values) & (found.values <= high)
    for edge, marker, beyond in ((low, "v", found.values < low), (high, "^", found.values > high)):
        if beyond.any():
            ends = " to ".join(dict.fromkeys(number(f(found.values[beyond]), digits=2) for f in (np.min, np.max)))
            where = f"{label}, beyond the axis at {ends}" if label else None
            triangles: dict[str, Any] = {"color": look.points, "marker": marker, "markersize": 5, "linestyle": "none"}
            ax.plot(found.sizes[beyond], np.full(beyond.sum(), edge), clip_on=False, label=where, **triangles)
    if inside.any():
        points(ax, found.where(inside), look=look, **({"label": label} | changes))


def final_numbers(judgement: Judgement) -> np.ndarray:
    """Return the prediction with its margin and the measured number with its interval, as far as they are there."""
    claim, verdict = judgement.claim, judgement.verdict
    margin = claim.margin or 0.0
    found = [claim.predicted - margin, claim.predicted + margin, verdict.measured, verdict.low, verdict.high]
    return np.array([value for value in found if value is not None])


def final(ax: Axes, judgement: Judgement, *, look: Look) -> None:
    """Draw the exponent or limit with its interval, at the end of the axis towards which the ladder goes."""
    verdict = judgement.verdict
    if verdict.measured is None:
        return
    low, high = (verdict.measured if end is None else end for end in (verdict.low, verdict.high))
    x = 1 - LIMIT_AT if sizes_rise(judgement.levels) else LIMIT_AT
    width = [[verdict.measured - low], [high - verdict.measured]]
    ax.errorbar(
        [x], [verdict.measured], yerr=width, transform=ax.get_yaxis_transform(), color=look.curve, marker="s",
        markersize=4.5, capsize=2.5, elinewidth=1.1, clip_on=look is not CLAIM, zorder=2.5 if look is CLAIM else 1.5,
    )  # fmt: skip


def seeds(levels: Sequence[Level]) -> str:
    """Return what the markers of these levels are, for the legend."""
    most = max(len(level.values) for level in levels)
    return "measured" if levels[0].deterministic else f"{most} seeds, {100 * FAMILY_CONFIDENCE:g} % interval"


def quantity(claim: Claim, labels: Mapping[str, str]) -> str:
    """Return what a claim measures in words: its label, or the name of the quantity."""
    return labels.get(claim.quantity) or claim.quantity.replace(".", " ").replace("_", " ")
