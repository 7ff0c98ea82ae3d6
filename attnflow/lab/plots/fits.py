"""The fits of a ladder drawn alone: its levels, the fit that was made with its interval, and what was predicted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from attnflow._checks import check_real
from attnflow.judge.levels import Level
from attnflow.judge.rates import LimitFit, RateFit
from attnflow.judge.words import number
from attnflow.lab.plots.axes import draw_on
from attnflow.lab.plots.levels import CLAIM, CURVE_POINTS, Summary, dashes, points, summarise
from attnflow.lab.plots.log_axes import log_axis

BAND: dict[str, Any] = {"color": CLAIM.curve, "alpha": 0.18, "linewidth": 0, "zorder": 0.5}


def rate_fit(fit: RateFit, ax: Axes | None = None, *, predicted: float | None = None) -> Axes:
    """Draw a fitted exponent over its levels, see `RateFit.plot`.

    Args:
        fit: the exponent.
        ax: where to draw; None for a figure of its own.
        predicted: the predicted exponent; None draws none.

    Returns:
        The axes.

    Raises:
        ConfigError: if `ax` is something else, or `predicted` no finite number.
    """
    slope = None if predicted is None else check_real(predicted, "predicted")
    used = np.isin(np.arange(len(fit.sizes)), fit.dropped, invert=True)

    def draw(ax: Axes) -> None:
        ax.set(xscale="log", yscale="log", ylabel="error" if fit.errors.ndim == 1 else "error, root mean square")
        points(ax, _summary(fit, fit.errors, used, statistic="log"), look=CLAIM, label=_measured(fit, fit.errors))
        if not used.all():
            hollow: dict[str, Any] = {"markerfacecolor": "white", "label": "dropped: under the floor"}
            points(ax, _summary(fit, fit.errors, ~used, statistic="log"), look=CLAIM, **hollow)
        sizes, curve = _curve(ax, fit.curve, fit.sizes[used], label=f"corrected fit: slope {_interval(fit, fit.rate)}")
        through = sizes / sizes[-1]
        ax.fill_between(sizes, curve[-1] * through**fit.low, curve[-1] * through**fit.high, **BAND)
        if slope is not None:
            ends = fit.sizes[[0, -1]]
            line = curve[-1] * (ends / sizes[-1]) ** slope
            ax.plot(ends, line, label=f"predicted slope {number(slope)}", **dashes(CLAIM))
        _finish(ax)
        log_axis(ax.yaxis)

    return draw_on(ax, draw)


def limit_fit(fit: LimitFit, ax: Axes | None = None, *, predicted: float | None = None) -> Axes:
    """Draw a fitted limit over its levels, see `LimitFit.plot`.

    Args:
        fit: the limit.
        ax: where to draw; None for a figure of its own.
        predicted: the predicted limit; None draws none.

    Returns:
        The axes.

    Raises:
        ConfigError: if `ax` is something else, or `predicted` no finite number.
    """
    value = None if predicted is None else check_real(predicted, "predicted")
    everything = np.ones(len(fit.sizes), dtype=bool)

    def draw(ax: Axes) -> None:
        ax.set(xscale="log", ylabel="value" if fit.values.ndim == 1 else f"value, {fit.statistic} over seeds")
        found = _summary(fit, fit.values, everything, statistic=fit.statistic)
        points(ax, found, look=CLAIM, label=_measured(fit, fit.values))
        _curve(ax, fit.curve, fit.sizes, label="corrected fit")
        ax.axhline(fit.limit, color=CLAIM.curve, linewidth=0.8, label=f"its limit {_interval(fit, fit.limit)}")
        ax.axhspan(fit.low, fit.high, **BAND)
        if value is not None:
            ax.axhline(value, label=f"predicted {number(value)}", **dashes(CLAIM))
        _finish(ax)

    return draw_on(ax, draw)


def _summary(fit: RateFit | LimitFit, table: np.ndarray, chosen: np.ndarray, *, statistic: str) -> Summary:
    """Return the numbers of the chosen levels with intervals of the confidence of the fit."""
    levels = [
        Level(size=float(size), values=np.atleast_1d(row), deterministic=table.ndim == 1)
        for size, row in zip(fit.sizes[chosen], table[chosen], strict=True)
    ]
    return summarise(levels, statistic=statistic, confidence=fit.confidence)


def _measured(fit: RateFit | LimitFit, table: np.ndarray) -> str:
    return "measured" if table.ndim == 1 else f"{table.shape[1]} seeds, {100 * fit.confidence:g} % interval"


def _interval(fit: RateFit | LimitFit, measured: float) -> str:
    """Return a number with its interval, to three digits of the latter."""
    width = (fit.high - fit.low) / 2
    shown, below, above = (number(value, margin=10 * width) for value in (measured, fit.low, fit.high))
    return f"{shown} [{below}, {above}]" if below != above else f"{shown} ± {number(width, digits=1)}"


def _curve(
    ax: Axes, curve: Callable[[np.ndarray], np.ndarray], sizes: np.ndarray, *, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the fit from the first of these sizes to the last, and return it."""
    along = np.geomspace(sizes[0], sizes[-1], CURVE_POINTS)
    values = curve(along)
    ax.plot(along, values, color=CLAIM.curve, label=label, zorder=2)
    return along, values


def _finish(ax: Axes) -> None:
    ax.set_xlabel("size")
    ax.legend()
    log_axis(ax.xaxis)
