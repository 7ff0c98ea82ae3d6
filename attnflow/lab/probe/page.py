"""The report as one HTML page: the verdict first, then the numbers with what each cannot say, and figures."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from matplotlib.figure import Figure

from attnflow.lab.plots.style import figure, style
from attnflow.lab.probe.definitions import DEFINITIONS, NULLS
from attnflow.lab.probe.figures import KINDS, draw_places, draw_shares, draw_typicalities, grid, legend
from attnflow.lab.probe.head_figures import draw_dimensions, draw_spectrum, draw_typicality, matrices
from attnflow.lab.probe.report import (
    COLUMNS,
    KIND_NAMES,
    Report,
    controls_in_words,
    grouped,
    in_short,
    interval,
    null_in_words,
    short,
    verdict_of_all,
    verdict_of_cloud,
    written,
)
from attnflow.lab.probe.results import CloudProbe, HeadProbe, ReversibleSpectrum
from attnflow.lab.report.inline import inline_svg

MOST_FIGURES = 8  # heads at most that are each drawn on a page of many
MOST_PICTURES = 144  # heads at most in one picture of all


def page(report: Report) -> str:
    """Return the page: self-contained, without scripts, with everything escaped that a file may say.

    Args:
        report: what was found.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "written": written,
        "interval": interval,
        "in_short": in_short,
        "short": short,
        "null": null_in_words,
    }
    environment.filters["signs"] = lambda words: str(words).replace("<=", "≤").replace(">=", "≥")
    environment.filters["grouped"] = lambda numbers: grouped(numbers.values()).items()
    heads, cloud = report.probe.heads, report.probe.cloud
    draw = _Drawing()
    drawn = heads if len(heads) <= MOST_FIGURES else ()
    shown = [*heads, *(control.head for control in report.controls)]
    nulls = {null.name for each in shown for number in each.numbers.values() for null in number.nulls}
    nulls |= {null.name for number in (cloud.numbers.values() if cloud else ()) for null in number.nulls}
    return environment.get_template("page.html.jinja").render(
        report=report,
        verdict=verdict_of_cloud(cloud) if cloud else verdict_of_all(heads),
        controls=controls_in_words(report),
        colours={kind: colour for kind, (colour, _) in KINDS.items()},
        kinds=KIND_NAMES,
        columns={name: short for name, short in COLUMNS.items() if len(heads) > 1},
        definitions=DEFINITIONS,
        nulls={name: words for name, words in NULLS.items() if name in nulls},
        most_figures=MOST_FIGURES,
        maps=_maps(report, draw) if len(heads) > 1 else [],
        head_figures={head.name: _of_head(head, report, draw) for head in drawn},
        cloud_figures=_of_cloud(cloud, draw) if cloud else [],
    )


class _Drawing:
    """Draws figures for a page, each with ids of its own."""

    def __init__(self) -> None:
        self._numbers = count()

    def __call__(self, title: str, drawn: Figure) -> Markup:
        return inline_svg(drawn, prefix=f"f{next(self._numbers)}-", title=title)

    def on_axes(
        self, title: str, draw: Callable[..., Any], *args: Any, width: float = 4.2, height: float = 2.8, **options: Any
    ) -> Markup:
        """Draw what takes axes."""
        with style():
            drawn = figure(width=width, height=height)
            draw(drawn.subplots(), *args, **options)
        return self(title, drawn)


def _maps(report: Report, draw: _Drawing) -> list[tuple[str, Markup]]:
    """Return the figures of many heads, each with what it shows."""
    heads = report.probe.heads
    found = []
    if len(heads) <= MOST_PICTURES:
        found.append(("Weights of every head, dark where a query looks; rows are queries.", draw("heads", grid(heads))))
    maps: list[tuple[str, Callable[..., Any]]] = [
        ("Shares of cost, potential and circulation in the variance of the logits.", draw_shares),
        ("Effective keys against typicality of the token.", draw_typicalities),
        ("Spread of a row against its distance from the token.", draw_places),
    ]
    for words, function in maps:
        with style():
            drawn = figure(width=4.2, height=3.7)
            function(drawn.subplots(), heads, report.controls)
            legend(drawn, heads, controls=True)
        found.append((words, draw(words, drawn)))
    return found


def _of_head(head: HeadProbe, report: Report, draw: _Drawing) -> list[tuple[str, Markup]]:
    """Return the figures of one head, each with what it shows."""
    tokens = report.probe.tokens
    words = "Weights, and what each part adds to the logits. Where -D/2 and b cancel, they share what is left of both."
    found = [(words, draw(f"parts of {head.name}", matrices(head)))]
    title, words = f"typicality of {head.name}", "Mass on keys that a token likes no better than itself."
    found.append((words, draw.on_axes(title, draw_typicality, head, tokens=tokens, width=7.4, height=1.9)))
    return found + _spectrum(head.spectrum, report.probe.count, draw)


def _of_cloud(cloud: CloudProbe, draw: _Drawing) -> list[tuple[str, Markup]]:
    """Return the figures of points alone."""
    words = "Slope of the kernel sum; grey is the interval of its maximum."
    return [(words, draw.on_axes(words, draw_dimensions, cloud)), *_spectrum(cloud.spectrum, cloud.count, draw)]


def _spectrum(spectrum: ReversibleSpectrum | None, tokens: int, draw: _Drawing) -> list[tuple[str, Markup]]:
    if spectrum is None:
        return []
    words = "Eigenvalues of the reversible part, and what explains the first modes."
    return [(words, draw.on_axes(words, draw_spectrum, spectrum, count=tokens))]
