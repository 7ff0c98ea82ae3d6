"""The graph network against one written in NumPy: neighbours, the kink of its logits, and the mean at its end."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow.errors import DataError

SIZE, INPUTS, WIDTH, CLASSES = 6, 3, 4, 2
TOKENS = np.random.default_rng(1).normal(size=(SIZE, INPUTS)) + 0.2
LINKS = np.zeros((SIZE, SIZE), dtype=bool)
for one, other in ((0, 1), (1, 2), (2, 3), (0, 2)):  # the last two rows are no vertices
    LINKS[one, other] = LINKS[other, one] = True
PRESENT = np.arange(SIZE) < 4
MASK = LINKS | np.eye(SIZE, dtype=bool)


def block(width, key):
    for_heads, for_values = jax.random.split(key)
    heads = af.learn.AdditiveAttention(width, heads=2, features=3, key=for_heads)
    return af.learn.PropagationBlock(width, heads, key=for_values)


@pytest.fixture(scope="module")
def network():
    """A network with all parameters drawn, which compiles nothing."""
    generator = np.random.default_rng(2)

    def make(key):
        return af.learn.GraphAttentionNetwork(INPUTS, WIDTH, CLASSES, block=block, blocks=1, key=key)

    shapes = eqx.filter_eval_shape(make, jax.random.key(2))
    return jax.tree.map(lambda leaf: jnp.asarray(0.5 * generator.normal(size=leaf.shape) + 0.1), shapes)


def test_the_network_is_the_one_of_the_equations(network):
    first, (only,), last = network.network.first, network.network.blocks, network.network.last
    x = TOKENS @ np.asarray(first.weight).T + first.bias
    mixed = np.tile(np.asarray(only.bias), (SIZE, 1))
    for h in range(2):
        images = x @ np.asarray(only.heads.maps.weight[h]).T
        a, b = (np.asarray(part.weight[h, 0]) for part in (only.heads.from_query, only.heads.from_key))
        for i in np.flatnonzero(PRESENT):
            sums = np.array([images[i] @ a + images[j] @ b for j in range(SIZE)])
            weights = np.where(MASK[i], np.exp(np.where(sums > 0, sums, 0.2 * sums)), 0)
            mixed[i] += weights @ x @ np.asarray(only.values.weight[h]).T / weights.sum()
    mean = np.where(mixed > 0, mixed, np.expm1(mixed))[PRESENT].mean(axis=0)
    expected = np.asarray(last.weight) @ mean + last.bias
    np.testing.assert_allclose(network(TOKENS, MASK, PRESENT), expected, rtol=0, atol=1e-13)


def test_rows_that_are_no_vertices_and_the_order_of_the_others_change_nothing(network):
    before = network(TOKENS, MASK, PRESENT)
    others = np.where(PRESENT[:, None], TOKENS, 9.0)
    np.testing.assert_array_equal(network(others, MASK, PRESENT), before)
    order = np.array([4, 2, 0, 3, 5, 1])
    permuted = network(TOKENS[order], MASK[np.ix_(order, order)], PRESENT[order])
    np.testing.assert_allclose(permuted, before, rtol=0, atol=1e-14)
    unlinked = MASK & ~(np.arange(SIZE) == 3) | np.eye(SIZE, dtype=bool)
    assert np.abs(network(TOKENS, unlinked, PRESENT) - before).max() > 1e-6  # an edge does


def test_vertices_of_other_features_are_refused_with_both_numbers(network):
    with pytest.raises(DataError, match="`tokens` have 2 coordinates, and `inputs` of the network is 3"):
        network(TOKENS[:, :2], MASK, PRESENT)


def test_without_its_kink_additive_attention_weighs_keys_the_same_for_all_queries():
    heads = af.learn.AdditiveAttention(INPUTS, key=jax.random.key(4))
    far = eqx.tree_at(lambda each: each.from_query.weight, heads, 50 * heads.from_query.weight)  # sums of one sign
    signs = np.sign(np.asarray(far.logits(TOKENS, TOKENS)[0]))
    rows = np.asarray(far.weights(TOKENS, TOKENS)[0])
    alike = [i for i in range(SIZE) if (signs[i] == 1).all()]
    assert len(alike) >= 2
    np.testing.assert_allclose(rows[alike], rows[alike[:1]].repeat(len(alike), 0), rtol=0, atol=1e-12)
    assert np.ptp(heads.weights(TOKENS, TOKENS)[0], axis=0).max() > 1e-3  # with it, they differ
