"""The additive attention of graph attention networks."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from attnflow.attention import Attention
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import check_head, check_sizes
from attnflow.learn.heads.maps import LinearMaps
from attnflow.pseudometrics.custom import CustomPseudoMetric

SLOPE = 0.2  # of negative sums, as in [GAT]


class AdditiveAttention(Heads):
    """The logits LeakyReLU(a_h.W_h x + b_h.W_h y), slope 0.2 below zero  [GAT].

    But for the kink every query would rank the keys alike and weigh them alike: the query's part would cancel in the
    softmax. The kink lets it set how sharp the ranking is, never its order.

    Args:
        dim: D, of the tokens.
        heads: H.
        features: k, rows of W; D unless given.
        key: of JAX, from which W, a and b are drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.AdditiveAttention(2, heads=3, key=jax.random.key(0))
        >>> heads.weights(np.ones((5, 2)), np.ones((4, 2))).shape
        (3, 5, 4)
    """

    maps: LinearMaps
    from_query: LinearMaps
    from_key: LinearMaps

    def __init__(self, dim: int, *, heads: int = 1, features: int | None = None, key: jax.Array) -> None:
        features = check_sizes(dim, heads, features)
        for_maps, for_query, for_key = jax.random.split(key, 3)
        self.maps = LinearMaps(dim, features, heads=heads, key=for_maps)
        self.from_query = LinearMaps(features, 1, heads=heads, key=for_query)
        self.from_key = LinearMaps(features, 1, heads=heads, key=for_key)

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return LeakyReLU(a_h.W_h x_i + b_h.W_h y_j), (H, N, M)."""
        of_queries, of_keys = self._rows(queries, self.from_query), self._rows(keys, self.from_key)
        return jax.nn.leaky_relu(of_queries[:, :, None] + of_keys[:, None, :], SLOPE)

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost -2 LeakyReLU(a.W x + b.W y) at the bandwidth 1."""
        check_head(head, self.maps.weight)
        rows = [(part.weight[head] @ self.maps.weight[head])[0] for part in (self.from_query, self.from_key)]
        return Attention(CustomPseudoMetric(Partial(_minus_twice_leaky_sum, *rows)), bandwidth=1.0)

    def _rows(self, tokens: jax.Array, part: LinearMaps) -> jax.Array:
        """Return the numbers (H, N) that tokens (N, D) add to a logit."""
        return jnp.einsum("hnk,hk->hn", self.maps(tokens), part.weight[:, 0])


def _minus_twice_leaky_sum(a: jax.Array, b: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return -2 * jax.nn.leaky_relu(a @ x + b @ y, SLOPE)
