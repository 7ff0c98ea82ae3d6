"""A density on a manifold that is given by a map, seen on what is mapped."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.densities.pulled_back import pull_back


def test_it_holds_the_volume_element_and_has_the_same_mass_and_means():
    torus = af.TorusOfRevolution(1.0, 0.4)
    density = af.LogDensity(torus, lambda x: 0.5 * x[0] + 0.3 * x[0] * x[2])
    pulled_back = pull_back(density)
    angles = np.random.default_rng(0).uniform(0, 2 * np.pi, (20, 2))
    places = af.FlatTorus(2).from_angles(angles)
    elements = np.log(0.4 * (1 + 0.4 * np.cos(angles[:, 1])))  # r (R + r cos t2)
    expected = density.log_densities(torus.points(places)) + elements
    np.testing.assert_allclose(pulled_back.log_densities(places), expected, rtol=0, atol=1e-13)
    on_torus, on_angles = density.quadrature(40), pulled_back.quadrature(56)
    assert on_angles.mass == pytest.approx(1, abs=1e-12)
    means = on_torus.weights @ on_torus.points
    np.testing.assert_allclose(on_angles.weights @ torus.points(on_angles.points), means, rtol=0, atol=1e-12)
    assert jnp.abs(means[0]) > 0.1
