"""A surface in colours: which colour a triangle has, and what is refused."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from attnflow.errors import DataError
from attnflow.lab import plots
from attnflow.lab.plots.training import COLOURS

CORNERS = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.3]])
FACES = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
HUES = {part: np.array(to_rgb(colour)) for part, colour in enumerate(COLOURS)}


def axes():
    return plots.figure(width=3, height=3).add_subplot(projection="3d")


def test_a_triangle_has_the_colour_of_most_of_its_corners():
    (drawn,) = plots.parts(axes(), CORNERS, FACES, np.array([2, 1, 1, 9])).collections  # 9 is the second colour again
    found = []
    for colour in drawn.get_facecolor()[:, :3]:  # sorted by depth
        shades = {part: colour @ hue / (hue @ hue) for part, hue in HUES.items()}
        (part,) = (part for part, shade in shades.items() if np.allclose(colour, shade * HUES[part], rtol=0, atol=1e-9))
        assert 0.6 < shades[part] <= 1
        found.append(part)
    assert sorted(found) == [1, 1, 2, 2]  # where all corners differ, the part of the first: twice that of vertex 0


@pytest.mark.parametrize(("faces", "labels"), [(FACES[:, :2], np.zeros(4, int)), (FACES, np.zeros(3, int))])
def test_shapes_that_do_not_fit_are_refused(faces, labels):
    with pytest.raises(DataError, match=r"`faces` must have shape \(F, 3\) and `labels` \(4,\)"):
        plots.parts(axes(), CORNERS, faces, labels)
