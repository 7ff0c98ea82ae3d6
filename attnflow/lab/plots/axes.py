"""Where a result is drawn: on axes that are given, or on new ones in the look of all figures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from attnflow._html import figure_in_html
from attnflow.errors import ConfigError
from attnflow.lab.plots.style import style

DPI = 150  # of a figure of its own, as a notebook shows it


def draw_on(
    ax: Any, draw: Callable[[Axes], None], *, width: float = 4.2, height: float = 2.9, three_dim: bool = False
) -> Axes:
    """Draw on axes of matplotlib, or on new ones where none are given, and return them.

    Args:
        ax: the axes, or None.
        draw: what draws on them.
        width: of a new figure, in inches.
        height: of a new figure.
        three_dim: whether axes of three dimensions are drawn on.

    Raises:
        ConfigError: if `ax` is something else, or has another number of dimensions.
    """
    if ax is None:
        with style():
            made = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
            ax = made.subplots(subplot_kw={"projection": "3d"} if three_dim else None)
            draw(ax)
        # The last line of a cell shows the figure: pyplot, which would show it, knows nothing of it.
        ax._repr_html_ = functools.partial(figure_in_html, made)
        return ax
    if not isinstance(ax, Axes):
        raise ConfigError(f"`ax` must be axes of matplotlib, got {type(ax).__name__}. Leave it out for a new figure.")
    if (ax.name == "3d") != three_dim:
        how = 'Make them with projection="3d".' if three_dim else "Make them without a projection."
        raise ConfigError(f"`ax` must have {3 if three_dim else 2} dimensions for this, got {ax.name} ones. {how}")
    with style() if "_repr_html_" in vars(ax) else nullcontext():  # axes that were made here keep their look
        draw(ax)
    return ax
