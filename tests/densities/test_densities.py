"""Densities: normalised, integrated and sampled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from instances import density as instance
from instances import lopsided
from scipy import stats
from scipy.special import iv

import attnflow as af
from attnflow.densities import sampling
from attnflow.errors import ConfigError, ConvergenceError, DataError

NORMALISED = 1e-12  # quadratures of 40 modes of the analytic densities below; measured 1e-15


HARD_VALUES = {  # of the key 3: rows 0 and 4097 of the samples that all earlier results were computed from
    "von Mises": (
        af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8),
        ["0x1.898c59fa8c6c2p-1", "-0x1.4782f10d8096dp-1", "0x1.120237c247854p-1", "0x1.b08212873932cp-1"],
    ),
    "circle": (
        af.LogDensity(af.Circle(), lopsided),
        ["0x1.db73d2677885cp-1", "-0x1.7bf1293641100p-2", "0x1.738632e864c83p-2", "0x1.dd1cd3cc474cfp-1"],
    ),
    "torus of one angle": (
        af.LogDensity(af.FlatTorus(1), lopsided),
        ["0x1.db73d2677885cp-1", "-0x1.7bf1293641100p-2", "0x1.738632e864c83p-2", "0x1.dd1cd3cc474cfp-1"],
    ),
    "uniform": (
        af.Uniform(af.Circle()),
        ["-0x1.e86fbc88a48f4p-2", "0x1.c20069d845b48p-1", "0x1.b29a16dcc773fp-2", "-0x1.cf996a92a3369p-1"],
    ),
}


@pytest.mark.parametrize("name", HARD_VALUES)
def test_the_samples_of_the_circle_do_not_change_by_a_bit(name):
    density, expected = HARD_VALUES[name]
    sample = density.sample(4098, key=jax.random.key(3))[[0, 4097]].ravel()
    # One rounding is left to the cosine of another platform.
    np.testing.assert_allclose(sample, [float.fromhex(number) for number in expected], rtol=3e-16, atol=0)


def test_another_key_gives_another_draw():
    density = instance("circle")
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
    density = instance("plane")
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


@pytest.mark.parametrize("concentration", [700.0, 1e4, 1e6, 1e9, 1e14])
def test_a_peaked_density_is_sampled_where_its_tails_underflow(concentration):
    density = af.VonMisesFisher(af.Circle(), mean_direction=[3, 4], concentration=concentration)
    offsets = density.sample(4096, key=jax.random.key(3)) - np.array([0.6, 0.8])
    # concentration |x - mu|^2 tends to chi^2 with one degree of freedom.
    distances = concentration * np.sum(offsets**2, axis=1)
    assert stats.kstest(distances, stats.chi2(1).cdf).pvalue > 1e-6


def test_a_density_too_peaked_for_the_table_of_quantiles_is_refused(monkeypatch):
    monkeypatch.setattr(sampling, "_QUANTILE_NODES", (1 << 8,))
    density = af.LogDensity(af.Circle(), lambda x: 9000.0 * (x[0] - 1))  # .01 wide, three nodes
    with pytest.raises(ConvergenceError, match="too peaked to be sampled"):
        density.sample(3, key=jax.random.key(0))


class Tilted(af.Density):
    """A density as a user would write it: p ~ exp(slope x_0) on the unit circle, normalised by I_0 or not."""

    def __init__(self, manifold, slope, log_normalizer):
        self.manifold = manifold
        self.slope = slope
        self.log_normalizer = log_normalizer

    def log_density(self, x):
        return self.slope * x[0] - self.log_normalizer


@pytest.mark.parametrize("manifold", [af.Circle(), af.Sphere(2)], ids=str)
def test_a_density_of_ones_own_is_sampled_and_traced(manifold):
    reference = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=0.7)
    density = Tilted(manifold, 0.7, reference.log_normalizer)
    nodes, weights = reference.quadrature(30)
    np.testing.assert_allclose(density.quadrature(30).weights, weights, rtol=1e-13)
    heights = density.sample(20_000, key=jax.random.key(2))[:, 0]
    mean = weights @ nodes[:, 0]
    assert abs(heights.mean() - mean) < 5 * np.sqrt(weights @ (nodes[:, 0] - mean) ** 2 / 20_000)  # 5 sigma
    slope = jax.grad(lambda p: p.log_density(jnp.asarray(nodes[3])))(density).slope
    assert slope == pytest.approx(nodes[3, 0])


@pytest.mark.parametrize("manifold", [af.Circle(), af.Sphere(2)], ids=str)
def test_a_density_of_ones_own_that_is_not_normalised_is_told_its_mass(manifold):
    with pytest.raises(DataError, match=r"`log_density` of Tilted is not normalised: p integrates to .*af\.LogDensity"):
        Tilted(manifold, 0.7, 0.0).sample(10, key=jax.random.key(0))


def test_points_spread_over_a_density_are_nodes_of_the_first_rule_that_is_large_enough():
    torus, line = af.Uniform(af.FlatTorus(2)), af.Gaussian([0.3], [[1.4]])
    np.testing.assert_array_equal(torus.spread(1000), torus.quadrature(42).points)  # degrees 4, 6, 9, 13, 19, 28, 42
    np.testing.assert_array_equal(line.spread(40), line.quadrature(4).points)  # the line has no rule of its own
    with pytest.raises(ConfigError, match="infinite volume"):
        line.manifold.spread(40)


def test_too_many_dimensions_for_a_quadrature_are_refused():
    with pytest.raises(ConvergenceError, match=r"a quadrature of 9765625 nodes .* fewer dimensions"):
        af.LogDensity(af.FlatTorus(5), lopsided)
