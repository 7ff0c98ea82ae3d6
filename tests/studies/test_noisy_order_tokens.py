"""Steps of noisy tokens on the sphere: vectors are carried without loss, and noise forgets as Brownian motion does."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import quad

FOLDER = Path(__file__).parents[2] / "studies" / "questions"
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def tokens():
    sys.path.insert(0, str(FOLDER))
    try:
        import noisy_order_tokens

        yield noisy_order_tokens
    finally:
        sys.path.remove(str(FOLDER))


@pytest.fixture(scope="module")
def steps(tokens):
    """Return points, tangent vectors to steps from them, and where these lead."""
    points = RANDOM.standard_normal((200, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    ways = tokens.tangent(points, RANDOM.standard_normal((200, 3)))
    return points, ways, tokens.along(points, ways)


def test_a_vector_that_is_carried_stays_tangent_and_keeps_its_length(tokens, steps):
    points, _, moved = steps
    vectors = tokens.tangent(moved, RANDOM.standard_normal(points.shape))
    found = tokens.carried(vectors, points, moved)
    # rounding of 1e-16, magnified where a step leads to nearly the opposite point
    np.testing.assert_allclose(np.einsum("nd,nd->n", found, points), 0, atol=1e-13)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), np.linalg.norm(vectors, axis=1), rtol=1e-12)
    projected = tokens.tangent(points, vectors)  # what the first form of the study took
    assert np.linalg.norm(projected, axis=1).mean() < 0.95 * np.linalg.norm(vectors, axis=1).mean()


def test_the_way_of_a_great_circle_is_carried_into_itself(tokens, steps):
    points, ways, moved = steps
    length = np.linalg.norm(ways, axis=1, keepdims=True)
    onward = -np.sin(length) * length * points + np.cos(length) * ways  # the velocity at the end
    np.testing.assert_allclose(tokens.carried(onward, points, moved), ways, rtol=0, atol=1e-12)  # rounding, as above


@pytest.mark.parametrize("noise", [0.1, 1.5])
def test_the_spread_of_a_step_forgets_as_brownian_motion_does(tokens, noise):
    spread = tokens.spread(noise)
    kept = quad(lambda r: np.cos(spread * r) * r * np.exp(-(r**2) / 2), 0, 12, epsabs=1e-14)[0]  # |w| by Rayleigh's law
    assert kept == pytest.approx(
        np.exp(-2 * noise * tokens.STEP), rel=1e-12
    )  # the tolerance of the quadrature and of the root
    assert spread**2 < 2 * noise * tokens.STEP  # a great circle leads farther than Brownian motion of that spread
