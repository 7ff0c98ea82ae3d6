"""What networks withstand: attacks stay in their ball and reach closed forms, constants are singular values."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError

af.enable_x64()
RNG = np.random.default_rng(11)
TOKENS, MATRIX = RNG.normal(size=(7, 3)), RNG.normal(size=(3, 2))
LABELS = np.array([0, 1, 1, 0, 1, 0, 0])
KEY = jax.random.key(4)


@functools.partial(jax.jit, static_argnames=("network", "loss", "steps", "norm"))
def pgd(network, loss, tokens, radius, steps=6, norm="linf", where=None):
    return af.learn.pgd(network, loss, tokens, radius=radius, steps=steps, norm=norm, where=where)


@functools.partial(jax.jit, static_argnames=("network", "steps"))
def constants(network, tokens, at, steps=30):
    return af.learn.local_lipschitz(network, tokens, key=KEY, at=at, steps=steps)


def linear(tokens):
    return tokens @ MATRIX


def mixing(tokens):
    """A network in which tokens attend to one another."""
    return jax.nn.softmax(tokens @ tokens.T, axis=-1) @ jnp.tanh(tokens @ MATRIX)


def margin(outputs):
    """A loss that is linear in the outputs: how much they prefer the wrong class."""
    return jnp.sum(jnp.where(LABELS == 1, 1, -1) * (outputs[:, 0] - outputs[:, 1]))


def cross_entropy(outputs):
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(outputs), LABELS[:, None], axis=1))


def lengths(shift, norm):
    return np.abs(shift).max(axis=1) if norm == "linf" else np.linalg.norm(shift, axis=1)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_the_attack_on_a_linear_model_is_its_closed_form(norm):
    way = np.where(LABELS == 1, 1, -1)[:, None] * (MATRIX[:, 0] - MATRIX[:, 1])
    best = np.sign(way) if norm == "linf" else way / np.linalg.norm(way, axis=1, keepdims=True)
    found = pgd(linear, margin, TOKENS, 0.3, norm=norm)
    # six steps of 2.5/6 of the radius in one direction end on the sphere, up to the rounding of their sums
    np.testing.assert_allclose(found, TOKENS + 0.3 * best, rtol=0, atol=1e-14)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_an_attack_never_leaves_its_ball_and_never_lowers_the_loss(norm):
    for radius in (1e-3, 0.2, 3.0):
        found = np.asarray(pgd(mixing, cross_entropy, TOKENS, radius, norm=norm))
        assert lengths(found - TOKENS, norm).max() <= radius * (1 + 1e-12) + 1e-15  # rounding of tokens of order one
        assert cross_entropy(mixing(found)) > cross_entropy(mixing(TOKENS))


def test_where_no_step_helps_the_tokens_are_returned():
    def peak(outputs):
        return -jnp.sum((outputs - TOKENS) ** 2)

    found = pgd(lambda tokens: tokens, peak, TOKENS, 0.5)
    np.testing.assert_array_equal(found, TOKENS)


def test_only_the_tokens_that_are_named_are_attacked_and_counted():
    where = np.array([True, False, False, True, False, True, False])
    found = np.asarray(pgd(mixing, cross_entropy, TOKENS, 0.4, where=where))
    np.testing.assert_array_equal(found[~where], TOKENS[~where])
    assert (found[where] != TOKENS[where]).any(axis=1).all()
    right = np.asarray(linear(TOKENS)).argmax(axis=1) == LABELS
    assert float(af.learn.accuracy(linear, TOKENS, LABELS, where=where)) == pytest.approx(right[where].mean())


def test_a_gradient_whose_square_underflows_has_a_direction():
    def faint(outputs):
        return 1e-30 * margin(outputs)

    tokens = TOKENS.astype(np.float32)
    strong, weak = (pgd(linear, loss, tokens, 0.3, norm="l2") for loss in (margin, faint))
    np.testing.assert_allclose(strong, weak, rtol=0, atol=1e-6)  # of float32 numbers of order one


def test_noise_turns_a_label_as_often_as_its_law_says():
    tokens, labels = np.array([[0.5, 0.0]] * 3), np.zeros(3, dtype=int)
    found = af.learn.noise_accuracy(lambda x: x, tokens, labels, sigma=0.6, key=KEY, draws=4000)
    # right while 0.5 + 0.6 (u - v) > 0 with u - v of variance 2: Phi(0.5 / (0.6 sqrt 2))
    expected = jax.scipy.stats.norm.cdf(0.5 / (0.6 * np.sqrt(2)))
    assert float(found) == pytest.approx(float(expected), abs=4 * np.sqrt(0.2 / 12000))  # four standard deviations
    where = np.array([True, False, True])
    calm = af.learn.noise_accuracy(lambda x: x, tokens, labels, sigma=0.0, key=KEY, where=where)
    assert float(calm) == 1.0


def test_constants_of_a_linear_model_are_singular_values():
    singular = np.linalg.svd(MATRIX, compute_uv=False)
    found = constants(linear, TOKENS, None)
    np.testing.assert_allclose(found.own, singular[0], rtol=1e-13)
    # the ratio of the singular values to the power of 60 is what power iteration leaves
    np.testing.assert_allclose(found.whole, singular[0], rtol=(singular[1] / singular[0]) ** 60 + 1e-13)


def test_constants_of_a_network_are_those_of_its_jacobian():
    jacobian = np.asarray(jax.jit(jax.jacobian(mixing))(TOKENS))
    found = constants(mixing, TOKENS, np.array([1, 5]), steps=200)
    own = [np.linalg.norm(jacobian[index, :, index], 2) for index in (1, 5)]
    np.testing.assert_allclose(found.own, own, rtol=1e-12)
    np.testing.assert_allclose(found.whole, np.linalg.norm(jacobian.reshape(14, 21), 2), rtol=1e-6)


def test_all_of_it_runs_for_several_seeds_at_once():
    tokens = np.stack([TOKENS, RNG.normal(size=TOKENS.shape)])

    @eqx.filter_jit
    @eqx.filter_vmap
    def measured(tokens, key):
        found = af.learn.local_lipschitz(mixing, tokens, key=key, at=np.array([2]), steps=3)
        shaken = af.learn.noise_accuracy(mixing, tokens, LABELS, sigma=0.1, key=key, draws=2)
        return af.learn.pgd(mixing, cross_entropy, tokens, radius=0.2), found.own, shaken

    attacked, own, shaken = measured(tokens, jax.random.split(KEY, 2))
    # the seeds know nothing of one another; products of matrices are summed in another order
    np.testing.assert_allclose(attacked[0], pgd(mixing, cross_entropy, TOKENS, 0.2, steps=10), rtol=0, atol=1e-13)
    np.testing.assert_allclose(own[0], constants(mixing, TOKENS, np.array([2])).own, rtol=1e-12)
    assert shaken.shape == (2,)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(ConfigError, match=r"`norm` must be"):
        af.learn.pgd(linear, margin, TOKENS, radius=0.1, norm="l1")
    with pytest.raises(ConfigError, match=r"`steps` must be"):
        af.learn.pgd(linear, margin, TOKENS, radius=0.1, steps=0)
    with pytest.raises(ConfigError, match=r"`draws` must be"):
        af.learn.noise_accuracy(linear, TOKENS, LABELS, sigma=0.1, key=KEY, draws=0)
    with pytest.raises(ConfigError, match=r"`at` must be numbers of tokens"):
        af.learn.local_lipschitz(linear, TOKENS, key=KEY, at=np.array([], dtype=int))
