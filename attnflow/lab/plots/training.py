"""What training does to many seeds: losses, final accuracies, collapses and spectra, with every seed visible."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.ticker import MaxNLocator
from scipy.special import betaincinv  # scipy.stats would take every command .3 s to import

from attnflow._checks import check_finite
from attnflow.errors import DataError
from attnflow.judge.words import number
from attnflow.lab.plots.flows import Numbers
from attnflow.lab.plots.style import BLUE, GREEN, GREY, INK, VERMILLION

PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"  # the rest of the palette of Okabe and Ito
COLOURS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, INK, GREY)
MARKERS = "oDsv^<>P"
PLACES = 200  # of a curve; a longer one is drawn by the means of as many stretches
_BINS = 60  # of an axis, into which dots are stacked
_LEVEL = 0.95  # of intervals of a share


def loss_bands(ax: Axes, *, losses: Mapping[str, np.ndarray], label: str = "training loss") -> Axes:
    """Draw losses over the steps of training: for each method its median, its quartiles as a band, and every seed thin.

    Args:
        ax: where to draw.
        losses: by method, (seeds, steps), positive: the axis is logarithmic. More than 200 steps are drawn by their
            means over 200 stretches.
        label: of the vertical axis.

    Returns:
        The axes; of each method the first line is the median, then one for each seed.

    Raises:
        DataError: if there is no method, a shape is another, or a loss not positive.

    Example:
        >>> import numpy as np
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=4, height=3).subplots()
        >>> halving = 0.5 ** np.arange(5.0)
        >>> ax = plots.loss_bands(ax, losses={"metric": np.outer([1.0, 2.0, 4.0], halving)})
        >>> ax.lines[0].get_ydata().tolist(), len(ax.lines)
        ([2.0, 1.0, 0.5, 0.25, 0.125], 4)
    """
    for (name, values), colour in zip(_checked(losses, "losses", axes=2).items(), _colours(losses), strict=True):
        if values.min() <= 0:
            raise DataError(f"`losses` of {name!r} must be positive, got {values.min():g}: the axis is logarithmic.")
        steps, curves = _in_stretches(values)
        low, median, high = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
        ax.plot(steps, median, color=colour, linewidth=1.5, label=name, zorder=3)
        ax.fill_between(steps, low, high, color=colour, alpha=0.22, linewidth=0, zorder=1)
        for curve in curves:
            ax.plot(steps, curve, color=colour, linewidth=0.35, alpha=0.6, zorder=2, rasterized=True)
    last = max(values.shape[1] for values in losses.values()) - 1
    ax.set(yscale="log", xlim=(0, max(last, 1)), xlabel="steps of training", ylabel=label)
    _legend_above(ax, len(losses))
    return ax


def dots_and_violins(
    ax: Axes, *, values: Mapping[str, np.ndarray], label: str = "accuracy", reference: float | None = None
) -> Axes:
    """Draw the final number of every seed: for each method a dot for each seed below its density, a tick at the median.

    Args:
        ax: where to draw.
        values: by method, (seeds,); methods may have different numbers of seeds.
        label: of the horizontal axis.
        reference: a number at which a dashed line is drawn, such as the accuracy of guessing.

    Returns:
        The axes, methods from top to bottom; one line of dots and one tick for each.

    Raises:
        DataError: if there is no method, or not one finite number for each seed.

    Example:
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=4, height=3).subplots()
        >>> ax = plots.dots_and_violins(ax, values={"self": [0.5, 0.9, 0.92], "metric": [0.97, 0.98, 0.99]})
        >>> [text.get_text() for text in ax.get_yticklabels()], float(ax.lines[1].get_xdata()[0])
        (['self', 'metric'], 0.9)
    """
    found = _checked(values, "values", axes=1)
    every = np.concatenate(list(found.values()))
    width = (np.ptp(every) or 1.0) / _BINS
    for row, (numbers, colour) in enumerate(zip(found.values(), _colours(found), strict=True)):
        stacked = _stacked(numbers, width)
        scale = min(0.09, 0.38 / max(stacked.max(), 1))
        ax.plot(numbers, row + 0.1 + scale * stacked, "o", color=colour, markersize=2.6, markeredgewidth=0, alpha=0.9)
        ax.plot([np.median(numbers)] * 2, [row - 0.3, row + 0.07], color=INK, linewidth=1.3, zorder=3)
        if np.ptp(numbers) > 1e-9 * max(1.0, float(np.abs(numbers).max())):  # equal numbers have no density
            where = np.linspace(numbers.min(), numbers.max(), 121)
            density = _smoothed(numbers, where)
            ax.fill_between(where, row, row - 0.42 * density / density.max(), color=colour, alpha=0.35, linewidth=0)
    if reference is not None:
        ax.axvline(float(check_finite(reference, "reference")), color=GREY, linestyle=(0, (3.5, 2)), linewidth=0.8)
    ax.set_yticks(range(len(found)), list(found))
    ax.set(ylim=(len(found) - 0.45, -0.55), xlabel=label)
    ax.tick_params(axis="y", length=0)
    return ax


def collapse_counts(ax: Axes, *, blocks: Numbers, collapsed: Mapping[str, np.ndarray]) -> Axes:
    """Draw the share of collapsed seeds over the number of blocks, with 95 % intervals of Clopper and Pearson.

    Args:
        ax: where to draw.
        blocks: numbers of blocks, (B,).
        collapsed: by method, whether a seed has collapsed, (B, seeds).

    Returns:
        The axes.

    Raises:
        DataError: if there is no method, or not one row for each number of blocks.

    Example:
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=4, height=3).subplots()
        >>> ax = plots.collapse_counts(ax, blocks=[1, 2], collapsed={"self": [[0, 0, 0, 1], [1, 1, 0, 1]]})
        >>> ax.lines[0].get_ydata().tolist()
        [0.25, 0.75]
    """
    depths = check_finite(blocks, "blocks")
    found = _checked(collapsed, "collapsed", axes=2)
    for index, ((name, flags), colour) in enumerate(zip(found.items(), _colours(found), strict=True)):
        if len(flags) != len(depths) or not np.isin(flags, (0, 1)).all():
            raise DataError(f"`collapsed` of {name!r} must hold flags ({len(depths)}, seeds), got {flags.shape}.")
        at = np.arange(len(depths)) + 0.06 * (index - (len(found) - 1) / 2)
        count, seeds = flags.sum(axis=1), flags.shape[1]
        low, high = share_interval(count, seeds)
        ax.vlines(at, low, high, color=colour, linewidth=0.8, alpha=0.7)
        ax.plot(at, count / seeds, color=colour, marker=MARKERS[index % len(MARKERS)], markersize=4, label=name)
    ax.set_xticks(range(len(depths)), [f"{depth:g}" for depth in depths])
    ax.set(ylim=(-0.04, 1.04), xlabel="blocks", ylabel="share of collapsed seeds")
    _legend_above(ax, len(found))
    return ax


def variance_parts(ax: Axes, *, parts: Mapping[str, tuple[float, float, float]], label: str) -> Axes:
    """Draw where the variance over seeds comes from: from how often runs collapse, within those, and within the others.

    Args:
        ax: where to draw.
        parts: by method, the three, as `attnflow.learn.split_variance` gives them.
        label: of what varies.

    Returns:
        The axes; a bar for each method, of three pieces that add up to its variance.

    Raises:
        DataError: if there is no method, or a part is negative or not finite.

    Example:
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=4, height=2).subplots()
        >>> ax = plots.variance_parts(ax, parts={"self": (0.03, 0.0, 0.01)}, label="accuracy")
        >>> [round(float(piece.get_width()), 3) for piece in ax.patches]
        [0.03, 0.0, 0.01]
    """
    found = _checked(parts, "parts", axes=1)
    for name, three in found.items():
        if three.shape != (3,) or (three < 0).any():
            raise DataError(f"`parts` of {name!r} must be three variances, got {three}.")
    rows, ends = np.arange(len(found)), np.zeros(len(found))
    words = ("collapsed or not", "among collapsed", "among others")
    for piece, word, colour in zip(np.stack([*found.values()], axis=1), words, (VERMILLION, ORANGE, BLUE), strict=True):
        ax.barh(rows, piece, left=ends, height=0.6, color=colour, label=word)
        ends = ends + piece
    ax.set_yticks(rows, [*found])
    ax.invert_yaxis()
    ax.set_xlabel(f"variance of {label} over seeds")
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.xaxis.set_major_formatter(lambda value, _: number(value))  # 5·10⁻⁵: six zeros do not fit
    _legend_above(ax, 3)
    return ax


def spectrum_over_training(ax: Axes, *, steps: Numbers, eigenvalues: np.ndarray, threshold: float = 0.5) -> Axes:
    """Draw the largest eigenvalues of a layer over the steps of training; those above the threshold count its clusters.

    Args:
        ax: where to draw.
        steps: after which they were measured, (T,).
        eigenvalues: of A, (T, k), moduli.
        threshold: drawn as a dashed line.

    Returns:
        The axes, one line for each eigenvalue and the dashed one.

    Raises:
        DataError: if the shapes do not fit together.

    Example:
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=4, height=3).subplots()
        >>> len(plots.spectrum_over_training(ax, steps=[0, 100], eigenvalues=[[1.0, 0.2], [1.0, 0.8]]).lines)
        3
    """
    at, found = check_finite(steps, "steps"), check_finite(eigenvalues, "eigenvalues")
    if at.ndim != 1 or found.ndim != 2 or len(found) != len(at):
        raise DataError(f"`eigenvalues` must have shape (T, k) with T = {at.size} steps, got {found.shape}.")
    for index, values in enumerate(found.T):
        faded = 0.75 * index / max(found.shape[1] - 1, 1)
        ax.plot(at, values, color=_towards_white(BLUE, faded), linewidth=1.0, marker="o", markersize=1.8)
    ax.axhline(threshold, color=VERMILLION, linestyle=(0, (3.5, 2)), linewidth=0.8)
    ax.set(ylim=(-0.03, 1.03), xlabel="steps of training", ylabel="eigenvalues of the layer")
    return ax


def share_interval(count: np.ndarray, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the 95 % interval of Clopper and Pearson for `count` of so many seeds."""
    tail = (1 - _LEVEL) / 2
    low = np.where(count > 0, betaincinv(np.maximum(count, 1), seeds - count + 1, tail), 0.0)
    high = np.where(count < seeds, betaincinv(count + 1, np.maximum(seeds - count, 1), 1 - tail), 1.0)
    return low, high


