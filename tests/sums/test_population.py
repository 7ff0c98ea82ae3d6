"""PopulationAttention: closed forms, resolutions that are checked, and faults."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ive
from witnesses import bessel, direct, gaussian, von_mises_fisher
from witnesses.trigonometric import trigonometric

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError, PrecisionError

ACCURACY = 1e-10  # the accuracy promised against closed forms; measured below 1e-13
A = np.array([0.8, -0.5, 0.3, 1.1])
B = np.array([0.4, 0.9, -0.6, 0.2])


def attention(bandwidth):
    return af.Attention(af.SquaredDistance(), bandwidth=bandwidth)


def sphere_points(m, count=6):
    normal = np.random.default_rng(m).standard_normal((count, m + 1))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def linear(m):
    return lambda x: jnp.dot(jnp.asarray(A[: m + 1]), x)


def tilted(m):
    b = B[: m + 1]
    return af.VonMisesFisher(af.Sphere(m), mean_direction=b, concentration=float(np.linalg.norm(b)))


# --- closed forms


@pytest.mark.parametrize("bandwidth", [0.2, 0.05, 0.01])
@pytest.mark.parametrize("m", [1, 2, 3])
def test_linear_functions_under_von_mises_fisher(m, bandwidth):
    x = sphere_points(m)
    life = af.PopulationAttention(attention(bandwidth), tilted(m))
    witness = {"a": A[: m + 1], "b": B[: m + 1], "bandwidth": bandwidth}
    accuracy = 1e-9 if m == 3 else ACCURACY
    np.testing.assert_allclose(life.layer(linear(m), at=x), von_mises_fisher.layer(x, **witness), rtol=0, atol=accuracy)
    np.testing.assert_allclose(
        life.generator(linear(m), at=x), von_mises_fisher.population_generator(x, **witness), rtol=0, atol=accuracy
    )


@pytest.mark.parametrize("bandwidth", [0.2, 0.02])
def test_harmonics_on_the_uniform_torus(bandwidth):
    torus = af.FlatTorus(2)
    angles = 2 * np.pi * np.random.default_rng(0).random((5, 2))

    def f(x):  # cos(2 t1) sin(t2)
        return (x[0] ** 2 - x[1] ** 2) * x[3]

    life = af.PopulationAttention(attention(bandwidth), af.Uniform(torus))
    flow = life.evolve(f, times=[0, 3 * bandwidth], at=torus.from_angles(angles))
    mode = np.cos(2 * angles[:, 0]) * np.sin(angles[:, 1])
    np.testing.assert_allclose(flow.values[0], mode, rtol=0, atol=1e-14)
    expected = bessel.torus_symbol((2, 1), bandwidth=bandwidth) ** 3 * mode
    assert np.abs(flow.values[1] - expected).max() <= min(ACCURACY, flow.solver_error)


def test_harmonics_on_the_uniform_two_sphere():
    x = sphere_points(2)
    life = af.PopulationAttention(attention(0.02), af.Uniform(af.Sphere(2)))
    flow = life.evolve(lambda x: x[0] * x[1], times=0.1, at=x)
    expected = bessel.sphere_symbol(2, m=2, bandwidth=0.02) ** 5 * x[:, 0] * x[:, 1]
    np.testing.assert_allclose(flow.values[0], expected, rtol=0, atol=ACCURACY)


@pytest.mark.parametrize("bandwidth", [0.2, 0.05, 0.01])
def test_the_gaussian_line(bandwidth):
    x = np.array([[-1.7], [0.2], [2.9]])
    life = af.PopulationAttention(attention(bandwidth), af.Gaussian([0.3], [[1.4]]))
    flow = life.evolve(lambda x: jnp.sin(1.3 * x[0] + 0.2), times=[bandwidth, 6 * bandwidth], at=x)
    for layers, values in zip([1, 6], flow.values, strict=True):
        law = gaussian.posterior(x, mean=0.3, covariance=1.4, bandwidth=bandwidth, layers=layers)
        np.testing.assert_allclose(values, gaussian.expect_sine(law, wave=1.3, phase=0.2), rtol=0, atol=ACCURACY)
    growing = life.layer(lambda x: jnp.exp(x[0]), at=x)
    law = gaussian.posterior(x, mean=0.3, covariance=1.4, bandwidth=bandwidth)
    np.testing.assert_allclose(growing, gaussian.expect_exponential(law, wave=1.0), rtol=ACCURACY)


def test_the_correlated_plane():
    mean, covariance = np.array([0.3, -0.2]), np.array([[1.0, 0.4], [0.4, 0.7]])
    x = np.array([[0.5, 1.0], [-1.2, 0.3]])
    life = af.PopulationAttention(attention(0.2), af.Gaussian(mean, covariance))
    values = life.layer(lambda x: jnp.sin(1.3 * x[0] - 0.7 * x[1]), at=x)
    law = gaussian.posterior(x, mean=mean, covariance=covariance, bandwidth=0.2)
    expected = gaussian.expect_sine(law, wave=np.array([1.3, -0.7]))
    np.testing.assert_allclose(values, expected, rtol=0, atol=ACCURACY)


def test_a_density_without_symmetry_on_the_circle():
    theta = np.linspace(0.1, 6.2, 9)
    density = af.LogDensity(af.Circle(), lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])  # .7 cos t + .3 sin 2t
    life = af.PopulationAttention(attention(0.05), density)
    at = np.column_stack([np.cos(theta), np.sin(theta)])
    flow = life.evolve(lambda x: x[1] + 0.5 * (4 * x[0] ** 3 - 3 * x[0]), times=0.5, at=at)
    expected = direct.circle_population(
        theta,
        bandwidth=0.05,
        log_density=trigonometric(cosines={1: 0.7}, sines={2: 0.3}),
        f=trigonometric(sines={1: 1.0}, cosines={3: 0.5}),
        layers=10,
    )
    np.testing.assert_allclose(flow.values[0], expected, rtol=0, atol=ACCURACY)


def test_the_normaliser_is_the_integral_of_the_kernel():
    eps = 0.1
    circle = af.PopulationAttention(attention(eps), af.Uniform(af.Circle()))
    expected = np.log(ive(0, 1 / eps))  # mean of e^{(cos t - 1) / eps}
    np.testing.assert_allclose(circle.log_normalizer(at=sphere_points(1)), expected, rtol=0, atol=ACCURACY)


def test_the_dot_product_is_the_squared_distance_on_a_sphere():
    product = af.PopulationAttention(af.Attention(af.DotProduct(), bandwidth=0.1), tilted(2))
    distance = af.PopulationAttention(attention(0.1), tilted(2))
    x = sphere_points(2)
    np.testing.assert_allclose(product.layer(linear(2), at=x), distance.layer(linear(2), at=x), rtol=0, atol=1e-13)


def test_the_spectrum_of_the_uniform_circle_comes_in_pairs():
    eps = 0.05
    spectrum = af.PopulationAttention(attention(eps), af.Uniform(af.Circle())).spectrum(5)
    expected = [-bessel.sphere_generator_symbol(n, m=1, bandwidth=eps) for n in (0, 1, 1, 2, 2)]
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=0, atol=ACCURACY)
    assert np.abs(spectrum.eigenvalues - expected).max() <= spectrum.solver_error


def test_the_spectrum_of_the_gaussian_line_is_hermite():
    eps, s = 0.1, 1.4
    life = af.PopulationAttention(attention(eps), af.Gaussian([0.3], [[s]]))
    spectrum = life.spectrum(4)
    expected = gaussian.population_generator_eigenvalues(4, variance=s, bandwidth=eps)
    np.testing.assert_allclose(spectrum.eigenvalues, expected, rtol=0, atol=ACCURACY)
    x = np.array([[-1.1], [0.4], [2.0]])
    variance = gaussian.layer_eigenfunction_variance(variance=s, bandwidth=eps)
    for n, values in enumerate(spectrum.eigenfunctions(x).T):
        polynomial = gaussian.hermite(n, x[:, 0] - 0.3, variance=variance)
        np.testing.assert_allclose(values * np.sign(values[0] * polynomial[0]), polynomial, rtol=0, atol=1e-9)


def test_eigenfunctions_too_damped_to_extend_are_refused():
    spectrum = af.PopulationAttention(attention(0.2), af.Uniform(af.Circle())).spectrum(30)
    with pytest.raises(ConfigError, match="Ask for fewer"):
        spectrum.eigenfunctions(sphere_points(1))


# --- resolutions


def test_a_function_rougher_than_the_kernel_refines_the_quadrature():
    theta = np.linspace(0.1, 6.2, 7)
    at = np.column_stack([np.cos(theta), np.sin(theta)])
    eps = 0.05

    def f(x):  # cos(90 t): 52 nodes would see cos(14 t)
        return jnp.cos(90 * jnp.arctan2(x[1], x[0])) + x[0]

    values = af.PopulationAttention(attention(eps), af.Uniform(af.Circle())).layer(f, at=at)
    expected = bessel.circle_symbol(1, bandwidth=eps) * np.cos(theta)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-8)


def test_a_narrow_cost_refines_the_quadrature():
    at = sphere_points(1)
    narrow = af.Attention(af.CustomPseudoMetric(lambda x, y: 25 * jnp.sum((x - y) ** 2)), bandwidth=0.25)
    values = af.PopulationAttention(narrow, tilted(1)).layer(linear(1), at=at)
    expected = von_mises_fisher.layer(at, a=A[:2], b=B[:2], bandwidth=0.01)
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-8)


def test_a_value_of_zero_is_reached_up_to_rounding():
    north = np.array([[1.0, 0.0]])
    values = af.PopulationAttention(attention(0.1), af.Uniform(af.Circle())).layer(lambda x: x[1], at=north)
    np.testing.assert_allclose(values, 0, rtol=0, atol=1e-15)


def test_a_discontinuous_function_does_not_converge():
    life = af.PopulationAttention(attention(0.1), af.Uniform(af.FlatTorus(2)))
    with pytest.raises(ConvergenceError, match="smoother f"):
        life.layer(lambda x: jnp.where(x[0] > 0.31, 1.0, 0.0), at=af.FlatTorus(2).from_angles([[1.0, 2.0]]))


def test_a_declared_error_bounds_the_error_at_a_coarse_tolerance():
    x = sphere_points(1)
    life = af.PopulationAttention(attention(0.002), tilted(1), rtol=1e-3)
    flow = life.evolve(linear(1), times=0.002, at=x)
    error = np.abs(flow.values[0] - von_mises_fisher.layer(x, a=A[:2], b=B[:2], bandwidth=0.002)).max()
    assert error <= flow.solver_error <= 2e-3


def test_the_resolution_grows_as_the_bandwidth_shrinks():
    # The band limit of the kernel, hence the number of nodes on the circle, goes like eps^(-1/2).
    counts = []
    for eps in (0.01, 0.0001):
        life = af.PopulationAttention(attention(eps), af.Uniform(af.Circle()))
        flow = life.evolve(lambda x: x[0], times=eps, at=sphere_points(1))
        counts.append(int(flow.method.split()[1]))  # "quadrature, 52 nodes"
    assert 6 < counts[1] / counts[0] < 10


# --- faults


def test_points_off_the_manifold_are_refused():
    life = af.PopulationAttention(attention(0.1), tilted(2))
    with pytest.raises(DataError, match="largest distance"):
        life.layer(linear(2), at=1.1 * sphere_points(2))
    with pytest.raises(DataError, match=r"\(N, 3\)"):
        life.layer(linear(2), at=sphere_points(1))


def test_points_and_functions_are_required():
    life = af.PopulationAttention(attention(0.1), tilted(1))
    with pytest.raises(ConfigError, match="`at` is required"):
        life.evolve(linear(1), times=0.1, at=None)
    for ask in (life.layer, life.generator):
        with pytest.raises(ConfigError, match="must be a function"):
            ask(np.ones(5), at=sphere_points(1))


def test_what_is_no_density_or_tolerance_is_refused():
    with pytest.raises(ConfigError, match="density"):
        af.PopulationAttention(attention(0.1), af.Circle())
    with pytest.raises(PrecisionError, match="1e-12"):
        af.PopulationAttention(attention(0.1), tilted(1), rtol=1e-14)
    with jax.enable_x64(False), pytest.raises(PrecisionError, match="enable_x64"):
        af.PopulationAttention(attention(0.1), tilted(1))


def test_times_between_layers_are_refused():
    with pytest.raises(ConfigError, match="nearest"):
        af.PopulationAttention(attention(0.3), tilted(1)).evolve(linear(1), times=1.0, at=sphere_points(1))


def test_a_bandwidth_beyond_any_quadrature_is_refused():
    with pytest.raises(ConvergenceError, match="at most 4000000 are allowed"):
        af.PopulationAttention(attention(1e-6), tilted(2)).layer(linear(2), at=sphere_points(2))


def test_a_measure_keeps_its_weights():
    at = af.DiscreteMeasure(sphere_points(1), weights=np.arange(6.0))
    flow = af.PopulationAttention(attention(0.1), tilted(1)).evolve(linear(1), times=0.1, at=at)
    np.testing.assert_array_equal(flow.weights, np.arange(6.0))
