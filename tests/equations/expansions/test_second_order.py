"""B f, the coefficient of eps^2: closed forms, populations at two bandwidths, and terms that must not be missing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from witnesses.second_order import circle_bias, gaussian_bias_of_sine, von_mises_fisher_bias

import attnflow as af
from attnflow.equations.expansions import laplace, second_order
from attnflow.errors import ConfigError, DataError

ROUND_OFF = 1e-11  # fifth derivatives of order-one functions: thousands of roundings, amplified by a hundred


def plain(**changes):
    return af.Attention(af.SquaredDistance(), bandwidth=0.1, **changes)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_bias_on_the_uniform_circle_is_that_of_a_ratio_of_bessel_functions(n):
    angles = np.linspace(0.1, 6.0, 7)
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    found = af.LaplaceExpansion(plain(), af.Uniform(af.Circle())).bias(
        lambda x: jnp.cos(n * jnp.arctan2(x[1], x[0])), at=points
    )
    np.testing.assert_allclose(found, circle_bias(n) * np.cos(n * angles), atol=n**4 * ROUND_OFF)


@pytest.mark.parametrize("m", [2, 4])
def test_the_bias_under_a_von_mises_fisher_density_is_exact(m):
    sphere, direction = af.Sphere(m), np.arange(1.0, m + 2) / np.linalg.norm(np.arange(1.0, m + 2))
    a = np.linspace(1, -2, m + 1)
    density = af.VonMisesFisher(sphere, mean_direction=direction, concentration=0.8)
    x = sphere.sample_uniform(9, np.random.default_rng(0))
    found = af.LaplaceExpansion(plain(), density).bias(lambda y: jnp.dot(jnp.asarray(a), y), at=x)
    np.testing.assert_allclose(found, von_mises_fisher_bias(x, a=a, b=0.8 * direction), atol=ROUND_OFF)


def test_the_bias_of_a_gaussian_on_the_line_is_exact():
    x = np.linspace(-1.5, 2.0, 8)[:, None]
    expansion = af.LaplaceExpansion(plain(), af.Gaussian([0.3], [[1.4]]))
    found = expansion.bias(lambda y: jnp.stack([jnp.sin(2 * y[0]), 1.0 + 0 * y[0]]), at=x)
    exact = gaussian_bias_of_sine(x[:, 0], mean=0.3, variance=1.4, wave=2.0)
    np.testing.assert_allclose(found[:, 0], exact, atol=16 * ROUND_OFF)
    np.testing.assert_allclose(found[:, 1], 0.0, atol=ROUND_OFF)  # constants are fixed at every order


# --- Populations at two and three bandwidths: no derivative is taken of a kernel.


def extrapolated_bias(attention, density, f, *, at, eps, rtol=1e-10):
    """(A f - f(y*) - eps L f)/eps^2 at eps, eps/2 and eps/4, freed of its terms of order eps and eps^2."""
    expansion = af.LaplaceExpansion(attention, density)
    start, slope = jax.vmap(f)(expansion.minimizer(at)), expansion.generator(f, at=at)

    def remainder(eps):
        life = af.PopulationAttention(attention.replace(bandwidth=eps), density, rtol=rtol)
        return (life.layer(f, at=at) - start - eps * slope) / eps**2

    coarse, middle, fine = (remainder(eps / 2**k) for k in range(3))
    return (8 * fine - 6 * middle + coarse) / 3


def f(x):
    return jnp.sin(x[0] + 0.5 * x[1]) + x[0] * x[1]


def on_the_circle():
    angles = np.array([0.4, 1.9, 3.3, 5.1])
    density = af.LogDensity(af.Circle(), lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])
    return density, np.column_stack([np.cos(angles), np.sin(angles)])


def on_the_sphere():
    density = af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 2, -1], concentration=1.0)
    return density, density.sample(4, key=jax.random.key(1))


def on_a_torus_of_revolution():
    density = af.LogDensity(af.TorusOfRevolution(1.0, 0.4), lambda x: 0.5 * x[0])
    return density, density.sample(4, key=jax.random.key(1))


BREGMAN = af.Bregman(lambda x: jnp.sum(x**2) + jnp.logaddexp(x[0], x[1]))
QUERY_KEY = af.QueryKey([[1.0, 0.2], [0.0, 0.8]], [[0.9, 0.3], [-0.1, 1.1]])
LEARNED = af.LearnedMap(lambda x: jnp.stack([x[0], x[1] + 0.2 * jnp.sin(x[0]), 1.3 * x[2]]))
UNITS = af.VariableBandwidth(lambda x: 1 + 0.2 * x[0])
HEAVY = af.StudentT(20.0)
# Attention, problem, the largest bandwidth and what is left at it: the term of order eps^3 of B f, of order one.
KINDS = {
    "squared distance on the sphere": (plain(), on_the_sphere, 0.04, 1e-4),
    "alpha, asymmetric": (af.Attention(BREGMAN, 0.1, af.AlphaNormalization(0.7)), on_the_circle, 0.02, 1e-4),
    "sinkhorn, heavy tails": (plain(normalization="sinkhorn", profile=HEAVY), on_the_circle, 0.02, 3e-4),
    "key weights": (plain(normalization=af.KeyWeights(lambda y: 0.4 * y[-1])), on_the_circle, 0.02, 1e-4),
    "local units": (af.Attention(UNITS, 0.1), on_the_circle, 0.02, 1e-3),
    "a jump": (af.Attention(QUERY_KEY, 0.1), on_the_circle, 0.02, 3e-4),
    "a learned map": (af.Attention(LEARNED, 0.1), on_the_sphere, 0.04, 2e-2),
    "a torus of revolution": (plain(), on_a_torus_of_revolution, 0.02, 1e-2),
}


@pytest.mark.parametrize("name", KINDS)
def test_the_bias_is_what_populations_extrapolate_to(name):
    attention, problem, eps, left = KINDS[name]
    density, at = problem()
    found = af.LaplaceExpansion(attention, density).bias(f, at=at)
    np.testing.assert_allclose(found, extrapolated_bias(attention, density, f, at=at, eps=eps), atol=left)
    assert np.abs(found).max() > 10 * left  # or nothing would be seen


def test_a_profile_with_a_kink_has_the_same_expansion():
    # The population is good to 1e-8 of f, which the last bandwidth makes 1e-8 / .05^2.
    density, at = on_the_circle()
    attention = plain(profile="compact")
    found = af.LaplaceExpansion(attention, density).bias(f, at=at)
    expected = extrapolated_bias(attention, density, f, at=at, eps=0.2, rtol=1e-8)
    np.testing.assert_allclose(found, expected, atol=3e-4)


def test_a_derivative_of_the_cost_that_is_missing_is_seen(monkeypatch):
    exact, compiled = second_order._averaged, second_order.second_orders.__wrapped__
    density, at = on_the_circle()
    # Of |x - y|^2 / 2 = 1 - cos t the odd derivatives vanish in a chart that is odd; of this cost they do not.
    cost = af.CustomPseudoMetric(
        lambda x, y: jnp.sum((x - y) ** 2) + 0.2 * (x[0] * y[1] - x[1] * y[0]) ** 3 * (1 + y[0])
    )

    def without(number, costs, logs, *, dim):
        return exact([0.0 * c if n == number else c for n, c in enumerate(costs)], logs, dim=dim)

    expansion = af.LaplaceExpansion(af.Attention(cost, 0.1), density)
    right = expansion.bias(f, at=at)
    for number in (3, 4, 5):
        monkeypatch.setattr(second_order, "_averaged", functools.partial(without, number))
        monkeypatch.setattr(laplace, "second_orders", jax.jit(lambda *given: compiled(*given)))
        assert np.abs(right - expansion.bias(f, at=at)).max() > 1e-3


@pytest.mark.parametrize("dim", [1, 2, 3, 4])
def test_directions_average_polynomials_of_degree_ten(dim):
    # E (a.w)^10 over the sphere is 9!! / (m (m + 2) ... (m + 8)) |a|^10.
    nodes, weights = second_order.directions_of(dim)
    a = np.linspace(1.0, -0.5, dim)
    expected = np.prod([(2 * k + 1) / (dim + 2 * k) for k in range(5)]) * (a @ a) ** 5
    assert weights @ (nodes @ a) ** 10 == pytest.approx(expected, rel=1e-13)


def test_one_point_and_many_points_answer_in_the_same_shape():
    expansion = af.LaplaceExpansion(plain(), af.Uniform(af.Circle()))
    point = np.array([0.6, 0.8])
    one, many = expansion.bias(lambda x: x[0], at=point), expansion.bias(lambda x: x[0], at=[point])
    assert one.shape == ()
    assert many.shape == (1,)
    assert one == many[0]


def test_many_dimensions_are_refused():
    sphere = af.Sphere(6)
    expansion = af.LaplaceExpansion(plain(), af.Uniform(sphere))
    with pytest.raises(ConfigError, match=r"`bias` is found in at most 5 dimensions, got 6"):
        expansion.bias(lambda x: x[0], at=np.eye(7)[:1])


def test_tails_without_a_fourth_moment_are_refused():
    expansion = af.LaplaceExpansion(plain(profile=af.StudentT(3.5)), af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match=r"no fourth moment.*slower than the bandwidth.*nu > 4"):
        expansion.bias(lambda x: x[0], at=[1.0, 0.0])


def test_random_features_are_refused():
    features = af.RandomFeatures(af.GaussianSpectrum(), 64, key=jax.random.key(0))
    expansion = af.LaplaceExpansion(af.Attention(features, 0.1), af.Uniform(af.Circle()))
    with pytest.raises(ConfigError, match=r"`bias` takes fourth moments .* RandomFeatures does not tell"):
        expansion.bias(lambda x: x[0], at=[1.0, 0.0])


def test_a_function_that_is_not_smooth_enough_is_told():
    expansion = af.LaplaceExpansion(plain(), af.Uniform(af.Circle()))
    with pytest.raises(DataError, match="B f"):
        expansion.bias(lambda x: jnp.abs(x[1]) ** 2.5, at=[1.0, 0.0])
