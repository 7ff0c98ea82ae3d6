"""Figures are small files that look as they were drawn."""

import io

import numpy as np
import pytest
from PIL import Image

from attnflow.lab import plots


def drawn_with(show):
    made = plots.figure(width=3, height=2)
    show(made.subplots())
    return made


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=int)


def full_colours(drawn):
    buffer = io.BytesIO()
    with plots.style():
        drawn.savefig(buffer, format="png")
    return pixels(buffer.getvalue())


def test_a_png_of_lines_has_a_palette_that_is_hardly_seen():
    drawn = drawn_with(lambda ax: [ax.plot(np.sin(np.arange(50) + k), alpha=0.6) for k in range(5)])
    png = plots.image(drawn, "png")
    assert Image.open(io.BytesIO(png)).mode == "P"
    error = pixels(png) - full_colours(drawn)
    # 256 colours, for the blends of five lines with white and with one another, leave steps of about 255/16.
    assert np.abs(error).max() <= 20
    assert np.sqrt(np.mean(error**2)) < 4


@pytest.mark.parametrize("show", ["imshow", "pcolormesh"])
def test_a_png_of_a_map_keeps_all_its_colours(show):
    drawn = drawn_with(lambda ax: getattr(ax, show)(np.arange(400.0).reshape(20, 20)))
    png = plots.image(drawn, "png")
    np.testing.assert_array_equal(pixels(png), full_colours(drawn))


@pytest.mark.parametrize("format", ["svg", "png", "pdf"])
def test_a_figure_is_marked_as_attnflows(format):
    assert b"attnflow" in plots.image(drawn_with(lambda ax: ax.plot([1, 2])), format)
