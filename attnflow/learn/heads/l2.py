"""L2 attention: a learned linear metric."""

from __future__ import annotations

import jax

from attnflow.attention import Attention
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import check_head, check_sizes
from attnflow.learn.heads.maps import LinearMaps, minus_squared_distances
from attnflow.pseudometrics.linear import Mahalanobis


class L2Attention(Heads):
    """The logits -|Q_h (x - y)|^2, queries and keys tied  [K].

    Args:
        dim: D, of the tokens.
        heads: H.
        features: k, rows of Q; D unless given.
        key: of JAX, from which Q is drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.L2Attention(2, key=jax.random.key(0))
        >>> float(heads.logits(np.ones((1, 2)), np.zeros((1, 2)))[0, 0, 0]) < 0
        True
    """

    maps: LinearMaps

    def __init__(self, dim: int, *, heads: int = 1, features: int | None = None, key: jax.Array) -> None:
        self.maps = LinearMaps(dim, check_sizes(dim, heads, features), heads=heads, key=key)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return -|Q_h (x_i - y_j)|^2, (H, N, M)."""
        return minus_squared_distances(self.maps(queries), self.maps(keys))

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost |Q (x - y)|^2 at the bandwidth 1/2."""
        check_head(head, self.maps.weight)
        return Attention(Mahalanobis(self.maps.weight[head]), bandwidth=0.5)
