"""What the page says about a study besides its claims: its docstring, what was run, and where the records come from."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attnflow.lab.plots.drawing import records_digest
from attnflow.lab.report.table import Table
from attnflow.lab.report.words import telling
from attnflow.lab.revision import git_revision
from attnflow.lab.runs import Run
from attnflow.lab.study import Scalar

REFERENCES = Path("REFERENCES.bib")


def docstring_blocks(source: str) -> list[tuple[str, str, str]]:
    """Return the docstring of a study as (kind, text, citation): its title, paragraphs, and lines of equations."""
    text = ast.get_docstring(ast.parse(source)) if source else None
    blocks: list[tuple[str, str, str]] = []
    for block in re.split(r"\n\s*\n", text or "Untitled"):
        lines = block.splitlines()
        if all(line.startswith(" ") for line in lines):
            for line in textwrap.dedent(block).splitlines():
                equation, citation = re.fullmatch(r"(.*?)(?:\s{3,}(\[[^\]]+\]\S?))?", line).groups("")  # type: ignore[union-attr]
                blocks.append(("equation", equation, citation))
        else:
            blocks.append(("paragraph", " ".join(line.strip() for line in lines), ""))
    return blocks


def references(keys: set[str]) -> list[tuple[str, str]]:
    """Return author, year and title of the keys that REFERENCES.bib has, as far as an entry has them."""
    text = REFERENCES.read_text(encoding="utf-8") if REFERENCES.is_file() else ""
    found = []
    for key, entry in re.findall(r"@\w+\{(\w+),\n(.*?)\n\}", text, flags=re.DOTALL):
        fields = {name: re.sub("[{}]", "", text) for name, text in re.findall(r"(\w+)\s*=\s*\{(.*)\}", entry)}
        if key in keys:
            authors = " and ".join(author.split(",")[0] for author in fields.get("author", "").split(" and "))
            year = f"({fields['year']})" if "year" in fields else ""
            who = " ".join(part for part in (authors, year) if part)
            found.append((key, ", ".join(part for part in (who, fields.get("title", "")) if part)))
    return found


def what_was_run(run: Run) -> list[str]:
    """Return the cases, the values of their parameters, and the seeds of a run."""
    cases = run.study.cases(quick=run.setting == "quick")
    seeds = sum(len(batch) for batch in run.study.batches(quick=run.setting == "quick"))
    values: dict[str, dict[Scalar, None]] = {}
    for case in cases:
        for name, value in case.items():
            values.setdefault(name, {})[value] = None
    lines = [f"{len(cases)} of {len(run.study.ladder)} cases"]
    lines += [f"{name} = {', '.join(map(_short, found))}" for name, found in values.items()]
    lines.append("one seed" if run.study.deterministic else f"{seeds} of {run.study.seeds} seeds each")
    return lines


def provenance(run: Run) -> list[tuple[str, str]]:
    """Return where and when and by what the records were computed, as rows of a name and a text."""
    found: list[Mapping[str, Any]] = [record.provenance for record in run.records]
    versions = [f"{name} {version}" for each in found for name, version in each.get("versions", {}).items()]
    finished = sorted(str(each["finished"]) for each in found if "finished" in each)
    rows = [
        ("Records", f"{len(run.records)}, sha256 {records_digest(run.records)}"),
        ("Study", f"{run.study.name}, sha256 {run.study.digest}"),
        ("Code", "sha256 " + _distinct(each.get("code") for each in found)),
        ("Versions", _distinct(versions)),
        ("Device", _distinct(each.get("device") for each in found)),
        ("System", _distinct(each.get("system") for each in found)),
        ("BLAS threads", _distinct(each.get("blas_threads") for each in found)),
        ("XLA flags", _distinct(each.get("xla_flags") or "none" for each in found)),
        ("Computing time", f"{sum(each.get('seconds', 0.0) for each in found):.1f} s"),
        ("Finished", " to ".join(dict.fromkeys(finished[:1] + finished[-1:])) or "unknown"),
    ]
    return rows


def how_to_repeat(tables: Sequence[Table], *, master_seed: int) -> list[tuple[str, str]]:
    """Return how the verdicts of tables are computed anew, of which code they are, and when they were computed."""
    runs = [[run for run in table.runs if run.setting] for table in tables]
    found: list[Mapping[str, Any]] = [record.provenance for each in runs for run in each for record in run.records]
    seed = f" --seed {master_seed}" if master_seed else ""
    commands = [
        f"attnflow verify --{'full' if any(run.setting == 'full' for run in telling(each)) else 'quick'}"
        + (f" --subject {table.subject}" if table.subject else "")
        for table, each in zip(tables, runs, strict=True)
    ]
    versions = [f"{name} {version}" for each in found for name, version in each.get("versions", {}).items()]
    finished = sorted(str(each["finished"]) for each in found if "finished" in each)
    when = " to ".join(dict.fromkeys(finished[:1] + finished[-1:])) or "unknown"
    return [
        ("Reproduce", " && ".join(f"{command}{seed}" for command in [*commands, "attnflow report"])),
        ("Revision", git_revision() or "unknown: no git repository"),
        ("Versions", _distinct(versions)),
        ("Computed", f"{when}: {len(found)} records in {_duration(found)}"),
    ]


def _duration(found: Sequence[Mapping[str, Any]]) -> str:
    """Return for how long the records were computed."""
    seconds = sum(each.get("seconds", 0.0) for each in found)
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.1f} min"


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys("unknown" if value is None else str(value) for value in values))


def _short(value: Scalar) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
