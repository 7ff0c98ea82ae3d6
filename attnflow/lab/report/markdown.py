"""The tables of claims in Markdown: a summary for the README, and docs/claims.md with every claim."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from attnflow.judge.claims import Claim
from attnflow.judge.verdicts import Verdict, is_expected
from attnflow.lab.plots.drawing import figure_name, with_controls
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.report.describing import docstring_blocks
from attnflow.lab.report.formulas import github
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import settings_in_words, summary_in_words
from attnflow.lab.runs import Run

HEAD = """# {title}

Written by `attnflow report` from the records of a run, not by hand. What the words mean is said in the
[README](../README.md#what-the-numbers-say); a control, known to be false, stands below its claim and must be refuted,
by the gap between what it predicts and what its number is in truth. A derivation checks one formula against another and
runs no attention. A claim's name leads to its figure."""


def summary_markdown(table: Table, *, claims: Path, master_seed: int) -> str:
    """Return what the README says of the claims of a table: the sums, and one line for each study.

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
        lines.append([study, _question(run), counts or "not run", refuted])
    rows = _table(["study", "question", "claims", "controls refuted"], lines)
    return f"{_sums(table, master_seed=master_seed)}\n\n{rows}"


def claims_markdown(table: Table, *, master_seed: int) -> str:
    """Return the page of every claim of a table: one for each study, with statements in TeX as GitHub renders it.

    Args:
        table: the runs of its studies.
        master_seed: of the runs.
    """
    title = f"{table.title}: every claim" if table.title else "Every claim"
    parts = [HEAD.format(title=title), _sums(table, master_seed=master_seed)]
    for run in table.runs:
        parts += [f"## {run.study.name}", _question(run), _claims_of(run) if run.setting else "Not run."]
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
        symbol, _, before = cells[-1].partition(" ")
        if len(cells) == 6 and symbol in SYMBOLS.values():
            id = re.sub(r"^\[(.*)\]\(.*\)$", r"\1", cells[0])
            if id not in now:
                found.append(f"{id} was {before}, and is gone")
            elif before != now[id]:
                found.append(f"{id} was {before}, and is {now[id]}")
    return found


def without_measured(page: str) -> str:
    """Return a page of `claims_markdown` without the measured numbers, whose last digits depend on the machine."""
    return "\n".join(
        " | ".join([*cells[:4], *cells[5:]]) if len(cells := _cells(line)) == 6 else line for line in page.splitlines()
    )


def _cells(line: str) -> list[str]:
    return line.removeprefix("| ").removesuffix(" |").split(" | ")  # a bar inside a cell has a backslash before it


def _claims_of(run: Run) -> str:
    figures = {
        each.claim.id: f"../figures/{run.study.name}/{figure_name(judgement.claim)}.svg"
        for judgement, controls in with_controls(run.judgements)
        for each in [judgement, *controls]
    }
    rows = [_row(each.claim, each.verdict, figure=figures.get(each.claim.id)) for each in run.judgements]
    return _table(["claim", "statement", "source", "predicted", "measured", "verdict"], rows)


def _row(claim: Claim, verdict: Verdict, *, figure: str | None) -> list[str]:
    name = github(claim.id)
    words = f"{SYMBOLS[verdict.verdict]} {_in_words(verdict)}"
    return [
        f"[{name}]({figure})" if figure else name,
        github(claim.statement),
        github(claim.source),
        verdict.predicted_in_words + (f"; in truth {verdict.truth_in_words}" if verdict.truth_in_words else ""),
        verdict.measured_in_words,
        words,
    ]


def _in_words(verdict: Verdict) -> str:
    return verdict.verdict + (f" ({verdict.sort})" if verdict.sort else "")


def _counts(claims: Sequence[Verdict]) -> str:
    """Return how many claims have which verdict, derivations after those that measure."""
    counts = Counter((verdict.derivation, verdict.verdict) for verdict in claims)
    return ", ".join(
        f"{SYMBOLS[word]} {counts[derivation, word]} {'derivations ' if derivation else ''}{word}"
        for derivation in (False, True)
        for word in SYMBOLS
        if counts[derivation, word]
    )


def _sums(table: Table, *, master_seed: int) -> str:
    return f"{settings_in_words(table.runs)}, master seed {master_seed}. {github(summary_in_words(table.verdicts))}"


def _question(run: Run) -> str:
    """Return the first line of a study's docstring, the question that it answers."""
    return github(docstring_blocks(run.study.source)[0][1])


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
