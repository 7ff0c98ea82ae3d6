"""A small encoder-decoder transformer whose attention can be exchanged in all of its three places."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from attnflow._checks import check_integer
from attnflow._compiling import LIGHT
from attnflow.errors import ConfigError, DataError
from attnflow.learn.data.sentences import BEGIN, END, PADDING
from attnflow.learn.heads.base import Heads
from attnflow.learn.heads.checks import count_heads
from attnflow.learn.heads.maps import LinearMaps

MakeHeads = Callable[[int, jax.Array], Heads]


class EncoderDecoder(eqx.Module):
    """Sentences in one language -> logits of words in another, by a pre-norm transformer [Vaswani].

    Embeddings plus sinusoids of the position. The encoder repeats X <- X + A(norm X), X <- X + f(norm X), all words of
    the source attending to all; the decoder puts in between X <- X + A(norm X, memory), and its words attend to
    themselves and those before. f is a perceptron of one hidden layer. A is given: the weights of H heads mix values of
    D/H numbers each, and a matrix (D, D) mixes the heads.

    Args:
        vocabulary: how many words the two languages have, (source, target), with 0 for padding, 1 for the begin of a
            sentence and 2 for its end.
        width: D.
        length: the most words of a sentence, its begin and its end included.
        make_heads: (width, key) -> heads, the attention in each place.
        layers: of the encoder, and of the decoder.
        hidden: width of the hidden layer of f; 2 D unless given.
        key: of JAX, from which all parameters are drawn.

    Raises:
        ConfigError: if a size is no positive integer, the heads do not divide the width, or do not take tokens of it.

    Example:
        >>> import jax, numpy as np, attnflow as af
        >>> model = af.learn.EncoderDecoder(
        ...     (9, 7), 8, length=5, key=jax.random.key(0),
        ...     make_heads=lambda width, key: af.learn.ScaledSelfAttention(width, heads=2, features=4, key=key))
        >>> model(np.array([1, 4, 5, 2, 0]), np.array([1, 3, 6])).shape
        (3, 7)
    """

    embeddings: tuple[jax.Array, jax.Array]
    encoder: list
    decoder: list
    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    last: eqx.nn.Linear
    length: int = eqx.field(static=True)

    def __init__(
        self,
        vocabulary: tuple[int, int],
        width: int,
        *,
        length: int,
        make_heads: MakeHeads,
        layers: int = 1,
        hidden: int | None = None,
        key: jax.Array,
    ) -> None:
        words = [check_integer(size, "vocabulary", minimum=END + 1) for size in vocabulary]
        check_integer(width, "width", minimum=1)
        hidden = check_integer(2 * width if hidden is None else hidden, "hidden", minimum=1)
        self.length = check_integer(length, "length", minimum=2)
        for_words, for_encoder, for_decoder, for_last = jax.random.split(key, 4)
        of_source, of_target = jax.random.split(for_words)
        self.embeddings = (
            jax.random.normal(of_source, (words[0], width)),
            jax.random.normal(of_target, (words[1], width)),
        )
        layers = check_integer(layers, "layers", minimum=1)
        self.encoder, self.decoder = (
            [
                _Layer(width, hidden, make_heads=make_heads, places=places, key=each)
                for each in jax.random.split(k, layers)
            ]
            for k, places in ((for_encoder, 1), (for_decoder, 2))
        )
        self.norms = (eqx.nn.LayerNorm(width), eqx.nn.LayerNorm(width))
        self.last = eqx.nn.Linear(width, words[1], key=for_last)

    @property
    def vocabulary(self) -> tuple[int, int]:
        """How many words the two languages have."""
        return self.embeddings[0].shape[0], self.embeddings[1].shape[0]

    def __call__(self, source: jax.Array, target: jax.Array) -> jax.Array:
        """Return the logits (T, words) of the word after each of target (T,), given source (L,).

        Raises:
            DataError: if a sentence is longer than `length`.
        """
        return self._decode(self.encode(source), source, target)

    def encode(self, source: jax.Array) -> jax.Array:
        """Return what the decoder knows of a source (L,), (L, D)."""
        states = self._embed(source, self.embeddings[0], "source")
        mask = jnp.broadcast_to(source != PADDING, (len(source), len(source)))
        for layer in self.encoder:
            states = layer(states, [(None, mask)])
        return jax.vmap(self.norms[0])(states)

    def translate(self, source: jax.Array, words: int | None = None) -> jax.Array:
        """Return the most likely words one after another, (words,) from BEGIN on, padded after END.

        Every word takes one pass of the decoder over all of them, inside of one compiled loop.

        Args:
            source: (L,).
            words: how many to write at most, BEGIN and END included; `length` unless given.
        """
        words = check_integer(self.length if words is None else words, "words", minimum=2)
        memory = self.encode(source)

        def write(written: jax.Array, place: jax.Array) -> tuple[jax.Array, None]:
            before = written[place - 1]
            likely = jnp.argmax(self._decode(memory, source, written)[place - 1]).astype(written.dtype)
            over = (before == END) | (before == PADDING)
            return written.at[place].set(jnp.where(over, PADDING, likely)), None

        begun = jnp.full(words, PADDING, dtype=jnp.int32).at[0].set(BEGIN)
        return jax.lax.scan(write, begun, jnp.arange(1, words))[0]

    def _decode(self, memory: jax.Array, source: jax.Array, target: jax.Array) -> jax.Array:
        states = self._embed(target, self.embeddings[1], "target")
        before = jnp.tril(jnp.ones((len(target), len(target)), dtype=bool)) & (target != PADDING)
        across = jnp.broadcast_to(source != PADDING, (len(target), len(source)))
        for layer in self.decoder:
            states = layer(states, [(None, before), (memory, across)])
        return jax.vmap(self.last)(jax.vmap(self.norms[1])(states))

    def _embed(self, sentence: jax.Array, embedding: jax.Array, name: str) -> jax.Array:
        if len(sentence) > self.length:
            raise DataError(
                f"`{name}` has {len(sentence)} words, and `length` of the transformer is {self.length}. Make it longer."
            )
        return embedding[sentence] + positions(len(sentence), embedding.shape[1]).astype(embedding.dtype)


def translations_of(models: EncoderDecoder, sources: Any) -> jax.Array:
    """Return what transformers of several seeds write, (seeds, S, length), for their sources (seeds, S, L).

    Args:
        models: one pytree, as `Trained.models`.
        sources: of each seed, in numbers of words.
    """
    return _written(models, sources)


def _write(models: EncoderDecoder, sources: jax.Array) -> jax.Array:
    of_seed = eqx.filter_vmap(lambda model, rows: jax.vmap(model.translate)(rows), in_axes=(eqx.if_array(0), 0))
    return of_seed(models, sources)


_written = eqx.filter_jit(_write, compiler_options=LIGHT)  # type: ignore[call-overload]


def positions(count: int, width: int) -> jax.Array:
    """Return sin(n w_k) and cos(n w_k), w_k = 10000^{-2k/D}, of positions n, (count, D) [Vaswani].

    Example:
        >>> [[round(float(number), 3) for number in row] for row in positions(2, 2)]
        [[0.0, 1.0], [0.841, 0.54]]
    """
    angles = jnp.arange(count)[:, None] * 10000.0 ** (-2 * (jnp.arange(width) // 2) / width)
    return jnp.where(jnp.arange(width) % 2, jnp.cos(angles), jnp.sin(angles))


class _Layer(eqx.Module):
    """Exchanges among tokens, with themselves or with a memory, then a perceptron of each; each added to its input."""

    exchanges: list
    norms: list
    perceptron: list

    def __init__(self, width: int, hidden: int, *, make_heads: MakeHeads, places: int, key: jax.Array) -> None:
        inner, outer, *keys = jax.random.split(key, 2 + places)
        self.exchanges = [_Exchange(width, make_heads, key=each) for each in keys]
        self.norms = [eqx.nn.LayerNorm(width) for _ in range(places + 1)]
        self.perceptron = [eqx.nn.Linear(width, hidden, key=inner), eqx.nn.Linear(hidden, width, key=outer)]

    def __call__(self, states: jax.Array, sources: list[tuple[jax.Array | None, jax.Array]]) -> jax.Array:
        """Return the states (T, D) after exchanges with each (memory or themselves, mask)."""
        for exchange, norm, (memory, mask) in zip(self.exchanges, self.norms, sources, strict=False):
            normed = jax.vmap(norm)(states)
            states = states + exchange(normed, normed if memory is None else memory, mask)
        inner, outer = self.perceptron
        return states + jax.vmap(lambda x: outer(jax.nn.relu(inner(x))))(jax.vmap(self.norms[-1])(states))


class _Exchange(eqx.Module):
    """Tokens (N, D) and a memory (M, D) -> sum_h O_h w_h V_h memory, V_h of D/H rows."""

    heads: Heads
    values: LinearMaps
    output: eqx.nn.Linear

    def __init__(self, width: int, make_heads: MakeHeads, *, key: jax.Array) -> None:
        for_heads, for_values, for_output = jax.random.split(key, 3)
        self.heads = make_heads(width, for_heads)
        count = count_heads(self.heads, width)
        if width % count:
            raise ConfigError(f"`width` must be a multiple of the number of heads, got {width} and {count} heads.")
        self.values = LinearMaps(width, width // count, heads=count, key=for_values)
        self.output = eqx.nn.Linear(width, width, key=for_output)

    def __call__(self, tokens: jax.Array, memory: jax.Array, mask: jax.Array) -> jax.Array:
        mixed = self.heads.mix(tokens, memory, self.values(memory), mask).swapaxes(0, 1)
        return jax.vmap(self.output)(mixed.reshape(len(tokens), -1))
