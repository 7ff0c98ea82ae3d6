"""Laws that every drift-diffusion obeys, general pseudo-metrics, and how misuse fails."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from witnesses import quadrature

import attnflow as af
from attnflow._lifting import evaluate
from attnflow.equations.continuum import DriftDiffusion
from attnflow.equations.expansions.coefficients import chart_coefficients, log_volume_element
from attnflow.errors import ConfigError, ConvergenceError, DataError

PLAIN = af.SquaredDistance()
CIRCLE, TORUS, SPHERE = af.Circle(), af.FlatTorus(2), af.Sphere(2)
THETA = np.linspace(0.1, 6.2, 37)
ON_CIRCLE = np.column_stack([np.cos(THETA), np.sin(THETA)])
ON_SPHERE = SPHERE.sample_uniform(40, np.random.default_rng(1))


def generic_f(x):  # no symmetry that would make a conserved quantity zero
    return jnp.exp(x[-1] + x[0] / 2) + x[0]


def generic_r(x):
    return 1 + 0.4 * x[0] - 0.3 * x[1] * x[-1] + 0.2 * x[-1]


@functools.cache
def solver(name):
    density, rule = {
        "circle": (af.LogDensity(CIRCLE, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1]), quadrature.torus_rule(80)),
        "torus": (af.LogDensity(TORUS, lambda x: 0.4 * x[0] + 0.3 * x[1] * x[2]), quadrature.torus_rule(40, m=2)),
        "sphere": (af.LogDensity(SPHERE, lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1]), quadrature.sphere_rule(30, 60)),
    }[name]
    return DriftDiffusion(af.Attention(PLAIN, bandwidth=0.1), density, rtol=1e-11), *rule


every_closed = pytest.mark.parametrize("name", ["circle", "torus", "sphere"])


@every_closed
def test_duality_holds_wherever_time_is_spent(name):
    # int f_t r_s depends on s + t only: this is duality and P_{s+t} = P_s P_t at once.
    limit, points, weights = solver(name)
    f = limit.evolve(generic_f, times=[0.0, 0.3, 0.7], at=points).values
    r = limit.adjoint_evolve(generic_r, times=[0.7, 0.4, 0.0], at=points).values
    pairings = np.sum(weights * f * r, axis=1)
    np.testing.assert_allclose(pairings, pairings[0], rtol=1e-10)  # twice the tolerance of the solver times |f| |r|
    assert abs(pairings[0]) > 1


@every_closed
def test_constants_stay_and_mass_is_conserved(name):
    limit, points, weights = solver(name)
    ones = limit.evolve(lambda x: jnp.ones(()), times=[0.2, 1e4], at=points).values
    np.testing.assert_allclose(ones, 1, rtol=0, atol=1e-12)  # only the rounding of the projection
    mass = limit.adjoint_evolve(generic_r, times=[0.0, 0.2, 5.0], at=points).values @ weights
    np.testing.assert_allclose(mass, weights @ np.asarray(jax.vmap(generic_r)(points)), rtol=1e-13)


@every_closed
def test_the_maximum_principle(name):
    limit, points, _ = solver(name)
    values = limit.evolve(generic_f, times=np.linspace(0, 2, 9), at=points).values
    assert np.all(np.diff(values.max(axis=1)) < 1e-10)
    assert np.all(np.diff(values.min(axis=1)) > -1e-10)


@every_closed
def test_every_density_tends_to_the_squared_one(name):
    limit, points, weights = solver(name)
    squared = np.exp(2 * limit.density.log_densities(points))
    mass = weights @ np.asarray(jax.vmap(generic_r)(points))
    late = limit.adjoint_evolve(generic_r, times=200.0, at=points).values[0]
    np.testing.assert_allclose(late, mass * squared / (weights @ squared), rtol=1e-10)


def test_a_stretched_distance_slows_time():
    # RZ-scale: 4 |x - y|^2 has the generator L / 4.
    density = af.VonMisesFisher(SPHERE, mean_direction=[1, 2, 2], concentration=0.8)
    stretched = af.CustomPseudoMetric(lambda x, y: 4 * jnp.sum((x - y) ** 2))
    slow = DriftDiffusion(af.Attention(stretched, 0.1), density).evolve(generic_f, times=1.0, at=ON_SPHERE)
    plain = DriftDiffusion(af.Attention(PLAIN, 0.1), density).evolve(generic_f, times=0.25, at=ON_SPHERE)
    np.testing.assert_allclose(slow.values, plain.values, rtol=0, atol=slow.solver_error + plain.solver_error)


def angular_cost(x, y):
    """D = 2 a(phi) (1 - cos delta) + .6 sin^3 delta, delta = phi - theta, a = 1.5 + .4 sin phi: asymmetric.

    At phi = theta: D''/2 = a and D'''/2 = 3 a' + 1.8.
    """
    cosine, sine = x[0] * y[0] + x[1] * y[1], x[0] * y[1] - x[1] * y[0]
    return 2 * (1.5 + 0.4 * y[1]) * (1 - cosine) + 0.6 * sine**3


def collocated(theta, *, third, time):
    """e^{tL} f for `angular_cost` and p ~ exp(.7 cos), by Fourier collocation on 81 equispaced nodes."""
    n = 81
    nodes = 2 * np.pi * np.arange(n) / n
    waves = np.arange(-(n // 2), n // 2 + 1)
    to_waves = np.exp(-1j * np.outer(waves, nodes)) / n
    first = (np.exp(1j * np.outer(nodes, waves)) @ (1j * waves[:, None] * to_waves)).real
    a = 1.5 + 0.4 * np.sin(nodes)
    drift = -0.7 * np.sin(nodes) / a - third * (1.2 * np.cos(nodes) + 1.8) / (2 * a**2)
    matrix = 0.5 / a[:, None] * (first @ first) + drift[:, None] * first
    f = np.exp(np.sin(nodes) + np.cos(nodes) / 2) + np.cos(nodes)
    return (np.exp(1j * np.outer(theta, waves)) @ to_waves @ expm(time * matrix) @ f).real


def test_an_asymmetric_cost_on_the_circle_needs_its_third_derivative():
    density = af.VonMisesFisher(CIRCLE, mean_direction=[1, 0], concentration=0.7)
    limit = DriftDiffusion(af.Attention(af.CustomPseudoMetric(angular_cost), 0.1), density, rtol=1e-11)
    values = limit.evolve(generic_f, times=0.6, at=ON_CIRCLE).values[0]
    np.testing.assert_allclose(values, collocated(THETA, third=1, time=0.6), rtol=0, atol=1e-10)
    assert np.abs(values - collocated(THETA, third=0, time=0.6)).max() > 0.1


def test_a_constant_drift_rotates_and_has_no_real_spectrum():
    # D = 2(1 - cos) + .6 sin^3: L f = f''/2 - .9 f', so cos is carried along: e^{-t/2} cos(theta - .9 t).
    def cost(x, y):
        return 2 * (1 - x[0] * y[0] - x[1] * y[1]) + 0.6 * (x[0] * y[1] - x[1] * y[0]) ** 3

    limit = DriftDiffusion(af.Attention(af.CustomPseudoMetric(cost), 0.1), af.Uniform(CIRCLE), rtol=1e-11)
    values = limit.evolve(lambda x: x[0], times=1.3, at=ON_CIRCLE).values[0]
    np.testing.assert_allclose(values, np.exp(-0.65) * np.cos(THETA - 1.17), rtol=0, atol=1e-10)
    with pytest.raises(ConfigError, match="not reversible"):
        limit.spectrum(3)


def sphere_cost(x, y):
    """Not symmetric, not conformal, with third derivatives."""
    square = jnp.sum((x - y) ** 2)
    along = jnp.dot(jnp.array([1.0, 0.5, -0.3]), y - x)
    return (1 + 0.3 * x[0]) * square + 0.5 * along**2 + 0.2 * square * (y[1] - x[1])


def line_cost(x, y):
    return (1 + 0.3 * jnp.sin(x[0])) * (y[0] - x[0]) ** 2 + 0.1 * (y[0] - x[0]) ** 4


def pointwise_generator(limit, f):
    """L f as a function of one point, from the chart at that point: no basis is involved."""
    manifold, cost, density = limit.density.manifold, limit.attention.pseudometric, limit.density

    def image(x):
        chart, origin = manifold.chart_at(x), jnp.zeros(manifold.dim)
        found = chart_coefficients(
            lambda u: 0.5 * cost(x, chart(u)),
            lambda u: density.log_density(chart(u)) + log_volume_element(chart, u),
            origin,
        )
        second = jnp.sum(found.inverse_metric * jax.hessian(lambda u: f(chart(u)))(origin))
        return 0.5 * second + found.drift @ jax.grad(lambda u: f(chart(u)))(origin)

    return image


@pytest.mark.parametrize(
    ("cost", "density", "points", "f"),
    [
        (sphere_cost, lambda: solver("sphere")[0].density, ON_SPHERE, generic_f),
        (line_cost, lambda: af.Gaussian([0.3], [[0.8]]), np.linspace(-1, 1.5, 9)[:, None], lambda x: jnp.sin(x[0])),
    ],
    ids=["sphere", "line"],
)
def test_a_general_cost_satisfies_the_equation_in_integral_form(cost, density, points, f):
    # e^{tL} f - f = int_0^t e^{sL} L f ds, with L f taken pointwise in charts.
    limit = DriftDiffusion(af.Attention(af.CustomPseudoMetric(cost), 0.1), density(), rtol=1e-9)
    nodes, weights = np.polynomial.legendre.leggauss(16)
    times = 0.15 * (nodes + 1)
    image = pointwise_generator(limit, f)
    flow = limit.evolve(image, times=times, at=points)
    change = limit.evolve(f, times=[0.0, 0.3], at=points)
    integral = 0.15 * weights @ flow.values
    tolerance = 0.3 * flow.solver_error + 2 * change.solver_error + 1e-10  # 16 nodes in time err by 1e-11, 8 by 3e-7
    np.testing.assert_allclose(change.values[1] - change.values[0], integral, rtol=0, atol=tolerance)
    np.testing.assert_allclose(evaluate(image, points), limit.generator(f, at=points), rtol=0, atol=1e-10)


def test_only_a_layer_reads_the_bandwidth():
    density = solver("circle")[0].density
    one, other = (DriftDiffusion(af.Attention(PLAIN, eps), density) for eps in (0.1, 0.7))
    first, second = (limit.evolve(generic_f, times=[0.4, 0.7], at=ON_CIRCLE).values for limit in (one, other))
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(other.layer(generic_f, at=ON_CIRCLE), first[1], rtol=0, atol=1e-8)
    assert np.abs(one.layer(generic_f, at=ON_CIRCLE) - first[1]).max() > 0.01


def test_shapes_order_of_times_and_weights():
    limit = solver("circle")[0]
    assert limit.evolve(generic_f, times=0.5, at=ON_CIRCLE).values.shape == (1, 37)
    vector = limit.evolve(lambda x: jnp.stack([x[0], generic_f(x)]), times=[1.0, 0.0, 0.5], at=ON_CIRCLE)
    assert vector.values.shape == (3, 37, 2)
    np.testing.assert_array_equal(vector.times, [1.0, 0.0, 0.5])
    alone = limit.evolve(generic_f, times=0.5, at=ON_CIRCLE)
    np.testing.assert_allclose(vector.values[2, :, 1], alone.values[0], rtol=0, atol=1e-10)
    np.testing.assert_allclose(vector.values[1, :, 0], ON_CIRCLE[:, 0], rtol=0, atol=1e-12)
    assert limit.layer(generic_f, at=ON_CIRCLE).shape == limit.generator(generic_f, at=ON_CIRCLE).shape == (37,)
    measured = limit.adjoint_evolve(generic_r, times=0.5, at=CIRCLE.quadrature(10))
    np.testing.assert_array_equal(measured.weights, CIRCLE.quadrature(10).weights)
    np.testing.assert_array_equal(alone.weights, np.ones(37))  # bare points have mass one in all three lives


def test_a_wave_beyond_the_first_resolutions_is_not_lost():
    # cos 20 t is orthogonal to everything at 12 and at 16 modes, which agree that it is zero.
    limit = DriftDiffusion(af.Attention(PLAIN, 0.1), af.Uniform(CIRCLE))
    flow = limit.evolve(lambda x: jnp.cos(20 * jnp.arctan2(x[1], x[0])), times=0.01, at=ON_CIRCLE)
    error = np.abs(flow.values[0] - np.exp(-2) * np.cos(20 * THETA)).max()
    assert error <= flow.solver_error <= 1e-8


def test_what_cannot_be_resolved_raises_and_says_by_how_much():
    limit = solver("circle")[0]
    with pytest.raises(ConvergenceError, match=r"not resolved at degree 160.*error is 0\.0.*smoother"):
        limit.evolve(lambda x: jnp.abs(x[0] - 0.3), times=0.5, at=ON_CIRCLE)
    impatient = DriftDiffusion(af.Attention(PLAIN, 0.1), limit.density, rtol=1e-16)
    with pytest.raises(ConvergenceError, match="rtol"):
        impatient.evolve(generic_f, times=0.5, at=ON_CIRCLE)


def test_a_jump_is_refused_and_named():
    tilted = jnp.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.2], [0.1, 0.0, 1.3]])
    attention = af.Attention(af.CustomPseudoMetric(lambda x, y: -2 * x @ tilted @ y), bandwidth=0.1)
    with pytest.raises(ConfigError, match=r"jumps by .*LaplaceExpansion"):
        DriftDiffusion(attention, af.Uniform(SPHERE))


def test_bad_input_is_refused_with_a_reason():
    limit = solver("sphere")[0]
    attempt = functools.partial(limit.evolve, generic_f, at=ON_SPHERE)
    with pytest.raises(ConfigError, match=r"`times` must not be negative, got -0\.1"):
        attempt(times=[0.2, -0.1])
    with pytest.raises(DataError, match="`times`"):
        attempt(times=[0.2, np.nan])
    with pytest.raises(ConfigError, match="`times`"):
        attempt(times=[])
    with pytest.raises(DataError, match="Transpose"):
        limit.evolve(generic_f, times=1, at=np.zeros((3, 40)))
    with pytest.raises(DataError, match="not on"):
        limit.generator(generic_f, at=1.1 * ON_SPHERE)
    with pytest.raises(DataError, match="not on"):
        limit.spectrum(2).eigenfunctions(1.1 * ON_SPHERE)
    for k in (0, 2.5):
        with pytest.raises(ConfigError, match="`k`"):
            limit.spectrum(k)
    with pytest.raises(ConfigError, match="`k` must be smaller"):
        solver("circle")[0].spectrum(1000)
    with pytest.raises(ConfigError, match="`rtol`"):
        DriftDiffusion(limit.attention, limit.density, rtol=0)


def test_one_eigenvalue_is_zero_and_its_eigenfunction_is_one():
    spectrum = solver("sphere")[0].spectrum(1)
    np.testing.assert_array_equal(spectrum.eigenvalues, [0])
    np.testing.assert_allclose(spectrum.eigenfunctions(ON_SPHERE), 1, rtol=0, atol=1e-12)


def test_eigenfunctions_are_orthonormal_in_the_stationary_law():
    limit, points, weights = solver("sphere")
    law = weights * np.exp(2 * limit.density.log_densities(points))
    values = limit.spectrum(9).eigenfunctions(points)
    np.testing.assert_allclose(values.T @ (values * law[:, None]) / law.sum(), np.eye(9), rtol=0, atol=1e-9)
