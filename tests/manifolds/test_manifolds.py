"""Manifolds: charts, frames, quadratures and membership."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError, PrecisionError
from attnflow.manifolds.sphere import polar_rule

ROUND_OFF = 1e-13  # a few hundred roundings of numbers of order one


@pytest.mark.parametrize("x", [[1.0, 0, 0], [0, 0, 1.0], [0, 0, -1.0], [0, -1.0, 0], [0.6, 0, -0.8]])
def test_the_sphere_has_a_frame_everywhere_also_at_the_poles(x):
    frame = np.asarray(af.Sphere(2).tangent_frame(jnp.asarray(x)))
    np.testing.assert_allclose(frame.T @ frame, np.eye(2), rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(frame.T @ np.asarray(x), 0, rtol=0, atol=ROUND_OFF)


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


@pytest.mark.parametrize("m", [2, 3, 7])
@pytest.mark.parametrize("n", [1, 2, 31, 160])
def testpolar_rules_are_exact_near_the_poles(m, n):
    # int (1 - z^2)^((m-2)/2) e^{20 (z - 1)} dz by its series of moments; scipy's weights are off by 4e-13 at 160.
    z, weights = polar_rule(n, m)
    assert (z == -z[::-1]).all()
    if n < 31:
        assert weights @ z**2 == pytest.approx(weights.sum() / (m + 1) if n > 1 else 0.0, rel=1e-14)
        return
    nu, order = (m - 1) / 2, 20.0
    expected = math.sqrt(math.pi) * math.gamma(nu + 0.5 + 0.0) * (2 / order) ** nu * ive(nu, order)
    assert weights @ np.exp(order * (z - 1)) == pytest.approx(expected, rel=2e-15 * 5)


def test_volumes_in_many_dimensions_have_logarithms():
    with pytest.raises(PrecisionError, match=r"e\^-\d+.*log_volume"):
        _ = af.Sphere(1000).volume
    with pytest.raises(PrecisionError, match="log_volume"):
        _ = af.FlatTorus(1000).volume
    assert af.FlatTorus(1000).log_volume == pytest.approx(1000 * math.log(2 * math.pi), rel=1e-15)
    for m in (298, 299, 300, 301, 400):  # vol(S^m) = 2 pi vol(S^(m-2)) / (m - 1), on both sides of the change
        assert af.Sphere(m).log_volume == pytest.approx(
            af.Sphere(m - 2).log_volume + math.log(2 * math.pi / (m - 1)), rel=1e-13
        )
    assert af.Sphere(400).volume == pytest.approx(math.exp(af.Sphere(400).log_volume), rel=1e-13)


@pytest.mark.parametrize("make", [af.FlatTorus, af.Sphere, lambda d: af.Gaussian(np.zeros(d), np.eye(d))])
@pytest.mark.parametrize("dim", [16, 40, 256])
def test_nodes_are_counted_before_they_are_made(make, dim):
    with pytest.raises(ConvergenceError, match=r"a quadrature of (\d+|1e\d+) nodes"):
        make(dim).quadrature(30)
    with pytest.raises(ConvergenceError, match=r"a quadrature of (\d+|1e\d+) nodes"):
        make(dim).spread(100)


@pytest.mark.parametrize("manifold", [af.Sphere(1), af.Sphere(3), af.FlatTorus(2), af.EuclideanSpace(3)], ids=repr)
def test_tangential_parts_by_formula_are_those_of_a_frame(manifold):
    generator = np.random.default_rng(4)
    start, vector = generator.normal(size=(2, manifold.ambient_dim))
    x = manifold.retract(jnp.asarray(start))
    frame = np.asarray(manifold.tangent_frame(x))
    np.testing.assert_allclose(manifold.tangential(x, jnp.asarray(vector)), frame @ (frame.T @ vector), atol=1e-15)
