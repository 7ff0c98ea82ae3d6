"""Manifolds given by one map: volumes and inverses against closed forms, and maps that are none."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from embeddings import AXES, knot, oval, pear, revolution
from scipy import special

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError

ROUND_OFF = 1e-13


class Ball(af.EmbeddedManifold):
    """A manifold of a user's own, in three lines."""

    reference = af.Sphere(2)

    def embed(self, theta):
        return jnp.asarray(AXES) * theta + 0.2 * theta[2] ** 2 * jnp.array([1.0, 0.5, 0.0])


class WithInverse(Ball):
    def locate(self, x):
        z = x[2] / AXES[2]
        return self.reference.retract((x - 0.2 * z**2 * jnp.array([1.0, 0.5, 0.0])) / AXES)


class WithWrongInverse(Ball):
    def locate(self, x):
        return self.reference.retract(x / AXES)


def ellipsoid_area(a, b, c):
    """For a >= b >= c by Legendre's elliptic integrals  [DLMF, 19.33.1]."""
    phi = np.arccos(c / a)
    k = a**2 * (b**2 - c**2) / (b**2 * (a**2 - c**2))
    first, second = special.ellipkinc(phi, k), special.ellipeinc(phi, k)
    return 2 * np.pi * (c**2 + a * b / np.sin(phi) * (second * np.sin(phi) ** 2 + first * np.cos(phi) ** 2))


def hopf_like(u):
    return jnp.stack([u[0] * u[1], u[1] * u[2], u[2] * u[0], u[0] ** 2 - u[1] ** 2])


