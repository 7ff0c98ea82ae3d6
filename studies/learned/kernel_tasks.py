"""Two tasks for kernels that are learned: written digits told apart, and numbers guessed from their neighbours.

Digits are tokens of a batch of 64 that attend to one another: a linear map to 16 coordinates, one block without
residual, a linear map to ten logits. Half of them, of every digit, is for training: a step of Adam sees 64 of these.
The others are told apart in batches of 64.

Numbers are guessed as attention itself would: the guess at a point is the average of the numbers for training, weighed
by one head between the point and theirs. Weights are learned by guessing each number for training from all others.

Every seed has its own split or draw, the same for all kinds of attention. For controls one kind trains once more on
answers that are dealt out anew, and say nothing about the rest.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from comparisons import runs_of
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

WIDTH, BATCH, CLASSES = 16, 64, 10
Kind = Callable[..., Any]  # (dim, key) -> heads


def told_apart(
    kinds: Mapping[str, Kind], keys: list[jax.Array], *, shuffled: str, count: int, steps: int
) -> dict[str, np.ndarray]:
    """Return the share of so many digits that are told rightly, by kind and of the one with shuffled labels."""
    draws = [af.learn.digits(key=key, count=count) for key in keys]
    loss = af.learn.TokenLoss(tokens=BATCH, protocol="apart")
    makes = {name: _network_of(kind) for name, kind in kinds.items()}
    return _measured(makes, draws, keys, loss=loss, measure=accuracy, shuffled=shuffled, steps=steps)


def guessed(
    kinds: Mapping[str, Kind], keys: list[jax.Array], *, shuffled: str, points: int, steps: int
) -> dict[str, np.ndarray]:
    """Return the root mean square error of guesses, by kind and of the one that trained on shuffled numbers."""
    draws = [af.learn.regression("anisotropic", key=key, count=points).standardized() for key in keys]
    dim = draws[0].inputs.shape[1]
    makes = {name: lambda key, kind=kind: kind(dim, key) for name, kind in kinds.items()}
    return _measured(makes, draws, keys, loss=left_out, measure=error, shuffled=shuffled, steps=steps)


def _measured(
    makes: dict, draws: list, keys: list[jax.Array], *, loss: Callable, measure: Callable, shuffled: str, steps: int
) -> dict[str, np.ndarray]:
    """Return what is measured after training, {name: (seeds,)} and {"shuffled": (seeds,)}."""
    runs = runs_of(makes, loss, draws, keys, control=shuffled, steps=steps, measure=measure, bar=False)
    return {name: np.asarray(run.history["test"][:, -1], dtype=float) for name, run in runs.items()}


def accuracy_figure(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Figure:
    """Return the share of digits that every seed of every kind tells rightly."""
    drawn = plots.figure(width=6.4, height=4.2)
    values = {words: arrays[name] for name, words in names.items()}
    plots.dots_and_violins(
        drawn.add_subplot(), values=values, label="share of digits told rightly", reference=1 / CLASSES
    )
    return drawn


def accuracy(model: Callable, data: Any) -> dict[str, jax.Array]:
    """Return the share of the digits for testing that are told rightly, as many of them as fill whole batches."""
    (tokens,), (labels,), (train,) = data.tokens, data.labels, data.train
    rows = jnp.argsort(train)[: len(labels) // 2 // BATCH * BATCH]
    told = jax.vmap(model)(tokens[rows].reshape(-1, BATCH, tokens.shape[1])).argmax(axis=-1)
    return {"test": jnp.mean(told.ravel() == labels[rows])}


def left_out(heads: "af.learn.Heads", data: "af.learn.Regression", key: jax.Array) -> jax.Array:
    """Return the mean square error of guesses at the points for training, each from all others."""
    return _square_error(heads, data, at=data.train)


def error(heads: "af.learn.Heads", data: "af.learn.Regression") -> dict[str, jax.Array]:
    """Return the root mean square error of guesses at the other points."""
    return {"test": jnp.sqrt(_square_error(heads, data, at=~data.train))}


def _square_error(heads: "af.learn.Heads", data: Any, *, at: Any) -> jax.Array:
    """Return the mean square error at some points, each guessed from those for training but itself."""
    known = data.train & ~jnp.eye(len(data.train), dtype=bool)
    guesses = heads.weights(data.inputs, data.inputs, known)[0] @ data.targets
    return jnp.sum(jnp.where(at, guesses - data.targets, 0) ** 2) / at.sum()


def _network_of(kind: Kind) -> Callable:
    """Return key -> a network with one block of this kind."""
    block = af.learn.PropagationBlock.of(kind)
    return lambda key: af.learn.InformationPropagationNetwork(64, WIDTH, CLASSES, block=block, key=key)
