"""The divergence form agrees with the expansion in charts, for costs and normalisations that are symmetric."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.equations.expansions.reversible import check_reversible, reversible_coefficients
from attnflow.errors import ConfigError

PLANE = af.EuclideanSpace(2)


def tilted(x, y):
    """|phi(x) - phi(y)|^2 with phi(x) = (x_0 + .3 sin x_1, 1.4 x_1 + .2 x_0^2): G = J'J varies."""

    def phi(z):
        return jnp.array([z[0] + 0.3 * jnp.sin(z[1]), 1.4 * z[1] + 0.2 * z[0] ** 2])

    return jnp.sum((phi(x) - phi(y)) ** 2)


COST = af.CustomPseudoMetric(tilted, vanishes_on_diagonal=True, is_symmetric=True)


@pytest.mark.parametrize("normalization", ["softmax", af.AlphaNormalization(0.7)], ids=str)
def test_the_divergence_form_has_the_drift_of_the_expansion(normalization):
    # b = 1/(2 rho) div(rho G^-1), differences of step 1e-4 err by about 1e-8.
    density = af.Gaussian(mean=[0.1, -0.2], covariance=[[0.5, 0.1], [0.1, 0.8]])
    attention = af.Attention(COST, bandwidth=0.1, normalization=normalization)
    expansion = af.LaplaceExpansion(attention, density)
    x, step = np.random.default_rng(0).normal(size=(6, 2)), 1e-4
    frames = np.broadcast_to(np.eye(2), (6, 2, 2))
    here = reversible_coefficients(expansion, x, frames)
    drift = np.zeros((6, 2))
    for axis in range(2):
        sides = [reversible_coefficients(expansion, x + sign * step * np.eye(2)[axis], frames) for sign in (1, -1)]
        fluxes = [
            side.inverse_metrics[:, axis] * np.exp(side.log_densities - here.log_densities)[:, None] for side in sides
        ]
        drift += 0.5 * (fluxes[0] - fluxes[1]) / (2 * step)
    found = expansion.coefficients(x)
    np.testing.assert_allclose(drift, found.drifts, rtol=0, atol=1e-6)
    np.testing.assert_allclose(here.inverse_metrics, found.diffusions, rtol=0, atol=1e-12)


def test_a_cost_that_is_not_symmetric_is_refused():
    density = af.Gaussian(mean=[0.1, -0.2], covariance=[[0.5, 0.1], [0.1, 0.8]])
    asymmetric = af.CustomPseudoMetric(lambda x, y: (1 + x[0] ** 2) * tilted(x, y), vanishes_on_diagonal=True)
    with pytest.raises(ConfigError, match="CustomPseudoMetric does not say that it is symmetric"):
        check_reversible(af.LaplaceExpansion(af.Attention(asymmetric, bandwidth=0.1), density))
    check_reversible(af.LaplaceExpansion(af.Attention(COST, bandwidth=0.1), density))


def test_where_the_density_vanishes_is_named():
    class Half(af.Density):
        manifold = PLANE

        def log_density(self, x):
            return jnp.where(x[0] > 0, 0.0, -jnp.inf) - jnp.sum(x**2)

    expansion = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), Half(), at_query=True)
    points = np.array([[1.0, 2.0], [-1.5, 0.25]])
    with pytest.raises(ConfigError, match=r"the density vanishes .* at \[-1\.5 ,  0\.25\]: log rho = -inf"):
        reversible_coefficients(expansion, points, np.broadcast_to(np.eye(2), (2, 2, 2)))
