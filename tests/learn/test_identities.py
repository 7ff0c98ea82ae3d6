"""Kinds of learned heads that are one another, exactly."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from learned_heads import QUERIES, TOKENS, heads

ROUND = 1e-12  # exponents of some tens, in double precision


def test_dot_products_are_distances_with_the_norms_of_keys():
    # e^{q.k} = e^{-|q-k|^2/2} e^{|q|^2/2} e^{|k|^2/2}, and the norm of the query cancels.
    kind = heads("dot product")
    queries, keys = np.asarray(kind.queries(QUERIES)), np.asarray(kind.keys(TOKENS))
    distances = np.exp(-((queries[:, :, None] - keys[:, None]) ** 2).sum(axis=-1) / 2)
    weights = distances * np.exp((keys**2).sum(axis=-1) / 2)[:, None]
    expected = kind.weights(QUERIES, TOKENS)
    assert np.abs(weights / weights.sum(axis=-1, keepdims=True) - expected).max() < ROUND
    assert np.abs(distances / distances.sum(axis=-1, keepdims=True) - expected).max() > 0.1


def test_a_perceptron_in_a_dot_product_is_its_metric_at_half_the_weight_with_the_norms_of_keys():
    product, metric = heads("perceptron in a dot product"), heads("metric")
    metric = eqx.tree_at(lambda each: each.maps, metric, product.maps)
    norms = jnp.sum(product.maps(TOKENS) ** 2, axis=-1)[:, None] / 2
    logits = product.logits(QUERIES, TOKENS) - metric.logits(QUERIES, TOKENS) / 2 - norms
    assert np.abs(logits - logits[:, :, :1]).max() < ROUND  # all the same in a row


def test_l2_attention_is_metric_attention_with_a_map_that_is_all_but_linear():
    linear, metric = heads("L2"), heads("metric")
    small = 1e-5  # B tanh(s A x) / s = B A x + O(s^2)
    maps = eqx.tree_at(
        lambda maps: (maps.inner, maps.inner_bias, maps.outer, maps.outer_bias),
        metric.maps,
        (small * linear.maps.weight, jnp.zeros((2, 4)), jnp.tile(jnp.eye(4) / small, (2, 1, 1)), jnp.zeros((2, 4))),
    )
    metric = eqx.tree_at(lambda each: each.maps, metric, maps)
    found, expected = metric.logits(QUERIES, TOKENS), linear.logits(QUERIES, TOKENS)
    assert np.abs(found - expected).max() < 1e-8 * np.abs(expected).max()