VOLUMES = {
    "torus of revolution": (lambda: af.TorusOfRevolution(1.0, 0.4), 4 * np.pi**2 * 0.4),
    "the same by a map of angles": (lambda: af.EmbeddedTorus(revolution), 4 * np.pi**2 * 0.4),
    "ellipsoid": (lambda: af.Ellipsoid(AXES), ellipsoid_area(1.3, 1.0, 0.7)),
    "ellipse": (lambda: af.Ellipsoid((2.0, 1.0)), 8 * special.ellipe(0.75)),
    "ball in R^4": (lambda: af.Ellipsoid((2.0, 2.0, 2.0, 2.0)), 16 * np.pi**2),
    "star": (lambda: af.StarSurface(lambda u: 2 + 0 * u[0]), 16 * np.pi),
    "shifted ball": (
        # The unit sphere about (0, 0, .3), seen from the origin.
        lambda: af.StarSurface(lambda u: 0.3 * u[2] + jnp.sqrt(1 - 0.09 * (1 - u[2] ** 2))),
        4 * np.pi,
    ),
    "circle run through unevenly": (
        lambda: af.ClosedCurve(lambda t: 3 * jnp.stack([jnp.cos(t + 0.3 * jnp.sin(t)), jnp.sin(t + 0.3 * jnp.sin(t))])),
        6 * np.pi,
    ),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_volumes_are_those_of_closed_forms(name):
    make, exact = VOLUMES[name]
    manifold = make()
    assert manifold.volume == pytest.approx(exact, rel=ROUND_OFF)
    assert manifold.quadrature(60).mass == pytest.approx(exact, rel=1e-12)  # analytic elements fall by e^-1 per degree


def test_points_are_found_again_by_formula_and_by_search():
    manifold = af.EmbeddedTorus(revolution)
    torus = af.FlatTorus(2)
    places = torus.sample_uniform(50, np.random.default_rng(0))
    points = manifold.points(places)
    np.testing.assert_allclose(manifold.places(points), places, rtol=0, atol=1e-13)
    np.testing.assert_allclose(af.TorusOfRevolution(1.0, 0.4).places(points), places, rtol=0, atol=1e-13)
    assert manifold.residual(1.1 * points).min() > 0.001
    with pytest.raises(DataError, match=r"`at` is not on EmbeddedTorus\(revolution\): the largest distance is"):
        manifold.check(1.1 * points, "at")


def test_the_inverse_is_differentiated_once_by_either_way():
    point = jnp.asarray(af.Ellipsoid(AXES).points(np.array([[0.48, 0.6, 0.64]]))[0])

    class Searched(af.EmbeddedManifold):
        reference = af.Sphere(2)

        def embed(self, theta):
            return theta * AXES

    exact, found = (jax.jit(jax.jacfwd(m.locate))(point) for m in (af.Ellipsoid(AXES), Searched()))
    frame = af.Ellipsoid(AXES).tangent_frame(point)
    np.testing.assert_allclose(found @ frame, exact @ frame, rtol=0, atol=ROUND_OFF)  # along M they must agree


def test_a_curve_is_run_through_with_speed_one():
    curve = af.ClosedCurve(knot)
    lengths = curve.volume * np.sort(np.random.default_rng(0).random(400))
    t = np.mod(np.arctan2(*curve.places(curve.along(lengths)).T[::-1]), 2 * np.pi)
    nodes, weights = np.polynomial.legendre.leggauss(120)
    middles = t[:, None] / 2 * (nodes + 1)
    h = 1e-5
    speeds = np.linalg.norm(knot(middles + h, np) - knot(middles - h, np), axis=-1) / (2 * h)
    # 120 Gauss nodes on a few waves are exact; differences err by h^2 and by rounding over h.
    np.testing.assert_allclose(t / 2 * (speeds @ weights), lengths, rtol=0, atol=1e-8)


def test_values_are_alike_short_and_can_be_kept():
    for manifold, words in (
        (af.ClosedCurve(knot), "ClosedCurve(knot)"),
        (af.EmbeddedTorus(oval), "EmbeddedTorus(oval)"),
        (af.StarSurface(pear), "StarSurface(pear)"),
        (af.TorusOfRevolution(1, 0.4), "TorusOfRevolution(1.0, 0.4)"),
        (af.Ellipsoid(AXES), "Ellipsoid((1.0, 1.3, 0.7))"),
    ):
        again = pickle.loads(pickle.dumps(manifold))
        assert repr(manifold) == words
        assert again == manifold
        assert hash(again) == hash(manifold)
    assert af.TorusOfRevolution(1, 0.4) != af.TorusOfRevolution(1, 0.3)


def test_a_users_formula_for_the_inverse_is_examined():
    assert af.Uniform(WithInverse()).manifold.volume == pytest.approx(Ball().volume, rel=1e-12)
    with pytest.raises(DataError, match=r"`retract` of WithWrongInverse moves a node of its quadrature by"):
        af.Uniform(WithWrongInverse())


def test_what_is_mapped_must_be_said():
    class Nowhere(af.EmbeddedManifold):
        def embed(self, theta):
            return theta

    with pytest.raises(ConfigError, match=r"`Nowhere` does not say its `reference`, .*reference = af\.Sphere\(2\)"):
        af.Uniform(Nowhere())
    with pytest.raises(ConfigError, match="lacks `embed`"):
        type("Unmapped", (af.EmbeddedManifold,), {"reference": af.Sphere(2)})()


def mapped(function):
    """A user's surface over the sphere."""
    surface = type("Surface", (af.EmbeddedManifold,), {"reference": af.Sphere(2), "embed": lambda self, u: function(u)})
    return af.Uniform(surface())


CURVES = {
    "eight": (
        lambda t: jnp.stack([jnp.sin(t + 0.3), jnp.sin(2 * t + 0.6)]),
        r"meets itself: the angle 2\.84159 and the angle 5\.98319 are both mapped to \[-?0\.0, -?0\.0\]",
    ),
    "twice around": (lambda t: jnp.stack([jnp.sin(2 * t), jnp.cos(2 * t)]), r"meets itself: the angle .* both mapped"),
    "cusp": (
        lambda t: jnp.stack([jnp.cos(t) ** 3, jnp.sin(t) ** 3]),
        r"not an immersion: .*the angle (0|1\.5708|3\.14159|4\.71239|6\.28319), where the volume element is \d.*e-",
    ),
    "open": (lambda t: jnp.stack([jnp.cos(0.9 * t), jnp.sin(t)]), r"does not close: phi at the angle 0 .* by 0\.191"),
    "corner": (
        lambda t: jnp.stack([jnp.cos(t), jnp.sin(t) + 0.1 * jnp.abs(jnp.sin(t / 2))]),
        r"does not close: its derivative at the angle 0 and 2 pi later differ by 0\.1",
    ),
    "third derivative": (
        lambda t: jnp.stack([jnp.cos(t), jnp.sin(t) + 0.01 * (t * (2 * jnp.pi - t)) ** 2]),
        r"does not close: its third derivative at the angle 0 .* by 1\.51",
    ),
    "no number": (
        lambda t: jnp.stack([jnp.cos(t), jnp.sqrt(jnp.sin(t))]),
        r"NaN or Inf at \d+ of \d+ places, the first at the angle 3\.14",
    ),
    "number": (jnp.cos, r"must return a point \(D,\) with D > 1, got a number"),
    "line": (lambda t: jnp.stack([jnp.cos(t)]), r"with D > 1, got shape \(1,\)"),
    "NumPy": (lambda t: np.array([np.cos(t), np.sin(t)]), r"`phi` must be .* written with jax\.numpy"),
}


@pytest.mark.parametrize("name", CURVES)
def test_a_map_that_is_no_closed_curve_is_refused_with_the_place(name):
    phi, words = CURVES[name]
    with pytest.raises(DataError, match=words):
        af.ClosedCurve(phi)


def spindle(r, t):
    ring = 1 + r * jnp.cos(t[1])
    return jnp.stack([ring * jnp.cos(t[0]), ring * jnp.sin(t[0]), r * jnp.sin(t[1])])


SURFACES = {
    "a torus whose tube meets the axis": (
        lambda: af.EmbeddedTorus(functools.partial(spindle, 1.2)),
        DataError,
        r"not an immersion: its derivative has no full rank at the angles .*, (2\.55591|3\.72728)",
    ),
    "a torus that is open in its second angle": (
        lambda: af.EmbeddedTorus(lambda t: spindle(0.2, t) + 0.01 * t[1] * jnp.array([0.0, 0.0, 1.0])),
        DataError,
        r"does not close: phi at the angles .*, 0 and 2 pi later in angle 2 differ by 0\.0628",
    ),
    "a fold": (lambda: mapped(lambda u: jnp.stack([u[0], u[1], u[2] ** 2])), DataError, r"not an immersion: .*Sphere"),
    "the projective plane": (lambda: mapped(hopf_like), DataError, r"meets itself: \[.*\] of Sphere.* are both mapped"),
    "a disc": (lambda: mapped(lambda u: u[:2]), DataError, r"must return a point \(D,\) with D > 2, got shape \(2,\)"),
    "a thick tube": (lambda: af.TorusOfRevolution(0.4, 1.0), ConfigError, r"`r` must be smaller than `R`, got r = 1 a"),
    "no tube": (lambda: af.TorusOfRevolution(1.0, 0.0), ConfigError, "`r` must be positive"),
    "beside the origin": (
        lambda: af.StarSurface(lambda u: 0.5 + u[2]),
        DataError,
        r"`radius` must be positive, got -0\.49.* in the direction \[.*-0\.9.*\]",
    ),
    "a radius without a number": (lambda: af.StarSurface(lambda u: jnp.log(u[2])), DataError, "`radius` is NaN or Inf"),
    "two radii": (lambda: af.StarSurface(lambda u: 1 + u[:2]), DataError, "`radius` must be a scalar"),
    "a number for a radius": (lambda: af.StarSurface(1.0), ConfigError, "`radius` must be a function"),
    "a number for a map": (lambda: af.ClosedCurve(1.0), ConfigError, "`phi` must be a function of an angle, got float"),
    "a negative axis": (lambda: af.Ellipsoid((1, -2, 3)), ConfigError, "`semi_axes` must be at least two positive"),
    "one axis": (lambda: af.Ellipsoid(1.0), ConfigError, "`semi_axes` must be at least two positive"),
}


@pytest.mark.parametrize("name", SURFACES)
def test_a_map_that_is_no_surface_is_refused_with_the_place(name):
    make, error, words = SURFACES[name]
    with pytest.raises(error, match=words):
        make()


def test_strands_that_are_near_do_not_meet():
    # Twice around a torus: its strands are .2 apart; those of the figure above are not.
    def coil(r, t):
        ring = 1 + r * jnp.cos(t)
        return jnp.stack([ring * jnp.cos(2 * t), ring * jnp.sin(2 * t), r * jnp.sin(t)])

    assert af.ClosedCurve(functools.partial(coil, 0.1)).volume > 4 * np.pi


def test_a_map_that_is_not_smooth_has_no_volume():
    def bent(t):
        return (1 + 0.1 * jnp.abs(jnp.sin(t - 1))) * jnp.stack([jnp.cos(t), jnp.sin(t)])

    with pytest.raises(ConvergenceError, match=r"the speed of ClosedCurve\(bent\) is not resolved at 262144 angles"):
        af.Uniform(af.ClosedCurve(bent)).sample(3, key=jax.random.key(0))
