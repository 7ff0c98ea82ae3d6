"""The cost curves: seconds over N, one panel per bandwidth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from attnflow.lab.bench.measuring import Measurement
from attnflow.lab.plots.style import BLUE, GREEN, GREY, INK, VERMILLION, figure, image, stamp, style
from attnflow.lab.store import write_file

LOOKS = {
    "dense": (BLUE, "o", "-"),
    "cutoff": (VERMILLION, "s", "-"),
    "fourier": (GREEN, "^", "-"),
    "gpu": (INK, "D", "-"),
    "NumPy": (GREY, "x", "--"),
    "KeOps": (INK, "+", ":"),
}


def cost_curves(rows: Sequence[Measurement], *, about: str) -> Figure:
    """Draw measured seconds of a first layer as markers, the cost model as thin lines.

    Args:
        rows: of `sizes`.
        about: what the figure is stamped with.
    """
    bandwidths = list(dict.fromkeys(row.bandwidth for row in rows))
    with style():
        made = figure(width=0.9 + 2.3 * len(bandwidths), height=3.0)
        panels = made.subplots(1, len(bandwidths), sharey=True, squeeze=False)[0]
        for ax, bandwidth in zip(panels, bandwidths, strict=True):
            for name, (colour, marker, dashes) in LOOKS.items():
                curve = [row for row in rows if (row.engine, row.bandwidth) == (name, bandwidth)]
                modelled = [row for row in curve if row.predicted is not None and not row.note]
                ax.plot(
                    [row.points for row in modelled], [row.predicted or 0.0 for row in modelled],
                    color=colour, linewidth=0.7, linestyle=dashes,
                )  # fmt: skip
                done = [row for row in curve if row.seconds is not None]
                ax.plot(
                    [row.points for row in done], [row.seconds or 0.0 for row in done],
                    color=colour, marker=marker, markersize=4.5, linestyle="none", label=name if done else None,
                )  # fmt: skip
            ax.set(xscale="log", yscale="log", title=f"bandwidth ε = {bandwidth:g}", xlabel="number of points N")
            ax.xaxis.set_minor_formatter(NullFormatter())
            sizes = sorted({row.points for row in rows})
            if sizes[-1] < 10 * sizes[0]:  # no power of ten may lie between them
                ax.set_xticks(sizes, [str(size) for size in sizes])
        panels[0].set_ylabel("seconds of a first layer")
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside right upper", title="measured\n(lines: predicted)")
        return stamp(made, about)


def save(drawn: Figure, file: Path) -> list[Path]:
    """Write a figure as PNG and as PDF, under the name of the file without its ending."""
    file.parent.mkdir(parents=True, exist_ok=True)
    paths = [file.with_suffix(f".{format}") for format in ("png", "pdf")]
    for path in paths:
        write_file(path, image(drawn, path.suffix[1:]))
    return paths
