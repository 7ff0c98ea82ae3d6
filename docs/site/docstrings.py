"""Docstrings are plain text: <x, y> is a scalar product and no element of HTML, * a star, [CL] a source."""

from __future__ import annotations

import re

import griffe
from places import cited

ITEMS = ("Args:", "Attributes:", "Returns:", "Raises:", "Yields:")


class PlainText(griffe.Extension):
    """Escape what Markdown would take for its own, but in code and in examples."""

    def on_object(self, *, obj: griffe.Object, **_) -> None:
        """Rewrite the docstring of an object once it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)


def as_markdown(text: str) -> str:
    r"""Return the text of a docstring as Markdown; indented lines and examples are code.

    Example:
        >>> print(as_markdown("<x, y> at y*, see `a*b`:\n\n    a < b*"))
        &lt;x, y&gt; at y\*, see `a*b`:
        <BLANKLINE>
            a < b*
    """
    lines, section = [], ""
    for line in text.splitlines():
        if line and not line.startswith(" "):
            section = line.strip() if line.strip() in ITEMS or line.strip() == "Example:" else ""
        is_code = line.startswith("    ") and section not in ITEMS
        lines.append(line if is_code else _plain(line))
    return "\n".join(lines).replace("Example:\n", "Examples:\n")


def _plain(line: str) -> str:
    words = re.split(r"(`[^`]*`)", line)
    return "".join(word if index % 2 else _escaped(word) for index, word in enumerate(words))


def _escaped(text: str) -> str:
    text = text.replace("*", r"\*").replace("<", "&lt;").replace(">", "&gt;")
    return cited(text)
