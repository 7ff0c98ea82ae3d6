"""What the studies of learned metrics have in common: networks by the name of what their tokens do, trained alike."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import attnflow as af

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
