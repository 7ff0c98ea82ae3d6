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
from classifiers import TRAINING, claims_of, compared, labels_of, variances
from comparisons import NAMES, pictures
from matplotlib.figure import Figure

import attnflow as af

KINDS = ("self", "l2", "metric", "mlp_dot", "mlp", "linear")
WIDTH, BATCH, LEVEL = 32, 64, 0.5


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return accuracies and differences of networks; quantities of tokens apart end in `_apart`."""
    draws = [af.learn.digits(key=key, count=case["tokens"], train=0.8) for key in keys]
    return compared(KINDS, draws, keys, width=WIDTH, tokens=BATCH, protocol=case["protocol"], level=LEVEL)


def claims(place: str, end: str) -> list[af.Claim]:
    """Return the claims of one protocol."""
    common: dict[str, Any] = dict(
        source="RZ", size="tokens", measures=("learned",),
        hypotheses=f"1797 digits, trained and tested {'apart' if end else 'together'}; one block of width {WIDTH}, "
        f"{TRAINING} with {BATCH} tokens each",
    )  # fmt: skip
    found = [
        ("self", 0.848, 0.096), ("l2", 0.974, 0.010), ("metric", 0.979, 0.005),
        ("mlp_dot", 0.961, 0.010), ("mlp", 0.971, 0.010), ("linear", 0.972, 0.010),
    ]  # fmt: skip
    both, ordering = claims_of(place, end, found, shuffled=(0.1, 0.05), behind=(0.1 - 0.979, 0.1), common=common)
    over_dot = r"the metric of $\varphi$ finds at least as many labels as $\varphi$ inside a dot product, on average"
    return [
        *both,
        ordering("metric-over-dot", "metric_over_mlp_dot", over_dot),
        af.Claim(
            id=f"L-{place}/no-attention-needed", kind="constant", quantity=f"metric_over_linear{end}", predicted=0.0,
            margin=0.02, statement="a linear map finds as many labels as metric-attention", **common,
        ),
    ]  # fmt: skip


def accuracies(records: list) -> Figure:
    """Draw losses and accuracies of all seeds, trained and tested together."""
    return pictures(records, {name: NAMES[name] for name in KINDS}, label="share of labels found")


def spreads(records: list) -> Figure:
    """Draw where the variance of accuracies over the seeds comes from."""
    return variances(records, KINDS)


study = af.Study(
    name="digits",
    measure=measure,
    ladder=[{"tokens": 1797, "protocol": protocol} for protocol in ("together", "apart")],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered(claims("digits", ""), by="L-digits-control/metric"),
    full_claims=af.covered(claims("digits-apart", "_apart"), by="L-digits-apart-control/metric"),
    figures=[accuracies, spreads],
    labels=labels_of(KINDS, ("self", "l2", "mlp_dot", "linear"), level=LEVEL),
)
