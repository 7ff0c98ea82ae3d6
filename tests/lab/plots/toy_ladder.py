"""A ladder of made-up errors, and what the tests of figures look for in axes."""

import numpy as np

from attnflow.judge.claims import Claim
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import examine
from attnflow.lab import plots

SIZES = 0.4 * 0.5 ** np.arange(9)
RANDOM = np.random.default_rng(3).normal(size=(len(SIZES), 24))


def claim(**changes):
    fields = {
        "id": "toy/error", "source": "RZ", "statement": r"errors are of order $\varepsilon$", "kind": "exponent",
        "quantity": "error", "size": "bandwidth", "hypotheses": "none", "predicted": 1.0,
    }  # fmt: skip
    return Claim(**{**fields, **changes})


def errors(noise=0.2):
    return SIZES[:, None] * (1 + SIZES[:, None]) * np.exp(noise * RANDOM)


def judged(a_claim, values, **changes):
    """The judgement on values (levels, seeds)."""
    levels = [Level(size=size, values=row, **changes) for size, row in zip(SIZES, values, strict=False)]
    return examine(a_claim, levels)


def axes(width=4.0, height=3.0):
    return plots.figure(width=width, height=height).subplots()


def dots(ax):
    """The curves drawn as markers without a line, in the order in which they were drawn."""
    return [line for line in ax.lines if line.get_linestyle() == "None" and line.get_marker() in ("o", "D", "^", "v")]


def named(ax, start):
    """The line whose label begins so."""
    (found,) = [line for line in ax.lines if str(line.get_label()).startswith(start)]
    return found


def ends(ax):
    """Low, middle and high of each square that stands at the limit."""
    squares = [container for container in ax.containers if container[0].get_marker() == "s"]
    segments = [square[2][0].get_segments()[0] for square in squares]
    return [
        [segment[0, 1], square[0].get_ydata()[0], segment[1, 1]]
        for square, segment in zip(squares, segments, strict=True)
    ]


def legend_of(ax):
    """The words for what is drawn."""
    return ax.get_legend_handles_labels()[1]
