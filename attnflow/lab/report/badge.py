"""A badge: how many claims of a table are supported, as a small picture for the top of a page."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from attnflow.judge.verdicts import Verdict, is_expected

NAME = "badge.svg"  # beside the page
LETTER, SPACE, HEIGHT = 6.6, 12, 20  # of Verdana at 11 pixels, on both sides of a text, and of the whole
LEFT, GREEN, ORANGE, RED = "#444", "#00664b", "#7a5200", "#a33b00"  # white on each is read with a contrast over 5
BADGE = Markup(
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img" aria-label="{left}: {right}">'
    '<title>{left}: {right}</title><rect width="{width}" height="{height}" rx="3" fill="{colour}"/>'
    '<path d="M3 0h{beside}v{height}h-{beside}a3 3 0 0 1 -3 -3v-14a3 3 0 0 1 3 -3z" fill="{dark}"/>'
    '<g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
    '<text x="{first}" y="14" textLength="{left_length}">{left}</text>'
    '<text x="{second}" y="14" textLength="{right_length}">{right}</text></g></svg>\n'
)


def badge(verdicts: Sequence[Verdict]) -> str:
    """Return an SVG that says how many claims are supported, derivations and controls apart.

    It is green if all are, orange if some are undecided, and red if anything, a control as well, is not as expected.

    Example:
        >>> from attnflow.lab.report.badge import badge
        >>> "none judged" in badge([])
        True
    """
    claims = [verdict for verdict in verdicts if not verdict.control and not verdict.derivation]
    supported = sum(verdict.verdict == "supported" for verdict in claims)
    right = f"{supported} of {len(claims)} supported" if claims else "none judged"
    colour = GREEN if claims and supported == len(claims) else ORANGE
    colour = colour if all(map(is_expected, verdicts)) else RED
    left_length, right_length = (round(LETTER * len(text)) for text in ("claims", right))
    beside = left_length + SPACE
    return BADGE.format(
        width=beside + right_length + SPACE, height=HEIGHT, left="claims", right=right, colour=colour, dark=LEFT,
        beside=beside - 3, first=beside / 2, second=beside + (right_length + SPACE) / 2, left_length=left_length,
        right_length=right_length,
    )  # fmt: skip
