"""The report: one page that says what was claimed, what was run, what was seen and what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from attnflow.judge.rates import MINIMUM_LEVELS
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict, is_expected
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.report import front
from attnflow.lab.report.describing import how_to_repeat, references
from attnflow.lab.report.forest import HEIGHT, WIDTH, axis, place
from attnflow.lab.report.formulas import ascii_mathematics, tex
from attnflow.lab.report.sections import SORTS, Section, anchor, link, rooms_of
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import levels_in_words, settings_in_words, summary_in_words, verdict_in_words


def page(tables: Sequence[Table], *, bad_files: Sequence[Path], master_seed: int) -> str:
    """Return the page as HTML: self-contained, without scripts, with everything escaped.

    Args:
        tables: of all claims, the one with which the page begins first.
        bad_files: records that were set aside as damaged.
        master_seed: of the runs.
    """
    written = [(table, [Section.of(run) for run in table.runs]) for table in tables]
    sections = {section.run.study.name: section for _, each in written for section in each}
    entries = {entry.claim.id: entry for section in sections.values() for entry in section.entries}
    return _environment().get_template("page.html.jinja").render(
        confidence=f"{100 * FAMILY_CONFIDENCE:g} %",
        minimum_levels=MINIMUM_LEVELS,
        symbols=SYMBOLS,
        sorts=SORTS,
        forest={"width": WIDTH, "height": HEIGHT, "axis": axis(), "ends": [place(-1), place(1)], "middle": place(0)},
        theorem=front.THEOREM,
        main=[entries[id] for id in front.MAIN if id in entries and entries[id].verdict],
        pictures=[
            (picture, drawn)
            for picture in front.PICTURES
            if picture.study in sections and (drawn := sections[picture.study].figure(picture.figure))
        ],
        tables=[
            {
                "title": table.title,
                "settings": f"{settings_in_words(table.runs)} · master seed {master_seed}",
                "summary": summary_in_words(table.verdicts),
                "rooms": rooms_of(each),
            }
            for table, each in written
        ],
        repeat=how_to_repeat(tables, master_seed=master_seed),
        bad_files=[path.name for path in bad_files],
        references=references({verdict.source for table in tables for verdict in table.verdicts}),
    )  # fmt: skip


def _environment() -> Environment:
    """Return what renders the templates beside this file."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"ascii": ascii_mathematics, "tex": tex, "levels": levels_in_words, "anchor": anchor, "link": link}
    made.filters |= {"words": verdict_in_words, "tone": _tone, "breakable": _breakable}
    return made


def _breakable(id: str) -> Markup:
    """Return an id that a narrow column may break after a slash."""
    return Markup("/<wbr>").join(id.split("/"))


def _tone(verdict: Verdict) -> str:
    """Return how the page paints a verdict, besides its symbol and its words."""
    if not is_expected(verdict):
        return "bad"
    return "open" if verdict.verdict == "inconclusive" else "control" if verdict.control else "good"