def _smoothed(numbers: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return a density of numbers up to a factor: Gaussians of the width std n^{-1/5} of Scott's rule, at (P,)."""
    width = numbers.std(ddof=1) * len(numbers) ** -0.2
    return np.exp(-(((where[:, None] - numbers) / width) ** 2) / 2).sum(axis=1)


def _in_stretches(curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return steps (P,) and curves (seeds, P), P <= 200: the means of as many stretches, or the curves as they are."""
    steps = np.arange(curves.shape[1])
    if len(steps) <= PLACES:
        return steps, curves
    parts = np.array_split(steps, PLACES)
    means = np.stack([curves[:, part].mean(axis=1) for part in parts], axis=1)
    return np.array([part.mean() for part in parts]), means


def _stacked(numbers: np.ndarray, width: float) -> np.ndarray:
    """Return the storey of each dot: how many before it lie in its bin."""
    bins = np.floor((numbers - numbers.min()) / width + 1e-9).astype(int)
    seen: dict[int, int] = {}
    storeys = np.empty(len(numbers))
    for index, bin in enumerate(bins):
        storeys[index] = seen.get(bin, 0)
        seen[bin] = seen.get(bin, 0) + 1
    return storeys


def _checked(values: Mapping[str, Any], name: str, *, axes: int) -> dict[str, np.ndarray]:
    found = {method: check_finite(np.asarray(rows, dtype=float), name) for method, rows in values.items()}
    if not found:
        raise DataError(f"`{name}` must hold at least one method, got none.")
    for method, rows in found.items():
        if not rows.size:
            raise DataError(f"`{name}` of {method!r} must hold numbers of at least one seed, got none.")
        if rows.ndim != axes:
            raise DataError(f"`{name}` of {method!r} must have {axes} axes, one of them over seeds, got {rows.shape}.")
    return found


def _colours(methods: Mapping[str, Any]) -> list[str]:
    return [COLOURS[index % len(COLOURS)] for index in range(len(methods))]


def _towards_white(colour: str, share: float) -> tuple[float, ...]:
    return tuple((1 - share) * part + share for part in to_rgb(colour))


def _legend_above(ax: Axes, methods: int) -> None:
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=min(methods, 4), handlelength=1.4, columnspacing=1.0)
