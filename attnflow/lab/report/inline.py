"""Figures as parts of a page."""

from __future__ import annotations

import re

from markupsafe import Markup, escape
from matplotlib.figure import Figure

from attnflow.lab.plots.style import image


def inline_svg(drawn: Figure, *, prefix: str, title: str) -> Markup:
    """Return the figure as an <svg> element, with ids of its own and nothing that points outside the page."""
    svg = re.sub(r'\b(id="|url\(#|href="#)', rf"\g<1>{prefix}", image(drawn, "svg").decode())
    head, rest = svg.split(">", 1)
    head = re.sub(r'\s(?:width|height|version|class|xmlns(?::\w+)?)="[^"]*"', "", head)
    width = round(96 * float(drawn.get_figwidth()))
    return Markup(f'{head} role="img" aria-label="{escape(title)}" style="max-width: {width}px">{rest.strip()}')
