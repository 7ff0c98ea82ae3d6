"""Does a transformer whose attention is a learned metric, or an implicit kernel, translate better?

A toy language puts together what was learned apart: a quarter of all pairs of a verb and an object come in sentences
for testing only (240 of 560). A pre-norm transformer of one layer in the encoder and one in the decoder, 32 coordinates
and two heads, has one kind of attention in all of its three places:

    scaled     <Q x, K y> / sqrt k  [Vaswani]
    metric     -|phi(x) - phi(y)|^2  [RZ]
    implicit   log of a kernel whose spectrum is learned, with the norm of keys  [S]

All train for 250 steps of Adam at the rate .005 with the decay 5e-4, on batches of 32 sentences, from the same seeds
and draws. Sentences for testing are then translated word by word, the likeliest first: by BLEU, without smoothing, and
by the share that is exact. How soon a kind learns is the step at which the loss per word, a mean over ten steps, is
first at most 1/2; differences are relative, (b - a)/(a + b). Sizes, steps and the level are those at which a trial of
scaled dot products and metric-attention learned its sentences; the claims are those of the papers, that the learned
kinds are ahead, whatever the trial said.

[RZ] and [S] translate Multi30k and WMT. Their sizes are not those of this study: with files at hand,
`af.learn.multi30k(folder)` reads the former, and no row speaks of it. The control trains metric-attention on
translations that were dealt out anew.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from comparisons import curves, differences, pictures, runs_of, shares
from matplotlib.figure import Figure

import attnflow as af

WIDTH, HEADS, LENGTH, COUNT, KNOWN = 32, 2, 7, 560, 320
LEVEL, WINDOW = 0.5, 10
SIZES: dict[str, Any] = {"heads": HEADS, "features": WIDTH // HEADS}
KINDS: dict[str, Callable] = {
    "scaled": partial(af.learn.ScaledSelfAttention, **SIZES),
    "metric": partial(af.learn.MetricAttention, **SIZES),
    "implicit": partial(af.learn.ImplicitKernel, **SIZES, frequencies=16, norm=2),
}
PAIRS = [("metric", "scaled"), ("implicit", "scaled"), ("shuffled", "scaled")]


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return BLEU, exact matches and steps to a loss of each kind, and how far one is ahead of another."""
    draws = [af.learn.toy_translation(key=key, count=COUNT, train=KNOWN / COUNT) for key in keys]
    words = len(draws[0].source_words), len(draws[0].target_words)

    def make(name: str, key: jax.Array) -> "af.learn.EncoderDecoder":
        def heads(width: int, key: jax.Array) -> "af.learn.Heads":
            return KINDS[name](width, key=key)

        return af.learn.EncoderDecoder(words, WIDTH, length=LENGTH, make_heads=heads, key=key)

    makes = {name: partial(make, name) for name in KINDS}
    runs = runs_of(
        makes, af.learn.SentenceLoss(32), draws, keys, control="metric", steps=case["steps"], learning_rate=0.005
    )
    sources = np.stack([draw.source[draw.test] for draw in draws])
    references = [af.learn.decode(draw.target[draw.test], draw.target_words) for draw in draws]
    found: dict[str, dict[str, np.ndarray]] = {"bleu": {}, "exact": {}}
    for name, run in runs.items():
        rows = np.asarray(af.learn.translations_of(run.models, sources))
        sentences = [af.learn.decode(row, draws[0].target_words) for row in rows]
        for score, values in zip((af.learn.bleu, af.learn.exact_match), found.values(), strict=True):
            values[name] = np.array([score(*pair) for pair in zip(sentences, references, strict=True)])
    steps = {name: af.learn.steps_to(run.losses, LEVEL, window=WINDOW) for name, run in runs.items()}
    return {
        **{f"{score}.{name}": values for score, each in found.items() for name, values in each.items()},
        **found["bleu"],
        **differences(found["bleu"], PAIRS),
        **differences(found["exact"], PAIRS, ".exact"),
        **shares(steps, PAIRS, ".steps"),
        **curves(runs),
    }  # fmt: skip


def translations(records: list) -> Figure:
    """Draw losses and BLEU of all seeds."""
    kinds = {"scaled": "scaled dot products", "metric": "learned metric", "implicit": "implicit kernel"}
    return pictures(records, kinds, label="BLEU")


COMMON: dict[str, Any] = dict(
    size="steps", kind="ordering", predicted=1.0, measures=("learned",),
    hypotheses="toy grammar, 320 + 240 sentences, one layer of width 32, two heads, 250 steps of Adam",
)  # fmt: skip


def ahead(name: str, words: str, source: str) -> list[af.Claim]:
    """Return the claims that a kind of attention is ahead of scaled dot products."""
    return [
        af.Claim(
            id=f"L-translation/{name}-{what}", quantity=f"{name}_over_scaled{end}", source=source,
            statement=f"{words} {does}, on average", **COMMON,
        )
        for what, end, does in (
            ("bleu", "", "reaches at least the BLEU of scaled dot products"),
            ("exact", ".exact", "translates at least as many sentences exactly as scaled dot products"),
            ("sooner", ".steps", "needs no more steps than scaled dot products to the loss 0.5 per word"),
        )
    ]  # fmt: skip


metric = ahead("metric", "metric-attention", "RZ")
study = af.Study(
    name="translation",
    measure=measure,
    ladder=[{"steps": 250}],
    quick=1,
    claims=af.covered([
        *metric,
        metric[0].control(
            statement="metric-attention does so after training on translations that were dealt out anew",
            quantity="shuffled_over_scaled", truth=-0.75, truth_margin=0.25,
        ),
        *ahead("implicit", "an implicit kernel", "S"),
    ], by="L-translation-control/metric-bleu"),
    seeds=30,
    quick_seeds=10,
    figures=[translations],
    labels={
        **{f"{name}_over_scaled": f"BLEU, {name} $-$ scaled" for name in ("metric", "implicit", "shuffled")},
        **{f"{name}_over_scaled.exact": f"exact, {name} $-$ scaled" for name in ("metric", "implicit")},
        **{f"{name}_over_scaled.steps": f"steps, (scaled $-$ {name}) / sum" for name in ("metric", "implicit")},
    },
)  # fmt: skip
