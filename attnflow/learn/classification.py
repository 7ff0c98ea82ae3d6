"""Classifying tokens: what is minimised, and what is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from attnflow._checks import check_choice, check_integer
from attnflow.learn.data.base import TokenSets

PROTOCOLS = ("together", "apart")


@dataclass(frozen=True)
class Classification:
    """The task of finding the labels of tokens, with a network that gives one logit for each class.

    Trained and tested together, tokens whose labels are to be found are attended to in training already, without their
    labels. Apart, tokens for training attend to tokens for training, and those for testing to those for testing.

    Args:
        protocol: "together" or "apart".
        batch: tokens of each set that are drawn anew for each step, without repetition; None for all of them.

    Raises:
        ConfigError: if the protocol is unknown, or the batch no positive integer.

    Example:
        >>> import jax, attnflow as af
        >>> def block(width, key):
        ...     return af.learn.PointwiseBlock(width, hidden=16, key=key)
        >>> def make(key):
        ...     return af.learn.InformationPropagationNetwork(2, 16, 2, block=block, key=key)
        >>> task, keys = af.learn.Classification(), jax.random.split(jax.random.key(0), 3)
        >>> data = af.learn.stack([af.learn.moons(key=key) for key in keys])
        >>> trained = af.learn.train(make, task.loss, data, keys=keys, steps=300, measure=task.accuracies)
        >>> bool((trained.history["test"][:, -1] > 0.8).all())
        True
    """

    protocol: str = "together"
    batch: int | None = None

    def __post_init__(self) -> None:
        check_choice(self.protocol, "protocol", PROTOCOLS)
        if self.batch is not None:
            check_integer(self.batch, "batch", minimum=1)

    def loss(self, model: Any, data: TokenSets, key: jax.Array) -> jax.Array:
        """Return the mean cross-entropy of the labels for training, of a batch drawn by the key."""
        if self.batch is not None:
            data = self._drawn(data, key)
        losses = optax.softmax_cross_entropy_with_integer_labels(self.logits(model, data), jnp.maximum(data.labels, 0))
        return jnp.sum(losses * data.train) / jnp.maximum(jnp.sum(data.train), 1)

    def logits(self, model: Any, data: TokenSets) -> jax.Array:
        """Return the logits (S, N, classes) of all tokens."""
        mask = data.mask
        if self.protocol == "apart":
            alike = data.train[:, :, None] == data.train[:, None]
            mask = alike if mask is None else mask & alike
        return jax.vmap(model)(data.tokens) if mask is None else jax.vmap(model)(data.tokens, mask)

    def accuracies(self, model: Any, data: TokenSets) -> dict[str, jax.Array]:
        """Return the shares of labels that are found, of those for training and for testing."""
        found = jnp.argmax(self.logits(model, data), axis=-1) == data.labels
        return {
            name: jnp.sum(found & counted) / jnp.sum(counted)
            for name, counted in (("train", data.train), ("test", data.test))
        }

    def _drawn(self, data: TokenSets, key: jax.Array) -> TokenSets:
        """Return so many tokens of each set; apart, such for training come first."""
        sets, count = data.labels.shape
        order = jax.random.uniform(key, (sets, count))
        if self.protocol == "apart":
            order = jnp.where(data.train, order, 2 + order)
        if data.present is not None:
            order = jnp.where(data.present, order, 4 + order)
        rows = jnp.argsort(order, axis=1)[:, : self.batch]

        def chosen(leaf: Any) -> jax.Array:
            return jax.vmap(lambda array, of_set: array[of_set])(jnp.asarray(leaf), rows)

        drawn = jax.tree.map(chosen, data)
        if data.adjacency is None:
            return drawn
        links = jax.vmap(lambda array, of_set: array[:, of_set])(drawn.adjacency, rows)
        return eqx.tree_at(lambda tokens: tokens.adjacency, drawn, links)
