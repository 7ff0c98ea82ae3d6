"""B f, the coefficient of eps^2: closed forms, populations at two bandwidths, and terms that must not be missing."""

import jax.numpy as jnp
import numpy as np
import pytest
from witnesses.second_order import circle_bias, gaussian_bias_of_sine, von_mises_fisher_bias

import attnflow as af
from attnflow.errors import ConfigError

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
