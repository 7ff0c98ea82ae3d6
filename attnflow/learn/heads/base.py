"""What a kind of learned attention is: weights of queries and keys, for several heads at once."""

from __future__ import annotations

from abc import abstractmethod

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow.attention import Attention

FAR = -1e30  # the logit of a key that is masked: its weight is zero, and its gradient too


class Heads(eqx.Module):
    """H heads of one kind of attention, a pytree of parameters with H first.

    Every head mixes tokens by its own rows of weights, which sum to one,

        A_h f(x_i) = sum_j w_hij f(y_j),   w_hij = exp(l_h(x_i, y_j)) / sum_k exp(l_h(x_i, y_k)).

    A kind gives the logits l_h.
    """

    @abstractmethod
    def logits(self, queries: jax.Array, keys: jax.Array) -> jax.Array:
        """Return the logits (H, N, M) of queries (N, D) and keys (M, D)."""

    @abstractmethod
    def attention(self, head: int = 0) -> Attention:
        """Return one head as an `Attention`, with the parameters it has now.

        Raises:
            ConfigError: if there is no such head, or no cost that says what it does.
        """

    def weights(self, queries: jax.Array, keys: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return the weights (H, N, M), whose rows sum to one.

        Args:
            queries: tokens (N, D).
            keys: tokens (M, D).
            mask: (N, M), true where a query may attend to a key; all of them unless given. A query that may attend to
                none attends to all alike.
        """
        return jax.nn.softmax(self._masked(queries, keys, mask), axis=-1)

    def mix(self, queries: jax.Array, keys: jax.Array, values: jax.Array, mask: jax.Array | None = None) -> jax.Array:
        """Return sum_j w_hij v_hj (H, N, k), the products of `weights` and values (H, M, k).

        Rows are divided after the sum, whose last column is their total: with its gradient that takes three quarters of
        the time of a product with the weights, in which each array of pairs is read once more.
        """
        logits = self._masked(queries, keys, mask)
        shares = jnp.exp(logits - jax.lax.stop_gradient(logits.max(axis=-1, keepdims=True)))
        ones = jnp.ones((*values.shape[:-1], 1), values.dtype)
        sums = jnp.einsum("hnm,hmk->hnk", shares, jnp.concatenate([values, ones], axis=-1))
        return sums[..., :-1] / sums[..., -1:]

    def _masked(self, queries: jax.Array, keys: jax.Array, mask: jax.Array | None) -> jax.Array:
        logits = self.logits(queries, keys)
        return logits if mask is None else jnp.where(mask, logits, FAR)
