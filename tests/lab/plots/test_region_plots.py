"""Regions drawn: chances where they were, every token by its class, ellipses of the metric and crosses without one."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from PIL import Image
from toy_ladder import axes

from attnflow.errors import ConfigError, DataError
from attnflow.lab import plots
from attnflow.lab.plots.style import BLUE, VERMILLION

RNG = np.random.default_rng(4)
TOKENS, LABELS = RNG.normal(size=(12, 2)), np.array([0, 1] * 6)
TRAIN = np.arange(12) < 9
X, Y, GRID = plots.plane_grid(TOKENS, count=7)
CHANCES = 1 / (1 + np.exp(-2 * GRID[:, 0] - GRID[:, 1])).reshape(len(Y), len(X))


def regions(**changes):
    given = {"x": X, "y": Y, "chances": CHANCES, "tokens": TOKENS, "labels": LABELS, "train": TRAIN} | changes
    return plots.decision_regions(axes(), **given)


def test_a_grid_holds_all_tokens_and_its_rows_are_those_of_y():
    assert (GRID.min(axis=0) < TOKENS.min(axis=0)).all()
    assert (GRID.max(axis=0) > TOKENS.max(axis=0)).all()
    rows = GRID.reshape(len(Y), len(X), 2)
    np.testing.assert_array_equal(rows[:, 0, 1], Y)
    np.testing.assert_array_equal(rows[0, :, 0], X)
    assert np.diff(Y)[0] == pytest.approx(np.diff(X)[0], rel=0.2)  # as many rows as whole numbers allow


def test_tokens_are_dots_of_their_class_and_those_for_testing_are_rings():
    ax = regions()
    drawn = {(to_hex(line.get_color()), line.get_fillstyle()): line.get_xydata() for line in ax.lines}
    for label, colour in ((0, BLUE), (1, VERMILLION)):
        for part, style in ((TRAIN, "full"), (~TRAIN, "none")):
            np.testing.assert_array_equal(drawn[colour.lower(), style], TOKENS[(label == LABELS) & part])
    np.testing.assert_array_equal(np.asarray(ax.collections[0].get_array()).reshape(CHANCES.shape), CHANCES)


def test_the_line_between_the_classes_is_where_both_are_as_likely():
    (line,) = [each for each in regions().collections[1:] if len(each.get_paths())]
    corners = line.get_paths()[0].vertices
    # the chance is 1/2 where 2x + y = 0; contours are linear between the points of a grid, of size .6
    assert np.abs(2 * corners[:, 0] + corners[:, 1]).max() < 0.15


def test_ellipses_are_unit_balls_up_to_one_factor_and_crosses_stand_where_there_is_no_metric():
    metrics = np.array([np.diag([1.0, 4.0]), np.diag([9.0, 1.0]), np.diag([1.0, -1.0])])
    points = np.array([[0.0, 0.0], [1.0, 0.5], [-1.0, -0.5]])
    ax = axes()
    ax.set(xlim=(-3, 3), ylim=(-2, 2))
    plots.learned_ellipses(ax, points, metrics)
    first, second, cross = ax.lines
    for line, point, metric in zip((first, second), points, metrics, strict=False):
        shift = line.get_xydata() - point
        lengths = np.einsum("ni,ij,nj->n", shift, metric, shift)
        np.testing.assert_allclose(lengths, lengths[0], rtol=1e-10)
    widths = [np.ptp(line.get_xdata()) for line in (first, second)]
    assert widths[0] / widths[1] == pytest.approx(3, rel=1e-2)  # of 48 points around an ellipse
    np.testing.assert_array_equal(cross.get_xydata(), points[2:])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-3, 3), (-2, 2))


def test_a_film_has_one_frame_for_each_time(tmp_path):
    chances = np.stack([CHANCES, 1 - CHANCES, CHANCES**2])
    metrics = np.stack([np.eye(2)[None] * factor for factor in (1.0, 2.0, 5.0)])
    given = {"x": X, "y": Y, "tokens": TOKENS, "labels": LABELS, "at": np.array([[0.1, 0.2]] * 2)}
    film = plots.film_training(
        tmp_path / "film.gif", steps=[0, 10, 20], chances=chances, metrics=np.repeat(metrics, 2, axis=1), **given
    )
    with Image.open(film) as made:
        assert made.n_frames == 3
    with pytest.raises(DataError, match="one entry for each of 2 steps, got 3 and 3"):
        plots.film_training(film, steps=[0, 10], chances=chances, metrics=metrics, **given)
    with pytest.raises(ConfigError, match="`path` must be"):
        plots.film_training(tmp_path / "film.avi", steps=[0], chances=chances, metrics=metrics, **given)


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"`chances` must be numbers from 0 to 1 of shape"):
        regions(chances=CHANCES.T)
    with pytest.raises(DataError, match=r"`chances` must be numbers from 0 to 1"):
        regions(chances=2 * CHANCES)
    with pytest.raises(DataError, match=r"`labels` and `train` must be 0 or 1 for each of 12 tokens"):
        regions(labels=LABELS + 1)
    with pytest.raises(DataError, match=r"`metrics` must have shape \(12, 2, 2\)"):
        plots.learned_ellipses(axes(), TOKENS, np.eye(2))
    with pytest.raises(DataError, match=r"`tokens` must be two points of the plane"):
        plots.plane_grid(np.ones((5, 3)), count=3)
