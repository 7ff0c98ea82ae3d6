"""The report: what was claimed, what was run, what was seen and what follows from it."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from attnflow.errors import ConfigError
from attnflow.judge.rates import MINIMUM_LEVELS
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.report import front
from attnflow.lab.report.describing import how_to_repeat, references
from attnflow.lab.report.forest import HEIGHT, WIDTH, axis, place
from attnflow.lab.report.formulas import ascii_mathematics, tex
from attnflow.lab.report.sections import SORTS, Entry, Section, anchor, link, rooms_of
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import levels_in_words, settings_in_words, summary_in_words, verdict_in_words
from attnflow.lab.runs import Run

INDEX, CLAIMS = "index.html", "claims"  # of a report in pages: a file, and the folder of the others


@dataclass(frozen=True)
class Report:
    """Tables of claims as one page, or as an index with a page for each claim; figures are drawn once for both.

    All pages are HTML: self-contained, without scripts, with everything escaped.

    Args:
        tables: of all claims, the one with which a report begins first.
        bad_files: records that were set aside as damaged.
        master_seed: of the runs.
    """

    tables: tuple[Table, ...]
    bad_files: tuple[Path, ...]
    master_seed: int

    def page(self) -> str:
        """Return the page with everything on it."""
        return self._rendered("page.html.jinja", href=lambda id: f"#{link(id)}", split=False)

    def pages(self) -> dict[str, str]:
        """Return an index and one page for each claim with its controls, by the names of their files.

        Raises:
            ConfigError: two claims would have one file.
        """
        places = {
            each.claim.id: f"{figure_name(entry.claim)}.html#{link(each.claim.id)}"
            for entry in self._entries.values()
            for each in (entry, *entry.controls)
        }
        texts = {INDEX: self._rendered("page.html.jinja", href=lambda id: f"{CLAIMS}/{places[id]}", split=True)}
        for section in self._sections.values():
            for entry in section.entries:
                name = f"{CLAIMS}/{figure_name(entry.claim)}.html"
                if name in texts:
                    raise ConfigError(f"two claims would have the page {name!r}. Rename {entry.claim.id!r}.")
                own = {"href": places.__getitem__, "section": section, "entry": entry, "index": f"../{INDEX}"}
                texts[name] = self._rendered("claim.html.jinja", **own)
        return texts

    @cached_property
    def _written(self) -> list[tuple[Table, list[Section]]]:
        count, terminal = sum(len(table.runs) for table in self.tables), sys.stderr.isatty()
        with tqdm(total=count, desc="report", unit="study", disable=not terminal) as bar:  # nearly all the time
            return [(table, [_section(run, bar) for run in table.runs]) for table in self.tables]

    @property
    def _sections(self) -> dict[str, Section]:
        return {section.run.study.name: section for _, each in self._written for section in each}

    @property
    def _entries(self) -> dict[str, Entry]:
        return {entry.claim.id: entry for section in self._sections.values() for entry in section.entries}

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What every template may say."""
        sections, entries = self._sections, self._entries
        return {
            "confidence": f"{100 * FAMILY_CONFIDENCE:g} %",
            "minimum_levels": MINIMUM_LEVELS,
            "symbols": SYMBOLS,
            "sorts": SORTS,
            "forest": {
                "width": WIDTH,
                "height": HEIGHT,
                "axis": axis(),
                "ends": [place(-1), place(1)],
                "middle": place(0),
            },
            "theorem": front.THEOREM,
            "ids": {claim.id for section in sections.values() for claim in section.run.study.all_claims},
            "main": [entries[id] for id in front.MAIN if id in entries and entries[id].verdict],
            "pictures": [
                (picture, drawn)
                for picture in front.PICTURES
                if picture.study in sections and (drawn := sections[picture.study].figure(picture.figure))
            ],
            "tables": [
                {
                    "title": table.title,
                    "settings": f"{settings_in_words(table.runs)} · master seed {self.master_seed}",
                    "summary": summary_in_words(table.verdicts),
                    "rooms": rooms_of(each),
                }
                for table, each in self._written
            ],
            "repeat": how_to_repeat(self.tables, master_seed=self.master_seed),
            "bad_files": [path.name for path in self.bad_files],
            "references": references({verdict.source for table in self.tables for verdict in table.verdicts}),
        }

    def _rendered(self, template: str, **own: Any) -> str:
        return _environment().get_template(template).render(self._facts | own)


@cache
def _environment() -> Environment:
    """Return what renders the templates beside this file."""
    made = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters |= {"ascii": ascii_mathematics, "tex": tex, "levels": levels_in_words, "anchor": anchor, "link": link}
    made.filters |= {"words": verdict_in_words, "tone": _tone, "breakable": _breakable}
    return made


def _section(run: Run, bar: tqdm) -> Section:
    """Return what the report says of a run, and count it."""
    section = Section.of(run)
    bar.update()
    return section


def _breakable(id: str) -> Markup:
    """Return an id that a narrow column may break after a slash."""
    return Markup("/<wbr>").join(id.split("/"))


def _tone(verdict: Verdict) -> str:
    """Return how the page paints a verdict, besides its symbol and its words."""
    if not is_expected(verdict):
        return "bad"
    return "open" if verdict.verdict == "inconclusive" else "control" if verdict.control else "good"
