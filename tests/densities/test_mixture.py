"""Mixtures: their law, their samples, the population on them, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

import attnflow as af
from attnflow.errors import ConfigError

PLAIN = af.Attention(af.SquaredDistance(), bandwidth=0.2)
CENTRES, VARIANCES, SHARES = np.array([-1.0, 2.0]), np.array([0.3, 0.8]), np.array([0.75, 0.25])


def on_line(weights=(3, 1)):
    return af.Mixture([af.Gaussian([m], [[s]]) for m, s in zip(CENTRES, VARIANCES, strict=True)], weights=weights)


def test_its_density_is_the_weighted_sum_and_does_not_underflow():
    x = np.array([[-3.0], [0.2], [2.5], [60.0]])
    parts = [norm.logpdf(x[:, 0], m, np.sqrt(s)) for m, s in zip(CENTRES, VARIANCES, strict=True)]
    expected = np.logaddexp(parts[0] + np.log(0.75), parts[1] + np.log(0.25))
    np.testing.assert_allclose(on_line().log_densities(x), expected, rtol=1e-13)
    assert expected[-1] < -2000  # where both are no numbers


def test_components_are_drawn_with_their_weights():
    points = on_line().sample(100_000, key=jax.random.key(2))[:, 0]
    mean = SHARES @ CENTRES
    deviation = np.sqrt(SHARES @ (VARIANCES + CENTRES**2) - mean**2)
    assert abs(points.mean() - mean) < 5 * deviation / np.sqrt(1e5)
    expected = SHARES @ norm.cdf(0.5, CENTRES, np.sqrt(VARIANCES))
    assert abs(np.mean(points < 0.5) - expected) < 5 * np.sqrt(expected * (1 - expected) / 1e5)


def test_the_population_of_two_gaussians_has_a_closed_form():
    # k p_j is a Gaussian around m_j(x) = (eps mu_j + s_j x) / (s_j + eps) of mass N(x; mu_j, s_j + eps).
    x = np.linspace(-2, 4, 9)[:, None]
    wide = VARIANCES + 0.2
    masses = SHARES * norm.pdf(x, CENTRES, np.sqrt(wide))
    expected = np.sum(masses * (0.2 * CENTRES + VARIANCES * x) / wide, axis=1) / masses.sum(axis=1)
    value = af.PopulationAttention(PLAIN, on_line()).layer(lambda y: y[0], at=x)
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-10)


def test_wells_on_the_circle_merge_one_after_another():
    # Three peaks: three eigenvalues of -L near 0, one of them exactly, and a gap above.
    circle = af.Circle()
    angles = [0.0, 2.0, 4.3]
    peaks = [af.VonMisesFisher(circle, mean_direction=[np.cos(t), np.sin(t)], concentration=8) for t in angles]
    # Between two peaks the slope of log p turns within 1/8: waves up to 160 resolve that to 1e-6.
    values = af.DriftDiffusion(PLAIN, af.Mixture(peaks), rtol=1e-6).spectrum(4).eigenvalues
    assert values[2] < 0.5
    assert values[3] > 10 * values[2]


def test_one_component_is_that_density():
    circle = af.Circle()
    p = af.LogDensity(circle, lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])
    at = np.array([[0.6, 0.8], [-1.0, 0.0]])
    one, other = (af.DriftDiffusion(PLAIN, q).generator(lambda x: jnp.exp(x[0]), at=at) for q in (p, af.Mixture([p])))
    np.testing.assert_allclose(one, other, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    ("densities", "weights", "words"),
    [
        ([], None, "at least one"),
        ([af.Uniform(af.Circle()), af.Uniform(af.Sphere(2))], None, "one manifold"),
        ([af.Uniform(af.Circle())], [0.0], "positive"),
        ([af.Uniform(af.Circle())], [1.0, 2.0], "one per density"),
        ([np.zeros((3, 2))], None, "must be a density"),
    ],
)
def test_what_is_no_mixture_is_refused(densities, weights, words):
    with pytest.raises(ConfigError, match=words):
        af.Mixture(densities, weights)


def test_on_the_line_there_is_no_solver_for_it():
    with pytest.raises(ConfigError, match=r"no solver for Mixture on EuclideanSpace"):
        af.DriftDiffusion(PLAIN, on_line()).evolve(lambda x: x[0], times=0.1, at=[[0.0]])
