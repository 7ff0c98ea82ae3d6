"""Random features: sums against matrices of cosines, kernels against their spectra, limits, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import gamma, kv

import attnflow as af
from attnflow.errors import ConfigError, DataError, DegenerateKernelError

RNG = np.random.default_rng(8)
POINTS, QUERIES, VALUES = RNG.normal(size=(400, 3)), 0.7 * RNG.normal(size=(30, 3)), RNG.normal(size=(400, 2))
KEY = jax.random.key(4)


def ring(key, count, dim):
    """Frequencies of length one: kappa(z) = sin|z| / |z| in three dimensions, which is negative in places."""
    drawn = jax.random.normal(key, (count, dim))
    return drawn / jnp.linalg.norm(drawn, axis=1, keepdims=True)


class Bumped(af.FrequencySpectrum):
    """Density (1 + b w^2 / 2) e^{-w^2 / 2} on the line: kappa ~ (1 + b (1 - z^2) / 2) e^{-z^2 / 2}, negative far."""

    def __init__(self, b):
        self.b = b

    def sample(self, key, count, dim):
        raise NotImplementedError

    def log_density(self, frequency):
        return jnp.log1p(self.b * jnp.sum(frequency**2) / 2) - jnp.sum(frequency**2) / 2


# From |z| to the kernel of the whole spectrum, and the constant of its limit in m dimensions.
SPECTRA = {
    "gaussian": ("gaussian", lambda r: np.exp(-(r**2) / 2), lambda m: 1.0),
    "cauchy": ("cauchy", lambda r: np.exp(-r), lambda m: m + 1.0),
    "matern": (
        af.MaternSpectrum(1.5), lambda r: 2**-0.5 / gamma(1.5) * (3**0.5 * r) ** 1.5 * kv(1.5, 3**0.5 * r),
        lambda m: 1 + m / 3,
    ),
}  # fmt: skip


def kernel_of(features, queries, eps):
    """The matrix (Q, N) of the kernel as it is drawn."""
    differences = (queries[:, None] - POINTS[None]) / np.sqrt(eps)
    return np.cos(differences @ features.frequencies(3).T).mean(axis=-1)


@pytest.mark.parametrize("spectrum", [*SPECTRA, "ring"])
@pytest.mark.parametrize("exclude_self", [False, True])
def test_sums_are_those_of_the_matrix_of_cosines(spectrum, exclude_self):
    features = af.RandomFeatures(ring if spectrum == "ring" else SPECTRA[spectrum][0], 300, key=KEY)
    life = af.EmpiricalAttention(af.Attention(features, bandwidth=3.0), POINTS, include_self=not exclude_self)
    queries = POINTS if exclude_self else QUERIES
    kernel = kernel_of(features, queries, 3.0)
    if exclude_self:
        np.fill_diagonal(kernel, 0.0)
    total = kernel.sum(axis=1)
    if total.min() <= 400 / np.sqrt(600):
        with pytest.raises(DegenerateKernelError, match=r"row \d+.* features are off by"):
            life.layer(VALUES, at=None if exclude_self else queries)
        return
    found = life.layer(VALUES, at=None if exclude_self else queries)
    assert np.abs(found - kernel @ VALUES / total[:, None]).max() <= life.solver_error * np.abs(VALUES).max() < 1e-8
    np.testing.assert_allclose(
        life.log_normalizer(at=None if exclude_self else queries), np.log(total), rtol=0, atol=1e-11
    )
    assert life.method == "features"


@pytest.mark.parametrize("name", SPECTRA)
def test_many_features_have_the_kernel_of_their_spectrum(name):
    spectrum, kernel, _ = SPECTRA[name]
    frequencies = af.RandomFeatures(spectrum, 40000, key=KEY).frequencies(2)
    lengths, angles = np.array([0.3, 1.0, 2.5]), np.array([0.2, 2.0, 4.0])
    points = lengths[:, None] * np.column_stack([np.cos(angles), np.sin(angles)])
    drawn = np.cos(points @ frequencies.T).mean(axis=1)
    # Means of 40000 cosines have deviations under 0.0036; five of them.
    np.testing.assert_allclose(drawn, kernel(lengths), rtol=0, atol=0.018)


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("m", [1, 2, 3])
def test_the_constant_of_a_spectrum_is_minus_the_second_derivative_at_zero(name, m):
    spectrum, _, scale = SPECTRA[name]
    assert af.RandomFeatures(spectrum, 10, key=KEY).spectrum.scale(m) == pytest.approx(scale(m), rel=1e-12)


def test_a_kernel_that_is_negative_in_places_has_its_limit():
    # int z^2 kappa / int kappa = (1 + b/2 - 3b/2) / (1 + b/2 - b/2) = 1 - b by the moments 1, 1, 3 of a normal z.
    assert Bumped(0.4).scale(1) == pytest.approx(0.6, rel=1e-12)
    for b in (1.0, 1.5):
        features = af.RandomFeatures(Bumped(b), 10, key=KEY)
        with pytest.raises(ConfigError, match="does not tend to a diffusion"):
            af.DriftDiffusion(af.Attention(features, bandwidth=0.1), af.Gaussian([0.0], [[1.0]]))


def test_the_limit_of_features_is_that_of_the_squared_distance_times_a_constant():
    density = af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 2, -1], concentration=0.8)
    at = density.sample(4, key=KEY)
    features, plain = (
        af.DriftDiffusion(af.Attention(cost, bandwidth=0.1), density).generator(lambda x: x[0] + x[1] * x[2], at=at)
        for cost in (af.RandomFeatures("cauchy", 10, key=KEY), af.SquaredDistance())
    )
    np.testing.assert_allclose(features, 3 * plain, rtol=1e-9)  # m + 1


def test_a_population_averages_with_the_kernel_as_it_is_drawn():
    density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 2], concentration=0.8)
    features = af.RandomFeatures("gaussian", 200, key=KEY)
    angles = 2 * np.pi * np.arange(2000) / 2000  # the rule is exact to rounding for waves of such frequencies
    keys = np.column_stack([np.cos(angles), np.sin(angles)])
    kernel = np.cos((keys[:5, None] - keys[None]) / np.sqrt(0.4) @ features.frequencies(2).T).mean(axis=-1)
    kernel = kernel * np.exp(0.8 * keys @ [1, 2] / np.sqrt(5))
    life = af.PopulationAttention(af.Attention(features, bandwidth=0.4), density)
    flow = life.evolve(lambda x: x[0] * x[1], times=0.4, at=keys[:5])
    expected = kernel @ (keys[:, 0] * keys[:, 1]) / kernel.sum(axis=1)
    assert np.abs(flow.values[0] - expected).max() <= flow.solver_error + 1e-12
    assert flow.solver_error < 1e-8


def test_a_total_that_features_cannot_tell_from_zero_names_its_row():
    queries = np.vstack([QUERIES[:2], [[40.0, 0.0, 0.0]]])
    life = af.EmpiricalAttention(af.Attention(af.RandomFeatures("gaussian", 500, key=KEY), bandwidth=2.0), POINTS)
    with pytest.raises(DegenerateKernelError, match=r"row 2, query \[40.0, 0.0, 0.0\].*more features"):
        life.layer(VALUES, at=queries)


def test_a_function_that_draws_frequencies_has_sums_and_no_limit():
    attention = af.Attention(af.RandomFeatures(ring, 10, key=KEY), bandwidth=0.1)
    with pytest.raises(ConfigError, match="does not tell their density at zero"):
        af.LaplaceExpansion(attention, af.Uniform(af.Circle()))


@pytest.mark.parametrize(
    "sampler",
    [lambda key, count, dim: jnp.ones((count, dim + 1)), lambda key, count, dim: jnp.full((count, dim), jnp.nan)],
)
def test_what_is_drawn_must_be_finite_frequencies(sampler):
    features = af.RandomFeatures(sampler, 10, key=KEY)
    with pytest.raises(DataError, match="`spectrum` must draw 10 finite frequencies"):
        af.EmpiricalAttention(af.Attention(features, bandwidth=1.0), POINTS).layer(VALUES)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gausian", 10, KEY), "Did you mean 'gaussian'"),
        ((3.0, 10, KEY), "`spectrum` must be"),
        (("gaussian", 0, KEY), "`count`"),
        (("gaussian", 10, 0), "`key` must be"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        af.RandomFeatures(*arguments[:2], key=arguments[2])


def test_what_needs_a_positive_kernel_is_refused():
    features = af.RandomFeatures("gaussian", 2000, key=KEY)
    attention = af.Attention(features, bandwidth=9.0)
    life = af.EmpiricalAttention(attention, POINTS)
    for ask in (life.effective_sample_size, lambda: life.spectrum(2)):
        with pytest.raises(ConfigError, match=r"RandomFeatures|not negative"):
            ask()
    with pytest.raises(ConfigError, match="has no cost and no logit"):
        attention.logit(jnp.zeros(3), jnp.zeros(3))
    with pytest.raises(ConfigError, match="no `profile` and no `mask`"):
        attention.replace(mask="causal")
    with pytest.raises(ConfigError, match="cannot sum RandomFeatures"):
        af.EmpiricalAttention(attention, POINTS, method="cutoff")
    with pytest.raises(ConfigError, match="cannot be traced"):
        jax.grad(lambda x: af.EmpiricalAttention(attention, x).layer(jnp.asarray(VALUES)).sum())(jnp.asarray(POINTS))
