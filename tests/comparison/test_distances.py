"""Norms of the difference of two trajectories, and which pairs are refused."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow.comparison.distances import compare
from attnflow.errors import ConfigError, DataError
from attnflow.trajectories import Spectrum, Trajectory

TIMES = np.array([0.25, 0.5, 3.0])
POINTS = np.array([[1.0, 0.2], [-0.3, 0.9], [0.4, 0.4], [2.0, -1.0]])
WEIGHTS = np.array([1.0, 2.0, 0.5, 4.0])


def trajectory(seed: int, *, components: int | None = None, **changes: object) -> Trajectory:
    shape = (len(TIMES), len(POINTS)) if components is None else (len(TIMES), len(POINTS), components)
    fields = {"times": TIMES, "points": POINTS, "values": np.random.default_rng(seed).standard_normal(shape)}
    return Trajectory(**(fields | changes))


def test_the_l2_norm_weighs_points_with_normalised_weights() -> None:
    a, b = trajectory(0, weights=WEIGHTS), trajectory(1, weights=3 * WEIGHTS)
    expected = [np.sqrt(sum(w * d**2 for w, d in zip(WEIGHTS, row, strict=True)) / 7.5) for row in a.values - b.values]
    np.testing.assert_allclose(compare(a, b), expected, rtol=1e-14)  # the same sum in another order


def test_absent_weights_are_equal_weights() -> None:
    a, b = trajectory(0), trajectory(1, weights=np.full(4, 2.5))
    np.testing.assert_allclose(compare(a, b), np.sqrt(np.mean((a.values - b.values) ** 2, axis=1)), rtol=1e-14)


def test_the_sup_norm_ignores_weights() -> None:
    a, b = trajectory(0, weights=WEIGHTS), trajectory(1)
    np.testing.assert_array_equal(compare(a, b, norm="sup"), np.abs(a.values - b.values).max(axis=1))


def test_vector_values_use_the_euclidean_norm_over_components() -> None:
    a, b = trajectory(0, components=3, weights=WEIGHTS), trajectory(1, components=3, weights=WEIGHTS)
    length = np.sqrt(((a.values - b.values) ** 2).sum(axis=2))
    np.testing.assert_allclose(compare(a, b, norm="sup"), length.max(axis=1), rtol=1e-14)
    np.testing.assert_allclose(compare(a, b), np.sqrt(length**2 @ WEIGHTS / 7.5), rtol=1e-14)


def test_a_misspelt_norm_is_told_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'sup'"):
        compare(trajectory(0), trajectory(1), norm="supp")


def test_times_that_differ_by_rounding_are_the_same_times() -> None:
    a, b = trajectory(0), trajectory(0, times=TIMES * (1 + 1e-12))
    assert not compare(a, b).any()


def test_times_may_differ_by_a_billionth_of_themselves_or_of_one() -> None:
    late = TIMES * 1e6
    assert not compare(trajectory(0), trajectory(0, times=TIMES + 0.9e-9)).any()
    assert not compare(trajectory(0, times=late), trajectory(0, times=late + 2e-4)).any()  # 2e-4 of 2.5e5
    for times, moved in ((TIMES, TIMES + 4e-9), (late, late + np.array([4e-4, 0, 0]))):
        with pytest.raises(ConfigError, match="same times"):
            compare(trajectory(0, times=times), trajectory(0, times=moved))


def test_different_times_are_refused_and_the_first_is_named() -> None:
    with pytest.raises(ConfigError, match=r"number 1 is 0\.5 in a and 0\.51 in b"):
        compare(trajectory(0), trajectory(1, times=[0.25, 0.51, 3.1]))
    short = Trajectory(times=TIMES[:2], points=POINTS, values=np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="3 and 2"):
        compare(trajectory(0), short)


def test_different_points_are_refused_and_the_first_row_is_named() -> None:
    moved = POINTS + np.array([[0.0], [0.0], [1e-6], [1.0]])
    with pytest.raises(DataError, match="row 2"):
        compare(trajectory(0), trajectory(1, points=moved))
    fewer = Trajectory(times=TIMES, points=POINTS[:3], values=np.zeros((3, 3)))
    with pytest.raises(DataError, match="shapes"):
        compare(trajectory(0), fewer)


def test_scalar_against_vector_values_and_different_weights_are_refused() -> None:
    with pytest.raises(DataError, match="values of one shape"):
        compare(trajectory(0), trajectory(1, components=2))
    with pytest.raises(DataError, match="weights"):
        compare(trajectory(0, weights=WEIGHTS), trajectory(1))


def test_a_trajectory_is_a_copy_that_cannot_be_written_to() -> None:
    values = np.zeros((3, 4))
    flow = trajectory(0, values=values, weights=WEIGHTS)
    values[0, 0] = 7.0
    assert flow.values[0, 0] == 0.0
    for array in (flow.times, flow.points, flow.values, flow.weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1.0
    with pytest.raises(AttributeError):
        flow.times = TIMES  # type: ignore[misc]


@pytest.mark.parametrize(
    "changes",
    [
        {"times": 0.5},
        {"values": np.zeros((4, 3))},
        {"values": np.full((3, 4), np.nan)},
        {"weights": np.ones(3)},
        {"weights": np.array([1.0, -1.0, 1.0, 1.0])},
        {"weights": np.zeros(4)},
    ],
)
def test_a_trajectory_with_shapes_or_numbers_that_do_not_fit_is_refused(changes: dict) -> None:
    with pytest.raises(DataError):
        trajectory(0, **changes)


def test_a_spectrum_unpacks_in_order() -> None:
    eigenvalues, eigenfunctions, solver_error = Spectrum(np.array([0.0, 0.5]), lambda x: x, 1e-12)
    assert eigenvalues[1] == 0.5
    assert eigenfunctions(POINTS) is POINTS
    assert solver_error == 1e-12
