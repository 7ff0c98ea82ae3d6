"""The figure of a claim: what its kind draws, with its controls in pale, under the verdicts on them all."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.figure import Figure

from attnflow.judge.claims import KINDS
from attnflow.judge.verdicts import Judgement
from attnflow.lab.plots.distances import distances
from attnflow.lab.plots.ladder import ladder, local_slopes
from attnflow.lab.plots.levels import NO_LABELS
from attnflow.lab.plots.limit import limit
from attnflow.lab.plots.ordering import ordering
from attnflow.lab.plots.style import GREY, INK, SYMBOLS, figure, in_lines, set_height

WIDTH = 4.2  # inches, a column of a page
LEGEND: dict[str, Any] = {
    "loc": "lower left", "bbox_to_anchor": (0, 1), "fontsize": 7, "borderpad": 0.2, "borderaxespad": 0.2,
    "labelspacing": 0.3, "handlelength": 2.4, "columnspacing": 1.0,
}  # fmt: skip
LINE = 10.5  # points, of a verdict in words
TITLE = 9  # points
Draw = Callable[..., Axes]


def claim_figure(
    judgement: Judgement, *, controls: Sequence[Judgement] = (), labels: Mapping[str, str] = NO_LABELS
) -> Figure:
    """Return the figure of one claim and its controls: a ladder over its local slopes, a limit, or distances.

    Args:
        judgement: on a claim whose kind has a figure.
        controls: on its controls, of kinds with the same figure.
        labels: of the quantities and sizes; their names where none is given.
    """
    made = figure(width=WIDTH, height=3.0)
    upper, height = FIGURES[str(KINDS[judgement.claim.kind].figure)](made, judgement, controls=controls, labels=labels)
    upper.set_ylabel(in_lines(upper.get_ylabel(), width=120, size=8))
    _legend(upper)
    above = _heading(upper, judgement, controls)
    set_height(made, height + above / 72)
    return made


def _ladder_over_slopes(made: Figure, judgement: Judgement, **given: Any) -> tuple[Axes, float]:
    upper, lower = made.subplots(2, 1, sharex=True, height_ratios=[2.6, 1])
    ladder(upper, judgement, **given)
    local_slopes(lower, judgement, **given)
    upper.set_xlabel("")
    upper.tick_params(labelbottom=False)
    made.align_ylabels([upper, lower])
    return upper, 3.3


def _alone(draw: Draw) -> Callable[..., tuple[Axes, float]]:
    return lambda made, judgement, **given: (draw(made.subplots(), judgement, **given), 2.4)


FIGURES: Mapping[str, Callable[..., tuple[Axes, float]]] = {
    "ladder": _ladder_over_slopes,
    "limit": _alone(limit),
    "distances": _alone(distances),
    "ordering": _alone(ordering),
}


def _legend(ax: Axes) -> None:
    """Put the legend above the axes, where it hides nothing: the claim before its controls, in columns that fit."""
    found = zip(*ax.get_legend_handles_labels(), strict=True)
    entries = sorted(found, key=lambda entry: (entry[1].startswith("control"), not isinstance(entry[0], Container)))
    handles, names = [handle for handle, _ in entries], [in_lines(name, width=215, size=7) for _, name in entries]
    for columns in (2, 1):
        legend = ax.legend(handles, names, ncols=columns, **LEGEND)
        legend.set_in_layout(False)  # its height is that of the heading, and its width is checked here
        if legend.get_window_extent().width <= 0.8 * ax.get_figure().bbox.width:  # type: ignore[union-attr]
            return


def _heading(ax: Axes, judgement: Judgement, controls: Sequence[Judgement]) -> float:
    """Write what is claimed, its id and the verdicts above the legend; return the height of all this in points."""
    legend = ax.get_legend()
    dpi = ax.get_figure(root=True).dpi  # type: ignore[union-attr]
    above = 6 + (legend.get_window_extent().height * 72 / dpi if legend else 0.0)
    lines = [(judgement.claim.id, GREY), (_in_words(judgement, name=""), INK)]
    lines += [
        (_in_words(control, name=f"control {control.claim.id} " if len(controls) > 1 else "control "), GREY)
        for control in controls
    ]
    for words, colour in lines[::-1]:
        place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
        wrapped = in_lines(words, width=240, size=7.5)
        ax.annotate(wrapped, (0, 1), (0, above), fontsize=7.5, color=colour, **place).set_in_layout(False)
        above += LINE * len(wrapped.splitlines())
    statement = judgement.claim.statement
    title = in_lines(statement[0].upper() + statement[1:], width=225, size=TITLE)
    ax.set_title(title, loc="left", fontsize=TITLE, color=INK, pad=above + 3)
    return above + 6 + 1.35 * TITLE * len(title.splitlines())


def _in_words(judgement: Judgement, *, name: str) -> str:
    verdict = judgement.verdict
    measured = "" if verdict.measured is None else f": {verdict.measured_in_words}"
    return f"{SYMBOLS[verdict.verdict]} {name}{verdict.verdict}{measured}"
