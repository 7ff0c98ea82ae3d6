"""What the page says about one study: its claims with their controls folded into them, its figures, its records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from markupsafe import Markup

from attnflow.judge.claims import Claim
from attnflow.judge.verdicts import Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name, study_figures
from attnflow.lab.provenance import different_code
from attnflow.lab.report.describing import docstring_blocks, provenance, what_was_run
from attnflow.lab.report.forest import Mark, marks
from attnflow.lab.report.inline import inline_svg
from attnflow.lab.runs import Run

SORTS = ("supported", "undecided", "refuted")  # by which the page can be filtered


@dataclass(frozen=True)
class Entry:
    """A claim with its verdict, its figure, and its controls, each of which is an entry as well.

    Args:
        claim: what is claimed.
        verdict: None if it has not been decided.
        figure: as an <svg> element; None where there is none, or a claim's figure shows its control.
        controls: of the claim.
    """

    claim: Claim
    verdict: Verdict | None
    figure: Markup | None
    controls: tuple[Entry, ...] = ()

    @property
    def marks(self) -> list[Mark]:
        """What its row in the forest draws."""
        controls = [control.verdict for control in self.controls if control.verdict]
        return marks(self.verdict, controls) if self.verdict else []

    @property
    def sort(self) -> str:
        """By which filter it is shown; what is not as expected, the claim or its control, counts as refuted."""
        verdicts = [entry.verdict for entry in (self, *self.controls) if entry.verdict]
        if not all(map(is_expected, verdicts)):
            return "refuted"
        undecided = not verdicts or any("inconclusive" in (verdict.verdict, verdict.gap) for verdict in verdicts)
        return "undecided" if undecided else "supported"


@dataclass(frozen=True)
class Section:
    """What the page says about one study.

    Args:
        run: of the study.
        question: the first line of its docstring.
        blocks: the rest of it.
        entries: its claims.
        figures: what it draws itself, by name.
    """

    run: Run
    question: str
    blocks: list[tuple[str, str, str]]
    entries: tuple[Entry, ...]
    figures: dict[str, Markup]

    @classmethod
    def of(cls, run: Run) -> Section:
        """Return the section of a study, with its figures drawn."""
        (_, question, _), *blocks = docstring_blocks(run.study.source)
        figures = {
            name: inline_svg(drawn, prefix=f"{run.study.name}/{name}/", title=name)
            for name, drawn in (study_figures(run) if run.setting else {}).items()
        }
        entries = entries_of(run, figures)
        of_claims = {figure_name(claim) for claim in run.study.all_claims}
        own = {name: drawn for name, drawn in figures.items() if name not in of_claims}
        return cls(run=run, question=question, blocks=blocks, entries=entries, figures=own)

    @property
    def sorts(self) -> list[str]:
        """The filters by which one of its claims is shown."""
        return [sort for sort in SORTS if any(entry.sort == sort for entry in self.entries)]

    @property
    def counts(self) -> str:
        """How many of its claims there are of each sort."""
        if not self.run.setting:
            return "not run"
        numbers = {sort: sum(entry.sort == sort for entry in self.entries) for sort in SORTS}
        return ", ".join(f"{number} {sort}" for sort, number in numbers.items() if number)

    @property
    def said(self) -> list[str]:
        """What was run."""
        return what_was_run(self.run) if self.run.setting else []

    @property
    def provenance(self) -> list[tuple[str, str]]:
        """Where its records come from."""
        return provenance(self.run) if self.run.setting else []

    @property
    def notes(self) -> list[str]:
        """What a reader must know before the rest: that nothing was run, that cases failed, that code has changed."""
        if not self.run.setting:
            return ["This study has not been run."]
        failures = sorted({record.failed for record in self.run.records if record.failed})
        warning = different_code(self.run.records)
        return [*(f"A case failed: {failure}" for failure in failures), *([warning] if warning else [])]

    def figure(self, name: str) -> Markup | None:
        """Return the figure of this name, its own or that of a claim, as an <svg> element with other ids."""
        of_claims = {figure_name(entry.claim): entry.figure for entry in self.entries}
        drawn = self.figures.get(name) or of_claims.get(name)
        return None if drawn is None else Markup(drawn.replace(f"{self.run.study.name}/{name}/", f"front/{name}/"))


def entries_of(run: Run, figures: Mapping[str, Markup]) -> tuple[Entry, ...]:
    """Return the claims of a study, each with its controls; a control of a control stands by itself.

    Args:
        run: of the study.
        figures: by the names of `figure_name`.
    """
    verdicts = {verdict.id: verdict for verdict in run.verdicts}
    claims = run.study.all_claims
    plain = {claim.id for claim in claims if claim.control_of is None}

    def entry(claim: Claim, controls: Iterable[Claim] = ()) -> Entry:
        of_it = tuple(entry(control) for control in controls)
        return Entry(claim, verdicts.get(claim.id), figures.get(figure_name(claim)), of_it)

    return tuple(
        entry(claim, [control for control in claims if claim.id in plain and control.control_of == claim.id])
        for claim in claims
        if claim.control_of not in plain
    )


def rooms_of(sections: Sequence[Section]) -> dict[str, list[Section]]:
    """Return the sections by the folders of their studies, in their order."""
    rooms: dict[str, list[Section]] = {}
    for section in sections:
        rooms.setdefault(section.run.study.room or "studies", []).append(section)
    return rooms


def anchor(id: str) -> str:
    """Return the id of a claim as an id within the page, which has no spaces."""
    return "-".join(id.split())


def link(id: str) -> str:
    """Return the id of a claim as what stands behind the # of a link."""
    return quote(anchor(id), safe="/.,;:@!$*+=~")
