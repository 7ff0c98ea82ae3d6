"""The figure of an identity shows how far it is missed, and by how much its control misses it."""

from dataclasses import replace

import numpy as np
from toy_ladder import RANDOM, SIZES, axes, claim, dots, judged, legend_of

from attnflow.lab import plots

IDENTITY = claim(kind="identity", predicted=0.0, margin=1e-12)


def test_an_identity_shows_the_largest_distance_and_its_zeros_hollow():
    values = 1e-14 * np.abs(RANDOM)
    values[:2] = 0
    solid, hollow = dots(plots.distances(axes(), judged(IDENTITY, values)))
    np.testing.assert_array_equal(solid.get_ydata(), values[2:].max(axis=1))
    assert hollow.get_markerfacecolor() == "white"
    np.testing.assert_array_equal(hollow.get_xdata(), SIZES[:2])


def test_the_distances_of_a_control_are_pale_and_on_the_same_axis():
    values = 1e-14 * np.abs(RANDOM)
    control = judged(IDENTITY.control(statement="no", quantity="other"), 0.1 + values)
    ax = plots.distances(axes(), judged(IDENTITY, values), controls=[control])
    own, pale = dots(ax)
    np.testing.assert_allclose(pale.get_ydata(), 0.1, rtol=1e-10)
    assert own.get_color() != pale.get_color()
    assert "control: other" in legend_of(ax)
    assert ax.get_ylim()[0] < 1e-14 < 0.1 < ax.get_ylim()[1]


def test_a_control_that_predicts_another_value_shows_its_distance_from_that():
    values = 2.0 + 1e-14 * np.abs(RANDOM)
    two = claim(kind="identity", predicted=2.0, margin=1e-12)
    control = judged(replace(two, id="two-control", control_of=two.id, predicted=3.0), values)
    ax = plots.distances(axes(), judged(two, values), controls=[control])
    np.testing.assert_allclose(dots(ax)[1].get_ydata(), 1.0, rtol=1e-10)
    assert ax.get_ylabel() == "|error − 2|"
