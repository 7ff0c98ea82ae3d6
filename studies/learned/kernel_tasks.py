"""Two tasks for kernels that are learned: written digits told apart, and numbers guessed from their neighbours.

Digits are tokens of a batch of 64 that attend to one another: a linear map to 16 coordinates, one block without
residual, a linear map to ten logits. Half of them, of every digit, is for training: a step of Adam sees 64 of these.
The others are told apart in batches of 64.

Numbers are guessed as attention itself would: the guess at a point is the average of the numbers for training, weighed
by one head between the point and theirs. Weights are learned by guessing each number for training from all others.

Every seed has its own split or draw, the same for all kinds of attention. For controls one kind trains once more on
answers that are dealt out anew, and say nothing about the rest.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

WIDTH, CLASSES = 16, 10
Kind = Callable[..., Any]  # (dim, key) -> heads


def told_apart(
    kinds: Mapping[str, Kind], keys: list[jax.Array], *, shuffled: str, batch: int, steps: int
) -> dict[str, np.ndarray]:
    """Return the share of digits that are told rightly, by kind and of the one that trained on shuffled labels."""
    draws = [af.learn.digits(key=key) for key in keys]
    makes = {name: _network_of(kind) for name, kind in kinds.items()}
    arrays_of = functools.partial(_batches, size=batch)
    return _measured(
        makes, draws, arrays_of, keys, loss=cross_entropy, measure=accuracy, shuffled=shuffled, steps=steps
    )


def guessed(
    kinds: Mapping[str, Kind], keys: list[jax.Array], *, shuffled: str, points: int, steps: int
) -> dict[str, np.ndarray]:
    """Return the root mean square error of guesses, by kind and of the one that trained on shuffled numbers."""
    draws = [af.learn.regression("anisotropic", key=key, count=points).standardized() for key in keys]
    dim = draws[0].inputs.shape[1]
    makes = {name: lambda key, kind=kind: kind(dim, key) for name, kind in kinds.items()}
    return _measured(makes, draws, neighbours, keys, loss=left_out, measure=error, shuffled=shuffled, steps=steps)


def _measured(
    makes: dict, draws: list, arrays_of: Callable, keys: list[jax.Array], *, loss: Callable, measure: Callable,
    shuffled: str, steps: int,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return what is measured after training, {name: (seeds,)} and {"shuffled": (seeds,)}."""

    def trained(make: Callable, draws: list) -> np.ndarray:
        data = jax.tree.map(lambda *leaves: np.stack(leaves), *map(arrays_of, draws))
        reached = af.learn.train(
            make, loss, data,
            keys=keys, steps=steps, every=steps, measure=measure, checkpoint=af.scratch_folder(), bar=False,
        )  # fmt: skip
        (values,) = reached.history.values()
        return np.asarray(values[:, -1], dtype=float)

    others = [draw.shuffled(key=key) for draw, key in zip(draws, keys, strict=True)]
    return {name: trained(make, draws) for name, make in makes.items()} | {"shuffled": trained(makes[shuffled], others)}


def accuracy_figure(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Figure:
    """Return the share of digits that every seed of every kind tells rightly."""
    drawn = plots.figure(width=6.4, height=4.2)
    values = {words: arrays[name] for name, words in names.items()}
    plots.dots_and_violins(
        drawn.add_subplot(), values=values, label="share of digits told rightly", reference=1 / CLASSES
    )
    return drawn


def cross_entropy(model: Callable, data: dict, key: jax.Array) -> jax.Array:
    """Return the loss of one batch of digits for training."""
    rows = jax.random.randint(key, data["sought"].shape[1:], 0, len(data["labels"]))
    logits = jax.nn.log_softmax(model(data["tokens"][rows]))
    return -jnp.mean(jnp.take_along_axis(logits, data["labels"][rows, None], axis=1))


def accuracy(model: Callable, data: dict) -> dict[str, jax.Array]:
    """Return the share of the other digits that are told rightly."""
    return {"accuracy": jnp.mean(jnp.argmax(jax.vmap(model)(data["others"]), axis=-1) == data["sought"])}


def left_out(heads: "af.learn.Heads", data: dict, key: jax.Array) -> jax.Array:
    """Return the mean square error of guesses at the points for training, each from all others."""
    weights = heads.weights(data["points"], data["points"], ~jnp.eye(len(data["points"]), dtype=bool))
    return jnp.mean((weights[0] @ data["numbers"] - data["numbers"]) ** 2)


def error(heads: "af.learn.Heads", data: dict) -> dict[str, jax.Array]:
    """Return the root mean square error of guesses at the other points."""
    guesses = heads.weights(data["others"], data["points"])[0] @ data["numbers"]
    return {"error": jnp.sqrt(jnp.mean((guesses - data["sought"]) ** 2))}


def _network_of(kind: Kind) -> Callable:
    """Return key -> a network with one block of this kind."""
    block = af.learn.PropagationBlock.of(kind)
    return lambda key: af.learn.InformationPropagationNetwork(64, WIDTH, CLASSES, block=block, key=key)


def _batches(draw: "af.learn.TokenSets", *, size: int) -> dict[str, np.ndarray]:
    """Return the digits for training, and the others in whole batches."""
    tokens, labels, train = draw.tokens[0], draw.labels[0], draw.train[0]
    whole = len(labels[~train]) // size * size
    return {
        "tokens": tokens[train], "labels": labels[train],
        "others": tokens[~train][:whole].reshape(-1, size, 64), "sought": labels[~train][:whole].reshape(-1, size),
    }  # fmt: skip


def neighbours(draw: "af.learn.Regression") -> dict[str, np.ndarray]:
    """Return the points for training with their numbers, and the others with those that are sought."""
    train = draw.train
    return {
        "points": draw.inputs[train], "numbers": draw.targets[train],
        "others": draw.inputs[~train], "sought": draw.targets[~train],
    }  # fmt: skip
