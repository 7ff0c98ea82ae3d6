"""The expansion where the induced metric is another one than the plain: coordinates that it bends and couples."""

import jax.numpy as jnp
import numpy as np

import attnflow as af
from attnflow._values import value

BEND = np.array([0.4, -0.3])
MEAN, COVARIANCE = np.array([0.2, -0.1]), np.array([[0.5, 0.1], [0.1, 0.3]])
AT = np.random.default_rng(8).uniform(-0.6, 0.6, (7, 2))
ROUND_OFF = 1e-12  # third derivatives of order-one polynomials


def bent(x):
    """phi = (x_0 + a x_1^2, x_1 + b x_0^2): one to one about the mean, its Jacobian is not symmetric."""
    return x + BEND * x[::-1] ** 2


@value
class Bent(af.PseudoMetric):
    """|phi(x) - phi(y)|^2: in the coordinates phi it is the plain cost."""

    vanishes_on_diagonal = is_symmetric = is_examined = True  # not smoothness is the matter here

    def __call__(self, x, y):
        return jnp.sum((bent(x) - bent(y)) ** 2)


def f(x):
    w = bent(x)
    return w[0] ** 2 * w[1] - 2 * w[0] * w[1] + w[1]


def by_hand(power):
    """G = J'J, Z = power grad_G log p_G = power G^-1 d log(p / det J) and L f, all of which phi makes plain."""
    jacobians = np.tile(np.eye(2), (len(AT), 1, 1))
    jacobians[:, 0, 1], jacobians[:, 1, 0] = 2 * BEND[0] * AT[:, 1], 2 * BEND[1] * AT[:, 0]
    metric = jacobians.transpose(0, 2, 1) @ jacobians
    slope = -(AT - MEAN) @ np.linalg.inv(COVARIANCE) + 4 * BEND.prod() * AT[:, ::-1] / np.linalg.det(jacobians)[:, None]
    drift = power * np.linalg.solve(metric, slope[:, :, None])
    w = np.array([bent(x) for x in AT]).T
    gradient = np.stack([2 * w[0] * w[1] - 2 * w[1], w[0] ** 2 - 2 * w[0] + 1], axis=1)
    half_laplacian = w[1]  # of w_0^2 w_1 - 2 w_0 w_1 + w_1
    return metric, drift[:, :, 0], half_laplacian + np.einsum("qi,qi->q", gradient, (jacobians @ drift)[:, :, 0])


def test_metric_drift_and_generator_are_plain_in_the_coordinates_of_the_cost():
    # Keys are weighed by p_G^-1/2, p_G the density with respect to the induced volume.
    attention = af.Attention(Bent(), bandwidth=0.1, normalization=af.AlphaNormalization(0.5))
    limit = af.LaplaceExpansion(attention, af.Gaussian(MEAN, COVARIANCE))
    metric, drift, generator = by_hand(power=0.5)
    assert np.abs(metric[:, 0, 1]).max() > 0.2
    np.testing.assert_allclose(limit.metric(AT), metric, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(limit.drift(AT), drift, rtol=0, atol=ROUND_OFF)
    np.testing.assert_allclose(limit.generator(f, at=AT), generator, rtol=0, atol=ROUND_OFF)
