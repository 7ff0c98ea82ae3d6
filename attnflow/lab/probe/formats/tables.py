"""Tables as text: one token per line, columns separated by commas."""

from __future__ import annotations

import csv
import re
from array import array
from collections.abc import Callable
from pathlib import Path

import numpy as np

from attnflow.errors import DataError
from attnflow.lab.probe.formats.stored import Stored

_PART = re.compile(r"(?P<name>.+)\.(?P<number>\d+)")  # Q.0, Q.1, ...: the columns of Q
_WHOLE = ("X", "points", "Points")  # what all columns together are called, which must be no column's name


def open_csv(path: Path) -> dict[str, Stored]:
    """Return the arrays of a .csv file, whose first line may name the columns.

    Columns `Q.0`, `Q.1`, ... are those of the array Q. All other columns of numbers together are the array X, and each
    also stands alone under its name. A column of words is an array of words; without a header it is named `tokens`. A
    column without a name, in a table that has a header, is the index of a data frame and is left out.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = ((number, cells) for number, cells in enumerate(csv.reader(file), start=1) if any(cells))
        number, first = next(lines, (0, []))
        if len(first) == 1 and re.search(r"[;\t]", first[0]):
            raise DataError(f"{path.name} has no commas in its first line. Separate columns by commas.")
        named = _is_header(first)
        header = [cell.strip() for cell in first] if named else []
        number, cells = next(lines, (0, [])) if named else (number, first)
        if not cells:
            raise DataError(f"{path.name} holds no rows of numbers.")
        columns: list[array | list[str]] = [array("d") if _is_number(cell) else [] for cell in cells]
        names = header or [f"column {place}" if _is_number(cell) else "tokens" for place, cell in enumerate(cells, 1)]
        if len(set(names)) < len(names):
            raise DataError(f"{path.name} has two columns with the name {_twice(names)!r}. Give each its own.")
        while cells:
            if len(cells) != len(names):
                raise DataError(
                    f"{path.name}, line {number}: {len(cells)} cells where there are {len(names)} columns. Write a "
                    "rectangular table."
                )
            for name, cell, column in zip(names, cells, columns, strict=True):
                _append(column, cell, where=f"{path.name}, line {number}, column {name!r}")
            number, cells = next(lines, (0, []))
    return _arrays({name: column for name, column in zip(names, columns, strict=True) if name}, path=path)


def _is_header(first: list[str]) -> bool:
    """Return whether the first line names the columns; data frames whose columns have no names number them from 0."""
    numbered = [str(place) for place in range(len(first))]
    return not any(map(_is_number, first)) or first == numbered or first == ["", *numbered[:-1]]


def _append(column: array | list[str], cell: str, *, where: str) -> None:
    if isinstance(column, list):
        column.append(cell.strip())
    elif _is_number(cell):
        column.append(float(cell or "nan"))  # an empty cell is a missing number
    else:
        raise DataError(f"{where}: {cell!r} is no number, as those above it are. Repair it, or leave the column out.")


def _arrays(columns: dict[str, array | list[str]], *, path: Path) -> dict[str, Stored]:
    """Return the columns as arrays, those that belong together side by side."""
    words = {name: np.array(column) for name, column in columns.items() if isinstance(column, list)}
    numbers = {name: np.array(column) for name, column in columns.items() if not isinstance(column, list)}
    parts: dict[str, dict[int, np.ndarray]] = {}
    alone = {}
    for name, column in numbers.items():
        if match := _PART.fullmatch(name):
            parts.setdefault(match["name"], {})[int(match["number"])] = column
        else:
            alone[name] = column
    arrays = {}
    if alone:
        free = (name for name in _WHOLE if name not in columns and name not in parts)
        arrays[next(free, path.stem)] = np.column_stack(list(alone.values()))
    for name, group in parts.items():
        if sorted(group) != list(range(len(group))):
            raise DataError(f"{path.name} has columns {sorted(group)} of {name!r}. Number them 0, 1, 2, ...")
        arrays[name] = np.column_stack([group[place] for place in range(len(group))])
    found = {name: Stored(column.shape, _given(column), is_column=True) for name, column in alone.items()}
    found |= {name: Stored(array.shape, _given(array)) for name, array in arrays.items()}
    return found | {name: Stored(column.shape, _given(column), are_words=True) for name, column in words.items()}


def _given(column: np.ndarray) -> Callable[[], np.ndarray]:
    return lambda: column


def _is_number(cell: str) -> bool:
    try:
        float(cell or "nan")
    except ValueError:
        return False
    return True


def _twice(names: list[str]) -> str:
    return next(name for name in names if names.count(name) > 1)
