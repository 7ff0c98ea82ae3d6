"""What the studies of learned metrics have in common: networks by the name of what their tokens do, trained alike."""

import functools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

STEPS, RATE, DECAY = 2000, 0.001, 5e-4  # of Adam
SHOWN = 100  # points of each curve of losses that a record keeps

HEADS: dict[str, Callable] = {
    "self": af.learn.SelfAttention,
    "scaled": af.learn.ScaledSelfAttention,
    "l2": af.learn.L2Attention,
    "metric": af.learn.MetricAttention,
    "mlp_dot": af.learn.MLPDotProduct,
    "frozen": af.learn.FrozenHeads.of(af.learn.MetricAttention),
}

NAMES = {
    "self": "self-attention",
    "l2": "L2 attention",
    "metric": "metric-attention",
    "mlp_dot": r"$\varphi$ in a dot product",
    "mlp": "no attention, MLP",
    "linear": "no attention, linear",
    "frozen": r"metric-attention, $\varphi$ as drawn",
    "shuffled": "metric-attention, labels dealt out anew",
}


def network_of(name: str, *, inputs: int, width: int, outputs: int, **options: Any) -> Callable[[jax.Array], Any]:
    """Return key -> a linear map, blocks of one kind, a linear map; "mlp" and "linear" are without attention."""
    if name in ("mlp", "linear"):
        block = af.learn.PointwiseBlock.of(hidden=width if name == "mlp" else None)
    else:
        block = af.learn.PropagationBlock.of(HEADS[name], residual=options.pop("residual", False))
    return lambda key: af.learn.InformationPropagationNetwork(inputs, width, outputs, block=block, key=key, **options)


@functools.cache
def accuracy_of(protocol: str) -> Callable:
    """Return what is measured: one function for each protocol, so that it is compiled once."""
    return functools.partial(af.learn.token_accuracy, protocol=protocol)


def trained(
    make: Callable, data: Any, keys: list[jax.Array], *, tokens: int | None = None, protocol: str, steps: int = STEPS
) -> Any:
    """Return networks of all seeds, trained and then tested once; a killed run goes on where it was."""
    return af.learn.train(
        make, af.learn.TokenLoss(tokens=tokens, protocol=protocol), data,
        keys=keys, steps=steps, every=steps // 4, learning_rate=RATE, weight_decay=DECAY,
        measure=accuracy_of(protocol), checkpoint=af.scratch_folder(),
    )  # fmt: skip


def compared(runs: dict[str, Any], *, level: float) -> dict[str, np.ndarray]:
    """Return accuracies of runs by name, how far metric-attention is ahead, seed by seed, and curves of the loss.

    Args:
        runs: what `trained` returned, by name; "shuffled" is metric-attention on labels that were dealt out anew.
        level: of the loss, to which steps are counted.
    """
    accuracy = {name: np.asarray(run.history["test"][:, -1], dtype=float) for name, run in runs.items()}
    steps = {name: af.learn.steps_to(run.losses, level, window=20) for name, run in runs.items()}
    found = dict(accuracy)
    for name in set(runs) - {"metric"}:
        found[f"metric_over_{name}"] = accuracy["metric"] - accuracy[name]
        found[f"metric_sooner_than_{name}"] = (steps[name] - steps["metric"]) / (steps[name] + steps["metric"])
    found["shuffled_over_self"] = accuracy["shuffled"] - accuracy["self"]
    spread = {name: np.abs(values - np.median(values)) for name, values in accuracy.items()}
    found["self_varies_more"] = spread["self"] - spread["metric"]
    width = {name: run.losses.shape[1] // SHOWN for name, run in runs.items()}
    curves = {
        f"loss.{name}": run.losses[:, : SHOWN * width[name]].reshape(run.seeds, SHOWN, -1).mean(axis=2)
        for name, run in runs.items()
    }
    return found | curves


def labels_of(kinds: Iterable[str], behind: Iterable[str], *, level: float) -> dict[str, str]:
    """Return what axes call the accuracies of these kinds, and how far metric-attention is ahead of those."""
    metric = NAMES["metric"]
    return {
        **{name: f"share of labels found, {NAMES[name]}" for name in (*kinds, "shuffled")},
        **{f"metric_over_{name}": f"more labels found, {metric} than {NAMES[name]}" for name in behind},
        "shuffled_over_self": f"more labels found, {NAMES['shuffled']} than {NAMES['self']}",
        "metric_sooner_than_self": f"share of steps saved to the loss {level:g}, {metric} for {NAMES['self']}",
        "self_varies_more": f"farther from the median, {NAMES['self']} than {metric}",
    }


def loss_figure(arrays: Mapping[str, np.ndarray], names: Mapping[str, str]) -> Figure:
    """Return the curves of losses of all networks that a record holds."""
    drawn = plots.figure(width=6.4, height=3.6)
    ax = drawn.add_subplot()
    plots.loss_bands(ax, losses={words: arrays[f"loss.{name}"] for name, words in names.items() if name != "shuffled"})
    ax.set(xlabel=f"stretches of {STEPS // SHOWN} steps")
    return drawn


def accuracy_figure(arrays: Mapping[str, np.ndarray], names: Mapping[str, str], *, chance: float) -> Figure:
    """Return what every seed of every network finds of the labels for testing."""
    drawn = plots.figure(width=6.4, height=4.2)
    values = {words: arrays[name] for name, words in names.items()}
    plots.dots_and_violins(drawn.add_subplot(), values=values, label="share of labels found", reference=chance)
    return drawn
