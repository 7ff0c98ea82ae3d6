"""The Laplace expansion: closed forms, curved charts, jumps, and the terms that must not be missing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.expansions import coefficients as expansions
from attnflow.errors import ConfigError, DataError, PrecisionError

ROUND_OFF = 1e-11  # third derivatives of order-one functions: hundreds of roundings, amplified by a few


@functools.cache
def a_sphere_problem(m):
    """p ~ exp(b.x), f = a.y on S^m: L f = -(m/2) a.x + a.b - (a.x)(b.x)."""
    sphere = af.Sphere(m)
    direction = np.arange(1.0, m + 2) / np.linalg.norm(np.arange(1.0, m + 2))
    a, b = np.linspace(1, -2, m + 1), 0.8 * direction
    density = af.VonMisesFisher(sphere, mean_direction=direction, concentration=0.8)
    x = sphere.sample_uniform(20, np.random.default_rng(0))
    exact = -(m / 2) * x @ a + a @ b - (x @ a) * (x @ b)
    return density, x, (lambda y: jnp.dot(jnp.asarray(a), y)), exact


PLAIN_COSTS = [
    af.SquaredDistance(),
    af.DotProduct(),
    af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2)),
]


@pytest.mark.parametrize("m", [1, 2, 3])
@pytest.mark.parametrize("cost", PLAIN_COSTS, ids=lambda cost: type(cost).__name__)
def test_the_generator_of_plain_attention_on_spheres(m, cost):
    density, x, f, exact = a_sphere_problem(m)
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), density)
    np.testing.assert_allclose(limit.generator(f, at=x), exact, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(limit.minimizer(x), x, rtol=0, atol=1e-8)
    assert np.all(np.isinf(limit.gap(x)))


def test_the_drift_is_the_gradient_of_log_p_and_the_metric_the_identity():
    density, x, _, _ = a_sphere_problem(2)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    b = 0.8 * np.asarray(density.mean_direction)
    np.testing.assert_allclose(limit.drift(x), b - (x @ b)[:, None] * x, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(limit.metric(x), np.eye(3) - x[:, :, None] * x[:, None, :], rtol=0, atol=ROUND_OFF)


def test_a_bandwidth_in_other_units_scales_the_generator():
    # RZ-scale: D / s^2 multiplies L by s^2.
    density, x, f, exact = a_sphere_problem(2)
    scaled = af.CustomPseudoMetric(lambda u, v: jnp.sum((u - v) ** 2) / 4)
    limit = af.LaplaceExpansion(af.Attention(scaled, bandwidth=0.1), density)
    np.testing.assert_allclose(limit.generator(f, at=x), 4 * exact, rtol=0, atol=4 * ROUND_OFF)


def test_one_point_and_many_points_answer_in_the_same_shape():
    density, x, f, _ = a_sphere_problem(2)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    assert limit.minimizer(x[0]).shape == (3,)
    assert limit.metric(x[0]).shape == (3, 3)
    assert limit.chart_coefficients(x).shape == (20, 2)
    assert limit.generator(lambda y: y * y[0], at=x).shape == (20, 3)
    assert np.ndim(limit.generator(f, at=x[0])) == 0


# --- One dimension, explicit derivatives of D: c = 1.7, d = .8, p = exp(.4 v), H = sin(1.3 v + .4) at v = 0 [RZ].

C, D, SLOPE, K, PHASE = 1.7, 0.8, 0.4, 1.3, 0.4


def polynomial_cost(v):
    return C * v**2 / 2 + D * v**3 / 6 + 1.1 * v**4 / 24


def one_dimensional_generator(coefficients):
    gradient, second = K * np.cos(PHASE), -(K**2) * np.sin(PHASE)
    return float(0.5 * coefficients.inverse_metric[0, 0] * second + coefficients.drift[0] * gradient)


def one_dimensional_coefficients():
    def compiled_anew():
        return expansions.chart_coefficients(
            cost=lambda u: 0.5 * polynomial_cost(u[0]), log_density=lambda u: SLOPE * u[0], minimizer=jnp.zeros(1)
        )

    return jax.jit(compiled_anew)()


def brute_force_generator():
    """(A f - f(y*))/eps at small eps, extrapolated, by the trapezoidal rule: no derivative is taken."""

    def quotient(eps):
        v = np.linspace(-1, 1, 40_001)
        weight = np.exp(-polynomial_cost(v) / (2 * eps) + SLOPE * v)
        return (weight @ np.sin(K * v + PHASE) / weight.sum() - np.sin(PHASE)) / eps

    return 2 * quotient(5e-4) - quotient(1e-3)


def test_the_expansion_agrees_with_brute_force_quadrature():
    # Extrapolated in eps: the remainder is O(eps^2) = 1e-6.
    measured = one_dimensional_generator(one_dimensional_coefficients())
    assert measured == pytest.approx(brute_force_generator(), abs=2e-5)


def test_the_theorem_as_printed_is_refuted():
    # Prefactor 1/m0 with m0 = (4 pi)^{1/2} c^{-1/2} on all but the third-derivative term [RZ, Theorem 5].
    m0 = np.sqrt(4 * np.pi / C)
    gradient, second = K * np.cos(PHASE), -(K**2) * np.sin(PHASE)
    printed = ((-m0 * D / C**2 + 2 / C * SLOPE) * gradient + second / C) / m0
    assert abs(printed - brute_force_generator()) > 0.05


def test_dropping_the_third_derivative_breaks_the_agreement(monkeypatch):
    exact = expansions.chart_coefficients

    def without_third(cost, log_density, minimizer):
        right = exact(cost, log_density, minimizer)
        return right._replace(drift=right.inverse_metric @ jax.grad(log_density)(minimizer))

    monkeypatch.setattr(expansions, "chart_coefficients", without_third)
    with pytest.raises(AssertionError):
        test_the_expansion_agrees_with_brute_force_quadrature()


# --- A chart that is not normal: the stereographic projection of S^2, away from its centre.


def stereographic(u):
    return jnp.array([2 * u[0], 2 * u[1], u @ u - 1]) / (1 + u @ u)


def stereographic_generator(density, f, *, log_density):
    @jax.jit
    def at(u):
        x = stereographic(u)
        local = expansions.chart_coefficients(
            cost=lambda v: 0.5 * jnp.sum((x - stereographic(v)) ** 2), log_density=log_density, minimizer=u
        )
        hessian = jax.hessian(lambda v: f(stereographic(v)))(u)
        gradient = jax.grad(lambda v: f(stereographic(v)))(u)
        return x, 0.5 * jnp.sum(local.inverse_metric * hessian) + local.drift @ gradient

    x, value = at(jnp.array([0.4, -0.7]))
    return np.asarray(x), float(value)


def test_the_generator_does_not_depend_on_the_chart():
    density, _, f, _ = a_sphere_problem(2)

    def in_chart(v):  # log p^: the density with respect to dv
        return density.log_density(stereographic(v)) + expansions.log_volume_element(stereographic, v)

    x, value = stereographic_generator(density, f, log_density=in_chart)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    assert value == pytest.approx(float(limit.generator(f, at=x)), abs=ROUND_OFF)


def test_the_density_without_its_volume_element_gives_another_generator():
    density, _, f, _ = a_sphere_problem(2)
    x, value = stereographic_generator(density, f, log_density=lambda v: density.log_density(stereographic(v)))
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    assert abs(value - float(limit.generator(f, at=x))) > 0.1


# --- Minimisers.


def test_an_asymmetric_cost_jumps_to_its_minimiser():
    # D = |R x - y|^2 with a rotation R of 1 rad: y* = R x.
    rotation = jnp.array([[np.cos(1.0), -np.sin(1.0)], [np.sin(1.0), np.cos(1.0)]])
    density = af.LogDensity(af.Circle(), lambda x: 0.7 * x[0])
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((rotation @ x - y) ** 2))
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), density)
    x = np.array([[1.0, 0.0], [0.0, -1.0]])
    np.testing.assert_allclose(limit.minimizer(x), x @ np.asarray(rotation).T, rtol=0, atol=1e-9)
    with pytest.raises(ConfigError, match=r"jumps by 0\.959 .*LaplaceExpansion"):
        limit.drift(x)


def test_the_global_minimiser_is_found_beside_a_local_one_and_the_gap_reported():
    # S = sin^2 t - cos(t)/4 in the angle t of the key: wells at 0 and pi, the second higher by 1/2.
    cost = af.CustomPseudoMetric(lambda x, y: 2 * (1 - y[0] ** 2) - 0.5 * y[0])
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(af.Circle()))
    x = np.array([[0.0, 1.0], [-1.0, 0.0]])  # the queries do not matter, and one of them is the other well
    np.testing.assert_allclose(limit.minimizer(x), [[1.0, 0.0], [1.0, 0.0]], rtol=0, atol=1e-8)
    np.testing.assert_allclose(limit.gap(x), 0.5, rtol=0, atol=1e-9)


def test_the_minimiser_is_exact_where_the_cost_has_an_odd_cubic_term():
    # Near its minimum a cost is flat to round-off within 1e-8; an offset of 1e-8 would show in the drift at 6e-8.
    def cost(x, y):
        sine = y[1] * x[0] - y[0] * x[1]
        return 2 * (1 - x @ y) + 0.6 * sine**3

    limit = af.LaplaceExpansion(af.Attention(af.CustomPseudoMetric(cost), bandwidth=0.1), af.Uniform(af.Circle()))
    x = af.Circle().sample_uniform(20, np.random.default_rng(1))
    np.testing.assert_allclose(limit.minimizer(x), x, rtol=0, atol=1e-14)
    # S = 1 - cos t + .3 sin^3 t: G = 1, T = 1.8, so b = -T/2 along the counter-clockwise tangent at every point
    counter_clockwise = np.column_stack([-x[:, 1], x[:, 0]])
    np.testing.assert_allclose(limit.coefficients(x).drifts, -0.9 * counter_clockwise, rtol=0, atol=ROUND_OFF)


def test_two_equal_minimisers_are_refused():
    # RZ-GAT on a closed curve: a linear functional meets every value twice.
    cost = af.CustomPseudoMetric(lambda x, y: (x[0] - y[0]) ** 2)
    limit = af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match="several global minimisers"):
        limit.minimizer(np.array([np.cos(1.0), np.sin(1.0)]))


def test_a_cost_that_decreases_without_end_has_no_minimiser():
    line = af.Gaussian(mean=[0.0], covariance=[[1.0]])
    limit = af.LaplaceExpansion(af.Attention(af.DotProduct(), bandwidth=0.1), line)
    with pytest.raises(ConfigError, match="has no minimiser"):
        limit.generator(lambda x: x[0], at=[0.3])


def test_points_off_the_manifold_are_refused():
    density, _, f, _ = a_sphere_problem(1)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    with pytest.raises(DataError, match="largest distance"):
        limit.generator(f, at=[[1.0, 1.0]])
    with pytest.raises(DataError, match="NaN"):
        limit.generator(f, at=[[1.0, np.nan]])


def test_single_precision_is_refused():
    density, _, _, _ = a_sphere_problem(1)
    jax.config.update("jax_enable_x64", False)
    try:
        with pytest.raises(PrecisionError, match="enable_x64"):
            af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density)
    finally:
        jax.config.update("jax_enable_x64", True)


def test_a_saddle_is_not_taken_for_a_minimum():
    class Saddle(af.PseudoMetric):
        def __call__(self, x, y):
            return (x[0] - y[0]) ** 2 - 1e-3 * (x[1] - y[1]) ** 2

    plane = af.Gaussian(mean=[0.0, 0.0], covariance=[[1.0, 0.3], [0.3, 2.0]])
    saddle = af.LaplaceExpansion(af.Attention(Saddle(), bandwidth=0.1), plane, at_query=True)  # it says so, wrongly
    with pytest.raises(af.AttnflowError, match="no non-degenerate minimiser"):
        saddle.generator(lambda x: x[0], [0.3, 0.2])


class Said(af.PseudoMetric):
    """A cost that says of itself what need not hold."""

    def __init__(self, cost, *, vanishes=False, symmetric=False):
        self.cost = jax.tree_util.Partial(cost)
        self.vanishes_on_diagonal, self.is_symmetric = vanishes, symmetric

    def __call__(self, x, y):
        return self.cost(x, y)


def square(x, y):
    return jnp.sum((x - y) ** 2)


FALSELY_SAID = {
    "not zero": (Said(lambda x, y: square(x, y) + 0.1, vanishes=True), r"D\(x, x\) = 0, but D = 0\.1 for x = \["),
    "negative": (Said(lambda x, y: square(x, y) - 1.5 * square(x, y) ** 2, vanishes=True), r"D\(x, y\) >= 0, but"),
    "another's minimum": (Said(lambda x, y: square(x, 1.2 * y), vanishes=True), r"D\(x, x\) = 0, but D = 0\.04 for"),
    "asymmetric": (
        Said(lambda x, y: square(x, y) + y[0], symmetric=True),
        r"`is_symmetric`, but D\(x, y\) - D\(y, x\)",
    ),
}


@pytest.mark.parametrize("name", FALSELY_SAID)
def test_what_a_cost_says_of_itself_is_tested_in_every_life(name):
    cost, message = FALSELY_SAID[name]
    attention, density = af.Attention(cost, bandwidth=0.1), af.Uniform(af.Circle())
    points = density.sample(30, key=jax.random.key(0))
    for make in (
        lambda: af.EmpiricalAttention(attention, points),
        lambda: af.PopulationAttention(attention, density).layer(lambda x: x[0], at=points),
        lambda: af.DriftDiffusion(attention, density),
        lambda: af.LaplaceExpansion(attention, density),
    ):
        with pytest.raises(DataError, match=message):
            make()


def test_what_a_cost_says_rightly_is_believed_also_where_rounding_shows():
    # |x|^2 - 2 x.y + |y|^2 far from the origin: of order 1e-4 about zero, of both signs, where |x| = 1e6.
    expanded = Said(lambda x, y: x @ x - 2 * x @ y + y @ y, vanishes=True, symmetric=True)
    far = 1e6 + 1e3 * np.random.default_rng(2).standard_normal((40, 3))
    af.EmpiricalAttention(af.Attention(expanded, bandwidth=0.1), far)


def test_a_cost_written_over_a_plain_one_is_another_cost():
    class Stretched(af.SquaredDistance):
        def __call__(self, x, y):
            return 4 * square(x, y)

    points, values = np.random.default_rng(1).gamma(2.0, size=(30, 2)), np.arange(30.0)
    stretched = af.EmpiricalAttention(af.Attention(Stretched(), bandwidth=0.4), points).layer(values)
    plain = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=0.1), points).layer(values)
    np.testing.assert_allclose(stretched, plain, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("cost", "density"),
    [
        (lambda x, y: (x[0] - y[0]) ** 2, af.Uniform(af.Circle())),
        (lambda x, y: jnp.sum((jnp.outer(x, x) - jnp.outer(y, y)) ** 2), af.Uniform(af.Sphere(2))),
    ],
    ids=["a height on the circle", "lines through the centre of the sphere"],
)
def test_a_cost_that_is_zero_elsewhere_is_not_taken_at_its_word(cost, density):
    said = af.CustomPseudoMetric(cost, vanishes_on_diagonal=True)
    with pytest.raises(ConfigError, match=r"says `vanishes_on_diagonal`.*also zero at y = .*leading_order"):
        af.LaplaceExpansion(af.Attention(said, bandwidth=0.1), density)


def test_a_cost_that_is_low_but_not_zero_elsewhere_is():
    flat = af.CustomPseudoMetric(
        lambda x, y: jnp.sum(jnp.array([1.0, 0.01, 3.0]) * (x - y) ** 2), vanishes_on_diagonal=True
    )
    limit = af.LaplaceExpansion(af.Attention(flat, bandwidth=0.1), af.Uniform(af.Sphere(2)))
    np.testing.assert_allclose(limit.minimizer([0.0, 0.6, 0.8]), [0.0, 0.6, 0.8], rtol=0, atol=0)
