"""Laws of every normalisation: on particles, in the population, in the limit, each against what is derived by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import CLOUD, NORMALIZATIONS, density
from witnesses import direct

import attnflow as af
from attnflow.errors import ConfigError, DataError

ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.1)
ANGLES = np.linspace(0.1, 6.2, 23)
ON_CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
every_normalization = pytest.mark.parametrize("name", NORMALIZATIONS)


def f(x):
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2  # sin t + cos(3t)/2


def circle():
    return density("circle")


def attention(name, **changes):
    return ATTENTION.replace(normalization=NORMALIZATIONS[name][0], **changes)


def expected_generator(name):
    """f'' / 2 + (log p_eff)' f' along the circle, p_eff the density that the limit must see."""
    effective = NORMALIZATIONS[name][1]

    def along(angle):
        x = jnp.stack([jnp.cos(angle), jnp.sin(angle)])
        return effective(0.7 * x[0] + 0.6 * x[0] * x[1], x)

    drift = jax.jit(jax.vmap(jax.grad(along)))(ANGLES)
    first, second = np.cos(ANGLES) - 1.5 * np.sin(3 * ANGLES), -np.sin(ANGLES) - 4.5 * np.cos(3 * ANGLES)
    return 0.5 * second + drift * first


@every_normalization
def test_the_limit_sees_the_density_derived_by_hand(name):
    limit = af.DriftDiffusion(attention(name), circle())
    # Third derivatives of analytic functions of size one: measured 3e-15.
    np.testing.assert_allclose(limit.generator(f, at=ON_CIRCLE), expected_generator(name), rtol=0, atol=1e-12)


@every_normalization
def test_the_population_tends_to_the_limit_at_order_eps(name):
    errors = [
        np.abs(
            af.PopulationAttention(attention(name, bandwidth=eps), circle()).generator(f, at=ON_CIRCLE)
            - expected_generator(name)
        ).max()
        for eps in (0.004, 0.002)
    ]
    # Halved up to the next order, which is below 2 % here; the limit of another density misses by .3 or more.
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.03)
    assert errors[1] < 0.05


@every_normalization
def test_particles_on_a_quadrature_are_the_population(name):
    nodes = circle().quadrature(200)
    particles = af.EmpiricalAttention(attention(name), nodes).layer(f, at=ON_CIRCLE)
    population = af.PopulationAttention(attention(name), circle()).layer(f, at=ON_CIRCLE)
    # The weights of the keys come from the same sums; two tolerances of 1e-8 on values of size 1.5.
    np.testing.assert_allclose(particles, population, rtol=0, atol=3e-8)


@every_normalization
def test_the_limit_keeps_constants_and_tends_to_the_squared_density(name):
    limit = af.DriftDiffusion(attention(name), circle(), rtol=1e-10)
    flow = limit.evolve(lambda x: jnp.ones(()), times=[0.3, 1.0], at=ON_CIRCLE)
    np.testing.assert_allclose(flow.values, 1, rtol=0, atol=1e-12)
    late = limit.adjoint_evolve(lambda x: (1 + 0.5 * x[0]) / (2 * np.pi), times=60.0, at=ON_CIRCLE).values[0]
    effective = NORMALIZATIONS[name][1]
    squared = np.exp([2 * float(effective(0.7 * x[0] + 0.6 * x[0] * x[1], x)) for x in ON_CIRCLE])
    # e^{-60 gap} is below 1e-10; the ratio is constant, whatever the norms.
    np.testing.assert_allclose(late / squared / (late / squared)[0], 1, rtol=0, atol=1e-8)


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("alpha", [0.5, 1.0, -0.3])
def test_powers_of_the_kernel_density_are_direct_sums(alpha, include_self):
    logits = direct.distance_logits(CLOUD, CLOUD, bandwidth=0.5)
    if not include_self:
        logits = direct.without_self(logits)
    density = np.exp(logits).sum(axis=1)
    kernel = np.exp(logits) / density**alpha
    values = CLOUD[:, 1] - CLOUD[:, 0]
    expected = kernel @ values / kernel.sum(axis=1)
    found = af.EmpiricalAttention(
        af.Attention(af.SquaredDistance(), bandwidth=0.5, normalization=af.AlphaNormalization(alpha)), CLOUD,
        include_self=include_self,
    )  # fmt: skip
    # Relative to the largest value, 28 at the outlier, whose row without itself is e^{-200} in size.
    np.testing.assert_allclose(found.layer(values), expected, rtol=0, atol=1e-12 * np.abs(values).max())
    np.testing.assert_allclose(
        found.log_normalizer() - found.log_normalizer()[0], np.log(kernel.sum(axis=1) / kernel[0].sum()), atol=1e-11
    )


def test_key_weights_are_masses():
    weighed = ATTENTION.replace(normalization=af.KeyWeights(lambda y: 0.2 * y[0] - 0.1 * y[2]), bandwidth=0.5)
    masses = np.exp(0.2 * CLOUD[:, 0] - 0.1 * CLOUD[:, 2])
    plain = af.EmpiricalAttention(ATTENTION.replace(bandwidth=0.5), af.DiscreteMeasure(CLOUD, masses))
    found = af.EmpiricalAttention(weighed, CLOUD)
    np.testing.assert_allclose(found.layer(CLOUD), plain.layer(CLOUD), rtol=0, atol=1e-12 * np.abs(CLOUD).max())
    np.testing.assert_allclose(found.effective_sample_size(), plain.effective_sample_size(), rtol=1e-11)
    np.testing.assert_allclose(found.stationary(), plain.stationary(), rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.spectrum(4).eigenvalues, plain.spectrum(4).eigenvalues, rtol=0, atol=1e-11)


@pytest.mark.parametrize("method", ["dense", "cutoff", "fourier"])
def test_the_declared_error_holds_with_weights_from_sums(method):
    points = circle().sample(3000, key=jax.random.key(4))
    reweighed = ATTENTION.replace(normalization=af.AlphaNormalization(1.0), bandwidth=0.01)
    values = np.random.default_rng(2).standard_normal(len(points))
    exact = af.EmpiricalAttention(reweighed, points, rtol=1e-12, method="dense").layer(values)
    life = af.EmpiricalAttention(reweighed, points, rtol=1e-6, method=method)
    error = np.abs(life.layer(values) - exact).max() / np.abs(values).max()
    assert error <= life.solver_error <= 1e-6


def test_the_error_of_the_totals_is_in_the_declared_error():
    points = circle().sample(3000, key=jax.random.key(4))
    errors = []
    for alpha in (0.0, 20.0):
        steep = ATTENTION.replace(normalization=af.AlphaNormalization(alpha), bandwidth=0.01)
        life = af.EmpiricalAttention(steep, points, rtol=1e-6, method="cutoff")
        life.layer(points)
        errors.append(life.solver_error)
    assert errors[1] > 5 * errors[0]  # twenty times the error of log q, twice


def test_gradients_reach_the_points_through_the_weights_of_the_keys():
    points = circle().sample(60, key=jax.random.key(5))

    def total(alpha, points):
        reweighed = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=af.AlphaNormalization(alpha))
        return (af.EmpiricalAttention(reweighed, points).layer(lambda x: x[0]) ** 2).sum()

    by_alpha, by_points = jax.grad(total, argnums=(0, 1))(0.6, jnp.asarray(points))
    step = np.zeros_like(points)
    step[7, 1] = 1e-5
    # Central differences of step 1e-5 are off by 1e-10 times third derivatives of order ten.
    assert float(by_points[7, 1]) == pytest.approx(
        (total(0.6, points + step) - total(0.6, points - step)) / 2e-5, abs=1e-7
    )
    assert float(by_alpha) == pytest.approx((total(0.6 + 1e-5, points) - total(0.6 - 1e-5, points)) / 2e-5, abs=1e-7)


def test_an_asymmetric_cost_weighs_keys_by_how_much_they_are_attended():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) * jnp.exp(0.3 * x[0]))
    logits = -np.sum((CLOUD[:, None] - CLOUD) ** 2, axis=2) * np.exp(0.3 * CLOUD[:, None, 0]) / 2
    kernel = np.exp(logits) / np.exp(logits).sum(axis=0)
    life = af.EmpiricalAttention(af.Attention(cost, bandwidth=1.0, normalization=af.AlphaNormalization(1.0)), CLOUD)
    expected = kernel @ CLOUD / kernel.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(life.layer(CLOUD), expected, rtol=0, atol=1e-12 * np.abs(CLOUD).max())


class Wrong(af.Normalization):
    def __init__(self, made):
        self.made = made

    def log_key_weights(self, keys):
        return self.made(keys)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda keys: np.zeros(7), "one number, or one for each of the 123 keys, got shape \\(7,\\)"),
        (lambda keys: np.nan * keys.log_total(0.0), "NaN or Inf at 123 keys"),
    ],
)
def test_weights_that_are_none_are_refused_on_particles(made, words):
    with pytest.raises(DataError, match=words):
        af.EmpiricalAttention(ATTENTION.replace(normalization=Wrong(made)), CLOUD)


def test_weights_that_look_at_all_keys_at_once_have_no_limit():
    looks = Wrong(lambda keys: keys.log_total(0.0) - jnp.stack([keys.log_total(0.0), keys.log_total(0.0)]))
    with pytest.raises(DataError, match="one number for one key"):
        af.DriftDiffusion(ATTENTION.replace(normalization=looks), circle()).generator(f, at=ON_CIRCLE)


def test_totals_that_are_no_matter_of_the_surroundings_have_no_limit():
    # D(x, y) = |x - y|^2 + 3 x_1: the same attention as |x - y|^2, but its totals differ by e^{-3 x_1 / 2 eps}.
    uneven = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) + 3 * x[0])
    with pytest.raises(ConfigError, match=r"D\(y, y\) varies by 6"):
        af.LaplaceExpansion(
            af.Attention(uneven, bandwidth=0.1, normalization=af.AlphaNormalization(1.0)), circle()
        ).generator(f, at=ON_CIRCLE)


@pytest.mark.parametrize(
    ("normalization", "words"),
    [
        ("sotfmax", "Did you mean 'softmax'"),
        (0.5, "a Normalization such as AlphaNormalization"),
        (af.AlphaNormalization, "a Normalization such as AlphaNormalization"),
    ],
)
def test_unknown_normalizations_are_refused(normalization, words):
    with pytest.raises(ConfigError, match=words):
        ATTENTION.replace(normalization=normalization)


def test_bad_parameters_are_refused():
    with pytest.raises(ConfigError, match="`alpha` must be a finite number"):
        af.AlphaNormalization(np.inf)
    with pytest.raises(ConfigError, match="`log_weight` must be a function"):
        af.KeyWeights(0.3)
    with pytest.raises(ConfigError, match="`profile`"):
        ATTENTION.replace(profile="gausian")
