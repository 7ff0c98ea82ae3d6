"""Blocks of a network: tokens exchange information, or each of them is mapped alone."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import count_heads
from attnflow.learn.heads.maps import LinearMaps

Block = Callable[[int, jax.Array], Callable]  # (width, key) -> a block
HeadsOfWidth = Callable[..., Heads]  # (width, key=) -> heads


class PropagationBlock(eqx.Module):
    """One exchange of information among tokens, X -> [X +] sum_h A_h(X) X W_h' + b  [RZ].

    Args:
        width: D, of the tokens.
        heads: the attention, with H heads that take tokens (N, D).
        residual: whether the tokens themselves are added.
        key: of JAX, from which W is drawn.

    Raises:
        ConfigError: if the heads do not take tokens of that width.

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
        self.heads, self.residual = heads, residual
        self.values = LinearMaps(width, width, heads=count_heads(heads, width), key=key)
        self.bias = jnp.zeros(width)

    @staticmethod
    def of(kind: HeadsOfWidth, *, residual: bool = False) -> Block:
        """Return (width, key) -> a block with heads of one kind, kind(width, key=key).

        Example:
            >>> import jax, numpy as np, attnflow as af
            >>> block = af.learn.PropagationBlock.of(af.learn.MetricAttention)
            >>> block(8, jax.random.key(0))(np.ones((5, 8))).shape
            (5, 8)
        """

        def block(width: int, key: jax.Array) -> PropagationBlock:
            for_heads, for_values = jax.random.split(key)
            return PropagationBlock(width, kind(width, key=for_heads), residual=residual, key=for_values)

        return block

    def __call__(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the tokens (N, D) after one exchange."""
        mixed = self.heads.mix(tokens, tokens, self.values(tokens), mask).sum(axis=0) + self.bias
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

    @staticmethod
    def of(*, hidden: int | None = None, residual: bool = False) -> Block:
        """Return (width, key) -> a block."""

        def block(width: int, key: jax.Array) -> PointwiseBlock:
            return PointwiseBlock(width, hidden=hidden, residual=residual, key=key)

        return block

    def __call__(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the tokens (N, D), each mapped alone; a mask changes nothing."""
        mapped = tokens
        for index, layer in enumerate(self.layers):
            mapped = jax.vmap(layer)(jnp.tanh(mapped) if index else mapped)
        return tokens + mapped if self.residual else mapped
