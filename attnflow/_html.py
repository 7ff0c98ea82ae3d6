"""How results are shown in notebooks: what they are, a small table and a figure, in HTML that needs nothing else.

Colours are those of the page, and the figure brings its own white ground, so that it can be read on light and dark
pages. Nothing here raises: what cannot be drawn is shown without a figure, and says why.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from attnflow._drawing import drawing
from attnflow._words import in_brief
from attnflow.errors import AttnflowError

SHOWN_ROWS = 12  # of a table; of a longer one the first, and how many there are
MOST_MARKS = 20_000  # of a figure that is drawn unasked: beyond it would take a second
PIXELS = 96  # of an inch on a page
CELL = "padding:2px 10px 2px 0;border:0;vertical-align:top;"
LINE = "border-top:1px solid rgba(128,128,128,.35);"


class Table(NamedTuple):
    """Columns by name and rows of words or numbers, of which the first few are shown."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


def in_html(
    result: object, facts: Mapping[str, object], *, table: Table | None = None, draw: Callable[[], Any] | None = None,
    marks: int = 0,
) -> str:  # fmt: skip
    """Return a result in HTML; for use as its `_repr_html_`.

    Args:
        result: by its class it is named.
        facts: what is told of it, by name.
        table: more of it, in rows.
        draw: what returns axes of a figure of its own, `plot`; None for what has no figure.
        marks: how many points such a figure has; of very many none is drawn unasked.

    Example:
        >>> from attnflow._html import in_html
        >>> "1 &lt; 2" in in_html(1.5, {"why": "1 < 2"})
        True
    """
    name = f"<b>{escape(type(result).__name__)}</b>"
    left = name + _of_rows([(key, value) for key, value in facts.items() if value not in ("", None)], heads=True)
    left += _of_table(table) if table is not None else ""
    right = "" if draw is None else _figure(draw) if marks <= MOST_MARKS else _note("too many points: call .plot()")
    boxes = "".join(f'<div style="min-width:0">{part}</div>' for part in (left, right) if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:8px 28px;align-items:flex-start">{boxes}</div>'


def words_of(content: object) -> str:
    """Return the words of a cell: four digits of a number, an array in brief, words as they are."""
    if isinstance(content, str):
        return content
    return f"{content:.4g}" if isinstance(content, float) else in_brief(content)


def _of_table(table: Table) -> str:
    head = "".join(f'<th style="{CELL}text-align:left">{escape(name)}</th>' for name in table.columns)
    rows = table.rows[:SHOWN_ROWS]
    return _of_rows(rows, top=f"<tr>{head}</tr>") + (
        _note(f"the first {len(rows)} of {len(table.rows)}") if len(rows) < len(table.rows) else ""
    )


def _of_rows(rows: Sequence[Sequence[object]], *, top: str = "", heads: bool = False) -> str:
    def cell(content: object, *, is_head: bool) -> str:
        faint = "opacity:.7;" if is_head else ""
        return f'<td style="{CELL}{faint}text-align:left">{escape(words_of(content))}</td>'

    lines = "".join(
        f'<tr style="{LINE}background:none">'
        + "".join(cell(content, is_head=heads and not place) for place, content in enumerate(row))
        + "</tr>"
        for row in rows
    )
    return f'<table style="border-collapse:collapse;margin:4px 0;color:inherit">{top}{lines}</table>'


def _figure(draw: Callable[[], Any]) -> str:
    try:
        return figure_in_html(draw().figure)
    except AttnflowError as error:
        return _note(f"no figure: {error}")


def figure_in_html(figure: Any) -> str:
    """Return a figure of matplotlib as an image on a white ground, as wide as it is in inches."""
    data = base64.b64encode(drawing("style").image(figure, "png")).decode()
    width = round(PIXELS * figure.get_size_inches()[0])
    look = "background:white;border-radius:4px;padding:6px;max-width:100%;box-sizing:content-box"
    return f'<img alt="" width="{width}" style="{look}" src="data:image/png;base64,{data}">'


def _note(words: str) -> str:
    return f'<div style="opacity:.7;max-width:32em">{escape(words)}</div>'
