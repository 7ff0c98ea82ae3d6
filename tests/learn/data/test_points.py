"""Moons and digits: what they are, and that a key is a draw."""

import jax
import numpy as np
import pytest

from attnflow.errors import ConfigError
from attnflow.learn.data.digits import digits
from attnflow.learn.data.moons import moons

KEY = jax.random.key(2)


def test_moons_without_noise_lie_on_their_half_circles():
    data = moons(key=KEY, count=30, test=20, noise=0.0)
    outer, inner = (data.tokens[0][data.labels[0] == label] for label in (0, 1))
    np.testing.assert_allclose(np.linalg.norm(outer, axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose(np.linalg.norm(inner - [1.0, 0.5], axis=1), 1.0, rtol=1e-14)
    assert outer[:, 1].min() >= 0
    assert inner[:, 1].max() <= 0.5
    assert (int(data.train.sum()), int(data.test.sum())) == (30, 20)


def test_noise_is_what_is_asked():
    """Of 4000 draws the mean square of r - 1 is noise^2 to 8 %, four standard deviations."""
    data = moons(key=KEY, count=3000, test=1000, noise=0.01)
    outer = data.tokens[0][data.labels[0] == 0]
    assert abs(np.mean((np.linalg.norm(outer, axis=1) - 1) ** 2) / 1e-4 - 1) < 0.13


def test_a_straight_line_finds_most_of_the_moons_and_a_curved_one_more():
    """The line of least squares, and one of cubic monomials: .86 and .96 of the labels at the default noise."""
    data = moons(key=KEY)
    x, y = data.tokens[0].T
    linear = np.stack([np.ones_like(x), x, y], axis=1)
    cubic = np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], axis=1)
    shares = []
    for features in (linear, cubic):
        weights, *_ = np.linalg.lstsq(features[data.train[0]], 2.0 * data.labels[0][data.train[0]] - 1, rcond=None)
        shares.append(np.mean((features @ weights > 0)[data.test[0]] == data.labels[0][data.test[0]]))
    assert 0.78 < shares[0] < 0.93  # within three standard deviations (.026) of the mean .863 over draws
    assert shares[1] > max(shares[0], 0.92)


@pytest.mark.parametrize("draw", [moons, lambda *, key: digits(key=key, count=100)])
def test_one_key_is_one_draw(draw):
    first, again, other = draw(key=KEY), draw(key=KEY), draw(key=jax.random.key(3))
    np.testing.assert_array_equal(first.tokens, again.tokens)
    np.testing.assert_array_equal(first.train, again.train)
    assert (first.tokens != other.tokens).any()


def test_digits_are_pixels_from_0_to_1_that_look_like_their_labels():
    data = digits(key=KEY, train=0.6)
    assert data.tokens.shape == (1, 1797, 64)
    assert (data.tokens.min(), data.tokens.max()) == (0.0, 1.0)
    for digit in range(10):
        assert abs(data.train[data.labels == digit].mean() - 0.6) < 1 / 170
    means = np.stack([data.tokens[0][(data.labels == digit)[0] & data.train[0]].mean(axis=0) for digit in range(10)])
    nearest = np.linalg.norm(data.tokens[0][:, None] - means, axis=2).argmin(axis=1)
    assert np.mean((nearest == data.labels[0])[data.test[0]]) > 0.85  # the nearest mean finds .90


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda: moons(key=KEY, count=0), "`count` must be an integer of at least 1, got 0"),
        (lambda: moons(key=KEY, noise=-0.1), r"`noise` must not be negative, got -0\.1"),
        (lambda: moons(key=7), "`key` must be a JAX random key, got 7"),
        (lambda: digits(key=KEY, train=1.5), r"`train` is the share of labels for training, between 0 and 1, got 1\.5"),
        (lambda: digits(key=KEY, count=3), "`count` must be from 20 to 1797, all there are, got 3"),
    ],
)
def test_what_cannot_be_drawn_is_refused(ask, words):
    with pytest.raises(ConfigError, match=words):
        ask()
