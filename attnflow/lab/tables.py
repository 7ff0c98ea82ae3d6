"""The table of verdicts as text, as wide as the terminal."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from attnflow.judge.verdicts import Verdict, exit_code, is_expected
from attnflow.lab.runs import Run

GREEN, YELLOW, RED = 32, 33, 31
SORTS = {"claim": "supported", "derivation": "supported", "control": "refuted"}  # what each must come out as
OPEN = {"inconclusive": "undecided"}
GAPS = {"inconclusive": "a gap that is undecided", "refuted": "another gap"}
EXIT_MEANING = {
    0: "{}",
    1: "a claim is refuted or invalid, or a control is not refuted by its gap",
    3: "partial, some cases failed; the same command tries them again",
}


def verdict_table(verdicts: Sequence[Verdict], *, width: int, colour: bool = False) -> str:
    """Return one aligned line per verdict; columns are dropped from the right until the table fits.

    Verdicts that are not plainly as expected are followed by their reason and by what is missing for a decision.

    Args:
        verdicts: the rows.
        width: of the terminal, in characters.
        colour: green for what is as expected, yellow for inconclusive, red for the rest.

    Example:
        >>> import attnflow as af
        >>> from attnflow.lab.tables import last_line, verdict_table
        >>> claim = af.Claim(
        ...     id="rows", source="Si", statement="rows sum to one", kind="identity", quantity="sums", size="points",
        ...     hypotheses="none", predicted=1.0, margin=1e-12)
        >>> verdicts = [af.judge(claim, [af.Level(size=10, values=[1.0, 1.0])])]
        >>> print(verdict_table(verdicts, width=40))
        claim  verdict    measured  predicted
        rows   supported  1         1
        >>> print(last_line(verdicts))
        1 of 1 claim supported. Exit 0: all as expected.
    """
    rows = [_cells(verdict) for verdict in verdicts]
    headers = list(_cells(verdicts[0])) if verdicts else ["claim", "verdict"]
    widths = {header: max([len(header), *(len(row[header]) for row in rows)]) for header in headers}
    while sum(widths[header] + 2 for header in headers) - 2 > width and len(headers) > 3:
        headers.pop()
    lines = ["  ".join(header.ljust(widths[header]) for header in headers).rstrip()]
    for verdict, row in zip(verdicts, rows, strict=True):
        cells = {header: row[header].ljust(widths[header]) for header in headers}
        if colour:
            cells["verdict"] = f"\033[{_colour(verdict)}m{cells['verdict']}\033[0m"
        lines.append("  ".join(cells.values()).rstrip())
        below = remark(verdict)
        lines += textwrap.wrap(below, width=width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def remark(verdict: Verdict) -> str:
    """Return what must be said of a row besides its numbers: why it is not as expected or open; mostly nothing."""
    told = verdict.verdict == "inconclusive" or not is_expected(verdict)
    said = [verdict.reason] * told + [f"missing: {verdict.missing}"] * bool(verdict.missing)
    return "; ".join([*said, *([verdict.remark] if verdict.remark else [])])


def progress_line(run: Run) -> str:
    """Return how many records of the full run there are, and which run is complete."""
    done = sum(record.failed is None for record in run.found)
    all_tasks = run.study.tasks(quick=False, master_seed=run.master_seed)
    return f"{run.study.name}: {done} of {len(all_tasks)} records, {run.setting or 'no'} run complete"


def lines_of(run: Run) -> list[str]:
    """Return what `attnflow list` says of a study: how far its run is, and of each claim the verdict that there is."""
    words = {verdict.id: verdict.verdict for verdict in run.verdicts}
    lines = [progress_line(run)]
    for claim in run.study.all_claims:
        control = f", control of {claim.control_of}" if claim.control_of else ""
        derived = ", derivation" if claim.derivation else ""
        lines.append(f"    {claim.id} ({claim.kind}{derived}{control}): {words.get(claim.id, 'not yet')}")
    return lines


def last_line(verdicts: Sequence[Verdict], *, failures: int = 0, left: int = 0, larger: bool = False) -> str:
    """Return how many verdicts of each sort there are, and what the exit code means.

    Args:
        verdicts: the rows.
        failures: how many cases have failed.
        left: how many claims were asked for that only a full run decides.
        larger: whether a full run of what is undecided has more to go by.
    """
    sorts = {sort: [verdict for verdict in verdicts if _sort(verdict) == sort] for sort in SORTS}
    counts = "; ".join(_count(sort, rows) for sort, rows in sorts.items() if rows)
    code = 3 if failures else exit_code(verdicts)
    meaning = EXIT_MEANING[code].format(conclusion(verdicts, left=left, larger=larger))
    return f"{counts or 'no claims'}. Exit {code}: {meaning}."


def conclusion(verdicts: Sequence[Verdict], *, left: int = 0, larger: bool = False) -> str:
    """Return what can be said where nothing came out other than expected: how much of it is undecided.

    A control is undecided also if it is refuted, but not by a gap that is told to be the predicted one.

    Args:
        verdicts: none of them other than expected.
        left: how many claims were asked for that only a full run decides.
        larger: whether a full run of what is undecided has more to go by.
    """
    undecided = sum("inconclusive" in (verdict.verdict, verdict.gap) for verdict in verdicts)
    where = " at quick size" if larger and undecided else ""
    open_ones = [f"{undecided} undecided{where}"] * bool(undecided) + [f"{left} not judged"] * bool(left)
    if not verdicts and not left:
        return "nothing was judged"
    said = f"nothing other than expected, {', '.join(open_ones)}" if open_ones else "all as expected"
    return f"{said}: verify --full" if where or left else said


def _sort(verdict: Verdict) -> str:
    """Return how a row is counted: controls and derivations apart from claims that measure."""
    return "control" if verdict.control else "derivation" if verdict.derivation else "claim"


def _count(sort: str, verdicts: Sequence[Verdict]) -> str:
    """Return how many of a sort are as they must be, and how many are something else."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    good = SORTS[sort]
    others = [f"{count} {OPEN.get(word, word)}" for word, count in sorted(counts.items()) if word != good]
    gaps = Counter(verdict.gap for verdict in verdicts if verdict.verdict == good)
    others += [f"{gaps[gap]} by {words}" for gap, words in GAPS.items() if gaps[gap]]
    return ", ".join([f"{counts[good]} of {len(verdicts)} {sort}{'s' * (len(verdicts) > 1)} {good}", *others])


def _cells(verdict: Verdict) -> dict[str, str]:
    """Return the row by column, the most telling first, as the last ones are the first to be dropped."""
    return {
        "claim": verdict.id,
        "verdict": verdict.verdict + (f" ({verdict.sort})" if verdict.sort else ""),
        "measured": _number(verdict.measured),
        "predicted": verdict.predicted_shortly,
        "interval": "" if verdict.low == verdict.high else f"[{_number(verdict.low)}, {_number(verdict.high)}]",
        "margin": _number(verdict.margin),
        "levels": str(verdict.levels) + (f" ({verdict.dropped} dropped)" if verdict.dropped else ""),
        "seconds": f"{verdict.seconds:.1f}",
    }


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.5g}"


def _colour(verdict: Verdict) -> int:
    if not is_expected(verdict):
        return RED
    return YELLOW if verdict.verdict == "inconclusive" else GREEN
