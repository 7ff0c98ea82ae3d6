"""What the studies of moons and digits have in common: how networks are trained, and what is said of them."""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np
from comparisons import NAMES, curves, differences, network_of, runs_of, shares
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

STEPS, RATE, DECAY = 2000, 0.002, 5e-4  # of Adam
TRAINING = f"{STEPS} steps of Adam"


@functools.cache
def accuracy_of(protocol: str) -> Callable:
    """Return what is measured: one function for each protocol, so that it is compiled once."""
    return functools.partial(af.learn.token_accuracy, protocol=protocol)


def compared(
    kinds: Iterable[str], draws: list, keys: list[jax.Array],
    *, width: int, tokens: int | None, protocol: str, level: float,
) -> dict[str, np.ndarray]:  # fmt: skip
    """Return accuracies by kind, leads of metric-attention, curves of losses and which runs collapsed, seed by seed.

    Names end in `_apart` where the protocol is that, and "shuffled" is metric-attention on labels dealt out anew.

    Args:
        kinds: as in `network_of`.
        draws: of the data, one for each seed.
        keys: the seeds.
        width: of the networks.
        tokens: how many a step sees; None for all.
        protocol: "together" or "apart".
        level: of the loss, to which steps are counted.
    """
    inputs, outputs = draws[0].tokens.shape[2], draws[0].classes
    runs = runs_of(
        {name: network_of(name, inputs=inputs, width=width, outputs=outputs) for name in kinds},
        af.learn.TokenLoss(tokens=tokens, protocol=protocol), draws, keys, control="metric", steps=STEPS,
        learning_rate=RATE, weight_decay=DECAY, measure=accuracy_of(protocol),
    )  # fmt: skip
    end = "_apart" if protocol == "apart" else ""
    accuracy = {name: np.asarray(run.history["test"][:, -1], dtype=float) for name, run in runs.items()}
    steps = {name: af.learn.steps_to(run.losses, level, window=20).astype(float) for name, run in runs.items()}
    collapsed = {
        name: af.learn.has_collapsed(run.losses[:, -20:].mean(axis=1), classes=outputs) for name, run in runs.items()
    }
    spread = {name: np.abs(values - np.median(values)) for name, values in accuracy.items()}
    pairs = [("metric", name) for name in kinds if name != "metric"] + [("shuffled", "metric")]
    return {
        **{f"{name}{end}": values for name, values in accuracy.items()},
        **differences(accuracy, pairs, end),
        f"metric_sooner{end}": shares(steps, [("metric", "self")])["metric_over_self"],
        f"self_varies_more{end}": spread["self"] - spread["metric"],
        **{f"collapsed.{name}{end}": flags for name, flags in collapsed.items()},
        **{f"{name}{end}": values for name, values in curves(runs).items()},
    }


def variances(records: list, kinds: Iterable[str]) -> Figure:
    """Draw what of the variance of accuracies is from runs that collapsed, trained and tested together."""
    arrays = next(arrays for _, arrays in records)
    splits = {name: af.learn.split_variance(arrays[name], arrays[f"collapsed.{name}"]) for name in kinds}
    drawn = plots.figure(width=5.2, height=3.2)
    parts = {NAMES[name]: (split.frequency, split.collapsed, split.others) for name, split in splits.items()}
    plots.variance_parts(drawn.add_subplot(), parts=parts, label="the share of labels found")
    return drawn


def claims_of(
    place: str, end: str, accuracies: Iterable[tuple[str, float, float]], *, shuffled: tuple[float, float],
    behind: tuple[float, float], common: dict[str, Any],
) -> tuple[list[af.Claim], Callable[[str, str, str], af.Claim]]:  # fmt: skip
    """Return the claims that both studies make, and what makes an ordering.

    Args:
        place: of the ids.
        end: of the quantities.
        accuracies: kinds, with the share of labels that they are said to find, and its margin.
        shuffled: that share in truth of metric-attention on labels dealt out anew, and its margin.
        behind: how far that is ahead of metric-attention on the right labels, a guess less the share that is said to be
            found, and the margin.
        common: fields of all claims.
    """

    def ordering(id: str, quantity: str, statement: str) -> af.Claim:
        return af.Claim(
            id=f"L-{place}/{id}", kind="ordering", quantity=f"{quantity}{end}", predicted=1.0, statement=statement,
            **common,
        )  # fmt: skip

    shares = {
        name: af.Claim(
            id=f"L-{place}/{name}", kind="constant", quantity=f"{name}{end}", predicted=predicted, margin=margin,
            statement=f"{NAMES[name]} finds this share of the labels", **common,
        )
        for name, predicted, margin in accuracies
    }  # fmt: skip
    ahead = ordering(
        "metric-over-self", "metric_over_self",
        "metric-attention finds at least as many labels as self-attention, on average",
    )  # fmt: skip
    return [
        *shares.values(),
        shares["metric"].control(
            statement="metric-attention finds this share after training on labels that were dealt out anew",
            quantity=f"shuffled{end}", truth=shuffled[0], truth_margin=shuffled[1],
        ),
        ahead,
        ahead.control(
            statement="metric-attention finds as many after training on labels that were dealt out anew",
            quantity=f"shuffled_over_metric{end}", truth=behind[0], truth_margin=behind[1],
        ),
        ordering(
            "metric-over-l2", "metric_over_l2",
            "metric-attention finds at least as many labels as L2 attention, on average",
        ),
        ordering("sooner", "metric_sooner", "metric-attention needs no more steps than self-attention to a loss"),
        ordering(
            "varies-less", "self_varies_more",
            "self-attention varies at least as much with the seed as metric-attention",
        ),
    ], ordering  # fmt: skip


def labels_of(kinds: Iterable[str], behind: Iterable[str], *, level: float) -> dict[str, str]:
    """Return what axes call the accuracies of these kinds, and how far metric-attention is ahead of those."""
    metric = NAMES["metric"]
    words = {
        **{name: f"share of labels found, {NAMES[name]}" for name in kinds},
        "shuffled": f"share of labels found, {metric}, labels dealt out anew",
        **{f"metric_over_{name}": f"more labels found, {metric} than {NAMES[name]}" for name in behind},
        "shuffled_over_metric": f"more labels found, {metric}, labels dealt out anew, than with the right ones",
        "metric_sooner": f"share of steps saved to the loss {level:g}, {metric} for {NAMES['self']}",
        "self_varies_more": f"farther from the median, {NAMES['self']} than {metric}",
    }
    return {f"{quantity}{end}": label for end in ("", "_apart") for quantity, label in words.items()}
