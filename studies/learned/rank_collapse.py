"""Do networks of several blocks without residual fail to learn, and does that have to do with the metric?

Two moons, as in the study `moons`, with one, two and four blocks of attention of width 16 and 100 steps of Adam. A run
has collapsed if its loss is still within one percent of log 2, that of a guess, as `af.learn.has_collapsed` has it: all
tokens leave the last block alike. Each block averages, and without residual the tokens come together like three powers
per block (study `collapse` of moving tokens); so with four blocks they are alike at the start already.

Measured: whether a run has collapsed, of self-attention and of metric-attention, which averages as well. The control
adds the residual, by which tokens stay apart.
"""

from typing import Any

import jax
import numpy as np
from classifiers import DECAY, RATE
from comparisons import NAMES, network_of
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

WIDTH, STEPS = 16, 100


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return whether runs have collapsed: with so many blocks, and with four also with a residual."""
    data = af.learn.stack([af.learn.moons(key=key, count=160, test=40) for key in keys])
    found = {}
    for name in ("self", "metric", "residual"):
        residual = name == "residual"
        make = network_of(
            "self" if residual else name, inputs=2, width=WIDTH, outputs=2, blocks=case["blocks"], residual=residual
        )
        run = af.learn.train(
            make, af.learn.TokenLoss(), data, keys=keys, steps=STEPS, every=STEPS, learning_rate=RATE,
            weight_decay=DECAY, checkpoint=af.scratch_folder(),
        )  # fmt: skip
        found[name] = af.learn.has_collapsed(run.losses[:, -20:].mean(axis=1), classes=2)
    return {f"{name}_{case['blocks']}": collapsed for name, collapsed in found.items()}


COMMON: dict[str, Any] = dict(
    source="Dong", size="blocks", measures=("learned",), kind="flag", predicted=True,
    hypotheses="moons, 160 + 40 tokens; four blocks without residual, 100 steps of Adam",
)  # fmt: skip
by_self = af.Claim(
    id="L-collapse/self", quantity="self_4",
    statement="four blocks of self-attention without residual still guess after training", **COMMON,
)  # fmt: skip


def collapsed(records: list) -> Figure:
    """Return how many seeds have collapsed, over the number of blocks."""
    drawn = plots.figure(width=5.2, height=3.2)
    blocks = [case["blocks"] for case, _ in records]
    plots.collapse_counts(
        drawn.add_subplot(),
        blocks=np.array(blocks),
        collapsed={
            words: np.array([arrays[f"{name}_{case['blocks']}"] for case, arrays in records])
            for name, words in (("self", NAMES["self"]), ("metric", NAMES["metric"]), ("residual", "with residual"))
        },
    )
    return drawn


study = af.Study(
    name="rank_collapse",
    measure=measure,
    ladder=[{"blocks": blocks} for blocks in (4, 2, 1)],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered([
        by_self,
        by_self.control(
            statement="four blocks of self-attention with residual still guess after training",
            quantity="residual_4",
            truth=False,
        ),
        af.Claim(
            id="L-collapse/metric", quantity="metric_4",
            statement="four blocks of metric-attention without residual still guess after training", **COMMON,
        ),
    ], by="L-collapse-control/self"),
    figures=[collapsed],
    labels={
        "self_4": "self-attention still guesses",
        "metric_4": "metric-attention still guesses",
        "residual_4": "self-attention with residual still guesses",
    },
)  # fmt: skip
