"""Gradients of all that is trained, by parameters and by tokens, against differences of values."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from learned_heads import DIM, HEADS, KINDS, MASK, TOKENS, heads

import attnflow as af

STEP = 2e-3  # extrapolated differences are off by h^4 f'''''/480, some 1e-11, and by rounding over h, 1e-13


def check(model):
    """Compare all entries; return the gradient by parameters, and by tokens."""
    parameters, static = eqx.partition(model, eqx.is_inexact_array)
    vector, restore = ravel_pytree((parameters, jnp.asarray(TOKENS)))

    @jax.jit
    @jax.value_and_grad
    def loss(vector):
        parameters, tokens = restore(vector)
        values = eqx.combine(parameters, static)(tokens, MASK)
        return jnp.sum(values * jnp.cos(jnp.arange(values.size)).reshape(values.shape))

    def slope(index, step):
        ends = [loss(np.asarray(vector) + sign * step * (np.arange(vector.size) == index))[0] for sign in (1, -1)]
        return (ends[0] - ends[1]) / (2 * step)

    gradient = loss(vector)[1]
    differences = [(4 * slope(index, STEP / 2) - slope(index, STEP)) / 3 for index in range(vector.size)]
    assert np.abs(gradient - np.asarray(differences)).max() < 1e-6 * np.abs(gradient).max()
    return restore(gradient)


def block(name, *, residual):
    made = af.learn.PropagationBlock(DIM, heads(name, seed=2), residual=residual, key=jax.random.key(3))
    return eqx.tree_at(lambda each: each.bias, made, jnp.array([0.1, -0.2, 0.3]))


@pytest.mark.parametrize("name", [name for name in KINDS if name != "frozen metric"])
def test_gradients_of_a_block_equal_differences_for_every_kind_of_heads(name):
    by_parameters, by_tokens = check(block(name, residual=len(name) % 2 == 0))
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(by_parameters) if leaf.shape != (HEADS, 4))
    assert np.abs(by_tokens).min() > 0


def test_no_gradient_reaches_heads_that_are_frozen_and_that_of_tokens_is_as_of_others():
    @eqx.filter_jit
    @eqx.filter_grad
    def slopes(both):
        return jnp.sum(both[0](both[1], MASK) ** 2)

    tokens = jnp.asarray(TOKENS)
    learned = block("metric", residual=True)
    frozen = eqx.tree_at(lambda each: each.heads, learned, af.learn.FrozenHeads(learned.heads))
    of_learned, of_frozen = slopes((learned, tokens)), slopes((frozen, tokens))
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(of_frozen[0].heads))
    assert np.abs(of_frozen[0].values.weight - of_learned[0].values.weight).max() < 1e-12
    assert np.abs(of_frozen[1] - of_learned[1]).max() < 1e-12


def test_gradients_of_a_network_equal_differences():
    blocks = iter([("metric", True), ("implicit kernel of pairs", False)])

    def next_block(width, key):
        name, residual = next(blocks)
        return block(name, residual=residual)

    check(af.learn.InformationPropagationNetwork(DIM, DIM, 2, block=next_block, blocks=2, key=jax.random.key(4)))


@pytest.mark.parametrize("hidden", [None, 4])
def test_gradients_of_a_map_of_each_token_equal_differences(hidden):
    check(af.learn.PointwiseBlock(DIM, hidden=hidden, residual=hidden is None, key=jax.random.key(5)))


def test_a_gradient_that_is_wrong_by_a_millionth_is_seen():
    @jax.custom_jvp
    def wrong(x):
        return jnp.tanh(x)

    wrong.defjvp(
        lambda primals, tangents: (jnp.tanh(primals[0]), (1 - jnp.tanh(primals[0]) ** 2) * tangents[0] * 1.000002)
    )

    class Wrong(eqx.Module):
        scale: jax.Array

        def __call__(self, tokens, mask):
            return wrong(self.scale * tokens)

    with pytest.raises(AssertionError):
        check(Wrong(jnp.array(0.7)))
