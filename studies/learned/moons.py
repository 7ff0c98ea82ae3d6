"""Does attention with a learned metric beat dot products on two moons, and is it for the metric?

Two half circles with noise .2 hold 160 tokens for training and 40 for testing, drawn anew for each seed. A network maps
them to 16 coordinates, lets them exchange information in one block without residual, and maps them to two logits:

    X -> A(X) X W' + b,    A = softmax of    <Q x, K y>             self-attention
                                             -|Q (x - y)|^2         L2 attention  [K]
                                             -|phi(x) - phi(y)|^2   metric-attention  [RZ]
                                             <phi(x), phi(y)>       the same phi inside a dot product

with phi a perceptron of one hidden layer of 16. Without attention, the block is such a perceptron, or linear. All train
for 2000 steps of Adam at the rate .001 with the decay 5e-4, on the cross-entropy of the labels for training.

[RZ] state that metric-attention is ahead of self-attention in accuracy, in steps and in how little it varies with the
seed. Measured: the accuracy of each on the tokens for testing against that of another implementation of the same
comparison, run once (the accuracies and the spreads over 10 seeds in the claims); differences of two networks that had
the same tokens and the same seed; and, of accuracies, the distance from the median over the seeds of a record.
Whether it is for the metric is asked by two networks that have phi but no metric: inside a dot product, and without
attention. Neither should do as well if it were.

Trained and tested together, tokens for testing are attended to in training, without their labels; in the full run also
apart, each part attending to itself. The control trains metric-attention on labels that were dealt out anew.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from together import NAMES, accuracy_figure, compared, labels_of, loss_figure, network_of, trained

import attnflow as af

KINDS = ("self", "l2", "metric", "mlp_dot", "mlp", "linear", "frozen")
WIDTH, LEVEL = 16, 0.3


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies and differences of networks; quantities of tokens apart end in `_apart`."""
    test = case["points"] // 5
    draws = [af.learn.moons(key=key, count=case["points"] - test, test=test) for key in keys]
    right = af.learn.stack(draws)
    wrong = af.learn.stack([draw.shuffled(key=key) for draw, key in zip(draws, keys, strict=True)])
    runs = {
        name: trained(
            network_of("metric" if name == "shuffled" else name, inputs=2, width=WIDTH, outputs=2),
            wrong if name == "shuffled" else right, keys, protocol=case["protocol"],
        )
        for name in (*KINDS, "shuffled")
    }  # fmt: skip
    end = "_apart" if case["protocol"] == "apart" else ""
    return {f"{name}{end}": values for name, values in compared(runs, level=LEVEL).items()}


def claims(place: str, end: str) -> list[af.Claim]:
    """Return the claims of one protocol."""
    common: dict[str, Any] = dict(
        source="RZ",
        size="points",
        hypotheses=f"moons, 160 + 40 tokens, trained and tested {place.split('-')[-1]}; one block, 2000 steps of Adam",
    )
    accuracies = [
        af.Claim(
            id=f"L-{place}/{name}", kind="constant", quantity=f"{name}{end}", predicted=predicted, margin=margin,
            statement=f"{words} finds this share of the labels", **common,
        )
        for name, words, predicted, margin in (
            ("self", "self-attention", 0.894, 0.072), ("l2", "L2 attention", 0.874, 0.044),
            ("metric", "metric-attention", 0.970, 0.024), ("mlp_dot", r"$\varphi$ inside a dot product", 0.971, 0.022),
            ("mlp", "a perceptron without attention", 0.977, 0.024), ("linear", "a linear map", 0.863, 0.044),
        )
    ]  # fmt: skip
    metric = accuracies[2]
    ahead = af.Claim(
        id=f"L-{place}/metric-over-self", kind="ordering", quantity=f"metric_over_self{end}", predicted=1.0,
        statement="metric-attention finds at least as many labels as self-attention, on average", **common,
    )  # fmt: skip
    return [
        *accuracies,
        metric.control(
            statement="metric-attention finds this share after training on labels that were dealt out anew",
            quantity=f"shuffled{end}", truth=0.5, truth_margin=0.15,
        ),
        ahead,
        ahead.control(
            statement="metric-attention does so after training on labels that were dealt out anew",
            quantity=f"shuffled_over_self{end}", truth=-0.4, truth_margin=0.2,
        ),
        af.Claim(
            id=f"L-{place}/metric-over-l2", kind="ordering", quantity=f"metric_over_l2{end}", predicted=1.0,
            statement="metric-attention finds at least as many labels as L2 attention, on average", **common,
        ),
        af.Claim(
            id=f"L-{place}/learned-over-frozen", kind="ordering", quantity=f"metric_over_frozen{end}", predicted=1.0,
            statement=r"a learned $\varphi$ finds at least as many labels as one that stays as drawn", **common,
        ),
        af.Claim(
            id=f"L-{place}/no-metric-needed", kind="constant", quantity=f"metric_over_mlp_dot{end}", predicted=0.0,
            margin=0.03, statement=r"$\varphi$ inside a dot product finds as many labels as its metric", **common,
        ),
        af.Claim(
            id=f"L-{place}/no-attention-needed", kind="constant", quantity=f"metric_over_mlp{end}", predicted=0.0,
            margin=0.03, statement="a perceptron without attention finds as many labels as metric-attention", **common,
        ),
        af.Claim(
            id=f"L-{place}/sooner", kind="ordering", quantity=f"metric_sooner_than_self{end}", predicted=1.0,
            statement="metric-attention needs no more steps than self-attention to the loss 0.3", **common,
        ),
        af.Claim(
            id=f"L-{place}/varies-less", kind="ordering", quantity=f"self_varies_more{end}", predicted=1.0,
            statement="self-attention varies at least as much with the seed as metric-attention", **common,
        ),
    ]  # fmt: skip


def losses(records: list) -> Figure:
    """Return the losses of all networks, trained and tested together."""
    return loss_figure(records[0][1], NAMES)


def accuracies(records: list) -> Figure:
    """Return what each seed of each network finds, trained and tested together."""
    return accuracy_figure(records[0][1], NAMES, chance=0.5)


study = af.Study(
    name="moons",
    measure=measure,
    ladder=[{"points": 200, "protocol": protocol} for protocol in ("together", "apart")],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=claims("moons", ""),
    full_claims=claims("moons-apart", "_apart"),
    figures=[losses, accuracies],
    labels={
        f"{quantity}{end}": words
        for end in ("", "_apart")
        for quantity, words in labels_of(KINDS[:-1], ("self", "l2", "frozen", "mlp_dot", "mlp"), level=LEVEL).items()
    },
)
