"""The drift-diffusion on manifolds given by a map, against references that know nothing of the manifold mapped."""

import functools

import jax.numpy as jnp
import numpy as np
import pytest
from embeddings import AXES, f, knot, log_weight, oval, pear, pear_slope, r0, revolution
from witnesses import embedded_semigroup

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
TIME = 0.5
RTOL = {"knot": 1e-10, "revolution": 1e-8, "oval": 1e-5, "ellipsoid": 1e-9, "pear": 1e-9}
MAKE = {
    "knot": lambda: af.ClosedCurve(knot),
    "revolution": lambda: af.TorusOfRevolution(1.0, 0.4),
    "oval": lambda: af.EmbeddedTorus(oval),
    "ellipsoid": lambda: af.Ellipsoid(AXES),
    "pear": lambda: af.StarSurface(pear),
}
every_kind = pytest.mark.parametrize("name", MAKE)


@functools.cache
def limit(name):
    return af.DriftDiffusion(ATTENTION, af.LogDensity(MAKE[name](), log_weight), rtol=RTOL[name])


@functools.cache
def reference(name):
    if name == "knot":
        return embedded_semigroup.on_angles(lambda t: knot(t[:, 0], np), log_weight, dim=1, nodes=261)
    if name in ("revolution", "oval"):
        phi = {"revolution": revolution, "oval": oval}[name]
        nodes = 31 if name == "revolution" else 27
        return embedded_semigroup.on_angles(lambda t: phi(t, np), log_weight, dim=2, nodes=nodes)
    if name == "ellipsoid":
        return embedded_semigroup.on_sphere(
            lambda u: AXES * u, lambda u: np.tile(np.diag(AXES), (len(u), 1, 1)), log_weight, degree=24
        )
    return embedded_semigroup.on_sphere(
        lambda u: pear(u)[:, None] * u,
        lambda u: pear(u)[:, None, None] * np.eye(3) + u[:, :, None] * pear_slope(u)[:, None],
        log_weight,
        degree=22,
    )


@every_kind
def test_the_solution_is_that_of_the_reference(name):
    known = reference(name)
    flow = limit(name).evolve(f, times=[0.2, TIME], at=known.points)
    error = np.abs(flow.values[1] - known.evolve(f, time=TIME)).max()
    # Asked are 1e-10 on a torus of revolution, 1e-9 on an ellipsoid, 1e-8 on a star-shaped surface.
    assert error <= {"oval": 1e-5, "revolution": 1e-10}.get(name, 1e-9)
    assert error <= flow.solver_error + 3e-11  # by which the references err
    assert flow.solver_error <= 3 * RTOL[name] * np.abs(flow.values).max()  # f is larger than the solution
    assert "degree" in flow.method
    ones = limit(name).evolve(lambda x: jnp.ones(()), times=[0.2, 50.0], at=known.points).values
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["knot", "revolution", "pear"])
def test_densities_with_respect_to_the_induced_volume_are_dual_keep_their_mass_and_flow_as_in_the_reference(name):
    known = reference(name)
    flow = limit(name).adjoint_evolve(r0, times=[TIME, 0.2], at=known.points)
    error = np.abs(flow.values[0] - known.adjoint_evolve(r0, time=TIME)).max()
    assert error <= flow.solver_error + 1e-10  # by which the references err
    assert flow.solver_error <= 1.01 * RTOL[name] * np.abs(flow.values).max()
    np.testing.assert_allclose(flow.values @ known.weights, r0(known.points) @ known.weights, rtol=1e-12)
    # int f_t r_s dvol depends on s + t alone.
    forward = limit(name).evolve(f, times=[0.2, TIME], at=known.points).values
    one, other = np.sum(known.weights * forward * flow.values, axis=1)
    assert one == pytest.approx(other, rel=5 * RTOL[name])


def test_duality_is_exact_at_one_resolution():
    # e^{tL} and its adjoint are transposed matrices: what is left is what a resolution leaves of f and of r0.
    at = reference("pear")
    fine = af.DriftDiffusion(ATTENTION, limit("pear").density, rtol=1e-11)
    forward = fine.evolve(f, times=[0.2, TIME], at=at.points).values
    backward = fine.adjoint_evolve(r0, times=[TIME, 0.2], at=at.points).values
    one, other = np.sum(at.weights * forward * backward, axis=1)
    assert one == pytest.approx(other, rel=1e-12)


@pytest.mark.parametrize("name", ["knot", "pear"])
def test_the_spectrum_is_that_of_the_reference_and_its_functions_are_orthonormal(name):
    known = reference(name)
    spectrum = limit(name).spectrum(5)
    functions = spectrum.eigenfunctions(known.points)
    law = known.weights * np.exp(2 * known.log_p)
    law /= law.sum()
    np.testing.assert_allclose(functions.T @ (law[:, None] * functions), np.eye(5), rtol=0, atol=1e-8)
    for value, function in zip(spectrum.eigenvalues, functions.T, strict=True):
        left = known.propagate(function, 1.0)
        np.testing.assert_allclose(left, np.exp(-value) * function, rtol=0, atol=1e-8 + 10 * spectrum.solver_error)
    with pytest.raises(af.AttnflowError, match="`points` is not on"):
        spectrum.eigenfunctions(1.1 * known.points)


