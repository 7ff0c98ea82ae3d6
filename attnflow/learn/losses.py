"""What is minimised and what is measured, for each kind of data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_choice, check_integer
from attnflow.errors import ConfigError
from attnflow.learn.data.sentences import PADDING

PROTOCOLS = ("together", "apart")
_LANGUAGES = ("source", "target")


@dataclass(frozen=True)
class Loss(ABC):
    """A loss of (model, data of one seed, key); equal ones are compiled once.

    Args:
        batch: how many sets, graphs or sentences of those for training each step takes, without repetition; all of the
            data unless given.

    Raises:
        ConfigError: when called: a batch of more than there are, or a model that does not fit its data.
    """

    batch: int | None = None

    def __post_init__(self) -> None:
        if self.batch is not None:
            check_integer(self.batch, "batch", minimum=1)

    @abstractmethod
    def __call__(self, model: Any, data: Any, key: jax.Array) -> jax.Array:
        """Return the loss."""

    def draw(self, data: Any, train: jax.Array, key: jax.Array) -> Any:
        """Return the data of a batch, drawn from the rows (S,) for training."""
        if self.batch is None:
            return data
        if self.batch > len(train):
            raise ConfigError(f"`batch` is {self.batch}, and there are {len(train)} to draw from. Pass fewer, or None.")
        share = train / train.sum()
        rows = jax.random.choice(key, len(train), (self.batch,), replace=False, p=share)
        return jax.tree.map(lambda leaf: leaf[rows], data)


@dataclass(frozen=True)
class TokenLoss(Loss):
    """The cross-entropy of the labels for training of TokenSets, under a model (N, D) -> logits (N, classes).

    Args:
        batch: how many of the sets each step takes; all of them unless given.
        tokens: how many tokens of each set it takes, drawn one by one, so that one may come twice; all of them unless
            given.
        protocol: "together": tokens for testing are attended to in training already, without their labels; "apart":
            tokens attend to those of their own part only.

    Raises:
        ConfigError: if a number is no positive integer, or the protocol unknown; when called: if there are fewer sets.
    """

    tokens: int | None = None
    protocol: str = "together"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self.protocol, "protocol", PROTOCOLS)
        if self.tokens is not None:
            check_integer(self.tokens, "tokens", minimum=1)

    def __call__(self, model: Any, data: Any, key: jax.Array) -> jax.Array:
        """Return its mean over tokens."""
        of_sets, of_tokens = jax.random.split(key)
        some = self._some_tokens(self.draw(data, data.train.any(axis=1), of_sets), of_tokens)
        return cross_entropy(token_logits(model, some, protocol=self.protocol), some.labels, some.train)

    def _some_tokens(self, data: Any, key: jax.Array) -> Any:
        """Return so many tokens of each set, of those that are there, and apart only of those for training."""
        if self.tokens is None:
            return data
        there = jnp.ones(data.labels.shape) if data.present is None else data.present
        shares = jnp.cumsum(there * data.train if self.protocol == "apart" else there, axis=1)
        heights = jax.random.uniform(key, (len(shares), self.tokens)) * shares[:, -1:]
        # A search: to sort all tokens by random numbers takes longer than the step itself.
        rows = jax.vmap(lambda sums, at: jnp.searchsorted(sums, at, side="right"))(shares, heights)

        def chosen(leaf: Any) -> jax.Array:
            return jax.vmap(lambda array, of_set: array[of_set])(jnp.asarray(leaf), rows)

        drawn = jax.tree.map(chosen, data)
        if data.adjacency is None:
            return drawn
        links = jax.vmap(lambda array, of_set: array[:, of_set])(drawn.adjacency, rows)
        return eqx.tree_at(lambda tokens: tokens.adjacency, drawn, links)


class GraphLoss(Loss):
    """The cross-entropy of the labels for training of GraphSets, under a model such as GraphAttentionNetwork."""

    def __call__(self, model: Any, data: Any, key: jax.Array) -> jax.Array:
        """Return its mean over graphs."""
        some = self.draw(data, data.train, key)
        return cross_entropy(graph_logits(model, some), some.labels, some.train)


class SentenceLoss(Loss):
    """The cross-entropy of the words of Translations, given those before, under a model such as EncoderDecoder."""

    def __call__(self, model: Any, data: Any, key: jax.Array) -> jax.Array:
        """Return its mean over words, without padding."""
        some = self.draw(data, data.train, key)
        words = some.target[:, 1:]
        return cross_entropy(word_logits(model, some), words, some.train[:, None] & (words != PADDING))


class SquaredLoss(Loss):
    """The squared error of Regression, under a model (n, D) -> (n, 1) of all inputs as tokens of one set."""

    def __call__(self, model: Any, data: Any, key: jax.Array) -> jax.Array:
        """Return its mean over the rows for training."""
        if self.batch is not None:
            raise ConfigError(f"`batch` of a squared loss must be None, got {self.batch}: all rows are one set.")
        return squared_error(model, data)["train"]


def token_logits(model: Any, data: Any, *, protocol: str = "together") -> jax.Array:
    """Return the logits (S, N, classes) of token sets; raise ConfigError if they are of other classes."""
    mask = data.mask
    if protocol == "apart":
        own = data.train[:, :, None] == data.train[:, None]
        mask = own if mask is None else mask & own
    logits = jax.vmap(model)(data.tokens) if mask is None else jax.vmap(model)(data.tokens, mask)
    return _fitting(logits, data.classes, "classes")


def graph_logits(model: Any, data: Any) -> jax.Array:
    """Return the logits (S, classes) of graphs; raise ConfigError if they are of other classes."""
    return _fitting(jax.vmap(model)(data.tokens, data.mask, data.present), data.classes, "classes")


def word_logits(model: Any, data: Any) -> jax.Array:
    """Return the logits (S, L - 1, words) of every word of the targets but the first, given those before.

    Raises:
        ConfigError: if the model knows another number of words.
    """
    for known, words, name in zip(model.vocabulary, (data.source_words, data.target_words), _LANGUAGES, strict=True):
        if known != len(words):
            raise ConfigError(
                f"the {name} of the data has {len(words)} words, and the model knows {known}. Make it with "
                f"`vocabulary=({len(data.source_words)}, {len(data.target_words)})`."
            )
    return jax.vmap(model)(data.source, data.target[:, :-1])


def cross_entropy(logits: jax.Array, labels: jax.Array, counted: jax.Array) -> jax.Array:
    """Return the mean of -log softmax(logits)_label over those that are counted, 0 if there are none.

    Args:
        logits: (..., C).
        labels: (...), 0 to C - 1 where counted.
        counted: (...), bool.
    """
    chosen = jnp.take_along_axis(logits, jnp.where(counted, labels, 0)[..., None], axis=-1)[..., 0]
    return _mean(jax.nn.logsumexp(logits, axis=-1) - chosen, counted)


def token_accuracy(model: Any, data: Any, *, protocol: str = "together") -> dict[str, jax.Array]:
    """Return the share of tokens whose likeliest label is theirs, {"train", "test"}; the protocol as of TokenLoss."""
    return _shares(token_logits(model, data, protocol=protocol).argmax(axis=-1) == data.labels, data.train, data.test)


def graph_accuracy(model: Any, data: Any) -> dict[str, jax.Array]:
    """Return the share of graphs whose likeliest label is theirs, {"train", "test"}."""
    return _shares(graph_logits(model, data).argmax(axis=-1) == data.labels, data.train, data.test)


def word_accuracy(model: Any, data: Any) -> dict[str, jax.Array]:
    """Return the share of words that are the likeliest given those before, {"train", "test"}."""
    words = data.target[:, 1:]
    right, there = word_logits(model, data).argmax(axis=-1) == words, words != PADDING
    return _shares(right, data.train[:, None] & there, ~data.train[:, None] & there)


def squared_error(model: Any, data: Any) -> dict[str, jax.Array]:
    """Return the mean squared error of numbers, {"train", "test"}; raise ConfigError if the model gives others."""
    errors = (_fitting(model(data.inputs), 1, "numbers for each input")[:, 0] - data.targets) ** 2
    return _shares(errors, data.train, ~data.train)


def steps_to(losses: np.ndarray, level: float, *, window: int = 1) -> np.ndarray:
    """Return the first step at which the mean loss of the last so many steps is at most a level, (seeds,).

    Where that does not happen within all T steps it is T, a lower bound.

    Args:
        losses: (seeds, T).
        level: of the loss.
        window: how many steps the mean is over.

    Example:
        >>> steps_to(np.array([[4.0, 2.0, 1.0], [9.0, 9.0, 9.0]]), 2.0)
        array([1, 3])
    """
    steps = losses.shape[1]
    window = min(check_integer(window, "window", minimum=1), steps)
    sums = np.cumsum(np.pad(losses, ((0, 0), (1, 0))), axis=1)
    reached = (sums[:, window:] - sums[:, :-window]) / window <= level
    return np.where(reached.any(axis=1), reached.argmax(axis=1) + window - 1, steps)


def _shares(right: jax.Array, train: jax.Array, test: jax.Array) -> dict[str, jax.Array]:
    return {"train": _mean(right, train), "test": _mean(right, test)}


def _mean(values: jax.Array, counted: jax.Array) -> jax.Array:
    return jnp.where(counted, values, 0).sum() / jnp.maximum(counted.sum(), 1)


def _fitting(outputs: jax.Array, count: int, what: str) -> jax.Array:
    if outputs.shape[-1] != count:
        raise ConfigError(
            f"the model has {outputs.shape[-1]} outputs, and the data have {count} {what}. Make it with {count}."
        )
    return outputs
