"""The tables of claims in Markdown: a summary for the README, and docs/claims.md with every claim."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from attnflow.judge.claims import Claim
from attnflow.judge.verdicts import Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name, with_controls
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.report.describing import docstring_blocks
from attnflow.lab.report.formulas import github
from attnflow.lab.report.sections import Entry, entries_of
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import settings_in_words, summary_in_words
from attnflow.lab.runs import Run

HEAD = """# {title}

Written by `attnflow report` from the records of a run, not by hand. What the words mean is said in the
[README](../README.md#what-the-numbers-say). A control, known to be false, stands in its claim's row and must be
refuted, by the gap between what it predicts and what its number is in truth. A derivation checks one formula against
another and runs no attention. A claim's name leads to its figure, which shows its control as well; a study's name leads
to its code."""
COLUMNS = ["claim", "statement", "source", "predicted", "measured", "verdict", "control"]
MEASURED, VERDICT, CONTROL = map(COLUMNS.index, ("measured", "verdict", "control"))
FOLDED = '<details markdown="1"><summary>Every study: its question, its figure, its verdicts</summary>'
NEXT = "<br>"  # between what stands in one cell


def summary_markdown(table: Table, *, claims: Path, master_seed: int) -> str:
    """Return what the README says of the claims of a table: the sums, and folded up one line for each study.

    Args:
        table: the runs of its studies.
        claims: the page of every claim, beside the README.
        master_seed: of the runs.
    """
    lines = []
    for run in table.runs:
        verdicts = run.verdicts
        controls = [is_expected(verdict) for verdict in verdicts if verdict.control]
        counts = _counts([verdict for verdict in verdicts if not verdict.control])
        refuted = f"{sum(controls)} of {len(controls)}" if controls else "–"
        study = f"[{run.study.name}]({claims.as_posix()}#{run.study.name})"
        lines.append([study, _question(run), _figure(run), counts or "not run", refuted])
    rows = _table(["study", "question", "figure", "claims", "controls refuted"], lines)
    return f"{_sums(table, master_seed=master_seed)}\n\n{FOLDED}\n\n{rows}\n\n</details>"


def claims_markdown(table: Table, *, master_seed: int) -> str:
    """Return the page of every claim of a table: one for each study, with statements in TeX as GitHub renders it.

    Args:
        table: the runs of its studies.
        master_seed: of the runs.
    """
    title = f"{table.title}: every claim" if table.title else "Every claim"
    parts = [HEAD.format(title=title), _sums(table, master_seed=master_seed)]
    for run in table.runs:
        parts += [f"## {run.study.name}", _study(run), _claims_of(run) if run.setting else "Not run."]
    return "\n\n".join(parts) + "\n"


def turned(committed: str, verdicts: Iterable[Verdict]) -> list[str]:
    """Return one sentence for each claim of a page of `claims_markdown` that has another verdict now, or none.

    Args:
        committed: the page.
        verdicts: of all claims, as they are now.
    """
    now = {github(verdict.id): _in_words(verdict) for verdict in verdicts}
    found = []
    for line in committed.splitlines():
        cells = _cells(line)
        if len(cells) != len(COLUMNS):
            continue
        rows = [(cells[0], cells[VERDICT]), *map(_control_of_cell, cells[CONTROL].split(NEXT))]
        for name, word in rows:
            symbol, _, before = word.partition(" ")
            id = re.sub(r"^\[(.*)\]\(.*\)$", r"\1", name)
            if symbol in SYMBOLS.values() and before != now.get(id):
                found.append(f"{id} was {before}, and is {now.get(id, 'gone')}")
    return found


def without_measured(page: str) -> str:
    """Return a page of `claims_markdown` without the measured numbers, whose last digits depend on the machine."""
    return "\n".join(
        " | ".join([*cells[:MEASURED], *cells[MEASURED + 1 :]]) if len(cells := _cells(line)) == len(COLUMNS) else line
        for line in page.splitlines()
    )


def _cells(line: str) -> list[str]:
    return line.removeprefix("| ").removesuffix(" |").split(" | ")  # a bar inside a cell has a backslash before it


def _study(run: Run) -> str:
    """Return the question of a study, and where its code is if that is known."""
    if not run.study.path or run.study.path.is_absolute():
        return _question(run)
    path = run.study.path.as_posix()
    return f"{_question(run)} ([{path}](../{path}))"


def _figure(run: Run) -> str:
    """Return a link to the first figure of a study, its own before those of its claims."""
    own = [function.__name__ for function in run.study.figures] if run.setting else []
    names = own + [figure_name(judgement.claim) for judgement, _ in with_controls(run.judgements)]
    return f"[figure](figures/{run.study.name}/{names[0]}.svg)" if names else "–"


def _claims_of(run: Run) -> str:
    figures = {
        each.claim.id: f"../figures/{run.study.name}/{figure_name(judgement.claim)}.svg"
        for judgement, controls in with_controls(run.judgements)
        for each in [judgement, *controls]
    }
    rows = [_row(entry, figures=figures) for entry in entries_of(run, {}) if entry.verdict]
    return _table(COLUMNS, rows)


def _row(entry: Entry, *, figures: Mapping[str, str]) -> list[str]:
    """Return the cells of a claim that was decided, with its controls in the last one."""
    claim, verdict = entry.claim, entry.verdict
    assert verdict is not None
    decided = [(control.claim, control.verdict) for control in entry.controls if control.verdict]
    covered = f"covered by {github(claim.covered_by)}" if claim.covered_by else "–"
    own = figures.get(claim.id)
    return [
        _name(claim, figures),
        github(claim.statement),
        github(claim.source),
        _predicted(verdict),
        NEXT.join([_measured(verdict), *(f"control: {_measured(control)}" for _, control in decided)]),
        _verdict(verdict),
        NEXT.join(
            f"{_name(each, figures, but=own)}, {_verdict(control)}: {github(each.statement)}; {_predicted(control)}"
            for each, control in decided
        )
        or covered,
    ]


def _control_of_cell(text: str) -> tuple[str, str]:
    """Return the name and the verdict of a control as `_row` writes it, empty where the text is none."""
    found = re.match(r"(\S.*?), (\S [a-z]+(?: \([a-z, ]+\))?): ", text)
    return (found[1], found[2]) if found else ("", "")


def _name(claim: Claim, figures: Mapping[str, str], *, but: str | None = None) -> str:
    """Return the id of a claim, a link to its figure unless that is `but`."""
    figure = figures.get(claim.id)
    return f"[{github(claim.id)}]({figure})" if figure and figure != but else github(claim.id)


def _predicted(verdict: Verdict) -> str:
    return verdict.predicted_in_words + (f", in truth {verdict.truth_in_words}" if verdict.truth_in_words else "")


def _measured(verdict: Verdict) -> str:
    """Return what was measured, and what is missing or remarkable: all this may differ between machines."""
    remarks = [github(text) for text in (verdict.missing, verdict.remark) if text]
    return "; ".join([verdict.measured_in_words, *remarks])


def _verdict(verdict: Verdict) -> str:
    return f"{SYMBOLS[verdict.verdict]} {_in_words(verdict)}"


def _in_words(verdict: Verdict) -> str:
    return verdict.verdict + (f" ({verdict.sort})" if verdict.sort else "")


def _counts(claims: Sequence[Verdict]) -> str:
    """Return how many claims have which verdict, derivations after those that measure."""
    counts = Counter((verdict.derivation, verdict.verdict) for verdict in claims)
    return ", ".join(
        f"{SYMBOLS[word]} {count} {('derivation ' if count == 1 else 'derivations ') if derivation else ''}{word}"
        for derivation in (False, True)
        for word in SYMBOLS
        if (count := counts[derivation, word])
    )


def _sums(table: Table, *, master_seed: int) -> str:
    return f"{settings_in_words(table.runs)}, master seed {master_seed}. {github(summary_in_words(table.verdicts))}"


def _question(run: Run) -> str:
    """Return the first line of a study's docstring, the question that it answers."""
    return github(docstring_blocks(run.study.source)[0][1])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
