"""Manifolds: charts, frames, quadratures and membership."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, DataError
from attnflow.manifolds.checks import check_manifold

MANIFOLDS = [af.Circle(), af.Sphere(2), af.Sphere(3), af.FlatTorus(1), af.FlatTorus(2), af.FlatTorus(3)]
ROUND_OFF = 1e-13  # a few hundred roundings of numbers of order one


def some_points(manifold, n=5, seed=0):
    if manifold.is_compact:
        return manifold.sample_uniform(n, np.random.default_rng(seed))
    return np.random.default_rng(seed).standard_normal((n, manifold.dim))


@pytest.mark.parametrize("manifold", [*MANIFOLDS, af.EuclideanSpace(2)], ids=str)
def test_tangent_frames_are_orthonormal_and_tangent(manifold):
    for x in some_points(manifold):
        frame = np.asarray(manifold.tangent_frame(jnp.asarray(x)))
        assert frame.shape == (manifold.ambient_dim, manifold.dim)
        np.testing.assert_allclose(frame.T @ frame, np.eye(manifold.dim), rtol=0, atol=ROUND_OFF)
        step = 1e-6
        for direction in frame.T:  # moving along the frame leaves the manifold at second order only
            assert manifold.residual((x + step * direction)[None])[0] < 2 * step**2


@pytest.mark.parametrize("x", [[1.0, 0, 0], [0, 0, 1.0], [0, 0, -1.0], [0, -1.0, 0], [0.6, 0, -0.8]])
def test_the_sphere_has_a_frame_everywhere_also_at_the_poles(x):
    frame = np.asarray(af.Sphere(2).tangent_frame(jnp.asarray(x)))
    np.testing.assert_allclose(frame.T @ frame, np.eye(2), rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(frame.T @ np.asarray(x), 0, rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
def test_charts_are_normal_to_second_order(manifold):
    # The continuum solver reads covariant derivatives off this chart, so the metric J'J must be I + O(|u|^2).
    x = jnp.asarray(some_points(manifold)[0])
    chart = manifold.chart_at(x)

    def metric(u):
        jacobian = jax.jacfwd(chart)(u)
        return jacobian.T @ jacobian

    origin = jnp.zeros(manifold.dim)
    np.testing.assert_allclose(chart(origin), x, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(metric(origin), np.eye(manifold.dim), rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(jax.jacfwd(metric)(origin), 0, rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
def test_the_quadrature_sums_to_the_volume_and_lies_on_the_manifold(manifold):
    nodes, weights = manifold.quadrature(9)
    assert len(nodes) == manifold.quadrature_size(9)
    assert manifold.residual(nodes).max() < ROUND_OFF
    assert weights.sum() == pytest.approx(manifold.volume, rel=ROUND_OFF)


def test_volumes_are_those_of_the_textbook():
    assert af.Circle().volume == pytest.approx(2 * math.pi)
    assert af.Sphere(2).volume == pytest.approx(4 * math.pi)
    assert af.Sphere(3).volume == pytest.approx(2 * math.pi**2)
    assert af.FlatTorus(3).volume == pytest.approx((2 * math.pi) ** 3)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_sphere_quadrature_is_exact_up_to_its_degree_and_not_beyond(m):
    # int x_last^(2k) over S^m = vol * prod_{i<k} (2i + 1)/(m + 1 + 2i)
    degree = 6
    nodes, weights = af.Sphere(m).quadrature(degree)
    for axis in (0, -1):
        for power in (2, 4, 6):
            exact = af.Sphere(m).volume * math.prod((2 * i + 1) / (m + 1 + 2 * i) for i in range(power // 2))
            assert weights @ nodes[:, axis] ** power == pytest.approx(exact, rel=ROUND_OFF)
    too_high = 2 * degree + 2
    exact = af.Sphere(m).volume * math.prod((2 * i + 1) / (m + 1 + 2 * i) for i in range(too_high // 2))
    assert abs(weights @ nodes[:, 0] ** too_high - exact) > 1e-6


def test_torus_angles_and_points_are_inverse():
    torus = af.FlatTorus(2)
    angles = np.array([[0.1, -2.0], [3.0, 1.0]])
    np.testing.assert_allclose(torus.angles(torus.from_angles(angles)), angles, rtol=0, atol=ROUND_OFF)


def test_points_off_the_manifold_are_refused_with_the_distance():
    points = np.array([[1.0, 0.0], [0.0, 1.5]])
    with pytest.raises(DataError, match=r"largest distance is 0\.5, at row 1.*retract"):
        af.Circle().check(points, "points")


def test_transposed_points_are_told_so():
    with pytest.raises(DataError, match=r"must have shape \(N, 3\), got \(3, 7\)\. Transpose"):
        af.Sphere(2).check(np.ones((3, 7)), "points")


def test_euclidean_space_has_no_volume_to_integrate():
    with pytest.raises(ConfigError, match="infinite volume"):
        af.EuclideanSpace(1).quadrature(10)
    with pytest.raises(ConfigError, match="infinite volume"):
        af.EuclideanSpace(1).sample_uniform(3, np.random.default_rng(0))


@pytest.mark.parametrize("bad", [0, -1, 1.5, "2", True])
def test_dimensions_must_be_positive_integers(bad):
    with pytest.raises(ConfigError, match="`dim`"):
        af.Sphere(bad)
    with pytest.raises(ConfigError, match="`dim`"):
        af.FlatTorus(bad)


def test_manifolds_of_equal_kind_and_dimension_are_equal():
    # Equal values share compiled code.
    assert af.Circle() == af.Sphere(1)
    assert hash(af.Circle()) == hash(af.Sphere(1))
    assert af.Sphere(2) != af.Sphere(3)
    assert af.FlatTorus(1) != af.Sphere(1)


@pytest.mark.parametrize("manifold", [af.Circle(), af.FlatTorus(1)], ids=str)
def test_the_circle_is_run_through_by_arc_length(manifold):
    lengths = np.array([0.0, 1.0, np.pi])
    np.testing.assert_array_equal(manifold.along(lengths), np.column_stack([np.cos(lengths), np.sin(lengths)]))


@pytest.mark.parametrize("manifold", [af.Sphere(2), af.FlatTorus(2), af.EuclideanSpace(1)], ids=str)
def test_only_closed_curves_are_run_through(manifold):
    assert manifold.along is None


@pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
def test_our_manifolds_pass_the_examination_of_others(manifold):
    assert check_manifold(manifold) is manifold
    assert manifold.is_compact
    assert not manifold.has_boundary


@pytest.mark.parametrize("manifold", [af.Sphere(2), af.FlatTorus(2)], ids=str)
def test_what_is_optional_agrees_with_what_follows_without_it(manifold):
    x = some_points(manifold)[1]
    ours, derived = manifold.tangent_frame(jnp.asarray(x)), af.Manifold.tangent_frame(manifold, jnp.asarray(x))
    np.testing.assert_allclose(derived @ derived.T, ours @ ours.T, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(derived.T @ derived, np.eye(2), rtol=0, atol=ROUND_OFF)
    points = some_points(manifold) * 1.1
    np.testing.assert_allclose(
        af.Manifold.residual(manifold, points), manifold.residual(points), rtol=0, atol=ROUND_OFF
    )
    assert af.Manifold.quadrature_size(manifold, 7) == manifold.quadrature_size(7)
