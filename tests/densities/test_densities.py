"""Densities: normalised, integrated and sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import iv

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError

NORMALISED = 1e-12  # quadratures of 40 modes of the analytic densities below; measured 1e-15


def lopsided(x):
    """A log-weight without symmetry on every embedded manifold of ambient dimension >= 2."""
    return 0.7 * x[0] - 0.4 * x[1] + 0.3 * x[0] * x[1]


DENSITIES = [
    af.Uniform(af.Sphere(2)),
    af.Uniform(af.FlatTorus(2)),
    af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8),
    af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 2, -1], concentration=1.5),
    af.VonMisesFisher(af.Sphere(3), mean_direction=[1, 2, -1, 0], concentration=0.5),
    af.LogDensity(af.Circle(), lopsided),
    af.LogDensity(af.FlatTorus(2), lopsided),
    af.LogDensity(af.Sphere(2), lopsided),
    af.LogDensity(af.Sphere(3), lopsided),
    af.Gaussian(mean=[0.3], covariance=[[1.4]]),
    af.Gaussian(mean=[0.3, -1.0], covariance=[[1.0, 0.3], [0.3, 0.5]]),
]
NAMES = [f"{type(p).__name__}-{p.manifold}" for p in DENSITIES]


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES)
def test_the_mass_is_one(density):
    assert density.quadrature(40).weights.sum() == pytest.approx(1, abs=NORMALISED)


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES)
def test_sample_moments_agree_with_the_quadrature(density):
    n = 20_000
    points = density.sample(n, key=jax.random.key(3))
    assert points.shape == (n, density.manifold.ambient_dim)
    assert density.manifold.residual(points).max() < 1e-12
    nodes, weights = density.quadrature(40)
    for moment in (lambda x: x[:, 0], lambda x: x[:, -1], lambda x: x[:, 0] * x[:, -1], lambda x: x[:, 0] ** 3):
        mean = weights @ moment(nodes)
        deviation = np.sqrt(weights @ (moment(nodes) - mean) ** 2 / n)
        assert abs(moment(points).mean() - mean) < 5 * deviation  # 5 sigma: one false alarm in 10^6


@pytest.mark.parametrize("density", DENSITIES, ids=NAMES)
def test_a_shorter_draw_is_a_prefix_of_a_longer_one(density):
    key = jax.random.key(11)
    np.testing.assert_array_equal(density.sample(100, key=key), density.sample(9000, key=key)[:100])


def test_another_key_gives_another_draw():
    density = DENSITIES[5]
    first, second = (density.sample(50, key=jax.random.key(k)) for k in (0, 1))
    assert np.abs(first - second).max() > 0.1


def test_the_circle_is_sampled_by_exact_inversion():
    # Kolmogorov-Smirnov against the distribution function by fine quadrature; p-value 1e-6 under the null.
    density = af.LogDensity(af.Circle(), lopsided)
    points = density.sample(40_000, key=jax.random.key(5))
    angles = np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi)
    grid = 2 * np.pi * (np.arange(20_000) + 0.5) / 20_000
    p = np.exp(density.log_densities(np.column_stack([np.cos(grid), np.sin(grid)])))
    cdf = np.cumsum(p) * (grid[1] - grid[0])
    assert stats.kstest(angles, lambda t: np.interp(t, grid + (grid[1] - grid[0]) / 2, cdf)).pvalue > 1e-6
    assert stats.kstest(angles, lambda t: t / (2 * np.pi)).pvalue < 1e-6  # the test could fail


def test_von_mises_fisher_has_the_bessel_normaliser():
    density = af.VonMisesFisher(af.Circle(), mean_direction=[0, 1], concentration=0.9)
    peak = density.log_densities(np.array([[0.0, 1.0]]))[0]
    assert peak == pytest.approx(0.9 - np.log(2 * np.pi * iv(0, 0.9)), abs=1e-14)


def test_a_constant_added_to_a_log_weight_changes_nothing():
    plain, shifted = (af.LogDensity(af.Circle(), f) for f in (lopsided, lambda x: lopsided(x) + 700.0))
    x = plain.manifold.quadrature(6).points
    np.testing.assert_allclose(
        plain.log_densities(x), shifted.log_densities(x), rtol=0, atol=1e-12
    )  # 700 has ulp 1e-13


def test_a_gaussian_integrates_its_own_moments():
    density = DENSITIES[-1]
    nodes, weights = density.quadrature(10)
    np.testing.assert_allclose(weights @ nodes, density.mean, rtol=0, atol=1e-13)
    centred = nodes - density.mean
    np.testing.assert_allclose(centred.T @ (centred * weights[:, None]), density.covariance, rtol=0, atol=1e-13)


def test_a_rough_log_density_is_refused():
    with pytest.raises(ConvergenceError, match="does not settle"):
        af.LogDensity(af.Sphere(2), lambda x: jnp.abs(x[0] - 0.3))


def test_a_log_density_that_is_not_a_function_of_one_point_is_refused():
    with pytest.raises(DataError, match=r"jax\.numpy"):
        af.LogDensity(af.Circle(), lambda x: np.cos(x[0]))
    with pytest.raises(DataError, match="scalar"):
        af.LogDensity(af.Circle(), lambda x: x)


def test_unusable_parameters_are_refused():
    with pytest.raises(ConfigError, match="infinite volume"):
        af.Uniform(af.EuclideanSpace(1))
    with pytest.raises(ConfigError, match="`concentration`"):
        af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=-1)
    with pytest.raises(ConfigError, match="`mean_direction`"):
        af.VonMisesFisher(af.Circle(), mean_direction=[1, 0, 0], concentration=1)
    with pytest.raises(ConfigError, match="must be a Sphere"):
        af.VonMisesFisher(af.FlatTorus(2), mean_direction=[1, 0, 0, 0], concentration=1)
    with pytest.raises(ConfigError, match="positive definite"):
        af.Gaussian(mean=[0, 0], covariance=[[1, 2], [2, 1]])
    with pytest.raises(ConfigError, match="shape"):
        af.Gaussian(mean=[0], covariance=[[1, 0], [0, 1]])
    with pytest.raises(ConfigError, match="compact manifold"):
        af.LogDensity(af.EuclideanSpace(1), lambda x: -(x[0] ** 2))


@pytest.mark.parametrize("concentration", [700.0, 1e4, 1e6])
def test_a_peaked_density_is_sampled_where_its_tails_underflow(concentration):
    density = af.VonMisesFisher(af.Circle(), mean_direction=[3, 4], concentration=concentration)
    heights = density.sample(4096, key=jax.random.key(3)) @ np.array([0.6, 0.8])
    # concentration |x - mu|^2 = 2 concentration (1 - height) tends to chi^2 with one degree of freedom.
    distances = 2 * concentration * (1 - heights)
    assert stats.kstest(distances, stats.chi2(1).cdf).pvalue > 1e-6


def test_a_density_too_peaked_for_the_table_of_quantiles_is_refused():
    density = af.VonMisesFisher(af.Circle(), mean_direction=[3, 4], concentration=1e9)
    with pytest.raises(af.AttnflowError, match="too peaked to be sampled"):
        density.sample(3, key=jax.random.key(0))
