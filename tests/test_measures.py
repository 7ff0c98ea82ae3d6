"""Discrete measures: points with masses."""

import numpy as np
import pytest

import attnflow as af
from attnflow.errors import DataError
from attnflow.measures import as_measure

POINTS = np.array([[0.0, 1.0], [2.0, -1.0], [0.5, 0.25]])


def test_points_without_weights_have_mass_one_each():
    measure = af.DiscreteMeasure(POINTS)
    assert len(measure) == 3
    assert measure.mass == 3.0
    assert measure.ambient_dim == 2


def test_masses_are_kept_as_given():
    np.testing.assert_array_equal(af.DiscreteMeasure(POINTS, weights=[2, 0, 5]).masses, [2.0, 0.0, 5.0])


def test_a_measure_is_a_read_only_copy():
    points = POINTS.copy()
    measure = af.DiscreteMeasure(points)
    points[0, 0] = 7.0
    assert measure.points[0, 0] == 0.0
    with pytest.raises(ValueError, match="read-only"):
        measure.points[0, 0] = 7.0
    with pytest.raises(ValueError, match="read-only"):
        measure.masses[0] = 7.0


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1.0, 2.0], r"shape \(3,\)"),
        ([1.0, -1.0, 1.0], "nonnegative"),
        ([0.0, 0.0, 0.0], "not all zero"),
        ([1.0, np.nan, 1.0], "NaN or Inf"),
    ],
)
def test_weights_that_are_no_masses_are_refused(weights, message):
    with pytest.raises(DataError, match=message):
        af.DiscreteMeasure(POINTS, weights=weights)


def test_a_transposed_cloud_is_told_so():
    with pytest.raises(DataError, match="Transpose"):
        as_measure(POINTS[:2].T.repeat(4, axis=1)[:, :5], "at", ambient_dim=2)


@pytest.mark.parametrize("weights", [None, [2.0, 0.5, 1.0]])
def test_a_trajectory_stands_for_its_points_with_their_weights(weights):
    flow = af.Trajectory(times=np.zeros(1), points=POINTS, values=np.ones((1, 3)), weights=weights)
    measure = as_measure(flow, "at")
    np.testing.assert_array_equal(measure.points, POINTS)
    np.testing.assert_array_equal(measure.masses, [1.0, 1.0, 1.0] if weights is None else weights)
