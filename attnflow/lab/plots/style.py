"""One look for all figures, without touching matplotlib's global state."""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from typing import Any

import matplotlib as mpl
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.mathtext import MathTextParser
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from attnflow.lab.plots.svg import compact

# The palette of Okabe and Ito: told apart by colour-blind readers; figures also differ in marker and dash.
BLUE, VERMILLION, GREEN = "#0072B2", "#D55E00", "#009E73"
INK, GREY, PALE = "#1A1A1A", "#6B6B6B", "#E4E4E4"
PALE_BLUE, PALE_VERMILLION, PALE_GREY = "#8DB9D6", "#EBB18C", "#ABABAB"  # of controls; still seen on white

SYMBOLS = {"supported": "●", "refuted": "✕", "inconclusive": "◐", "invalid": "○"}
STAMP_HEIGHT = 0.16  # inches kept free under every figure
MARK = "attnflow"
DPI = {"svg": 110, "pdf": 200, "png": 200}  # of a PNG, and of the maps within the others

LOOK: Any = {
    "figure.dpi": 200,
    "savefig.dpi": 200,
    "figure.facecolor": "white",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # the first comes with matplotlib, the others serve SVG
    "font.size": 8,
    "mathtext.fontset": "dejavusans",
    "text.usetex": False,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "hatch.linewidth": 0.5,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # text stays text
    "ps.fonttype": 42,
    "svg.fonttype": "none",  # a third of the size, and text can be searched; other fonts are narrower
}


def style() -> AbstractContextManager[None]:
    """Return a `with` block that has the look of all figures.

    Example:
        >>> from attnflow.lab import plots
        >>> with plots.style():
        ...     ax = plots.figure(width=3.5, height=2.5).subplots()
    """
    return mpl.rc_context(LOOK)


def figure(*, width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, with room for its stamp; no window, no pyplot."""
    made = Figure(figsize=(width, height), layout=ConstrainedLayoutEngine())
    set_height(made, height)
    return made


def set_height(drawn: Figure, height: float) -> None:
    """Make a figure so many inches high, with room for its stamp."""
    free = STAMP_HEIGHT / height
    drawn.set_figheight(height)
    drawn.set_layout_engine(ConstrainedLayoutEngine(rect=(0, free, 1, 1 - free)))


def stamp(drawn: Figure, text: str) -> Figure:
    """Write small and grey at the bottom of a figure what it was drawn from, and return the figure."""
    x, y = (0.05 / side for side in drawn.get_size_inches())
    drawn.text(1 - x, y, text, ha="right", va="bottom", fontsize=5.5, color=GREY, gid="stamp").set_in_layout(False)
    return drawn


def in_lines(label: str, *, width: float, size: float) -> str:
    """Return a label in lines that fit a width, each formula whole; TeX that does not parse stays as it was written.

    Args:
        label: words, and TeX between dollars.
        width: of a line in points.
        size: of the font in points.

    Example:
        >>> from attnflow.lab.plots.style import in_lines
        >>> print(in_lines(r"RMS of $A_N f - A f$ over its limit", width=60, size=8))
        RMS of
        $A_N f - A f$ over
        its limit
    """
    try:
        _width(label, size=size)
    except ValueError:
        label = re.sub(r"(?<!\\)\$", r"\$", label)
    lines = [""]
    for word in re.findall(r"(?:(?<!\\)\$[^$]*(?<!\\)\$|\S)+", label):
        longer = f"{lines[-1]} {word}".strip()
        lines[-1:] = [longer] if not lines[-1] or _width(longer, size=size) <= width else [lines[-1], word]
    return "\n".join(lines)


def _width(text: str, *, size: float) -> float:
    """Return the width of text with formulas in points; raise ValueError if TeX does not parse."""
    return float(MathTextParser("path").parse(text, dpi=72, prop=FontProperties(size=size)).width)


def image(drawn: Figure, format: str) -> bytes:
    """Return the figure as "svg", "png" or "pdf"; equal figures give equal bytes, as dates and versions are left out.

    Each of them holds the word in `MARK`, by which `attnflow plot` knows what it has written.
    """
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None, "Creator": MARK, "Producer": None}, "png": {}}
    buffer = io.BytesIO()
    with mpl.rc_context(LOOK | {"svg.hashsalt": MARK, "savefig.dpi": DPI[format]}):
        drawn.savefig(buffer, format=format, metadata=metadata[format])
    match format:
        case "svg":
            return compact(buffer.getvalue(), mark=MARK)
        case "png":
            has_maps = any(drawn.findobj(kind) for kind in (QuadMesh, AxesImage))
            return _png(buffer, palette=not has_maps)  # of which 256 colours would make steps
    return buffer.getvalue()


def _png(drawn: io.BytesIO, *, palette: bool) -> bytes:
    """Return a PNG as small as can be; 256 colours, which lines hardly show, make it a quarter."""
    note = PngInfo()
    note.add_text("Software", MARK)
    buffer = io.BytesIO()
    with Image.open(drawn) as picture:
        made = picture.convert("RGB")
        if palette:
            made = made.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        made.save(buffer, "PNG", optimize=True, dpi=picture.info["dpi"], pnginfo=note)
    return buffer.getvalue()
