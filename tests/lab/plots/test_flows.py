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


def test_what_parts_the_lives_is_drawn_as_bias_and_as_sampling_error():
    times = [0.0, 0.5]
    few, many = circle_curves(40, times), circle_curves(101, times)
    bias, sampling = plots.figure(width=4, height=3).subplots(2, 1)
    plots.residuals(
        bias, sampling, times=times, particles=(few[0], few[1] + 0.03), population=many,
        continuum=(many[0], many[1] - 0.01),
    )  # fmt: skip
    for line, dots in zip(bias.lines[:2], sampling.lines[:2], strict=True):
        np.testing.assert_allclose(line.get_ydata(), 0.01, atol=1e-15)
        np.testing.assert_allclose(dots.get_ydata(), 0.03, atol=1e-6)  # a cubic spline over a hundredth of a turn
    with pytest.raises(DataError, match="at the 101 angles of `population`"):
        plots.residuals(bias, sampling, times=times, particles=few, population=many, continuum=few)
