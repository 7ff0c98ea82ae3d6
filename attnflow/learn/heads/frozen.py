"""Heads as they were drawn: what a network does with attention that is not learned."""

from __future__ import annotations

from collections.abc import Callable

import jax

from attnflow.attention import Attention
from attnflow.learn.heads.base import Heads


class FrozenHeads(Heads):
    """Heads that no gradient reaches: the control of what is gained by learning them.

    Weight decay still shrinks their parameters, like all others: by a factor e^(-rate x decay x steps), .999 with the
    rate .001, the decay 5e-4 and 2000 steps.

    Args:
        heads: as they stay.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.FrozenHeads(af.learn.MetricAttention(2, key=jax.random.key(0)))
        >>> float(heads.weights(np.ones((3, 2)), np.ones((4, 2))).sum())
        3.0
    """

    heads: Heads

    @staticmethod
    def of(kind: Callable[..., Heads]) -> Callable[..., FrozenHeads]:
        """Return (width, key=) -> frozen heads of one kind."""
        return lambda width, *, key: FrozenHeads(kind(width, key=key))

    @property
    def _still(self) -> Heads:
        return jax.lax.stop_gradient(self.heads)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return the logits (H, N, M) of the heads."""
        return self._still.logits(queries, keys)

    def attention(self, head: int = 0) -> Attention:
        """Return one of the heads."""
        return self.heads.attention(head)
