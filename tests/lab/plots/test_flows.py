"""Flows show the values that they are given, and say which particles they leave out."""

import numpy as np
import pytest
from toy_ladder import axes

from attnflow.errors import DataError
from attnflow.lab import plots
from attnflow.lab.plots.flows import LABEL_DISTANCE, MAXIMUM_DOTS, _spread


def circle_curves(count, times):
    angles = np.linspace(0, 2 * np.pi, count)
    return angles, np.exp(-np.asarray(times))[:, None] * (np.sin(angles) + 0.3 * np.cos(2 * angles + 0.4))


def test_an_overlay_shows_the_three_lives_at_each_time_and_names_the_times():
    times = [0.0, 0.1, 0.25, 0.5, 1.0]
    few, many = circle_curves(40, times), circle_curves(101, times)
    ax = plots.overlay(axes(), times=times, particles=few, population=many, continuum=(many[0], many[1] + 0.01))
    assert len(ax.lines) == 15
    for k in range(5):
        population, continuum, particles = ax.lines[3 * k : 3 * k + 3]
        np.testing.assert_array_equal(population.get_ydata(), many[1][k])
        np.testing.assert_array_equal(continuum.get_ydata(), many[1][k] + 0.01)
        np.testing.assert_array_equal(particles.get_ydata(), few[1][k])
        assert (continuum.is_dashed(), particles.get_marker()) == (True, "o")
    assert sorted(text.get_text() for text in ax.texts) == sorted(f"$t = {time:.3g}$" for time in times)


def test_many_particles_are_thinned_and_the_legend_says_so():
    many = circle_curves(4000, [0.0])
    ax = plots.overlay(axes(), times=[0.0], particles=many, population=many, continuum=many)
    assert len(ax.lines[2].get_xdata()) <= MAXIMUM_DOTS
    assert "$N = 4000$ particles, 149 shown" in ax.get_legend().get_texts()[0].get_text()


def test_labels_that_would_touch_are_moved_apart_in_their_order():
    heights = np.array([0.5, 0.1, 0.5, 0.51, 0.9])
    spread = _spread(heights, distance=LABEL_DISTANCE)
    assert (np.diff(np.sort(spread)) >= LABEL_DISTANCE - 1e-12).all()
    assert spread[1] == pytest.approx(0.1)
    assert spread[4] == pytest.approx(0.9)
    assert spread[[0, 2, 3]].mean() == pytest.approx(heights[[0, 2, 3]].mean())
    assert spread[3] > max(spread[0], spread[2])


def test_curves_of_another_shape_are_refused():
    good, bad = circle_curves(20, [0.0, 1.0]), circle_curves(20, [0.0])
    with pytest.raises(DataError, match="`population` must be angles"):
        plots.overlay(axes(), times=[0.0, 1.0], particles=good, population=bad, continuum=good)


def test_the_grid_of_maps_covers_the_sphere_evenly_in_angle():
    longitudes, latitudes, points = plots.sphere_grid(rows=12)
    assert points.shape == (288, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, rtol=1e-14)
    np.testing.assert_allclose(points[:, 2], np.repeat(np.sin(latitudes), 24), rtol=1e-14)
    np.testing.assert_allclose(np.arctan2(points[:24, 1], points[:24, 0]), longitudes, rtol=1e-12)
    # The area element sums to 4 pi up to the midpoint rule's pi^2/24 of a step squared, .3 % at 12 rows.
    assert np.cos(latitudes).sum() * 24 * (np.pi / 12) ** 2 == pytest.approx(4 * np.pi, rel=4e-3)


def test_maps_show_both_lives_and_their_difference_on_a_scale_of_its_own():
    _, _, x = plots.sphere_grid(rows=10)
    continuum = np.stack([x[:, 2] + x[:, 0] * x[:, 1], x[:, 2] / 2])
    empirical = continuum + 0.01 * np.stack([x[:, 1] ** 3, x[:, 0] + 0.2])
    drawn = plots.figure(width=6, height=4)
    grid = plots.sphere_maps(drawn, times=[0.0, 0.5], continuum=continuum, empirical=empirical)
    assert grid.shape == (2, 3)
    for k in range(2):
        for ax, values in zip(grid[k], [continuum[k], empirical[k], empirical[k] - continuum[k]], strict=True):
            np.testing.assert_array_equal(np.asarray(ax.collections[0].get_array()).ravel(), values)
    scale = grid[0, 2].collections[0].norm
    assert scale.vmin == -scale.vmax == -np.abs(empirical - continuum).max()
    assert grid[0, 0].collections[0].norm is grid[1, 1].collections[0].norm


def test_maps_of_another_grid_are_refused():
    with pytest.raises(DataError, match="sphere_grid"):
        plots.sphere_maps(
            plots.figure(width=6, height=4), times=[0.0], continuum=np.ones((1, 7)), empirical=np.ones((1, 7))
        )
