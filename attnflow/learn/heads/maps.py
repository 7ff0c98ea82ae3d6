"""Maps of tokens, one for each head, with parameters drawn as is usual: uniform within 1/sqrt(fan-in)."""

from __future__ import annotations

import math

import equinox as eqx
import jax
import jax.numpy as jnp


class LinearMaps(eqx.Module):
    """The maps x -> W_h x.

    Args:
        dim: D.
        features: k.
        heads: H.
        key: of JAX, from which the weights are drawn.
    """

    weight: jax.Array

    def __init__(self, dim: int, features: int, *, heads: int, key: jax.Array) -> None:
        self.weight = uniform(key, (heads, features, dim), fan_in=dim)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return the features (H, N, k) of tokens (N, D)."""
        return jnp.einsum("nd,hkd->hnk", tokens, self.weight)


class PerceptronMaps(eqx.Module):
    """The maps x -> B_h tanh(A_h x + a_h) + b_h, smooth, so that they induce a metric.

    Args:
        dim: D.
        features: k.
        hidden: width of the hidden layer.
        heads: H.
        key: of JAX, from which the weights are drawn.
    """

    inner: jax.Array
    inner_bias: jax.Array
    outer: jax.Array
    outer_bias: jax.Array

    def __init__(self, dim: int, features: int, *, hidden: int, heads: int, key: jax.Array) -> None:
        keys = jax.random.split(key, 4)
        self.inner = uniform(keys[0], (heads, hidden, dim), fan_in=dim)
        self.inner_bias = uniform(keys[1], (heads, hidden), fan_in=dim)
        self.outer = uniform(keys[2], (heads, features, hidden), fan_in=hidden)
        self.outer_bias = uniform(keys[3], (heads, features), fan_in=hidden)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        """Return the features (H, N, k) of tokens (N, D)."""
        hidden = jnp.tanh(jnp.einsum("nd,hkd->hnk", tokens, self.inner) + self.inner_bias[:, None])
        return jnp.einsum("hnj,hkj->hnk", hidden, self.outer) + self.outer_bias[:, None]

    def of_head(self, head: int, point: jax.Array) -> jax.Array:
        """Return the features (k,) of one point (D,) under one head."""
        return self.outer[head] @ jnp.tanh(self.inner[head] @ point + self.inner_bias[head]) + self.outer_bias[head]


def uniform(key: jax.Array, shape: tuple[int, ...], *, fan_in: int) -> jax.Array:
    """Return numbers drawn as usual for weights of a linear map."""
    bound = 1 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, minval=-bound, maxval=bound)


def minus_squared_distances(queries: jax.Array, keys: jax.Array) -> jax.Array:
    """Return -|a_i - b_j|^2 (H, N, M) of features (H, N, k) and (H, M, k), up to rounding.

    As one product, <(2a, -|a|^2, -1), (b, 1, |b|^2)>: arrays of pairs are written once.
    """

    def squares(features: jax.Array) -> jax.Array:
        return jnp.sum(features**2, axis=-1, keepdims=True)

    def ones(features: jax.Array) -> jax.Array:
        return jnp.ones((*features.shape[:-1], 1), features.dtype)

    left = jnp.concatenate([2 * queries, -squares(queries), -ones(queries)], axis=-1)
    return products(left, jnp.concatenate([keys, ones(keys), squares(keys)], axis=-1))


def products(queries: jax.Array, keys: jax.Array) -> jax.Array:
    """Return <a_i, b_j> (H, N, M) of features (H, N, k) and (H, M, k)."""
    return jnp.einsum("hnk,hmk->hnm", queries, keys)
