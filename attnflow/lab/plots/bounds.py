"""Errors beside what bounds them: pairs of laws in the fan of a Lipschitz bound, steps over a modelling error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from attnflow._checks import check_finite, check_positive
from attnflow.errors import DataError
from attnflow.judge.words import number
from attnflow.lab.plots.flows import Numbers
from attnflow.lab.plots.style import BLUE, GREEN, GREY, INK, VERMILLION

STEP_LOOKS = [(BLUE, "o"), (VERMILLION, "D"), (GREEN, "s"), (INK, "v"), (GREY, "^")]


def fan(ax: Axes, *, before: np.ndarray, after: np.ndarray, bound: float) -> Axes:
    """Draw distances after a layer over those before it, in the fan whose upper edge is the Lipschitz bound.

        W1(T mu, T nu) <= Lip W1(mu, nu)

    Args:
        ax: where to draw.
        before: W1(mu, nu) of pairs, shape (P,).
        after: W1(T mu, T nu) of the same pairs, shape (P,).
        bound: Lip.

    Returns:
        The axes. Pairs beyond the edge are drawn as crosses, and the legend counts them.

    Raises:
        DataError: if the shapes do not fit together, a number is not finite or a distance not positive.
        ConfigError: if the bound is not positive.

    Example:
        >>> from attnflow.lab import plots
        >>> ax = plots.figure(width=3, height=3).subplots()
        >>> _ = plots.fan(ax, before=[0.1, 0.2], after=[0.15, 0.1], bound=2.0)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['bound, slope 2', 'largest found, slope 1.5', '2 pairs']
    """
    first, then = check_finite(before, "before"), check_finite(after, "after")
    if first.ndim != 1 or len(first) == 0 or then.shape != first.shape:
        raise DataError(f"`before` and `after` must have one shape (P,), got {first.shape} and {then.shape}.")
    if first.min() <= 0:
        raise DataError(f"`before` must hold positive distances, got {first.min():g}. Leave out pairs of equal laws.")
    slope = check_positive(bound, "bound")
    found = then / first
    out = found > slope
    width = 1.05 * float(first.max())
    ends = np.array([0.0, width])
    ax.plot(ends, slope * ends, color=VERMILLION, label=f"bound, slope {number(slope, digits=3)}")
    highest = max(slope * width, 1.05 * float(then.max()))
    forbidden: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "hatch": "////", "linewidth": 0}
    ax.fill_between(ends, slope * ends, [highest] * 2, zorder=0, **forbidden)
    largest = float(found.max())
    label = f"largest found, slope {number(largest, digits=3)}"
    ax.plot(ends, largest * ends, color=BLUE, linestyle=(0, (3.5, 2)), linewidth=0.9, label=label)
    ax.plot(first[~out], then[~out], "o", color=BLUE, markersize=2.2, alpha=0.6, label=f"{len(first)} pairs")
    if out.any():
        ax.plot(first[out], then[out], "X", color=VERMILLION, markersize=5, label=f"{out.sum()} beyond the bound")
    ax.set(xlim=(0, width), ylim=(0, highest))
    ax.set(xlabel=r"$W_1(\mu, \nu)$", ylabel=r"$W_1(T\mu, T\nu)$")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1))
    return ax


def depth_ladder(
    ax: Axes, *, steps: Numbers, errors: Mapping[str, np.ndarray], orders: Mapping[str, float],
    modelling_error: float | None = None,
) -> Axes:  # fmt: skip
    """Draw the errors of integrators over their steps, above the error that the model has at any step.

    Args:
        ax: where to draw.
        steps: dt > 0, shape (S,).
        errors: of each integrator by its name, shape (S,).
        orders: the declared orders by the same names, drawn as dashes through the finest level.
        modelling_error: how far the flow itself is from its limit; a smaller error of a step is of no use, hatched.

    Returns:
        The axes.

    Raises:
        DataError: if the shapes do not fit together or a number is not positive.
    """
    sizes = _check_positive_array(steps, "steps")
    if orders.keys() != errors.keys():
        raise DataError(f"`orders` must name {', '.join(errors)}, as `errors` does, got {', '.join(orders)}.")
    finest, order = int(np.argmin(sizes)), np.argsort(sizes)
    looks = dict(zip(errors, STEP_LOOKS * (1 + len(errors) // len(STEP_LOOKS)), strict=False))
    for name, values in errors.items():
        found = _check_positive_array(values, f"errors[{name!r}]")
        if found.shape != sizes.shape:
            raise DataError(f"`errors[{name!r}]` must have shape {sizes.shape}, one for each step, got {found.shape}.")
        colour, marker = looks[name]
        label = f"{name}, order {number(orders[name])}"
        ax.plot(sizes, found, marker, color=colour, markersize=4, linestyle="none", label=label)
        line = found[finest] * (sizes[order] / sizes[finest]) ** orders[name]
        ax.plot(sizes[order], line, color=colour, linestyle=(0, (4, 2)), linewidth=0.8)
    ax.set(xscale="log", yscale="log", xlabel="step $dt$", ylabel="error")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if sizes.max() < 30 * sizes.min() else (1,)))
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    if modelling_error is not None:
        level = check_positive(modelling_error, "modelling_error")
        bottom = min(ax.get_ylim()[0], level / 3)
        forbidden: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY, "hatch": "////", "linewidth": 0}
        ax.axhspan(bottom, level, label="modelling error", zorder=0, **forbidden)
        ax.set_ylim(bottom=bottom)
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _check_positive_array(values: object, name: str) -> np.ndarray:
    found = check_finite(values, name)
    if found.ndim != 1 or len(found) == 0 or found.min() <= 0:
        raise DataError(f"`{name}` must be positive numbers, shape (S,), got {found}.")
    return found
