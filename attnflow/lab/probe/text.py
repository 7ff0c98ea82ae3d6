"""The report on a terminal, as wide as it is."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from attnflow.lab.probe.definitions import DEFINITIONS, NULLS
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
from attnflow.lab.probe.results import HeadProbe, Number, ReversibleSpectrum

WIDEST = 88  # characters: longer lines are hard to read


def as_text(report: Report, *, width: int) -> list[str]:
    """Return the lines of a report: the verdict first, then every number of one head, or a table of several.

    Args:
        report: what was found.
        width: of the terminal, in characters.
    """
    narrow, probe = min(width, WIDEST), report.probe
    lines = _wrapped(f"{report.title}: {probe.count} tokens. {report.sources}", narrow)
    lines += [] if report.holds else ["", *_wrapped(controls_in_words(report), narrow)]
    if probe.cloud is not None:
        lines += ["", *_wrapped(verdict_of_cloud(probe.cloud), narrow)]
        lines += _numbers(probe.cloud.numbers, narrow) + _modes(probe.cloud.spectrum, narrow)
    elif len(probe.heads) == 1:
        lines += ["", *_verdict(probe.heads[0], narrow)]
        lines += _numbers(probe.heads[0].numbers, narrow) + _modes(probe.heads[0].spectrum, narrow)
    else:
        rows = _rows(probe.heads)
        names = _fitting(rows, width)
        lines += ["", *_wrapped(verdict_of_all(probe.heads), narrow), "", *_table(rows, names)]
        lines += [*_left_out(rows, names, narrow), "", *_meanings(names, narrow)]
        lines += _wrapped("Choose one by --layer and --head for all of its numbers.", narrow)
    nulls = _nulls_used(report)
    lines += ["", *(line for name in nulls for line in _wrapped(f"null, {name}: {NULLS[name]}", narrow))]
    lines += ["", *_wrapped(controls_in_words(report), narrow)]
    for control in report.controls:
        sign = "" if control.holds else " NOT AS EXPECTED:"
        lines += _wrapped(f"  {control.words}:{sign} {control.head.reading.words}", narrow)
    return lines + [line for note in probe.notes for line in _wrapped(f"note: {note}", narrow)]


def _verdict(head: HeadProbe, width: int) -> list[str]:
    """Return the verdict in words and the rule that gave it."""
    reading = head.reading
    lines = _wrapped(f"{head.name}: {reading.words}", width)
    lines += _wrapped(f"  rule: {reading.rule}", width)
    said = [f"    {condition}" for condition in reading.conditions]
    others = [f"    {condition}" for condition in reading.failed if condition not in reading.conditions]
    said += ["  no diffusion, as", *others] if others else []
    return lines + [line for words in said for line in _wrapped(words, width)]


def _numbers(numbers: Mapping[str, Number], width: int) -> list[str]:
    """Return every number under its heading with interval, null and what it cannot say."""
    lines = []
    for group, members in grouped(numbers.values()).items():
        lines += ["", group.upper()]
        for number in members:
            title = f"  {number.definition.title}"
            said = f"{written(number.value)} {number.definition.unit}".strip() + f" {interval(number)}".rstrip()
            if len(title) + len(said) + 2 <= width:
                lines.append(title + said.rjust(width - len(title)))
            else:
                lines += [*_wrapped(title, width), said.rjust(width)]
            if number.value is None and number.reason:
                lines += _wrapped(f"    no number: {number.reason}", width)
            if number.null is not None and number.value is not None:
                lines += _wrapped(f"    null: {null_in_words(number.null)}", width)
            lines += _wrapped(f"    cannot say: {number.definition.cannot_say}", width)
    return lines


def _modes(spectrum: ReversibleSpectrum | None, width: int) -> list[str]:
    """Return what the slow modes are."""
    if spectrum is None:
        return []
    told = ", ".join(f"{mode.eigenvalue:.2f} {mode.label} ({100 * mode.explained:.0f} %)" for mode in spectrum.modes)
    return _wrapped(f"  first modes and what explains them: {told}", width)


def _rows(heads: Sequence[HeadProbe]) -> list[dict[str, str]]:
    """Return the names of the columns, and a row per head and one with its nulls."""
    rows = [{"head": "head", "verdict": "verdict"} | COLUMNS]
    for head in heads:
        numbers = {name: head.numbers[name] for name in COLUMNS}
        values = {name: in_short(number) for name, number in numbers.items()}
        rows.append({"head": head.name, "verdict": KIND_NAMES[head.reading.kind], **values})
        nulls = {name: short(number.null.value) if number.null else "" for name, number in numbers.items()}
        rows.append({"head": "", "verdict": "  null", **nulls})
    return rows


def _table(rows: Sequence[Mapping[str, str]], names: Sequence[str]) -> list[str]:
    """Return these columns of the rows, one under another."""
    widths = {name: max(len(row[name]) for row in rows) for name in names}
    return ["  ".join(row[name].ljust(widths[name]) for name in names).rstrip() for row in rows]


def _fitting(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """Return the columns that fit, the first ones, but no fewer than three."""
    names = list(rows[0])
    while len(names) > 3 and _width_of(rows, names) > width:
        names.pop()
    return names


def _width_of(rows: Sequence[Mapping[str, str]], names: Iterable[str]) -> int:
    return sum(max(len(row[name]) for row in rows) + 2 for name in names) - 2


def _meanings(names: Sequence[str], width: int) -> list[str]:
    """Return what the columns that are shown are, and what each cannot say."""
    lines = []
    for name in names:
        if name in COLUMNS:
            found = DEFINITIONS[name]
            lines += _wrapped(f"{COLUMNS[name]}: {found.title}. Cannot say: {found.cannot_say}", width)
    return lines


def _left_out(rows: Sequence[Mapping[str, str]], names: Sequence[str], width: int) -> list[str]:
    """Return which columns are not shown, and where they are."""
    others = ", ".join(column for name, column in COLUMNS.items() if name not in names)
    whole = _width_of(rows, rows[0])
    told = f"Left out for want of room, shown where COLUMNS={whole} and by --html: {others}."
    return ["", *_wrapped(told, width)] if others else []


def _nulls_used(report: Report) -> list[str]:
    numbers: list[Number] = [number for head in report.probe.heads for number in head.numbers.values()]
    if report.probe.cloud is not None:
        numbers += report.probe.cloud.numbers.values()
    return list(dict.fromkeys(number.null.name for number in numbers if number.null is not None))


def _wrapped(text: str, width: int) -> list[str]:
    """Return text in lines that keep its indent, the later ones four characters deeper."""
    indent = " " * (len(text) - len(text.lstrip()))
    return textwrap.wrap(text.strip(), width=width, initial_indent=indent, subsequent_indent=f"{indent}    ")


def printable(lines: Iterable[str]) -> list[str]:
    """Return lines without what would steer a terminal: names of tokens and arrays are whatever a file says."""
    return ["".join(letter if letter.isprintable() else "?" for letter in line) for line in lines]
