"""Figures of one head and of points: the weights beside the parts of the logits, modes, single tokens, bandwidths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from attnflow.lab.plots.style import BLUE, GREEN, GREY, INK, PALE, PALE_GREY, VERMILLION, figure, style
from attnflow.lab.probe.definitions import DEFINITIONS
from attnflow.lab.probe.pooling import pictures, weights_picture
from attnflow.lab.probe.results import CloudProbe, HeadProbe, ReversibleSpectrum

ROSE, SKY = "#CC79A7", "#56B4E9"  # of the same palette
RANKS = 24  # eigenvalues that are drawn
LONGEST = 8  # letters of a name that are written
SINGLE = 250  # tokens at most that are drawn one by one
NAMED = 130  # tokens at most, whose names are written along an axis
_ONE_HUE = LinearSegmentedColormap.from_list("weights", ["white", "#8DB9D6", BLUE, "#002A45"])
_TWO_HUES = LinearSegmentedColormap.from_list("parts", ["#7A3500", VERMILLION, "white", BLUE, "#003556"])
_MOST = 99.5  # percent of the cells that a scale of colours covers
# What explains a mode: its colour and mark.
_CAUSES = {
    "position": (BLUE, "o"), "token identity": (VERMILLION, "s"), "norm": (GREEN, "D"), "key potential": (ROSE, "v"),
    "direction of the cloud": (SKY, "^"), "mixed": (GREY, "o"),
}  # fmt: skip


def draw_weights(ax: Axes, head: HeadProbe) -> Axes:
    """Draw A_ij, means over cells of many tokens; colours go with its square root, as most weights are small."""
    return show_weights(ax, weights_picture(head.source, cells=200), head.count)


def matrices(head: HeadProbe) -> Figure:
    """Return A beside what -D/2, b and W add to its logits, in nats and on one scale."""
    found = pictures(head)
    with style():
        drawn = figure(width=5.6, height=5.5)
        axes = drawn.subplots(2, 2).ravel()
        show_weights(axes[0], found.weights, head.count)
        most = float(np.percentile(np.abs(found[1:]), _MOST)) or 1.0
        parts = {"cost": "-D/2", "potential": "b", "circulation": "W"}
        for ax, (name, symbol) in zip(axes[1:], parts.items(), strict=True):
            _place(ax, head.count)
            content = getattr(found, name)
            shown = ax.imshow(content, cmap=_TWO_HUES, vmin=-most, vmax=most, extent=_extent(head.count), aspect="auto")
            ax.set_title(f"{symbol}: {_share(head, name)}")
        bar = drawn.colorbar(shown, ax=list(axes), location="bottom", shrink=0.5, aspect=40, extend="both")
        bar.set_label("added to the logit, in nats, the mean of each row taken away")
        bar.outline.set_visible(False)  # type: ignore[operator]
    return drawn


def draw_spectrum(ax: Axes, found: ReversibleSpectrum, *, count: int) -> Axes:
    """Draw the largest eigenvalues of the reversible part beside their null; marks say what explains a mode.

    Args:
        ax: where to draw.
        found: the eigenvalues, falling.
        count: N; the ranks of a null of fewer tokens are stretched.
    """
    eigenvalues = found.eigenvalues[:RANKS]
    null = found.null_eigenvalues
    ranks = 1 + np.arange(len(null)) * count / found.null_tokens
    ax.axhline(0.5, color=PALE, linewidth=0.8, zorder=0)
    ax.plot(ranks, null, color=GREY, dashes=(3, 2), linewidth=1.0, label=f"null: {found.null_name}")
    ax.plot(np.arange(1, len(eigenvalues) + 1), eigenvalues, ".", color=PALE_GREY, markersize=4, zorder=1)
    for label in dict.fromkeys(mode.label for mode in found.modes):
        colour, mark = _CAUSES.get(label, (INK, "P"))
        ranks = np.array([rank for rank, mode in enumerate(found.modes, start=2) if mode.label == label])
        where = [found.modes[rank - 2].eigenvalue for rank in ranks]
        filled = "white" if label == "mixed" else colour
        ax.plot(ranks, where, mark, color=colour, markerfacecolor=filled, markersize=4.5, label=label, zorder=3)
    ax.set_xlim(0.3, min(RANKS, len(eigenvalues)) + 0.7)
    ax.set_ylim(min(0.0, float(eigenvalues.min())) - 0.03, 1.05)
    ax.set_xlabel("rank")
    ax.set_ylabel("eigenvalue of the reversible part")
    ax.legend(loc="upper right")
    return ax


def draw_typicality(ax: Axes, head: HeadProbe, *, tokens: Sequence[str] | None = None) -> Axes:
    """Draw for every token the mass on keys that it likes no better than itself, along the sequence.

    Of many tokens, neighbours are put together: their median, and where most of them lie.
    """
    number, values = head.numbers["typicality"], head.rows.typicality
    if head.count <= SINGLE:
        ax.vlines(np.arange(head.count), 0, values, color=BLUE, linewidth=max(0.6, min(2.0, 250 / head.count)))
    else:
        parts = np.array_split(np.arange(head.count), SINGLE)
        low, middle, high = np.array([np.percentile(values[part], (10, 50, 90)) for part in parts]).T
        at = [part.mean() for part in parts]
        ax.fill_between(at, low, high, color=PALE, linewidth=0, label="10 to 90 %")
        ax.plot(at, middle, color=BLUE, linewidth=0.8, label="median")
    if number.value is not None:
        ax.axhline(number.value, color=INK, linewidth=0.8, label=f"mean {number.value:.2f}")
    if number.null is not None:
        ax.axhline(number.null.value, color=GREY, dashes=(3, 2), linewidth=1.0, label=f"null: {number.null.name}")
    ax.set_xlim(-1, head.count)
    ax.set_ylim(0, 1.02)
    ax.set_ylabel("typicality")
    name_tokens(ax, tokens, head.count)
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=4, borderpad=0)
    return ax


def draw_dimensions(ax: Axes, cloud: CloudProbe) -> Axes:
    """Draw how the slope of the kernel sum depends on the bandwidth, and the bandwidth where it is steepest."""
    ax.plot(cloud.bandwidths, cloud.dimensions, color=BLUE)
    number = cloud.numbers["dimension"]
    if number.low is not None and number.high is not None:
        ax.axhspan(number.low, number.high, color=PALE, linewidth=0, zorder=0)
    ax.axvline(cloud.bandwidth, color=VERMILLION, linewidth=0.9, label=f"{cloud.chosen_by}: {cloud.bandwidth:.3g}")
    if number.null is not None:
        ax.axhline(number.null.value, color=GREY, dashes=(3, 2), label=f"null: {number.null.name}")
    ax.set_xscale("log")
    ax.set_ylim(0, 1.35 * ax.get_ylim()[1])  # with room for the legend
    ax.set_xlabel("bandwidth")
    ax.set_ylabel(DEFINITIONS["dimension"].title)
    ax.legend(loc="upper left")
    return ax


def name_tokens(ax: Axes, tokens: Sequence[str] | None, count: int) -> None:
    """Write the names of tokens below an axis where they fit, else their numbers."""
    ax.set_xlabel("token")
    if tokens is None or count > NAMED:
        return
    ax.set_xticks([])  # ticks with labels would take ten times as long to draw
    longest = max(len(token[:LONGEST]) for token in tokens)
    ax.xaxis.labelpad = 10 if longest == 1 else 6 + 3.6 * longest
    place: Any = {"transform": ax.get_xaxis_transform(), "fontsize": 5.5, "ha": "center", "va": "top"}
    for at, token in enumerate(tokens):
        named = ax.text(at, -0.03, literal(token[:LONGEST]), rotation=90 if len(token) > 1 else 0, **place)
        named.set_in_layout(False)


def literal(text: str) -> str:
    """Return text that is written as it is: a dollar begins no formula, and what cannot be drawn is left out."""
    return "".join(letter for letter in text if letter.isprintable()).replace("$", r"\$")


def show_weights(ax: Axes, content: np.ndarray, count: int) -> Axes:
    """Draw means of A over cells (C, C) of so many tokens."""
    _place(ax, count)
    most = max(float(np.percentile(content, _MOST)), float(np.finfo(float).tiny))
    ax.imshow(content, cmap=_ONE_HUE, norm=PowerNorm(0.5, 0, most), extent=_extent(count), aspect="auto")
    ax.set_title("weights A")
    return ax


def _place(ax: Axes, count: int) -> None:
    """Let rows be queries and columns keys, both from 0 on."""
    ax.spines[:].set_visible(True)
    ax.set_box_aspect(1)
    ax.set_xlabel("key")
    ax.set_ylabel("query")
    ax.locator_params(nbins=4)


def _extent(count: int) -> Any:
    return (-0.5, count - 0.5, count - 0.5, -0.5)


def _share(head: HeadProbe, name: str) -> str:
    value = head[f"share_{name}"]
    return "no share" if value is None else f"{100 * value:.0f} % of the variance"
