"""What `attnflow bench` measures, prints and writes, table by table."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

from attnflow.lab.bench.engines import peers
from attnflow.lab.bench.figure import cost_curves, save
from attnflow.lab.bench.machine import OtherLoad, head, load_line, machine
from attnflow.lab.bench.motion import motion_rows
from attnflow.lab.bench.tables import growth, one_step, planner_check, planner_grid, sizes
from attnflow.lab.bench.text import (
    as_json,
    growth_text,
    motion_text,
    planner_text,
    sizes_text,
    step_text,
    tokens_text,
    wrapped,
)
from attnflow.lab.bench.tokens import token_rows
from attnflow.lab.store import write_file


def bench(*, tables: Iterable[str], quick: bool, figure: Path, json: Path | None = None) -> None:
    """Measure some tables and print each as soon as it is there.

    Args:
        tables: any of "methods" (one step by every engine, then growing sizes with a figure), "tokens" (many
            coordinates and channels, then many that move), "planner" and "growth".
        quick: few points, for a first look.
        figure: where the cost curves of "methods" go, as PNG and PDF.
        json: where all rows go as JSON, if anywhere.

    Raises:
        ResultFileError: a file cannot be written.
    """
    width = shutil.get_terminal_size(fallback=(140, 24)).columns
    facts, others = machine(), OtherLoad()
    rows: dict[str, Any] = {"machine": facts}
    _show(wrapped(head(facts), width=width), first=True)
    if "methods" in tables:
        rows["one_step"] = step = one_step(quick=quick)
        _show(step_text(step, peers()[1], width=width))
        rows["sizes"] = measured = _with_bar(sizes(step, quick=quick))
        _show(sizes_text(measured, width=width))
        for path in save(cost_curves(measured, about=head(facts)[0]), figure):
            print(path)
    if "tokens" in tables:
        rows["tokens"] = tokens = _with_bar(token_rows(quick=quick))
        _show(tokens_text(tokens, peers()[1], width=width))
        rows["motion"] = moved = _with_bar(motion_rows(quick=quick))
        _show(motion_text(moved, width=width))
    if "planner" in tables:
        rows["planner"] = choices = _with_bar(planner_check(planner_grid(quick=quick)))
        _show(planner_text(choices, width=width))
    if "growth" in tables:
        rows["growth"] = growths = _with_bar(growth(quick=quick))
        _show(growth_text(growths, width=width))
    rows["other_cores"] = others.cores()
    _show(wrapped([load_line(rows["other_cores"])], width=width))
    if json:
        write_file(json, as_json(rows))


def _show(lines: list[str], *, first: bool = False) -> None:
    """Print the lines of a table, after an empty one unless it is the first."""
    print(*([] if first else [""]), *lines, sep="\n", flush=True)


def _with_bar(rows: Iterable[Any]) -> list[Any]:
    """Return the rows of a table that takes minutes; a bar counts them on a terminal."""
    return list(tqdm(rows, leave=False, unit="row", disable=not sys.stderr.isatty()))
