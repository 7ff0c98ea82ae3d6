"""A graph attention network: vertices attend to their neighbours, and their mean is read out."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow.learn.blocks import Block
from attnflow.learn.networks import InformationPropagationNetwork


class GraphAttentionNetwork(eqx.Module):
    """A graph of vertices (N, inputs) -> logits (classes,)  [GAT].

    A linear map, blocks in which vertices attend to themselves and to their neighbours, each followed by
    elu(t) = t for t > 0, e^t - 1 below, the mean over all vertices, a linear map. The original has W x for values, the
    same W as inside of its logits; here values have a matrix of their own, whatever the attention.

    Args:
        inputs: features of a vertex.
        width: of the blocks.
        classes: how many.
        block: (width, key) -> a block, such as `lambda width, key: PropagationBlock(width, heads, key=key)`.
        blocks: how many; a vertex hears of those so many edges away.
        key: of JAX, from which all parameters are drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> def block(width, key):
        ...     heads = af.learn.AdditiveAttention(width, key=key)
        ...     return af.learn.PropagationBlock(width, heads, key=jax.random.fold_in(key, 1))
        >>> network = af.learn.GraphAttentionNetwork(2, 8, 3, block=block, key=jax.random.key(0))
        >>> network(np.ones((5, 2)), np.eye(5, dtype=bool), np.ones(5, dtype=bool)).shape
        (3,)
    """

    network: InformationPropagationNetwork

    def __init__(self, inputs: int, width: int, classes: int, *, block: Block, blocks: int = 2, key: jax.Array) -> None:
        self.network = InformationPropagationNetwork(inputs, width, classes, block=block, blocks=blocks, key=key)

    def __call__(self, tokens: jax.Array, mask: jax.Array, present: jax.Array) -> jax.Array:
        """Return the logits (classes,) of one graph.

        Args:
            tokens: features of its vertices, (N, inputs).
            mask: which vertex attends to which, (N, N).
            present: which rows are vertices at all, (N,).
        """
        states = self.network.enter(tokens)
        for block in self.network.blocks:
            states = jax.nn.elu(block(states, mask))
        mean = jnp.where(present[:, None], states, 0).sum(axis=0) / present.sum()
        return self.network.last(mean)
