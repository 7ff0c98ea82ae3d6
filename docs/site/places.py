"""Where a file of the repository stands on the site."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "REFERENCES.bib": "references.md",
}
SOURCES = re.findall(r"^@\w+\{(\w+),", (ROOT / "REFERENCES.bib").read_text(encoding="utf-8"), re.M)
CITED = re.compile(rf"\[({'|'.join(SOURCES)})(, [^\]]*)?\](?![\[(])")


def cited(text: str) -> str:
    r"""Return Markdown whose sources lead to their entries.

    Example:
        >>> print(cited("as printed [RZ, Theorem 3]; [a page](RZ.md), x[0]"))
        as printed [\[RZ, Theorem 3\]][cite-RZ]; [a page](RZ.md), x[0]
    """
    return CITED.sub(lambda found: rf"[\[{found[1]}{found[2] or ''}\]][cite-{found[1]}]", text)


def place_of(path: str) -> str:
    """Return the page or file of the site that shows a file of the repository, both as paths from their roots.

    Example:
        >>> place_of("docs/tour.md"), place_of("studies/depth/depth.py"), place_of("figures/depth/depth-circle.svg")
        ('tour.md', 'source/studies/depth/depth.md', 'figures/depth/depth-circle.svg')
    """
    if path in PAGES:
        return PAGES[path]
    first, _, rest = path.partition("/")
    if first == "docs":
        return rest
    if first == "figures":
        return path
    return f"source/{path.removesuffix('.py')}.md" if path.endswith(".py") else f"source/{path}"


def origin_of(page: str) -> str:
    """Return the file of the repository that a page shows; `place_of` the other way round."""
    for path, place in PAGES.items():
        if place == page:
            return path
    return f"docs/{page}"


def resolved(link: str, *, page: str) -> str:
    """Return the file of the repository, as a path from its root, that a relative link on a page leads to."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(origin_of(page)), link))
