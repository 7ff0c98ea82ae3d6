"""Norms of the difference of two trajectories, and which pairs are refused."""

from __future__ import annotations

import numpy as np
import pytest

from attnflow.comparison.distances import compare
from attnflow.comparison.energy import mmd
from attnflow.comparison.moments import moments
from attnflow.comparison.transport import wasserstein
from attnflow.equations.gaussian_trajectory import GaussianTrajectory
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.sphere import Circle
from attnflow.measures import DiscreteMeasure
from attnflow.trajectories import Spectrum, TokenTrajectory, Trajectory

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


def tokens(seed: int, *, count: int = 5, weights: object = None, on_circle: bool = False) -> TokenTrajectory:
    points = np.random.default_rng(seed).standard_normal((len(TIMES), count, 2))
    if on_circle:
        points /= np.linalg.norm(points, axis=2, keepdims=True)
    return TokenTrajectory(times=TIMES, points=points, weights=weights)


def test_tokens_are_compared_as_laws_at_every_time() -> None:
    a, b = tokens(0, weights=[1.0, 2.0, 0.5, 1.0, 3.0]), tokens(1, count=8)
    for norm, distance in [
        ("mmd", mmd),
        ("moments", moments),
        ("sliced", wasserstein),
        ("W2", lambda a, b: wasserstein(a, b, order=2)),
    ]:
        expected = [float(distance(DiscreteMeasure(p, a.weights), q)) for p, q in zip(a.points, b.points, strict=True)]
        np.testing.assert_allclose(compare(a, b, norm=norm), expected, rtol=1e-12)
        shuffled = TokenTrajectory(times=TIMES, points=b.points[:, ::-1])
        np.testing.assert_allclose(compare(b, shuffled, norm=norm), 0, atol=1e-7)  # laws have no order
    np.testing.assert_array_equal(compare(a, b), compare(a, b, norm="mmd"))


def test_as_many_tokens_are_also_compared_one_by_one() -> None:
    a, b = tokens(0), tokens(1)
    apart = np.linalg.norm(a.points - b.points, axis=2)
    np.testing.assert_allclose(compare(a, b, norm="sup"), apart.max(axis=1), rtol=1e-14)
    np.testing.assert_allclose(compare(a, b, norm="L2"), np.sqrt((apart**2).mean(axis=1)), rtol=1e-14)
    with pytest.raises(DataError, match="tokens of one number"):
        compare(a, tokens(1, count=6), norm="L2")
    with pytest.raises(DataError, match="weights"):
        compare(a, tokens(1, weights=np.arange(1.0, 6.0)), norm="L2")


def test_tokens_on_the_circle_are_compared_with_a_density_along_arcs() -> None:
    angles = 2 * np.pi * np.arange(64) / 64
    nodes = np.column_stack([np.cos(angles), np.sin(angles)])
    values = 1 + 0.5 * np.cos(angles) * np.array([[0.0], [1.0], [-1.0]])
    density = Trajectory(times=TIMES, points=nodes, values=values)
    moving = tokens(2, on_circle=True)
    found = compare(density, moving, norm="W1", manifold=Circle())
    expected = [
        wasserstein(points, Trajectory(times=[0.0], points=nodes, values=row[None]), manifold=Circle())
        for points, row in zip(moving.points, values, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert (compare(moving, density) > 0).all()
    with pytest.raises(ConfigError, match="`norm` must be one of 'mmd'"):
        compare(moving, density, norm="L2")
    with pytest.raises(ConfigError, match="`manifold` is for the norms 'W1' and 'W2'"):
        compare(moving, density, manifold=Circle())


def test_a_gaussian_law_is_compared_by_its_moments() -> None:
    moving = tokens(3, count=40)
    means = moving.points.mean(axis=1)
    covariances = np.array([np.cov(points.T, bias=True) for points in moving.points])
    law = GaussianTrajectory(times=TIMES, means=means + np.array([0.3, -0.4]), covariances=covariances)
    np.testing.assert_allclose(compare(moving, law), 0.5, rtol=1e-12)
    np.testing.assert_allclose(compare(law, law), 0, atol=1e-14)
    with pytest.raises(ConfigError, match="'moments', got 'W1'"):
        compare(moving, law, norm="W1")
    line = GaussianTrajectory(times=TIMES, means=means[:, :1], covariances=covariances[:, :1, :1])
    with pytest.raises(DataError, match="of one space, got 2 and 1"):
        compare(moving, line)
    with pytest.raises(ConfigError, match="same times"):
        compare(moving, GaussianTrajectory(times=TIMES + 1, means=means, covariances=covariances))


def test_functions_have_no_distance_of_laws_and_other_things_none_at_all() -> None:
    with pytest.raises(ConfigError, match="`norm` must be one of 'L2', 'sup'"):
        compare(trajectory(0), trajectory(1), norm="W1")
    with pytest.raises(ConfigError, match="`b` must be a Trajectory, got ndarray"):
        compare(trajectory(0), np.zeros((3, 4)))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="shapes"):
        GaussianTrajectory(times=TIMES, means=np.zeros((3, 2)), covariances=np.zeros((3, 2)))
