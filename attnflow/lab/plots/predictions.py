"""What an error is made of, drawn alone: a suggested bandwidth among others, and the parts of a budget."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from attnflow.comparison.bandwidths.suggestion import BandwidthSuggestion
from attnflow.comparison.error_budget import ErrorBudget
from attnflow.lab.plots.axes import draw_on
from attnflow.lab.plots.log_axes import log_axis
from attnflow.lab.plots.style import BLUE, INK, PALE_BLUE, VERMILLION

LEAST_DRAWN = 0.1  # of the smallest part: where the scale begins, for bars and intervals that reach zero


def bandwidth_suggestion(found: BandwidthSuggestion, ax: Axes | None = None) -> Axes:
    """Draw the predicted error, the bias and the noise against the bandwidth, the choice marked; return the axes.

    Args:
        found: what was suggested.
        ax: where to draw; None for a figure of its own.
    """
    columns = np.array(found.predictions).T

    def draw(ax: Axes) -> None:
        looks = ((1, "predicted error", INK, "-"), (2, "bias", BLUE, "--"), (3, "noise", VERMILLION, ":"))
        for row, name, colour, dashes in looks:
            positive = columns[row] > 0
            ax.loglog(columns[0][positive], columns[row][positive], dashes, color=colour, marker=".", label=name)
        ax.plot([found.bandwidth], [found.predicted_error], "o", fillstyle="none", markersize=10, color=INK)
        ax.set(xlabel=r"bandwidth $\varepsilon$", ylabel=f"error of the {found.target}, root mean square")
        ax.set_title(rf"$N = {found.count}$: $\varepsilon = {found.bandwidth:.3g}$")
        ax.legend()
        log_axis(ax.xaxis)
        log_axis(ax.yaxis)

    return draw_on(ax, draw)


def error_budget(budget: ErrorBudget, ax: Axes | None = None) -> Axes:
    """Draw the parts as bars on a logarithmic scale, with their intervals, and the total beside them; return the axes.

    Args:
        budget: what the error is made of.
        ax: where to draw; None for a figure of its own.
    """
    rows = [*budget.parts, budget.together, budget.total]
    places = np.arange(len(rows))[::-1]
    lowest = LEAST_DRAWN * min(part.high for part in rows if part.high > 0)
    values = np.array([max(part.value, lowest) for part in rows])
    ends = np.array([[max(part.low, lowest), max(part.high, lowest)] for part in rows])
    expected = np.array([part.expected for part in rows])
    known = expected > 0

    def draw(ax: Axes) -> None:
        ax.barh(places, values, color=[PALE_BLUE] * len(budget.parts) + [BLUE, VERMILLION], height=0.7)
        ax.hlines(places, ends[:, 0], ends[:, 1], color=INK, linewidth=1.0)
        ax.plot(expected[known], places[known], "|", color=INK, markersize=11, label="expected or declared")
        if known.any():
            ax.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), frameon=False, borderpad=0.0)
        ax.set_yticks(places, [part.name for part in rows])
        ax.set(xscale="log", xlim=(lowest, 3 * ends.max()), xlabel=f"root mean square error of {budget.what}")
        ax.set_title("closes" if budget.closes else "does not close", loc="left")

    return draw_on(ax, draw, width=5.0, height=2.8)
