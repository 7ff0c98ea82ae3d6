"""Does attention with a learned metric beat dot products on two moons, and is it for the metric?

Two half circles with noise .2 hold 160 tokens for training and 40 for testing, drawn anew for each seed. A network maps
them to 16 coordinates, lets them exchange information in one block without residual, and maps them to two logits:

    X -> A(X) X W' + b,    A = softmax of    <Q x, K y>             self-attention
                                             -|Q (x - y)|^2         L2 attention  [K]
                                             -|phi(x) - phi(y)|^2   metric-attention  [RZ]
                                             <phi(x), phi(y)>       the same phi inside a dot product

with phi a perceptron of one hidden layer of 16. Without attention, the block is such a perceptron, or linear. All train
for 2000 steps of Adam at the rate .002 with the decay 5e-4, on the cross-entropy of the labels for training.

[RZ] state that metric-attention is ahead of self-attention in accuracy, in steps and in how little it varies with the
seed. Measured: the accuracy of each on the tokens for testing against that of another implementation of the same
comparison, run once (the accuracies and the spreads over 10 seeds in the claims; its rate is not known, and of .001,
.002, .003 and .01 the one was taken at which, with other seeds, all six were met here and most on digits); differences
of two networks that had the same tokens and the same seed; and, of accuracies, the distance from the median over the
seeds of a record.
Whether it is for learning is asked by a phi that stays as it was drawn; whether it is for the metric by two networks
that have phi but no metric: inside a dot product, and without attention. Neither should do as well if it were.

Trained and tested together, tokens for testing are attended to in training, without their labels; in the full run also
apart, each part attending to itself. The control trains metric-attention on labels that were dealt out anew.
"""

from typing import Any

import jax
import numpy as np
from classifiers import TRAINING, claims_of, compared, labels_of, variances
from comparisons import NAMES, pictures
from matplotlib.figure import Figure

import attnflow as af

KINDS = ("self", "l2", "metric", "mlp_dot", "mlp", "linear", "frozen")
WIDTH, LEVEL = 16, 0.3


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies and differences of networks; quantities of tokens apart end in `_apart`."""
    test = case["points"] // 5
    draws = [af.learn.moons(key=key, count=case["points"] - test, test=test) for key in keys]
    return compared(KINDS, draws, keys, width=WIDTH, tokens=None, protocol=case["protocol"], level=LEVEL)


def claims(place: str, end: str) -> list[af.Claim]:
    """Return the claims of one protocol."""
    common: dict[str, Any] = dict(
        source="RZ", size="points", measures=("learned",),
        hypotheses=f"moons, 160 + 40 tokens, trained and tested {'apart' if end else 'together'}; one block of width "
        f"{WIDTH}, {TRAINING}",
    )  # fmt: skip
    found = [
        ("self", 0.894, 0.072), ("l2", 0.874, 0.044), ("metric", 0.970, 0.024),
        ("mlp_dot", 0.971, 0.022), ("mlp", 0.977, 0.024), ("linear", 0.863, 0.044),
    ]  # fmt: skip
    both, ordering = claims_of(place, end, found, shuffled=(0.5, 0.2), behind=(0.5 - 0.97, 0.2), common=common)
    learned = r"a learned $\varphi$ finds at least as many labels as one that stays as drawn, on average"
    alike = [
        ("no-metric-needed", "mlp_dot", r"$\varphi$ inside a dot product finds as many labels as its metric"),
        ("no-attention-needed", "mlp", "a perceptron without attention finds as many labels as metric-attention"),
    ]
    return [
        *both,
        ordering("learned-over-frozen", "metric_over_frozen", learned),
        *[
            af.Claim(
                id=f"L-{place}/{id}", kind="constant", quantity=f"metric_over_{name}{end}", predicted=0.0, margin=0.03,
                statement=statement, **common,
            )
            for id, name, statement in alike
        ],
    ]  # fmt: skip


def accuracies(records: list) -> Figure:
    """Draw losses and accuracies of all seeds, trained and tested together."""
    return pictures(records, {name: NAMES[name] for name in KINDS}, label="share of labels found")


def spreads(records: list) -> Figure:
    """Draw where the variance of accuracies over the seeds comes from."""
    return variances(records, KINDS)


study = af.Study(
    name="moons",
    measure=measure,
    ladder=[{"points": 200, "protocol": protocol} for protocol in ("together", "apart")],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered(claims("moons", ""), by="L-moons-control/metric"),
    full_claims=af.covered(claims("moons-apart", "_apart"), by="L-moons-apart-control/metric"),
    figures=[accuracies, spreads],
    labels=labels_of(KINDS[:-1], ("self", "l2", "frozen", "mlp_dot", "mlp"), level=LEVEL),
)
