"""The squared geodesic distance against arcs by hand, where points meet and where they are opposite."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import attnflow as af
from attnflow._compiling import compile_roughly
from attnflow.errors import ConfigError

SPHERE = af.Sphere(2)
COST = af.SquaredGeodesicDistance(SPHERE)
START, ASIDE = np.array([0.6, 0.0, 0.8]), np.array([-0.48, 0.8, 0.36])  # orthonormal
ANGLES = [0.0, 1e-9, 1e-3, 0.3, 0.348, 0.349, 1.0, 1.5707, 1.5709, 2.0, 3.0, 3.1415, np.pi - 1e-7]


def point(angle):
    return jnp.cos(angle) * START + jnp.sin(angle) * ASIDE


def test_it_is_the_square_of_the_angle_on_both_sides_of_every_case():
    assert abs(START @ ASIDE) < 1e-16
    found = [float(COST(START, point(angle))) for angle in ANGLES]
    np.testing.assert_allclose(np.sqrt(found), ANGLES, rtol=0, atol=5e-16)  # the rounding of coordinates
    assert float(COST(point(0.3), point(2.0))) == pytest.approx(1.7**2, rel=1e-15)


def test_its_series_agrees_with_forty_digits():
    with mpmath.workdps(40):
        for s in (1e-12, 1e-3, 0.01, 0.0299):
            exact = 4 * mpmath.asin(mpmath.sqrt(mpmath.mpf(s))) ** 2
            x = np.array([1.0, 0.0, 0.0])
            y = np.array([1 - 2 * s, 2 * np.sqrt(s * (1 - s)), 0.0])
            assert float(COST(x, y)) == pytest.approx(float(exact), rel=1e-14)


def test_three_derivatives_in_a_chart_are_those_of_a_distance_from_its_middle():
    # In normal coordinates D = |u|^2; chart_at agrees with them to second order, and by symmetry to the third.
    chart = SPHERE.chart_at(jnp.asarray(START))

    def local(u):
        return COST(jnp.asarray(START), chart(u))

    origin, hessian = jnp.zeros(2), jax.hessian(local)
    second, third = compile_roughly(lambda u: (hessian(u), jax.jacfwd(hessian)(u)))(origin)
    np.testing.assert_allclose(second, 2 * np.eye(2), rtol=0, atol=1e-14)
    np.testing.assert_allclose(third, 0, rtol=0, atol=1e-13)
    # Away from there: |grad D|^2 = 4 D on the tangent space.
    slope = jax.grad(COST, 1)(jnp.asarray(START), point(1.2))
    tangent = SPHERE.tangent_frame(point(1.2)).T @ slope
    assert float(tangent @ tangent) == pytest.approx(4 * 1.2**2, rel=1e-13)


def test_at_the_cut_locus_it_is_the_longest_distance_and_nothing_is_nan():
    opposite = -jnp.asarray(START)
    assert float(COST(jnp.asarray(START), opposite)) == np.pi**2

    @compile_roughly
    def derivatives(y):
        hessian = jax.hessian(COST, 1)
        return [order(jnp.asarray(START), y) for order in (jax.grad(COST, 1), hessian, jax.jacfwd(hessian, 1))]

    for at_it, near_it in zip(derivatives(opposite), derivatives(point(np.pi - 1e-6)), strict=True):
        np.testing.assert_array_equal(at_it, 0)
        assert jnp.isfinite(near_it).all()
    torus = af.SquaredGeodesicDistance(af.FlatTorus(2))
    x, y = jnp.array([1.0, 0.0, 1.0, 0.0]), jnp.array([-1.0, 0.0, np.cos(0.5), np.sin(0.5)])
    assert float(torus(x, y)) == pytest.approx(np.pi**2 + 0.25, rel=1e-15)
    assert jnp.isfinite(jax.grad(torus, 1)(x, y)).all()


def test_on_a_flat_torus_the_squared_angles_of_its_circles_are_added():
    torus = af.FlatTorus(3)
    x, y = (torus.from_angles(np.array([angles]))[0] for angles in ([0.1, 0.2, 3.0], [6.0, -0.9, -3.0]))
    exact = (2 * np.pi - 5.9) ** 2 + 1.1**2 + (2 * np.pi - 6.0) ** 2
    assert float(af.SquaredGeodesicDistance(torus)(x, y)) == pytest.approx(exact, rel=1e-14)
    flat = af.SquaredGeodesicDistance(af.EuclideanSpace(3))
    assert float(flat(np.array([1.0, 2.0, 0.5]), np.array([0.0, 4.0, 1.0]))) == 5.25


def test_it_has_the_limit_of_the_squared_distance_and_another_bias():
    density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8)
    circle, plain = af.SquaredGeodesicDistance(af.Circle()), af.SquaredDistance()
    points = density.sample(20, key=jax.random.key(0))

    def f(x):
        return jnp.exp(x[1]) + x[0]

    limits = [af.LaplaceExpansion(af.Attention(cost, 0.1), density).generator(f, points) for cost in (circle, plain)]
    np.testing.assert_allclose(limits[0], limits[1], rtol=0, atol=1e-12)

    def bias(cost, eps):
        population = af.PopulationAttention(af.Attention(cost, bandwidth=eps), density)
        return np.abs(population.generator(f, points) - limits[1]).max()

    assert bias(circle, 0.04) / bias(circle, 0.02) == pytest.approx(2, rel=0.1)  # it is of order eps
    assert abs(bias(circle, 0.04) / bias(plain, 0.04) - 1) > 0.01


def test_on_other_manifolds_it_is_refused():
    with pytest.raises(ConfigError, match=r"`manifold` must be a Sphere.* got Ellipsoid\(\(1\.0, 2\.0"):
        af.SquaredGeodesicDistance(af.Ellipsoid((1, 2, 3)))
    with pytest.raises(ConfigError, match="got sphere"):
        af.SquaredGeodesicDistance("sphere")
