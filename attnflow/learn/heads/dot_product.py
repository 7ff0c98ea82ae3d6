"""The dot product of learned queries and keys: the attention of transformers."""

from __future__ import annotations

import math

import equinox as eqx
import jax

from attnflow.attention import Attention
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import check_head, check_sizes
from attnflow.learn.heads.maps import LinearMaps, products
from attnflow.pseudometrics.linear import QueryKey


class SelfAttention(Heads):
    """The logits <Q_h x, K_h y>  [V, RZ].

    Args:
        dim: D, of the tokens.
        heads: H.
        features: k, of queries and keys; D unless given.
        key: of JAX, from which Q and K are drawn.

    Raises:
        ConfigError: if a size is no positive integer.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> heads = af.learn.SelfAttention(2, heads=3, key=jax.random.key(0))
        >>> heads.weights(np.ones((5, 2)), np.ones((4, 2))).shape
        (3, 5, 4)
    """

    queries: LinearMaps
    keys: LinearMaps
    temperature: float = eqx.field(static=True)

    def __init__(self, dim: int, *, heads: int = 1, features: int | None = None, key: jax.Array) -> None:
        features = check_sizes(dim, heads, features)
        for_queries, for_keys = jax.random.split(key)
        self.queries = LinearMaps(dim, features, heads=heads, key=for_queries)
        self.keys = LinearMaps(dim, features, heads=heads, key=for_keys)
        self.temperature = self._temperature_of(features)

    def _temperature_of(self, features: int) -> float:
        return 1.0

    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return <Q_h x_i, K_h y_j> / temperature, (H, N, M)."""
        return products(self.queries(queries), self.keys(keys)) / self.temperature

    def attention(self, head: int = 0) -> Attention:
        """Return one head, with the cost -2 <Q x, K y> at a bandwidth that is its temperature."""
        check_head(head, self.queries.weight)
        return Attention(QueryKey(self.queries.weight[head], self.keys.weight[head]), bandwidth=self.temperature)


class ScaledSelfAttention(SelfAttention):
    """The logits <Q_h x, K_h y> / sqrt(k), as in transformers [Vaswani]; arguments as of SelfAttention."""

    def __init__(self, dim: int, *, heads: int = 1, features: int | None = None, key: jax.Array) -> None:
        super().__init__(dim, heads=heads, features=features, key=key)

    def _temperature_of(self, features: int) -> float:
        return math.sqrt(features)
