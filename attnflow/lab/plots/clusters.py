"""What tokens gather into: the energy and the merging of clusters over time, and how many there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.lab.plots.flows import Numbers
from attnflow.lab.plots.style import BLUE, GREY, INK, VERMILLION

MOST_COUNTED = 12  # clusters told apart by their colours; more share the last
Merges = Sequence[Sequence[Any]]


def staircase(drawn: Figure, *, times: Numbers, energies: np.ndarray, merges: Merges, count: int) -> np.ndarray:
    """Draw an energy over the logarithm of time, above the tree of the tokens that have become one.

    Args:
        drawn: the figure to draw into.
        times: t_k > 0, shape (T,).
        energies: shape (T,).
        merges: of each, in their order, its time and one token, or more, of every cluster that has become one there;
            the events of a TokenTrajectory will do.
        count: number of tokens N.

    Returns:
        The axes: of the energy, of the tree.

    Raises:
        DataError: if the shapes do not fit together, a time is not positive, or a merge names fewer than two clusters.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> upper, lower = plots.staircase(
        ...     plots.figure(width=4, height=3), times=[0.1, 1, 10], energies=[0.3, 0.5, 1.0], merges=[(0.7, (0, 2))],
        ...     count=3)
        >>> [text.get_text() for text in lower.get_yticklabels()]
        ['0', '2', '1']
    """
    at, energy = check_finite(times, "times"), check_finite(energies, "energies")
    if at.ndim != 1 or energy.shape != at.shape:
        raise DataError(f"`energies` must have shape {at.shape}, one for each time, got {energy.shape}.")
    if at.min() <= 0:
        raise DataError(f"`times` must be positive to be drawn over their logarithm, got {at.min():g}. Leave it out.")
    axes: np.ndarray = drawn.subplots(2, 1, sharex=True, height_ratios=[1.2, 1])
    upper, lower = axes
    upper.plot(at, energy, color=BLUE)
    upper.set(xscale="log", ylabel="energy", xlim=(at[0], at[-1]))
    order, heights, branches = tree(merges, count=count)
    for time, *_ in merges:
        upper.axvline(time, color=GREY, linewidth=0.4, zorder=0)
    starts = np.full(count, at[0])
    for time, joined in branches:
        for height, token in joined:
            lower.plot([starts[token], time], [height, height], color=INK, linewidth=0.8)
        ends = [height for height, _ in joined]
        lower.plot([time, time], [min(ends), max(ends)], color=VERMILLION, linewidth=0.8)
        starts[joined[0][1]] = time
    for token, height in heights.items():
        lower.plot([starts[token], at[-1]], [height, height], color=INK, linewidth=0.8)
    lower.set(xlabel="time $t$", ylabel="token", ylim=(-0.7, count - 0.3))
    lower.set_yticks(range(count), list(map(str, order)), fontsize=5 if count > 16 else 6)
    return axes


def tree(
    merges: Merges, *, count: int
) -> tuple[list[int], dict[int, float], list[tuple[float, list[tuple[float, int]]]]]:
    """Return the tree of merges, with its tokens in an order in which no branches cross.

    Returns:
        The tokens from the bottom up; the height at which each cluster that is left stands, by its first token; and of
        each merge its time with the heights and the first tokens of what has become one.

    Raises:
        DataError: if a merge names a token that is not there, or fewer than two clusters.
    """
    members = {token: [token] for token in range(count)}
    home = list(range(count))
    joins = []
    for time, tokens, *_ in merges:
        if not all(0 <= token < count for token in tokens):
            raise DataError(f"`merges` at {time:g} names the tokens {tuple(tokens)}, but there are {count}.")
        clusters = sorted({home[token] for token in tokens}, key=lambda cluster: members[cluster][0])
        if len(clusters) < 2:
            raise DataError(f"`merges` at {time:g} names tokens {tuple(tokens)} that are one already, or one alone.")
        joins.append((time, clusters))
        for other in clusters[1:]:
            members[clusters[0]] += members.pop(other)
        for token in members[clusters[0]]:
            home[token] = clusters[0]
    order = [token for cluster in members.values() for token in cluster]
    heights = {token: float(height) for height, token in enumerate(order)}
    branches = []
    for time, clusters in joins:
        joined = [(heights.pop(cluster), cluster) for cluster in clusters]
        branches.append((time, joined))
        heights[clusters[0]] = float(np.mean([height for height, _ in joined]))
    return order, heights, branches


def phases(
    ax: Axes, *, times: Numbers, inverse_temperatures: Numbers, counts: np.ndarray,
    predicted: np.ndarray | None = None,
) -> Axes:  # fmt: skip
    """Draw how many clusters there are, over time and the inverse temperature.

    Args:
        ax: where to draw.
        times: t_k > 0, rising, shape (T,).
        inverse_temperatures: beta > 0, rising, shape (B,).
        counts: numbers of clusters, shape (B, T); 0, which is left white, where there are none yet.
        predicted: times at which clusters should have formed, shape (B,), drawn as dashes.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together or numbers are not positive and rising.
    """
    at, betas = _check_rising(times, "times"), _check_rising(inverse_temperatures, "inverse_temperatures")
    found = check_finite(counts, "counts")
    if found.shape != (len(betas), len(at)):
        raise DataError(f"`counts` must have shape {(len(betas), len(at))}, (B, T), got {found.shape}.")
    levels = np.arange(1, MOST_COUNTED + 2)
    scale = BoundaryNorm(levels - 0.5, 256, extend="max")
    colours = colormaps["cividis_r"].with_extremes(under="white")
    mesh = ax.pcolormesh(_edges(at), _edges(betas), found, cmap=colours, norm=scale, rasterized=True)
    if predicted is not None:
        when = check_finite(predicted, "predicted")
        if when.shape != betas.shape:
            raise DataError(f"`predicted` must have shape {betas.shape}, one for each beta, got {when.shape}.")
        look: dict[str, Any] = {"color": VERMILLION, "linestyle": (0, (3.5, 2)), "linewidth": 1.2}
        ax.plot(when, betas, label="clusters have formed, in theory", **look)
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1))
    ax.set(xscale="log", yscale="log", xlabel="time $t$", ylabel=r"inverse temperature $\beta$")
    ax.set(xlim=_edges(at)[[0, -1]], ylim=_edges(betas)[[0, -1]])
    figure: Any = ax.get_figure()
    bar = figure.colorbar(mesh, ax=ax, label="clusters", ticks=levels[:-1], aspect=30)
    bar.outline.set_linewidth(0.4)
    bar.minorticks_off()
    return ax


def _check_rising(values: Numbers, name: str) -> np.ndarray:
    found = check_finite(values, name)
    if found.ndim != 1 or len(found) < 2 or found[0] <= 0 or (np.diff(found) <= 0).any():
        raise DataError(f"`{name}` must be two or more positive numbers that rise, got {found}.")
    return found


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the ends of the cells around points on a logarithmic axis."""
    logs = np.log(values)
    middles = (logs[1:] + logs[:-1]) / 2
    return np.exp(np.concatenate([[2 * logs[0] - middles[0]], middles, [2 * logs[-1] - middles[-1]]]))
