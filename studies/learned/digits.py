"""Does attention with a learned metric beat dot products on written digits?

1797 digits of 8 x 8 pixels are the tokens of one set, four fifths of them for training, split anew for each seed: they
stand in for MNIST, whose files `af.learn.mnist` reads where they are at hand. A network maps them to 32 coordinates,
lets them exchange information in one block without residual, and maps them to ten logits; kinds of blocks, training and
differences are those of the study `moons`. A step of Adam sees 64 tokens that are drawn from all of them, the loss
those among them that are for training; tested are all tokens in one set.

[RZ] state that metric-attention is ahead of self-attention. The accuracies that are claimed are those of another
implementation of the same comparison, run once over 10 seeds, within its spreads where it gives them, else within .01.
Apart, in the full run, digits for training and for testing attend to those of their own part. The control trains
metric-attention on labels that were dealt out anew.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from together import NAMES, accuracy_figure, compared, labels_of, loss_figure, network_of, trained

import attnflow as af

KINDS = ("self", "l2", "metric", "mlp_dot", "mlp", "linear")
WIDTH, BATCH, LEVEL = 32, 64, 0.5


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies and differences of networks; quantities of tokens apart end in `_apart`."""
    draws = [af.learn.digits(key=key, count=case["tokens"], train=0.8) for key in keys]
    right = af.learn.stack(draws)
    wrong = af.learn.stack([draw.shuffled(key=key) for draw, key in zip(draws, keys, strict=True)])
    runs = {
        name: trained(
            network_of("metric" if name == "shuffled" else name, inputs=64, width=WIDTH, outputs=10),
            wrong if name == "shuffled" else right, keys, tokens=BATCH, protocol=case["protocol"],
        )
        for name in (*KINDS, "shuffled")
    }  # fmt: skip
    end = "_apart" if case["protocol"] == "apart" else ""
    return {f"{name}{end}": values for name, values in compared(runs, level=LEVEL).items()}


def claims(place: str, end: str) -> list[af.Claim]:
    """Return the claims of one protocol."""
    common: dict[str, Any] = dict(
        source="RZ", size="tokens",
        hypotheses=f"1797 digits, trained and tested {'apart' if end else 'together'}; one block of width 32, "
        "2000 steps of Adam with 64 tokens each",
    )  # fmt: skip
    accuracies = [
        af.Claim(
            id=f"L-{place}/{name}", kind="constant", quantity=f"{name}{end}", predicted=predicted, margin=margin,
            statement=f"{words} finds this share of the labels", **common,
        )
        for name, words, predicted, margin in (
            ("self", "self-attention", 0.848, 0.096), ("l2", "L2 attention", 0.974, 0.010),
            ("metric", "metric-attention", 0.979, 0.005), ("mlp_dot", r"$\varphi$ inside a dot product", 0.961, 0.010),
            ("mlp", "a perceptron without attention", 0.971, 0.010), ("linear", "a linear map", 0.972, 0.010),
        )
    ]  # fmt: skip
    metric = accuracies[2]

    def ordering(id: str, quantity: str, statement: str, **more: Any) -> af.Claim:
        return af.Claim(
            id=f"L-{place}/{id}", kind="ordering", quantity=f"{quantity}{end}", predicted=1.0, statement=statement,
            **common, **more,
        )  # fmt: skip

    ahead = ordering(
        "metric-over-self", "metric_over_self",
        "metric-attention finds at least as many labels as self-attention, on average",
    )  # fmt: skip
    return [
        *accuracies,
        metric.control(
            statement="metric-attention finds this share after training on labels that were dealt out anew",
            quantity=f"shuffled{end}", truth=0.1, truth_margin=0.05,
        ),
        ahead,
        ahead.control(
            statement="metric-attention does so after training on labels that were dealt out anew",
            quantity=f"shuffled_over_self{end}", truth=-0.75, truth_margin=0.15,
        ),
        ordering(
            "metric-over-l2", "metric_over_l2",
            "metric-attention finds at least as many labels as L2 attention, on average",
        ),
        ordering(
            "metric-over-dot", "metric_over_mlp_dot",
            r"the metric of $\varphi$ finds at least as many labels as $\varphi$ inside a dot product, on average",
        ),
        af.Claim(
            id=f"L-{place}/no-attention-needed", kind="constant", quantity=f"metric_over_linear{end}", predicted=0.0,
            margin=0.02, statement="a linear map finds as many labels as metric-attention", **common,
        ),
        ordering(
            "sooner", "metric_sooner_than_self",
            "metric-attention needs no more steps than self-attention to the loss 0.5",
        ),
        ordering(
            "varies-less", "self_varies_more",
            "self-attention varies at least as much with the seed as metric-attention",
        ),
    ]  # fmt: skip


def losses(records: list) -> Figure:
    """Return the losses of all networks, trained and tested together."""
    return loss_figure(records[0][1], {name: NAMES[name] for name in KINDS})


def accuracies(records: list) -> Figure:
    """Return what each seed of each network finds, trained and tested together."""
    return accuracy_figure(records[0][1], {name: NAMES[name] for name in (*KINDS, "shuffled")}, chance=0.1)


study = af.Study(
    name="digits",
    measure=measure,
    ladder=[{"tokens": 1797, "protocol": protocol} for protocol in ("together", "apart")],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=claims("digits", ""),
    full_claims=claims("digits-apart", "_apart"),
    figures=[losses, accuracies],
    labels={
        f"{quantity}{end}": words
        for end in ("", "_apart")
        for quantity, words in labels_of(KINDS, ("self", "l2", "mlp_dot", "linear"), level=LEVEL).items()
    },
)