class Turned(af.EmbeddedManifold):
    """The ellipsoid, turned and moved in space."""

    reference = af.Sphere(2)

    def __init__(self, turn):
        self.turn = turn

    def embed(self, theta):
        return self.turn @ (AXES * theta) + jnp.array([0.3, -2.0, 1.0])


def test_turning_and_moving_an_ellipsoid_changes_nothing():
    turn = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))[0]
    offset = np.array([0.3, -2.0, 1.0])

    def before(function):
        return lambda x: function(turn.T @ (x - offset))

    points = af.Ellipsoid(AXES).sample_uniform(60, np.random.default_rng(0))
    plain = af.DriftDiffusion(ATTENTION, limit("ellipsoid").density, rtol=1e-5)  # at one resolution all is alike
    turned = af.DriftDiffusion(ATTENTION, af.LogDensity(Turned(turn), before(log_weight)), rtol=1e-5)
    flow = turned.evolve(before(f), times=TIME, at=points @ turn.T + offset)
    np.testing.assert_allclose(flow.values, plain.evolve(f, times=TIME, at=points).values, rtol=0, atol=1e-10)


def test_running_through_a_curve_unevenly_changes_nothing():
    def uneven(t):
        return knot(t + 0.3 * jnp.sin(t))

    points = reference("knot").points
    other = af.DriftDiffusion(ATTENTION, af.LogDensity(af.ClosedCurve(uneven), log_weight), rtol=1e-10)
    flow, plain = (life.evolve(f, times=TIME, at=points) for life in (other, limit("knot")))
    assert flow.method != plain.method
    np.testing.assert_allclose(flow.values, plain.values, rtol=0, atol=1e-10)


def test_scaling_a_density_changes_nothing():
    scaled = af.LogDensity(MAKE["pear"](), lambda x: log_weight(x) + 3.7)
    points = reference("pear").points
    flow = af.DriftDiffusion(ATTENTION, scaled, rtol=1e-9).evolve(f, times=TIME, at=points)
    np.testing.assert_allclose(flow.values, limit("pear").evolve(f, times=TIME, at=points).values, rtol=0, atol=1e-11)


def tilted(x, y):
    """Neither symmetric nor plain, least at x = y."""
    square = jnp.sum((x - y) ** 2)
    return (1 + 0.2 * x[0]) * square + 0.2 * square * (y[1] - x[1])


class Weighed(af.Normalization):
    """Some of the density taken out, and a preference."""

    def log_key_weights(self, keys):
        return -0.7 * keys.log_total(0.0) + keys.evaluate(lambda y: 0.4 * y[-1])


@pytest.mark.parametrize(
    "attention",
    [
        af.Attention(af.CustomPseudoMetric(tilted, vanishes_on_diagonal=True), bandwidth=0.1),
        af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=Weighed()),
    ],
    ids=["a cost of one's own", "a normalisation of one's own"],
)
def test_the_solution_changes_at_the_rate_of_the_generator_on_the_manifold_itself(attention):
    # The generator is taken in charts of M, by derivatives in space: no map is mentioned.
    ellipse = af.LogDensity(af.Ellipsoid((1.5, 1.0)), lambda x: 0.5 * x[0] - 0.3 * x[0] * x[1])
    life = af.DriftDiffusion(attention, ellipse, rtol=1e-10)
    points, h = ellipse.manifold.sample_uniform(9, np.random.default_rng(0)), 2e-4

    def generic(x):
        return x[1] + x[0] * x[1]

    flow = life.evolve(generic, times=[0, h, 2 * h], at=points).values
    rate = (-1.5 * flow[0] + 2 * flow[1] - 0.5 * flow[2]) / h
    generator = life.generator(generic, at=points)
    np.testing.assert_allclose(rate, generator, rtol=0, atol=1e-4)  # h^2 times third powers of rates of about ten
    plain = af.LaplaceExpansion(ATTENTION, ellipse).generator(generic, at=points)
    assert np.abs(generator - plain).max() > 0.05  # what differs from plain attention is seen


def test_what_is_not_resolved_says_on_what_it_was_solved():
    words = (
        r"on ClosedCurve\(knot\), whose points are those of Sphere\(dim=1\) by its map: .* not resolved at degree 160"
    )
    with pytest.raises(ConvergenceError, match=words):
        limit("knot").evolve(lambda x: jnp.abs(x[0] - 0.3), times=0.0, at=reference("knot").points)


def test_a_basis_may_be_named_and_must_serve_what_is_mapped():
    density = limit("knot").density
    assert af.DriftDiffusion(ATTENTION, density, discretization="fourier").spectrum(2).eigenvalues[0] == 0
    with pytest.raises(ConfigError, match="'harmonics' serves Sphere"):
        af.DriftDiffusion(ATTENTION, density, discretization="harmonics")
    four = af.Uniform(af.Ellipsoid((1.0, 1.2, 0.8, 1.1, 1.3)))
    with pytest.raises(ConfigError, match="there is no solver"):
        af.DriftDiffusion(ATTENTION, four).spectrum(2)
