"""The information propagation network: a linear map, blocks, a linear map."""

from __future__ import annotations

import equinox as eqx
import jax

from attnflow._checks import check_integer
from attnflow.errors import DataError
from attnflow.learn.blocks import Block


class InformationPropagationNetwork(eqx.Module):
    """Tokens (N, inputs) -> (N, outputs): a linear map, blocks in which tokens exchange information, a linear map [RZ].

    Args:
        inputs: coordinates of a token.
        width: of the blocks.
        outputs: numbers for each token, such as one logit for each class.
        block: (width, key) -> a block, such as `PropagationBlock.of(MetricAttention)`.
        blocks: how many.
        key: of JAX, from which all parameters are drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> block = af.learn.PropagationBlock.of(af.learn.L2Attention)
        >>> network = af.learn.InformationPropagationNetwork(2, 8, 3, block=block, key=jax.random.key(0))
        >>> network(np.ones((5, 2))).shape
        (5, 3)
    """

    first: eqx.nn.Linear
    blocks: list
    last: eqx.nn.Linear

    def __init__(self, inputs: int, width: int, outputs: int, *, block: Block, blocks: int = 1, key: jax.Array) -> None:
        for size, name in ((inputs, "inputs"), (width, "width"), (outputs, "outputs"), (blocks, "blocks")):
            check_integer(size, name, minimum=1)
        first, last, *keys = jax.random.split(key, blocks + 2)
        self.first = eqx.nn.Linear(inputs, width, key=first)
        self.blocks = [block(width, each) for each in keys]
        self.last = eqx.nn.Linear(width, outputs, key=last)

    def __call__(self, tokens: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return (N, outputs) of tokens (N, inputs)."""
        return jax.vmap(self.last)(self.embed(tokens, mask)[-1])

    def embed(self, tokens: jax.Array, mask: jax.Array | None = None) -> list[jax.Array]:
        """Return the tokens (N, width) that enter each block, and those that leave the last."""
        states = [self.enter(tokens)]
        for block in self.blocks:
            states.append(block(states[-1], mask))
        return states

    def enter(self, tokens: jax.Array) -> jax.Array:
        """Return the tokens (N, width) that enter the first block.

        Raises:
            DataError: if the tokens have another number of coordinates than the network.
        """
        if tokens.shape[-1] != self.first.in_features:
            raise DataError(
                f"`tokens` have {tokens.shape[-1]} coordinates, and `inputs` of the network is "
                f"{self.first.in_features}. Make it with `inputs={tokens.shape[-1]}`."
            )
        return jax.vmap(self.first)(tokens)
