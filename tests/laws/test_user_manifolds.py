"""Manifolds as a user would write them: plain subclasses, through all of the laboratory, against closed forms."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from user_manifolds import CIRCLE, ELLIPSE, PLANE, USER_MANIFOLDS, CircleOfRadius, TiltedEllipse

import attnflow as af
from attnflow.errors import ConfigError

EPS = 0.3
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=EPS)
CLOSE = 1e-10  # asked of sums and of third derivatives of order one


every_manifold = pytest.mark.parametrize("name", USER_MANIFOLDS)


def curve(name, t):
    """The point at the parameter t in [0, 2 pi), written once more in JAX, so that it can be differentiated."""
    if name == "circle":
        return 2 * jnp.array([jnp.cos(t), jnp.sin(t)])
    return jnp.asarray(PLANE) @ jnp.array([1.5 * jnp.cos(t), 0.8 * jnp.sin(t)])


def speed(name, t):
    return jnp.linalg.norm(jax.jacfwd(lambda t: curve(name, t))(t))


def parameters(name, points):
    """The parameter of each point, in [0, 2 pi)."""
    flat = points / 2 if name == "circle" else points @ PLANE / np.array([1.5, 0.8])
    return np.mod(np.arctan2(flat[:, 1], flat[:, 0]), 2 * np.pi)


def log_weight(x):
    return 0.5 * x[0] - 0.3 * x[1] + 0.2 * x[0] * x[1]


def f(x):
    return jnp.sin(x[0] + 0.4) + x[0] * x[1]


log_weights = jax.jit(jax.vmap(log_weight))


@functools.partial(jax.jit, static_argnames="name")
def along_the_curve(name, t):
    """Points (n, D), unit tangents (n, D) and speeds (n,) at parameters (n,), compiled in one piece."""
    points = jax.vmap(lambda t: curve(name, t))(t)
    changes = jax.vmap(jax.jacfwd(lambda t: curve(name, t)))(t)
    speeds = jax.vmap(lambda t: speed(name, t))(t)
    return points, changes / speeds[:, None], speeds


@functools.cache
def density(name):
    return af.LogDensity(USER_MANIFOLDS[name], log_weight)


@functools.cache
def rule(name, n=2000):
    """Points (n, D) and weights for int . dvol by the trapezoidal rule in t, exact to round-off; and the t."""
    t = 2 * np.pi * np.arange(n) / n
    points, _, speeds = map(np.asarray, along_the_curve(name, t))
    return points, 2 * np.pi / n * speeds, t


def queries(name):
    t = np.linspace(0.2, 5.9, 13)
    return np.asarray(along_the_curve(name, t)[0]), t


@every_manifold
def test_a_log_density_is_normalised_by_arc_length(name):
    points, weights, _ = rule(name)
    w = np.exp(np.asarray(log_weights(points)))
    np.testing.assert_allclose(np.exp(density(name).log_densities(points)), w / (weights @ w), rtol=1e-12)
    assert weights.sum() == pytest.approx(USER_MANIFOLDS[name].volume, rel=1e-13)
    np.testing.assert_allclose(density(name).quadrature(60).weights.sum(), 1, rtol=1e-12)


@every_manifold
@pytest.mark.parametrize("is_uniform", [True, False], ids=["uniform", "log density"])
def test_samples_follow_the_arc_length_law(name, is_uniform):
    # Kolmogorov-Smirnov on the arc length run through; one false alarm in 10^6.
    p = af.Uniform(USER_MANIFOLDS[name]) if is_uniform else density(name)
    sample = p.sample(20_000, key=jax.random.key(7))
    assert USER_MANIFOLDS[name].residual(sample).max() < 1e-12
    points, weights, t = rule(name, 20_000)
    mass = weights * np.exp(p.log_densities(points))
    cdf = np.cumsum(mass) - 0.5 * mass
    assert stats.kstest(parameters(name, sample), lambda at: np.interp(at, t, cdf)).pvalue > 1e-6
    if name != "circle" or not is_uniform:  # equal steps in the parameter are another law: the test could fail
        assert stats.kstest(parameters(name, sample), lambda at: at / (2 * np.pi)).pvalue < 1e-6
    np.testing.assert_array_equal(sample[:50], p.sample(50, key=jax.random.key(7)))


@pytest.mark.parametrize("n", [1, 2])
def test_population_attention_on_a_circle_of_radius_two_has_the_bessel_symbol(n):
    # A e^{i n t} = I_n(R^2/eps) / I_0(R^2/eps) e^{i n t} for uniform p.
    points, t = queries("circle")
    wave = (lambda x: x[0] / 2) if n == 1 else (lambda x: (x[0] ** 2 - x[1] ** 2) / 4)
    population = af.PopulationAttention(ATTENTION, af.Uniform(CIRCLE), rtol=1e-11)
    symbol = special.ive(n, 4 / EPS) / special.ive(0, 4 / EPS)
    np.testing.assert_allclose(population.layer(wave, at=points), symbol * np.cos(n * t), rtol=0, atol=CLOSE)
    assert abs(special.ive(n, 1 / EPS) / special.ive(0, 1 / EPS) - symbol) > 0.05  # radius 1 would be seen


@every_manifold
def test_population_attention_is_the_integral_over_arc_length(name):
    (nodes, weights, _), (points, _) = rule(name), queries(name)
    p = np.exp(density(name).log_densities(nodes))
    kernel = np.exp(-np.sum((points[:, None] - nodes) ** 2, axis=2) / (2 * EPS)) * (weights * p)
    exact = kernel @ np.asarray(jax.jit(jax.vmap(f))(nodes)) / kernel.sum(axis=1)
    population = af.PopulationAttention(ATTENTION, density(name), rtol=1e-11)
    np.testing.assert_allclose(population.layer(f, at=points), exact, rtol=0, atol=CLOSE)


@every_manifold
def test_particles_tend_to_their_population(name):
    points, _ = queries(name)
    particles = af.EmpiricalAttention(ATTENTION, density(name).sample(4000, key=jax.random.key(1)))
    population = af.PopulationAttention(ATTENTION, density(name))
    deviation = 3 / np.sqrt(particles.effective_sample_size(at=points))  # |f| is below 3 on all of them
    difference = particles.layer(f, at=points) - population.layer(f, at=points)
    assert np.all(np.abs(difference) < 5 * deviation)
    assert np.abs(difference).max() > 1e-4  # they are not the same sum


def generator(name, t, log_p=log_weight):
    """1/2 f_ss + (log p)_s f_s, s the arc length, by derivatives in the parameter."""

    def along(g):
        return lambda t: jax.grad(g)(t) / speed(name, t)

    on_curve = along(lambda t: f(curve(name, t)))
    return 0.5 * along(on_curve)(t) + along(lambda t: log_p(curve(name, t)))(t) * on_curve(t)


@every_manifold
@pytest.mark.parametrize("factor", [1, 3], ids=["squared distance", "a cost of one's own"])
def test_the_generator_is_the_one_of_arc_length(name, factor):
    # Three times the squared distance slows L to a third; as a cost of one's own its minimiser is looked for.
    cost = af.SquaredDistance() if factor == 1 else af.CustomPseudoMetric(lambda x, y: 3 * jnp.sum((x - y) ** 2))
    points, t = queries(name)
    exact = np.asarray(jax.jit(jax.vmap(lambda t: generator(name, t)))(t)) / factor
    attention = af.Attention(cost, bandwidth=EPS)
    for life in (af.LaplaceExpansion(attention, density(name)), af.DriftDiffusion(attention, density(name))):
        np.testing.assert_allclose(life.generator(f, at=points), exact, rtol=0, atol=CLOSE)


@every_manifold
def test_the_drift_is_tangent_and_the_metric_projects(name):
    points, t = queries(name)
    expansion = af.LaplaceExpansion(ATTENTION, density(name))
    tangents = np.asarray(along_the_curve(name, t)[1])
    gradients = np.asarray(jax.jit(jax.vmap(jax.grad(log_weight)))(points))
    along = np.sum(gradients * tangents, axis=1)[:, None] * tangents
    np.testing.assert_allclose(expansion.drift(points), along, rtol=0, atol=CLOSE)
    np.testing.assert_allclose(expansion.metric(points), tangents[:, :, None] * tangents[:, None], rtol=0, atol=CLOSE)


def test_the_generator_on_a_circle_of_radius_two_has_the_eigenvalues_of_its_laplacian():
    points, t = queries("circle")
    limit = af.DriftDiffusion(ATTENTION, af.Uniform(CIRCLE))
    value = limit.generator(lambda x: x[0], at=points)  # L cos(s/R) = -1/(2 R^2) cos(s/R)
    np.testing.assert_allclose(value, -2 * np.cos(t) / 8, rtol=0, atol=CLOSE)


@every_manifold
def test_without_a_discretization_the_limit_says_what_serves(name):
    limit = af.DriftDiffusion(ATTENTION, density(name))
    points, _ = queries(name)
    words = r"(?s)no solver for LogDensity on .*'fourier' serves the unit circle.*'hermite'.*Use `generator`"
    for ask in (limit.evolve, limit.adjoint_evolve):
        with pytest.raises(ConfigError, match=words):
            ask(f, times=0.1, at=points)
    with pytest.raises(ConfigError, match=words):
        limit.layer(f, at=points)
    with pytest.raises(ConfigError, match=words):
        limit.spectrum(2)
    with pytest.raises(ConfigError, match=r"`discretization` 'fourier' serves the unit circle.*not LogDensity on"):
        af.DriftDiffusion(ATTENTION, density(name), discretization="fourier")


def test_equal_manifolds_of_ones_own_need_not_be_hashable():
    with pytest.raises(TypeError, match="unhashable"):
        hash(ELLIPSE)
    assert density("ellipse").log_densities(ELLIPSE.quadrature(8).points).shape == (9,)


def test_fields_of_a_dataclass_serve_as_attributes():
    @dataclasses.dataclass(frozen=True)
    class Declared(CircleOfRadius):
        radius: float
        volume: float
        dim: int = dataclasses.field(metadata={"note": "a field without a default value in the class"})

        def __post_init__(self):
            assert self.volume == 2 * math.pi * self.radius

    p = af.LogDensity(Declared(3.0, 6 * math.pi, 1), lambda x: 0.1 * x[0])
    assert p.quadrature(40).weights.sum() == pytest.approx(1, abs=1e-12)


def test_a_manifold_that_cannot_be_sampled_has_all_the_rest():
    class Unsampled(TiltedEllipse):
        sample_uniform = af.Manifold.sample_uniform

    p = af.LogDensity(Unsampled(1.5, 0.8, PLANE), log_weight)
    with pytest.raises(ConfigError, match=r"cannot be sampled: it offers neither `sample_uniform.*`along"):
        p.sample(10, key=jax.random.key(0))
    points, t = queries("ellipse")
    exact = jax.jit(functools.partial(generator, "ellipse"))(t[3])
    np.testing.assert_allclose(af.DriftDiffusion(ATTENTION, p).generator(f, at=points)[3], exact, rtol=0, atol=CLOSE)
