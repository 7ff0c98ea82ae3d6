"""Geodesics of the induced metric: great circles, lines in other coordinates, and Clairaut's integral."""

import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError

SPHERE = af.Sphere(2)
LENGTHS = [0.0, 2.0, 5.0, 1.0]
BEND = np.array([0.4, -0.3])
STRETCH = np.array([1.0, 1.0, 2.0])


def bent(x):
    """phi = (x_0 + a x_1^2, x_1 + b x_0^2)."""
    return x + BEND * x[::-1] ** 2


def expansion(cost, density):
    return af.LaplaceExpansion(af.Attention(cost, bandwidth=0.1), density)


@pytest.fixture(scope="module")
def plain():
    return expansion(af.SquaredDistance(), af.Uniform(SPHERE))


def test_geodesics_of_the_plain_cost_on_the_sphere_are_great_circles(plain):
    start, ways = np.array([0.6, 0.0, 0.8]), np.array([[0.0, 3.0, 0.0], [0.8, 1.0, -0.6]])
    found = plain.geodesics(start, ways, lengths=LENGTHS, rtol=1e-9)
    units = ways / np.linalg.norm(ways, axis=1, keepdims=True)
    arcs = np.array(LENGTHS)[None, :, None]
    # The way is 5 long, and what is left after a doubling of steps is a fifteenth of what it moves.
    np.testing.assert_allclose(found, np.cos(arcs) * start + np.sin(arcs) * units[:, None], rtol=0, atol=5e-9)


def test_where_a_cost_bends_coordinates_geodesics_are_lines_in_them():
    cost = af.CustomPseudoMetric(
        lambda x, y: jnp.sum((bent(x) - bent(y)) ** 2), vanishes_on_diagonal=True, is_symmetric=True
    )
    starts, ways = np.array([[0.1, -0.2], [0.0, 0.3]]), np.array([[1.0, 0.5], [-0.2, 0.4]])
    lengths = np.array([0.2, 0.5])
    near = af.Gaussian([0.0, 0.0], 0.04 * np.eye(2))  # further out, from |x| = 2 on, two points have one image
    found = expansion(cost, near).geodesics(starts, ways, lengths=lengths, rtol=1e-9)
    for start, way, points in zip(starts, ways, found, strict=True):
        jacobian = np.eye(2) + np.array([[0, 2 * BEND[0] * start[1]], [2 * BEND[1] * start[0], 0]])
        image = jacobian @ way
        line = bent(start) + lengths[:, None] * image / np.linalg.norm(image)
        np.testing.assert_allclose(np.array([bent(x) for x in points]), line, rtol=0, atol=1e-9)


def test_on_a_spheroid_the_integral_of_clairaut_is_kept():
    cost = af.CustomPseudoMetric(
        lambda x, y: jnp.sum((STRETCH * (x - y)) ** 2), vanishes_on_diagonal=True, is_symmetric=True
    )
    step = 1e-4
    lengths = (np.arange(1, 5)[:, None] + step * np.array([-1, 0, 1])).ravel()
    found = expansion(cost, af.Uniform(SPHERE)).geodesics(
        [0.8, 0.0, 0.6], [[0.3, 1.0, -0.4]], lengths=lengths, rtol=1e-10
    )
    points = STRETCH * found[0].reshape(4, 3, 3)
    velocity = (points[:, 2] - points[:, 0]) / (2 * step)
    at = points[:, 1]
    # Differences of second order, over a way of curvature up to 2, err by some 1e-8.
    np.testing.assert_allclose(np.linalg.norm(velocity, axis=1), 1, rtol=0, atol=1e-7)
    clairaut = at[:, 0] * velocity[:, 1] - at[:, 1] * velocity[:, 0]
    unit = STRETCH * [0.3, 1.0, -0.4] / np.linalg.norm(STRETCH * [0.3, 1.0, -0.4])
    np.testing.assert_allclose(clairaut, 0.8 * unit[1], rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("directions", "lengths", "error", "words"),
    [
        (
            [[0.0, 0.0, 1.0]],
            1.0,
            DataError,
            r"`directions` must be tangent .* row 0 has length 1, of which 1 is normal",
        ),
        ([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]], 1.0, DataError, r"not zero: row 1 has length 0"),
        ([[1.0, 0.0]], 1.0, DataError, r"`directions` must have shape \(1, 3\)"),
        ([[1.0, 0.0, 0.0]], -1.0, ConfigError, r"`lengths` must be numbers \(S,\) that are not negative"),
    ],
)
def test_rays_that_are_none_are_refused(plain, directions, lengths, error, words):
    with pytest.raises(error, match=words):
        plain.geodesics([0.0, 0.0, 1.0], directions, lengths=lengths)


def test_a_way_that_steps_do_not_resolve_is_refused(plain):
    with pytest.raises(ConvergenceError, match=r"not resolved by 4096 steps.*Use shorter ones"):
        plain.geodesics([0.0, 0.0, 1.0], [[1.0, 0.0, 0.0]], lengths=1e5, rtol=1e-12)


def test_where_attention_jumps_there_are_none():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.sum((x + y) ** 2))
    with pytest.raises(ConfigError, match="is not the query"):
        expansion(cost, af.Uniform(SPHERE)).geodesics([0.0, 0.0, 1.0], [[1.0, 0.0, 0.0]], lengths=1.0)
