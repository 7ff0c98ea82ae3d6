"""Links to files outside docs/ lead to where the site shows them, and formulas become MathML, which needs no script."""

from __future__ import annotations

import html
import posixpath
import re

from mkdocs.exceptions import PluginError
from places import ROOT, cited, place_of, resolved

from attnflow.lab.report.formulas import tex

CODE = re.compile(
    r"(^ *(?P<fence>`{3,}|~{3,}).*?^ *(?P=fence) *$|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))", re.M | re.S
)
DISPLAYED = re.compile(r"^( *)```math\n(.*?)^ *```$", re.M | re.S)
INLINE = re.compile(r"\$`(.+?)`\$")
CLAIMS = re.compile(r"^<!-- claims (.+) -->$", re.M)
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
_formulas: dict[str, str] = {}


def on_page_markdown(markdown: str, *, page, **_) -> str:
    """Take formulas out, so that no character of theirs is taken for Markdown, and lead links to their places."""
    if page.file.src_uri.startswith("questions/"):
        markdown = CLAIMS.sub(lambda found: _rows(found[1].split()), markdown)
    markdown = DISPLAYED.sub(lambda found: f"{found[1]}{_kept(found[2].strip(), display=True)}", markdown)
    markdown = INLINE.sub(lambda found: _kept(found[1]), markdown)
    if page.file.src_uri.startswith(("api/", "source/", "gallery/")):
        return markdown
    kept: list[str] = []

    def put_away(found: re.Match) -> str:
        is_cell = found.string.rfind("\n|", 0, found.start()) == found.string.rfind("\n", 0, found.start())
        kept.append(found[0].replace(r"\|", "|") if is_cell else found[0])  # GitHub wants bars of code escaped there
        return f"\0{len(kept) - 1}\0"

    words = cited(LINK.sub(lambda found: _led(found, page.file.src_uri), CODE.sub(put_away, markdown)))
    return re.sub(r"\0(\d+)\0", lambda found: kept[int(found[1])], words)


def on_page_content(content: str, **_) -> str:
    """Put formulas where they were."""
    return re.sub(r"formula(\d+)alumrof", lambda found: _formulas[found[0]], content)


def _rows(claims: list[str]) -> str:
    """Return the rows of some claims, as the pages of all claims have them, for a page in a folder beside these."""
    lines = [line for name in ("claims", "claims_learned") for line in _lines(f"docs/{name}.md")]
    heading = next(index for index, line in enumerate(lines) if line.startswith("| claim |"))
    rows = {found[1]: line for line in lines if (found := re.match(r"\| \[?([^\]\s|]+)", line))}
    missing = [claim for claim in claims if claim not in rows]
    if missing:
        raise PluginError(f"no page of claims has {', '.join(missing)}.")
    return "\n".join([*lines[heading : heading + 2], *(rows[claim].replace("](../", "](../../") for claim in claims)])


def _lines(path: str) -> list[str]:
    return (ROOT / path).read_text(encoding="utf-8").splitlines()


def _led(found: re.Match, page: str) -> str:
    path = resolved(found[2], page=page)
    if not (ROOT / path).is_file():
        return found[0]  # the strict build names it
    link = posixpath.relpath(place_of(path), posixpath.dirname(page) or ".")
    return f"{found[1]}{link}{found[3] or ''}{found[4]}"


def _kept(formula: str, *, display: bool = False) -> str:
    name = f"formula{len(_formulas)}alumrof"
    mathml = str(tex(f"${html.unescape(formula)}$"))
    _formulas[name] = f'<span class="formula">{mathml}</span>' if display else mathml
    return name
