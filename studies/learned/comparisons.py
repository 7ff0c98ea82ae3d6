"""What studies of several data sets have in common: kinds of attention trained on the same data from the same seeds."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

SHOWN = 50  # points of each curve of losses that a record keeps
HEADS: dict[str, Callable] = {
    "self": af.learn.SelfAttention,
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
    "frozen": r"$\varphi$ as drawn",
}


def network_of(name: str, *, inputs: int, width: int, outputs: int, **options: Any) -> Callable[[jax.Array], Any]:
    """Return key -> a linear map, blocks of one kind, a linear map; "mlp" and "linear" are without attention."""
    if name in ("mlp", "linear"):
        block = af.learn.PointwiseBlock.of(hidden=width if name == "mlp" else None)
    else:
        block = af.learn.PropagationBlock.of(HEADS[name], residual=options.pop("residual", False))
    return lambda key: af.learn.InformationPropagationNetwork(inputs, width, outputs, block=block, key=key, **options)


def runs_of(
    makes: Mapping[str, Callable], loss: Any, draws: Sequence[Any], keys: list[jax.Array],
    *, control: str, steps: int, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Return what each kind became, and as "shuffled" what one of them became on answers that were dealt out anew."""
    right = af.learn.stack(draws)
    wrong = af.learn.stack([draw.shuffled(key=key) for draw, key in zip(draws, keys, strict=True)])
    return {
        name: af.learn.train(
            makes[control if name == "shuffled" else name], loss, wrong if name == "shuffled" else right,
            keys=keys, steps=steps, every=steps, checkpoint=af.scratch_folder(), **options,
        )
        for name in (*makes, "shuffled")
    }  # fmt: skip


def curves(runs: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return losses by kind, "loss.NAME", the means over stretches of training, (seeds, 50)."""
    return {
        f"loss.{name}": run.losses.reshape(run.seeds, SHOWN, -1).mean(axis=2)
        for name, run in runs.items() if name != "shuffled"
    }  # fmt: skip


def differences(
    values: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], end: str = ""
) -> dict[str, np.ndarray]:
    """Return how far one kind is ahead of another, seed by seed, for numbers of which the larger is ahead."""
    return {f"{one}_over_{other}{end}": values[one] - values[other] for one, other in pairs}


def shares(values: Mapping[str, np.ndarray], pairs: Sequence[tuple[str, str]], end: str = "") -> dict[str, np.ndarray]:
    """Return (b - a) / (a + b) for positive numbers a of one kind and b of another, of which the smaller is ahead."""
    return {
        f"{one}_over_{other}{end}": (values[other] - values[one]) / (values[one] + values[other])
        for one, other in pairs
    }  # fmt: skip


def pictures(records: list, kinds: Mapping[str, str], *, label: str) -> Figure:
    """Draw losses of all seeds, and the final numbers of all seeds.

    Args:
        records: of a study, of which the first case is drawn.
        kinds: names of quantities, and what they are called.
        label: of the final numbers.
    """
    arrays = next(arrays for _, arrays in records)
    drawn = plots.figure(width=6.8, height=3.2)
    left, right = drawn.subplots(1, 2)
    plots.loss_bands(left, losses={words: arrays[f"loss.{name}"] for name, words in kinds.items()})
    left.get_legend().remove()  # what is beside it names the colours
    left.set_xlabel("fiftieths of training")
    plots.dots_and_violins(right, values={words: arrays[name] for name, words in kinds.items()}, label=label)
    return drawn
