"""The scatter of attention over N points about its population: plain quadratures, samples, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import frozen_points, quadrature, sampling

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError, ResourceError
from attnflow.sums.sampling_variance import mean_shift

CIRCLE = af.Circle()
TILTED = af.VonMisesFisher(CIRCLE, mean_direction=[1.0, 0.0], concentration=0.7)
AT = np.array([[0.6, 0.8], [0.0, -1.0], [-1.0, 0.0]])
EPS = 0.1
# Quadratures of the same smooth integrand differ by rounding; measured below 4e-14.
SAME = {"rtol": 1e-10, "atol": 0}


def lopsided(x):
    return x[0] - 0.5 * x[1] + x[0] * x[1]


def rule(n=512):
    """Nodes of the circle, masses of TILTED, and f."""
    points, _ = quadrature.torus_rule(n)
    masses = np.exp(0.7 * points[:, 0])
    return points, masses / masses.sum(), lopsided(points.T)


def gaussian_kernel(x, y, bandwidth=EPS):
    return np.exp((x @ y.T - 1) / bandwidth)  # |x - y|^2 = 2 - 2 x.y


def population(normalization="softmax", *, cost=None, density=TILTED, bandwidth=EPS, **options):
    cost = af.SquaredDistance() if cost is None else cost
    return af.PopulationAttention(af.Attention(cost, bandwidth, normalization=normalization, **options), density)


# --- one layer of known key weights, in the limit


@pytest.mark.parametrize("bandwidth", [1.0, 0.1, 0.004])
def test_the_limit_is_a_quadrature_of_squared_weights_and_differences(bandwidth):
    points, masses, f = rule(2048)
    expected = sampling.leading_variance(gaussian_kernel(AT, points, bandwidth), masses, f)
    np.testing.assert_allclose(population(bandwidth=bandwidth).sampling_variance(lopsided, at=AT), expected, **SAME)


def test_known_key_weights_count_as_a_part_of_the_kernel():
    points, masses, f = rule()
    kernel = gaussian_kernel(AT, points) * np.exp(0.8 * points[:, 1])
    found = population(af.KeyWeights(lambda y: 0.8 * y[1])).sampling_variance(lopsided, at=AT)
    np.testing.assert_allclose(found, sampling.leading_variance(kernel, masses, f), **SAME)


def test_any_profile_and_any_cost_have_one():
    points, masses, f = rule()
    squares = 2 - 2 * AT @ points.T
    student = population(profile=af.StudentT(3.0, dim=1)).sampling_variance(lopsided, at=AT)
    expected = sampling.leading_variance((1 + squares / EPS / 3) ** -2.0, masses, f)
    np.testing.assert_allclose(student, expected, **SAME)
    query, key = np.array([[1.0, 0.4]]), np.array([[0.3, -0.9]])
    asymmetric = population(cost=af.QueryKey(query, key)).sampling_variance(lopsided, at=AT)
    expected = sampling.leading_variance(np.exp((AT @ query.T) @ (points @ key.T).T / EPS), masses, f)
    np.testing.assert_allclose(asymmetric, expected, **SAME)


def test_components_of_a_vector_function_are_scattered_each_on_its_own():
    life = population()
    both = life.sampling_variance(lambda x: jnp.stack([lopsided(x), x[1] ** 2]), at=AT)
    np.testing.assert_allclose(both[:, 0], life.sampling_variance(lopsided, at=AT), **SAME)
    np.testing.assert_allclose(both[:, 1], life.sampling_variance(lambda x: x[1] ** 2, at=AT), **SAME)


def test_constants_do_not_scatter_and_nothing_depends_on_them():
    life = population()
    assert life.sampling_variance(lambda x: 3.0 + 0 * x[0], at=AT).max() < 1e-28
    moved = life.sampling_variance(lambda x: 1e3 + lopsided(x), at=AT)
    # Differences of values of size 1e3 are rounded to 1e-13 of a scatter of .1.
    np.testing.assert_allclose(moved, life.sampling_variance(lopsided, at=AT), rtol=1e-9)


def test_on_the_line_gaussians_give_it_in_closed_form():
    # p = N(0, s): under k p the mean is x s / (s + eps), and k^2 is k at eps/2: keys are N(2 x s, s eps) / (2 s + eps).
    s, x = 1.5, np.array([-0.7, 0.2, 1.9])
    mean, centre, width = x * s / (s + EPS), 2 * x * s / (2 * s + EPS), s * EPS / (2 * s + EPS)
    whole = np.sqrt(EPS / (s + EPS)) * np.exp(-(x**2) / (2 * (s + EPS)))
    squares = np.sqrt(EPS / (2 * s + EPS)) * np.exp(-(x**2) / (2 * s + EPS))
    expected = squares / whole**2 * (width + (centre - mean) ** 2)
    life = population(density=af.Gaussian(mean=[0.0], covariance=[[s]]))
    np.testing.assert_allclose(life.sampling_variance(lambda y: y[0], at=x[:, None]), expected, rtol=1e-9)


# --- key weights that are estimated from the points


def test_estimated_densities_scatter_with_the_points():
    points, masses, f = rule(256)
    kernels = gaussian_kernel(AT, points), gaussian_kernel(points, points)
    expected = sampling.variance_of_alpha(*kernels, masses, f, alpha=0.7)
    found = population(af.AlphaNormalization(0.7)).sampling_variance(lopsided, at=AT)
    np.testing.assert_allclose(found, expected, rtol=1e-9)
    given = population(af.KeyWeights(lambda y: -0.49 * y[0])).sampling_variance(lopsided, at=AT)
    assert (np.abs(found / given - 1) > 0.05).any()  # which weights that are known, about q^-.7, do not see


def test_sinkhorn_weights_scatter_with_the_points():
    points, masses, f = rule(256)
    expected = sampling.variance_of_sinkhorn(gaussian_kernel(AT, points), gaussian_kernel(points, points), masses, f)
    found = population("sinkhorn").sampling_variance(lopsided, at=AT)
    np.testing.assert_allclose(found, expected, rtol=1e-8)  # a fixed point, found to 1e-11, is differentiated


def test_weights_of_a_user_that_need_both_totals_are_differentiated():
    class ByRows(af.Normalization):
        def log_key_weights(self, keys):
            return -0.5 * keys.log_row_total(0.0)

    def layer(masses):
        density = between @ masses
        rows = kernel * density**-0.5 * masses
        return rows @ f / rows.sum(axis=1)

    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x - y) ** 2) + 0.3 * x[0] * y[1])
    points, masses, f = rule(128)
    kernel, between = (gaussian_kernel(x, points) * np.exp(-0.15 * np.outer(x[:, 0], points[:, 1]) / EPS)
                       for x in (AT, points))  # fmt: skip
    nudges = 1e-6 * np.diag(masses)  # central differences in every mass, right to 1e-9
    slopes = np.stack([(layer(masses + nudge) - layer(masses - nudge)) / (2 * nudge.sum()) for nudge in nudges])
    found = population(ByRows(), cost=cost).sampling_variance(lopsided, at=AT)
    np.testing.assert_allclose(found, masses @ slopes**2, rtol=1e-7)


@pytest.mark.parametrize("normalization", [af.AlphaNormalization(1.0), "sinkhorn"])
def test_samples_scatter_as_much_with_weights_that_they_have_estimated(normalization):
    # 200 samples of 500 points, 28 neighbours at the emptiest query: 1/nb is 4 %, the scatter of a variance sqrt(2/200)
    # = 10 %, of the mean over three queries some 6 %.
    life = population(normalization)
    clouds = TILTED.sample(200 * 500, key=jax.random.key(1)).reshape(200, 500, 2)
    layers = [af.EmpiricalAttention(life.attention, cloud).layer(lopsided, at=AT) for cloud in clouds]
    ratio = 500 * np.var(layers, axis=0, ddof=1) / life.sampling_variance(lopsided, at=AT)
    assert abs(ratio.mean() - 1) < 0.2


# --- many layers


@pytest.mark.parametrize("layers", [2, 5])
def test_frozen_layers_add_up_what_one_point_changes(layers):
    def wave(x):
        return jnp.stack([x[0], x[1]])

    life = population(density=af.Uniform(CIRCLE))
    found = life.sampling_variance(wave, at=AT, layers=layers).sum(axis=1)  # |e^{it}|^2
    expected = frozen_points.noise_of_one_point(wave=(1,), bandwidth=EPS, layers=layers, nodes=128, fresh=False)
    np.testing.assert_allclose(found, expected, **SAME)
    fresh = frozen_points.noise_of_one_point(wave=(1,), bandwidth=EPS, layers=layers, nodes=128, fresh=True)
    assert fresh < 0.9 * expected  # new points in every layer would scatter less


def test_frozen_layers_of_a_density_on_a_sphere_scatter_like_samples():
    sphere = af.Sphere(2)
    density = af.VonMisesFisher(sphere, mean_direction=[0, 0, 1], concentration=0.8)
    life = population("sinkhorn", density=density, bandwidth=0.25)
    at = sphere.sample_uniform(8, np.random.default_rng(0))
    predicted = life.sampling_variance(lopsided, at=at, layers=4)
    clouds = density.sample(100 * 300, key=jax.random.key(2)).reshape(100, 300, 3)
    ends = [af.EmpiricalAttention(life.attention, c).evolve(lopsided, times=1.0, at=at).values[0] for c in clouds]
    # 100 samples tell a variance to 14 %, the mean over eight queries that see much of the same points to 8 %.
    assert abs(np.mean(300 * np.var(ends, axis=0, ddof=1) / predicted) - 1) < 0.25


# --- exactly, for any number of points


@pytest.mark.parametrize("count", [2, 3])
def test_of_very_few_points_all_tuples_are_summed(count):
    # A smooth periodic integrand of three variables: 24 nodes in each are exact to 1e-10 at this bandwidth.
    points, masses, f = rule(24)
    expected = sampling.variance_of_few(gaussian_kernel(AT, points, 1.0), masses, f, count=count)
    found = population(bandwidth=1.0).sampling_variance(lopsided, at=AT, count=count)
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_the_mean_of_few_points_is_off_by_what_all_tuples_say():
    points, masses, f = rule(24)
    kernel = gaussian_kernel(AT, points, 1.0)
    i, j = np.indices((24, 24)).reshape(2, -1)
    averages = (kernel[:, i] * f[i] + kernel[:, j] * f[j]) / (kernel[:, i] + kernel[:, j])
    expected = averages @ (masses[i] * masses[j]) - kernel @ (masses * f) / (kernel @ masses)
    found = mean_shift(population(bandwidth=1.0), lopsided, AT, count=2)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    assert np.abs(expected).max() > 0.05


def test_of_a_few_neighbours_samples_scatter_as_much():
    # 40 points are 4 to 7 neighbours: the limit is a third too small. 4000 samples tell a variance to 3 %.
    life = population()
    exact, limit = (life.sampling_variance(lopsided, at=AT[:1], count=n)[0] for n in (40, None))
    clouds = TILTED.sample(4000 * 40, key=jax.random.key(3)).reshape(4000, 40, 2)
    kernel = np.exp((clouds @ AT[0] - 1) / EPS)
    averages = (kernel * lopsided(np.moveaxis(clouds, 2, 0))).sum(axis=1) / kernel.sum(axis=1)
    assert abs(np.var(averages) / exact - 1) < 0.12
    assert exact > 1.15 * limit / 40


def test_of_many_points_what_is_missing_from_the_limit_falls_like_one_over_their_number():
    life = population()
    limit = life.sampling_variance(lopsided, at=AT)
    missing = [n * (n * life.sampling_variance(lopsided, at=AT, count=n) / limit - 1) for n in (10**4, 10**5)]
    np.testing.assert_allclose(missing[1], missing[0], rtol=0.02)  # of relative order 1/N itself
    points, masses, f = rule()
    rows = gaussian_kernel(AT, points)
    rows /= (rows @ masses)[:, None]
    weighed = rows * (f - (rows @ (masses * f))[:, None])
    # By expansion of S_1 / S_0 to second order: c / N with c = 3 E a^2 - 1 - 2 E a^3 phi^2 / V + 5 (E a^2 phi)^2 / V.
    third, mixed = (rows * weighed**2) @ masses, (rows * weighed) @ masses
    expected = 3 * rows**2 @ masses - 1 - 2 * third / limit + 5 * mixed**2 / limit
    np.testing.assert_allclose(missing[1], expected, rtol=2e-3)


# --- what is refused


@pytest.mark.parametrize(
    ("attention", "options", "words"),
    [
        ({"normalization": "unnormalized"}, {}, "`sampling_variance` is that of rows .* Unnormalized are not"),
        ({"normalization": af.Entmax(2.0)}, {}, "`sampling_variance` is that of rows .* Entmax are not"),
        ({"normalization": "sinkhorn"}, {"count": 100}, "`count` must be None with the estimated key weights"),
        ({}, {"count": 100, "layers": 2}, "`count` must be None of 2 layers"),
        ({}, {"count": 1}, "`count` must be"),
        ({}, {"layers": 0}, "`layers` must be"),
        (
            {"normalization": "sinkhorn", "cost": af.QueryKey(np.eye(2), np.array([[0.0, 1.0], [1.0, 1.0]]))}, {},
            "Sinkhorn needs a symmetric cost",
        ),
        (
            {"cost": af.RandomFeatures(af.GaussianSpectrum(), 64, key=jax.random.key(0))}, {},
            "needs a kernel that is positive",
        ),
    ],
)  # fmt: skip
def test_what_is_not_known_is_refused_by_name(attention, options, words):
    with pytest.raises(ConfigError, match=words):
        population(**attention).sampling_variance(lopsided, at=AT, **options)


def test_bad_points_and_functions_are_refused_as_elsewhere():
    life = population()
    with pytest.raises(ConfigError, match="`at` is required"):
        life.sampling_variance(lopsided)
    with pytest.raises(ConfigError, match="`f` must be a function"):
        life.sampling_variance(np.ones(3), at=AT)
    with pytest.raises(DataError):
        life.sampling_variance(lopsided, at=[[2.0, 0.0]])


def test_points_without_neighbours_are_refused_by_name():
    with pytest.raises(ConvergenceError, match="`count` = 20 points have fewer than about one neighbour"):
        population(bandwidth=1e-5).sampling_variance(lopsided, at=AT, count=20)


def test_heads_are_asked_one_by_one():
    heads = af.MultiHead([af.Attention(af.SquaredDistance(), e) for e in (0.1, 0.1)], output=[np.eye(2) / 2] * 2)
    with pytest.raises(ConfigError, match="Ask each head"):
        af.PopulationAttention(heads, TILTED).sampling_variance(lambda x: x, at=AT)


def test_matrices_of_too_many_nodes_are_refused_before_they_are_made():
    life = population("sinkhorn", density=af.Uniform(af.FlatTorus(2)), bandwidth=0.01)
    with pytest.raises(ResourceError, match="at most 8192 rows"):
        life.sampling_variance(lopsided, at=[[1.0, 0.0, 1.0, 0.0]])


def test_asking_for_it_leaves_the_quadrature_of_other_answers_as_it_was():
    asked, other = population(), population()
    asked.sampling_variance(lopsided, at=AT)
    np.testing.assert_array_equal(asked.layer(lopsided, at=AT), other.layer(lopsided, at=AT))
