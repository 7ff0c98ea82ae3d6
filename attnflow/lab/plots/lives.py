"""Results that share axes: each is told apart from those drawn before, and named in a legend.

What was drawn is read from the axes themselves, so that clearing them forgets it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.container import Container
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from attnflow.lab.plots.style import BLUE, GREEN, GREY, VERMILLION


def _ring(outline: Path) -> Path:
    """Return what is between an outline and the same outline of 3/4 its size, as a marker that is filled."""
    inner = outline.transformed(Affine2D().scale(0.75))
    return Path.make_compound_path(outline, Path(np.asarray(inner.vertices)[::-1], inner.codes))


class Look(NamedTuple):
    """How one result differs from the others on the same axes.

    Args:
        dash: of curves.
        marker: of points.
        size: of the area of a point, as a factor; a ring around a dot shows both.
        colour: of what no number and no value colours.
    """

    dash: Any
    marker: Any
    size: float
    colour: str

    def marks(self, size: float) -> dict[str, Any]:
        """Return points of a size for `Axes.plot`, no edges."""
        return {"marker": self.marker, "markersize": size * self.size**0.5, "markeredgewidth": 0}


LOOKS = (
    Look("solid", "o", 1.0, BLUE),
    Look((0, (3.5, 1.6)), _ring(Path.unit_circle()), 3.0, VERMILLION),
    Look((0, (1, 1.3)), _ring(Path.unit_rectangle().transformed(Affine2D().translate(-0.5, -0.5))), 5.0, GREEN),
    Look((0, (6, 1.5, 1, 1.5)), _ring(Path.unit_regular_polygon(4)), 8.0, GREY),
)


class Life(Container):
    """The artists of one result on axes.

    Args:
        artists: curves, paths or a cloud of points.
        name: of the result, for the legend; empty where it has none.
        sample: what stands for it there, for `Line2D`.
        of: what its colours tell, such as "time $t$"; results that tell the same share them.
        numbers: of each curve, by which it is coloured.
        labels: of the curves.
        scale: of the colours, where there is a bar.
    """

    def __init__(
        self, artists: Sequence[Artist], *, name: str, sample: dict[str, Any], of: str = "",
        numbers: Sequence[float] = (), labels: Sequence[str] = (), scale: Any = None,
    ) -> None:  # fmt: skip
        super().__init__(artists)
        self.name, self.sample = name, sample
        self.of, self.numbers, self.labels, self.scale = of, numbers, labels, scale


def lives_on(ax: Axes, of: str | None = None) -> list[Life]:
    """Return the results that axes show, in the order drawn; those alone whose colours tell `of`, where it is given."""
    held: list[Any] = [container for container in ax.containers if isinstance(container, Life)]
    return [life for life in held if of is None or life.of == of]


def look_of_next(ax: Axes) -> Look:
    """Return how the next result on these axes is drawn."""
    return LOOKS[len(lives_on(ax)) % len(LOOKS)]


def name_lives(ax: Axes, handles: Sequence[Any] = ()) -> bool:
    """Name the results if there are several, after what else a legend shows; return whether there are.

    Above the axes, where nothing is hidden, if the figure makes room there; else inside.
    """
    held = lives_on(ax)
    if len(held) < 2:
        return False
    names = [Line2D([], [], label=life.name or f"number {k}", **life.sample) for k, life in enumerate(held, 1)]
    figure = ax.get_figure(root=True)
    assert figure is not None
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "ncols": 2 if handles else 1}
    where = {} if figure.get_layout_engine() is None else above
    ax.legend(handles=[*handles, *names], framealpha=0.8, edgecolor="none", **where)
    return True
