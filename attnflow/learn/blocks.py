"""Blocks of a network: tokens exchange information, or each of them is mapped alone."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.maps import LinearMaps


class PropagationBlock(eqx.Module):
    """One exchange of information among tokens, X -> [X +] sum_h A_h(X) X W_h' + b  [RZ].

    Args:
        width: D, of the tokens.
        heads: the attention, with H heads that take tokens (N, D).
        residual: whether the tokens themselves are added.
        key: of JAX, from which W is drawn.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.MetricAttention(4, heads=2, key=jax.random.key(0))
        >>> block = af.learn.PropagationBlock(4, heads, residual=True, key=jax.random.key(1))
        >>> block(np.ones((7, 4))).shape
        (7, 4)
    """

    heads: Heads
    values: LinearMaps
    bias: jax.Array
    residual: bool = eqx.field(static=True)

    def __init__(self, width: int, heads: Heads, *, residual: bool = False, key: jax.Array) -> None:
        count = jax.eval_shape(heads.weights, *[jax.ShapeDtypeStruct((1, width), jnp.float32)] * 2).shape[0]
        self.heads, self.residual = heads, residual
        self.values = LinearMaps(width, width, heads=count, key=key)
        self.bias = jnp.zeros(width)

    def __call__(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the tokens (N, D) after one exchange."""
        mixed = jnp.einsum("hnm,hmd->nd", self.heads.weights(tokens, tokens, mask), self.values(tokens)) + self.bias
        return tokens + mixed if self.residual else mixed


class PointwiseBlock(eqx.Module):
    """A map of each token alone, X -> [X +] phi(X): what a network does without attention.

    Args:
        width: D, of the tokens.
        hidden: width of the hidden layer of phi; None for a linear map.
        residual: whether the tokens themselves are added.
        key: of JAX, from which phi is drawn.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> block = af.learn.PointwiseBlock(4, hidden=8, key=jax.random.key(1))
        >>> block(np.ones((7, 4))).shape
        (7, 4)
    """

    layers: list
    residual: bool = eqx.field(static=True)

    def __init__(self, width: int, *, hidden: int | None = None, residual: bool = False, key: jax.Array) -> None:
        widths = [width, width] if hidden is None else [width, hidden, width]
        keys = jax.random.split(key, len(widths) - 1)
        self.layers = [eqx.nn.Linear(a, b, key=k) for a, b, k in zip(widths[:-1], widths[1:], keys, strict=True)]
        self.residual = residual

    def __call__(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the tokens (N, D), each mapped alone; a mask changes nothing."""
        mapped = tokens
        for index, layer in enumerate(self.layers):
            mapped = jax.vmap(layer)(jnp.tanh(mapped) if index else mapped)
        return tokens + mapped if self.residual else mapped


Block = Callable[[int, jax.Array], PropagationBlock | PointwiseBlock]
