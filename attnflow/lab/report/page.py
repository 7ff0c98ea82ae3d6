"""The report: one page that says what was claimed, what was run, what was seen and what follows from it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from attnflow.judge.claims import Claim
from attnflow.judge.rates import MINIMUM_LEVELS
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name, study_figures
from attnflow.lab.plots.style import SYMBOLS, image
from attnflow.lab.provenance import different_code
from attnflow.lab.report.describing import docstring_blocks, provenance, references, what_was_run
from attnflow.lab.report.formulas import ascii_mathematics, tex
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import levels_in_words, settings_in_words, summary_in_words, verdict_in_words
from attnflow.lab.runs import Run


def page(tables: Sequence[Table], *, bad_files: Sequence[Path], master_seed: int) -> str:
    """Return the page as HTML: self-contained, without scripts, with everything escaped.

    Args:
        tables: of all claims, the one with which the page begins first.
        bad_files: records that were set aside as damaged.
        master_seed: of the runs.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {"ascii": ascii_mathematics, "tex": tex, "levels": levels_in_words}
    environment.filters |= {"words": verdict_in_words, "tone": _tone, "breakable": _breakable}
    verdicts = [verdict for table in tables for verdict in table.verdicts]
    numbers = count()
    return environment.get_template("page.html.jinja").render(
        master_seed=master_seed,
        confidence=f"{100 * FAMILY_CONFIDENCE:g} %",
        minimum_levels=MINIMUM_LEVELS,
        symbols=SYMBOLS,
        tables=[
            {
                "title": table.title,
                "settings": settings_in_words(table.runs),
                "summary": summary_in_words(table.verdicts),
                "verdicts": table.verdicts,
                "sections": [_section(run, prefix=f"s{next(numbers)}") for run in table.runs],
            }
            for table in tables
        ],
        anchors={verdict.id: f"claim-{number}" for number, verdict in enumerate(verdicts)},
        bad_files=[path.name for path in bad_files],
        references=references({verdict.source for verdict in verdicts}),
    )


def _section(run: Run, *, prefix: str) -> dict[str, Any]:
    """Return what the page says about one study."""
    title, *blocks = docstring_blocks(run.study.source)
    figures = {
        name: inline_svg(drawn, prefix=f"{prefix}-{number}-", title=name)
        for number, (name, drawn) in enumerate(study_figures(run).items() if run.setting else ())
    }
    of_claims = {figure_name(claim) for claim in run.study.all_claims}
    return {
        "study": run.study,
        "setting": run.setting,
        "anchor": prefix,
        "title": title[1],
        "blocks": blocks,
        "run": what_was_run(run) if run.setting else [],
        "failures": sorted({record.failed for record in run.records if record.failed}),
        "claims": _claims(run, figures),
        "figures": [drawn for name, drawn in figures.items() if name not in of_claims],
        "provenance": provenance(run) if run.setting else [],
        "warning": different_code(run.records) if run.setting else None,
    }


def _claims(run: Run, figures: Mapping[str, Markup]) -> list[dict[str, Any]]:
    """Return each claim with its verdict, its figure, and its controls, of which each is the same."""
    verdicts: dict[str, Verdict] = {verdict.id: verdict for verdict in run.verdicts}
    claims = run.study.all_claims
    plain = {claim.id for claim in claims if claim.control_of is None}

    def entry(claim: Claim, controls: Sequence[Claim]) -> dict[str, Any]:
        return {
            "claim": claim,
            "verdict": verdicts.get(claim.id),
            "figure": figures.get(figure_name(claim)),
            "controls": [entry(control, ()) for control in controls],
        }

    return [
        entry(claim, [control for control in claims if claim.id in plain and control.control_of == claim.id])
        for claim in claims
        if claim.control_of not in plain
    ]


def inline_svg(drawn: Figure, *, prefix: str, title: str) -> Markup:
    """Return the figure as an <svg> element, with ids of its own and nothing that points outside the page."""
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}", image(drawn, "svg").decode())
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:width|height|version|class|xmlns(?::\w+)?)="[^"]*"', "", head)
    width = round(96 * float(drawn.get_figwidth()))
    return Markup(f'{head} role="img" aria-label="{escape(title)}" style="max-width: {width}px">{rest.strip()}')


def _breakable(id: str) -> Markup:
    """Return an id that a narrow column may break after a slash."""
    return Markup("/<wbr>").join(id.split("/"))


def _tone(verdict: Verdict) -> str:
    """Return how the page paints a verdict, besides its symbol and its words."""
    if not is_expected(verdict):
        return "bad"
    return "open" if verdict.verdict == "inconclusive" else "control" if verdict.control else "good"
