"""Von Mises-Fisher in every dimension and at every concentration: normalised and drawn."""

import jax
import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow._tracing import Fixed
from attnflow.densities import sampling

DIMENSIONS = [1, 2, 3, 9, 299, 1000]
CONCENTRATIONS = [1e-300, 1e-16, 0.7, 30.0, 1e4, 1e10]


def make(m, concentration):
    return af.VonMisesFisher(af.Sphere(m), mean_direction=np.arange(1.0, m + 2), concentration=concentration)


def log_integral(m, concentration):
    """log int e^{concentration <mu, x>} dvol = log[(2 pi)^(n + 1) I_n(c) / c^n], n = (m - 1) / 2  [DLMF, 10.32.2]."""
    n, c = mp.mpf(m - 1) / 2, mp.mpf(concentration)
    return (n + 1) * mp.log(2 * mp.pi) + mp.log(mp.besseli(n, c)) - n * mp.log(c)


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
@pytest.mark.parametrize("m", DIMENSIONS)
def test_the_normaliser_is_that_of_bessel(m, concentration):
    with mp.workdps(60):
        expected = log_integral(m, concentration)
        peak = mp.mpf(concentration) - expected
        density = make(m, concentration)
        assert abs(density.log_normalizer - expected) < 3e-14 * max(1, abs(expected))
        at_peak = density.log_densities(density.mean_direction[None])[0]
        assert abs(at_peak - peak) < 3e-14 * max(1, abs(peak))  # also at 1e10, where both terms are 1e10


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
@pytest.mark.parametrize("m", [1, 2, 3, 9, 299])
def test_samples_have_the_moments_of_bessel_along_and_across(m, concentration):
    n = 20_000 if m < 100 else 4000
    density = make(m, concentration)
    points = density.sample(n, key=jax.random.key(m))
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 1e-14
    # Depths, half of |x - mu|^2, have mean 1 - A and variance 1 - m A / c - A^2, A = I_{n+1}(c) / I_n(c).
    depths = 0.5 * np.sum((points - density.mean_direction) ** 2, axis=1)
    with mp.workdps(60 if concentration > 1e-5 else 700):
        order, c = mp.mpf(m - 1) / 2, mp.mpf(concentration)
        ratio = mp.besseli(order + 1, c) / mp.besseli(order, c)
        mean, variance = float(1 - ratio), float(1 - m * ratio / c - ratio**2)
    assert abs(depths.mean() - mean) < 5 * np.sqrt(variance / n)
    # 5 sigma; the kurtosis of depths is below that of an exponential law, 9
    assert abs(np.mean((depths - mean) ** 2) / variance - 1) < 5 * np.sqrt(8 / n)
    across = np.zeros(m + 1)
    across[:2] = density.mean_direction[1], -density.mean_direction[0]
    across /= np.linalg.norm(across)
    second = (1 - (1 - mean) ** 2 - variance) / m  # of the m directions across each has the same part
    assert abs(np.mean((points @ across) ** 2) / second - 1) < 5 * np.sqrt(8 / n)
    assert abs(np.mean(points @ across)) < 5 * np.sqrt(second / n)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(m=st.integers(1, 400), exponent=st.floats(-20, 12), seed=st.integers(0, 2**32 - 1))
def test_at_any_concentration_a_density_is_normalised_and_drawn_on_the_sphere(m, exponent, seed):
    direction = np.random.default_rng(seed).normal(size=m + 1)
    density = af.VonMisesFisher(af.Sphere(m), mean_direction=direction, concentration=10**exponent)
    with mp.workdps(30):
        expected = log_integral(m, 10**exponent)
    # The logarithms of I_n and of c^n cancel: each is up to 280 ln 10.
    assert abs(density.log_normalizer - expected) < 1e-13 * max(1, abs(expected))
    points = density.draw(np.random.default_rng(seed))
    assert np.abs(np.linalg.norm(points, axis=1) - 1).max() < 1e-14
    # Depths have mean 1 - A, by the recurrence A = I_{n+1} / I_n, and a deviation below it where c is large.
    with mp.workdps(30 + max(0, int(-2 * exponent))):
        n, c = mp.mpf(m - 1) / 2, mp.mpf(10**exponent)
        ratio = mp.besseli(n + 1, c) / mp.besseli(n, c)
        mean, variance = float(1 - ratio), float(1 - m * ratio / c - ratio**2)
    depths = 0.5 * np.sum((points - density.mean_direction) ** 2, axis=1)
    assert abs(depths.mean() - mean) < 5.5 * np.sqrt(variance / len(points))


def test_directions_of_any_length_are_normalised():
    plain, huge, tiny = (
        af.VonMisesFisher(af.Circle(), mean_direction=scale * np.array([0.6, 0.8]), concentration=1.0)
        for scale in (1.0, 1e300, 1e-300)
    )
    np.testing.assert_allclose(huge.mean_direction, plain.mean_direction, rtol=1e-15)
    np.testing.assert_allclose(tiny.mean_direction, plain.mean_direction, rtol=1e-15)


def test_an_overwhelming_number_of_dimensions_is_refused_where_it_cannot_be_normalised():
    with pytest.raises(af.AttnflowError, match="Use fewer dimensions"):
        af.VonMisesFisher(af.Sphere(10**6), mean_direction=np.ones(10**6 + 1), concentration=1e12)


@pytest.mark.parametrize("concentration", [0.7, 30.0])
def test_a_number_lies_in_the_cell_of_the_table_where_a_search_finds_it(concentration):
    density = af.VonMisesFisher(af.Circle(), mean_direction=[1, 0.3], concentration=concentration)
    table = sampling._quantile_table(Fixed(density))
    inside = table.knots[1:-1:7]
    u = np.concatenate([np.random.default_rng(2).random(5000), inside, np.nextafter(inside, 0), [np.nextafter(1, 0)]])
    expected = np.minimum(np.searchsorted(table.knots, u, side="right") - 1, len(table.knots) - 2)
    np.testing.assert_array_equal(table.cells(u), expected)
