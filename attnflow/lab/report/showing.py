"""A study and its claims as plain text: what `attnflow show` prints, and readable in a narrow window."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

from attnflow.judge.claims import KINDS, Claim
from attnflow.judge.verdicts import Verdict
from attnflow.judge.words import number
from attnflow.lab.plots.drawing import figure_name
from attnflow.lab.plots.style import SYMBOLS
from attnflow.lab.provenance import different_code
from attnflow.lab.report.describing import docstring_blocks, references
from attnflow.lab.report.words import levels_in_words, verdict_in_words
from attnflow.lab.runs import Run
from attnflow.lab.tables import progress_line

INDENT, COLUMN = "  ", 12  # of a docstring; of what stands beside the names of the fields


def show_run(run: Run, *, ids: Container[str], figures: Path, width: int) -> str:
    """Return what a study is about, and of each claim what it says, where from, and what came out.

    Args:
        run: the records there are.
        ids: of the claims that are shown, each followed by those of its controls that are among them.
        figures: the folder of figures.
        width: in characters; an equation or a formula without spaces may be wider.

    Example:
        >>> import attnflow as af
        >>> from pathlib import Path
        >>> from attnflow.lab.report.showing import show_run
        >>> from attnflow.lab.runs import read_run
        >>> from attnflow.lab.store import Store
        >>> claim = af.Claim(
        ...     id="coin", source="derived", statement="the mean of a fair coin", kind="identity", quantity="mean",
        ...     size="throws", hypotheses="independent throws", predicted=0.5, margin=0.1)
        >>> study = af.Study(
        ...     name="toy", measure=dict, ladder=[{"throws": 99}], quick=1, claims=[claim],
        ...     source="'''Is a coin fair?'''")
        >>> print(show_run(read_run(study, Store("nowhere")), ids=["coin"], figures=Path("figures"), width=60))
        toy: 0 of 1 records, no run complete
        <BLANKLINE>
          Is a coin fair?
        <BLANKLINE>
        coin
          statement   the mean of a fair coin
          hypotheses  independent throws
          source      derived, in the docstring of the study
          predicted   0.5 ± 0.1 (identity: mean over throws)
          verdict     not yet: attnflow verify coin
    """
    parts = [progress_line(run), *_about(run, width=width), _fields(_of_study(run, figures), width=width)]
    for claim, above in _in_order(run.study.all_claims, ids):
        parts.append(f"{claim.id}\n{_fields(_of_claim(claim, run, above=above, figures=figures), width=width)}")
    return "\n\n".join(part for part in parts if part)


def _in_order(claims: Sequence[Claim], ids: Container[str]) -> Iterator[tuple[Claim, Claim | None]]:
    """Yield the claims with these ids, controls with and after those that they are controls of."""
    shown = {claim.id: claim for claim in claims if claim.id in ids}
    for claim in shown.values():
        if claim.control_of not in shown:
            yield claim, None
            yield from ((control, claim) for control in shown.values() if control.control_of == claim.id)


def _about(run: Run, *, width: int) -> list[str]:
    """Return the question that a study answers and the first paragraph after it, with its equations."""
    title, *blocks = docstring_blocks(run.study.source)
    found, previous = [_paragraph(title[1], width=width)], "paragraph"
    for kind, text, citation in blocks:
        if kind == "paragraph" and len(found) > 1:
            break
        lines = _equation(text, citation, width=width) if kind == "equation" else _paragraph(text, width=width)
        is_next_line = kind == "equation" and previous == "equation"
        found[-1:] = [f"{found[-1]}\n{lines}"] if is_next_line else [found[-1], lines]
        previous = kind
    return found


def _paragraph(text: str, *, width: int) -> str:
    return textwrap.fill(text, width, initial_indent=INDENT, subsequent_indent=INDENT, break_on_hyphens=False)


def _equation(text: str, citation: str, *, width: int) -> str:
    """Return an equation and its source on one line, or if that is too long broken where its author left much space."""
    whole = f"{3 * INDENT}{text}   {citation}".rstrip()
    lines = [whole] if len(whole) <= width else [*re.split(r"\s{3,}", text), citation]
    return "\n".join(
        textwrap.fill(
            line.strip(),
            width,
            initial_indent=3 * INDENT,
            subsequent_indent=4 * INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for line in lines
        if line
    )


def _of_study(run: Run, figures: Path) -> Iterator[tuple[str, str]]:
    """Yield what is said of all claims of a study."""
    drawn = [path for function in run.study.figures for path in _files(run, function.__name__, figures)]
    if drawn:
        yield "figures", ", ".join(map(str, drawn))
    warning = different_code(run.records) if run.setting else None
    if warning:
        yield "warning", warning


def _of_claim(claim: Claim, run: Run, *, above: Claim | None, figures: Path) -> Iterator[tuple[str, str]]:
    """Yield what is said of one claim; of a control only what was not said above, of its claim."""
    kind = KINDS[claim.kind]
    assert claim.margin is not None
    if claim.control_of:
        yield "control of", claim.control_of
    if claim.covered_by:
        yield "covered by", f"the control {claim.covered_by}"
    yield "statement", claim.statement
    if above is None or above.hypotheses != claim.hypotheses:
        yield "hypotheses", claim.hypotheses
    if above is None or above.source != claim.source:
        yield "source", _source(claim.source)
    if claim.measures is not None and (above is None or above.measures != claim.measures):
        yield "measures", ", ".join(claim.measures) or "nothing: a derivation, a formula against a formula"
    predicted = kind.say_predicted(claim.predicted, margin=claim.margin)
    yield "predicted", f"{predicted} ({claim.kind}: {claim.quantity} over {claim.size})"
    verdict = next((verdict for verdict in run.verdicts if verdict.id == claim.id), None)
    if claim.truth is not None and claim.truth_margin is not None:
        yield "in truth", kind.say_predicted(claim.truth, margin=claim.truth_margin)
        yield "gap", _gap(claim.predicted, claim.truth, verdict)
    if verdict is None:
        needs = " --full" if claim in run.study.full_claims else ""
        yield "verdict", f"not yet: attnflow verify {claim.control_of or claim.id}{needs}"
        return
    levels = f"{levels_in_words(verdict)} level{'s' * (verdict.levels != 1)}"
    yield "measured", f"{verdict.measured_in_words}, from {levels} in {verdict.seconds:.1f} s"
    yield "verdict", f"{SYMBOLS[verdict.verdict]} {verdict_in_words(verdict)} ({run.setting} run)"
    yield "reason", verdict.reason
    if verdict.missing:
        yield "missing", verdict.missing
    if verdict.remark:
        yield "remark", verdict.remark
    drawn = _files(run, figure_name(claim), figures)
    if drawn:
        yield "figures", ", ".join(map(str, drawn))
    elif kind.figure and not claim.control_of:  # a control is in the figure of its claim
        yield "figures", f"not yet: attnflow plot {run.study.name}"


def _source(key: str) -> str:
    """Return a key of REFERENCES.bib with what is known of it."""
    if key == "derived":
        return "derived, in the docstring of the study"
    return ", ".join([f"{key}: {text}" for _, text in references({key})] or [key])


def _gap(predicted: float, truth: float, verdict: Verdict | None) -> str:
    """Return how far a control's number is from what it claims, as stated beforehand and as measured."""
    stated = f"{number(abs(predicted - truth))} stated"
    if verdict is None or verdict.measured is None:
        return stated
    return f"{stated}, {number(abs(predicted - verdict.measured))} measured: {verdict.gap}"


def _files(run: Run, name: str, figures: Path) -> list[Path]:
    """Return the files that there are of a figure of a study."""
    return [path for end in ("svg", "pdf", "png") if (path := figures / run.study.name / f"{name}.{end}").is_file()]


def _fields(rows: Iterator[tuple[str, str]], *, width: int) -> str:
    """Return rows of a name and a text, which is wrapped beside it."""
    return "\n".join(
        textwrap.fill(
            text,
            width,
            initial_indent=f"{INDENT}{name.ljust(COLUMN)}",
            subsequent_indent=" " * (len(INDENT) + COLUMN),
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in rows
    )
