"""Laws of every density: its mass, its samples."""

import jax
import numpy as np
import pytest
from instances import DENSITIES, density

NORMALISED = 1e-12  # quadratures of 40 modes of these analytic densities; measured 1e-15
every_density = pytest.mark.parametrize("name", DENSITIES)


@every_density
def test_the_mass_is_one(name):
    assert density(name).quadrature(40).weights.sum() == pytest.approx(1, abs=NORMALISED)


@every_density
def test_sample_moments_agree_with_the_quadrature(name):
    n = 20_000
    points = density(name).sample(n, key=jax.random.key(3))
    assert points.shape == (n, density(name).manifold.ambient_dim)
    assert density(name).manifold.residual(points).max() < 1e-12
    nodes, weights = density(name).quadrature(40)
    for moment in (lambda x: x[:, 0], lambda x: x[:, -1], lambda x: x[:, 0] * x[:, -1], lambda x: x[:, 0] ** 3):
        mean = weights @ moment(nodes)
        deviation = np.sqrt(weights @ (moment(nodes) - mean) ** 2 / n)
        assert abs(moment(points).mean() - mean) < 5 * deviation  # 5 sigma: one false alarm in 10^6


@every_density
def test_a_shorter_draw_is_a_prefix_of_a_longer_one(name):
    key = jax.random.key(11)
    np.testing.assert_array_equal(density(name).sample(100, key=key), density(name).sample(9000, key=key)[:100])
