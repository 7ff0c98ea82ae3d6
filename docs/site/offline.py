"""The site loads nothing from elsewhere: no script, style, font or picture."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.exceptions import PluginError

FROM_ELSEWHERE = re.compile(
    r"<(?:script|img|iframe|source|video)\b[^>]*\bsrc=[\"']?(?:https?:)?//[^\"'> ]+"
    r"|<link\b(?![^>]*\brel=[\"']?(?:canonical|next|prev))[^>]*\bhref=[\"']?(?:https?:)?//[^\"'> ]+"
    r"|@import[^;]*//[^;]+|url\([\"']?(?:https?:)?//[^)]+\)"
)


def loaded_from_elsewhere(text: str) -> list[str]:
    """Return what a page or a style sheet would load from another host.

    Example:
        >>> loaded_from_elsewhere('<a href="https://a.org">a</a> <script src="x.js"></script>')
        []
        >>> loaded_from_elsewhere('<script defer src="https://a.org/x.js"></script>')
        ['<script defer src="https://a.org/x.js']
    """
    return [found[0] for found in FROM_ELSEWHERE.finditer(text)]


def on_post_build(*, config):
    """Raise PluginError if a page or a style sheet of the site would load something."""
    for file in sorted(Path(config.site_dir).rglob("*")):
        if file.suffix in (".html", ".css") and (found := loaded_from_elsewhere(file.read_text(encoding="utf-8"))):
            raise PluginError(f"{file} would load {found[0]} from elsewhere.")
