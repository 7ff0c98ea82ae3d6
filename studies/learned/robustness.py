"""Is metric-attention more robust than the dot product, as the seed paper says, and in which sense?

Moons: 160 tokens for training and 40 for testing, noise .2, standardised; one block of width 16 without residual, 400
steps of Adam at the rate .01. Four kinds of attention are trained from the same keys on the same draws: the dot product
(self), L2, the learned metric, and the map of the metric inside a dot product (MLP-dot). Measured on the tokens for
testing, while all others stay as they are:

- the accuracy under Gaussian noise of standard deviation .4;
- the accuracy under an attack, 10 steps of projected gradient ascent with every coordinate of a token within .4 of
  where it was. An attack is no bound: where gradients vanish a stronger one may be missed;
- the largest singular value of d logits_i / d token_i, its median over 20 tokens for testing.

Orderings are differences with the same seed; that of Lipschitz constants is (b - a)/(a + b), positive where a, the
first, is the smaller. Robust accuracy and small constants are two things: a metric that is learned tells near tokens
apart, for which its constants grow. So both are claimed, each in the direction that a trial with other seeds had.
Margins are zero, whatever is ahead. The control under noise is the metric trained on labels that were dealt out anew;
that under attack attacks one side only; that of constants is the metric before it is trained.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from comparisons import network_of
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

KINDS = ("self", "l2", "metric", "mlp_dot")
WIDTH, TRAINED, TESTED, NOISE = 16, 160, 40, 0.2
STEPS, RATE, DECAY = 400, 0.01, 5e-4
SIGMA, RADIUS, ASKED = 0.4, 0.4, 20


@eqx.filter_jit
def withstood(models: Any, data: Any, keys: jax.Array) -> dict[str, jax.Array]:
    """Return what all seeds withstand, by name, (seeds,)."""

    def of_seed(model: Any, data: Any, key: jax.Array) -> dict[str, jax.Array]:
        tokens, labels, test = (jnp.asarray(array[0]) for array in (data.tokens, data.labels, data.test))
        tokens = tokens.astype(jnp.float32)

        def surprise(logits: jax.Array) -> jax.Array:
            chosen = jnp.take_along_axis(logits, labels[:, None], axis=1)[:, 0]
            return jnp.sum(jnp.where(test, jax.nn.logsumexp(logits, axis=1) - chosen, 0)) / jnp.sum(test)

        found = {
            "clean": af.learn.accuracy(model, tokens, labels, where=test),
            "noise": af.learn.noise_accuracy(model, tokens, labels, sigma=SIGMA, key=key, where=test),
        }
        moved = af.learn.pgd(model, surprise, tokens, radius=RADIUS, where=test)
        found["attack"] = af.learn.accuracy(model, moved, labels, where=test)
        asked = jnp.flatnonzero(test, size=ASKED)
        own = af.learn.local_lipschitz(model, tokens, key=key, at=asked, steps=1).own
        return found | {"lipschitz": jnp.median(own)}

    return eqx.filter_vmap(of_seed)(models, data, keys)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return what each kind withstands, and how far the metric is ahead of the others with the same seed."""
    seeds = jnp.stack(keys)
    draws = [af.learn.moons(key=key, count=case["tokens"], test=TESTED, noise=NOISE).standardized() for key in keys]
    right = af.learn.stack(draws)
    dealt = af.learn.stack([draw.shuffled(key=key) for draw, key in zip(draws, keys, strict=True)])
    runs = {kind: (kind, right, STEPS) for kind in KINDS}
    runs |= {"shuffled": ("metric", dealt, STEPS), "raw": ("metric", right, 0)}
    found: dict[str, np.ndarray] = {}
    for name, (kind, data, steps) in runs.items():
        trained = af.learn.train(
            network_of(kind, inputs=2, width=WIDTH, outputs=2), af.learn.TokenLoss(), data,
            keys=seeds, steps=steps, learning_rate=RATE,
            weight_decay=DECAY, every=STEPS, checkpoint=af.scratch_folder(),
        )  # fmt: skip
        numbers = withstood(trained.models, right, seeds)
        found |= {f"{name}_{quantity}": np.asarray(values) for quantity, values in numbers.items()}
    for other in WORDS:
        for way in WAYS:
            found[f"metric_over_{other}_{way}"] = found[f"metric_{way}"] - found[f"{other}_{way}"]
            found[f"shuffled_over_{other}_{way}"] = found[f"shuffled_{way}"] - found[f"{other}_{way}"]
        for name in ("metric", "raw"):
            larger, smaller = found[f"{name}_lipschitz"], found[f"{other}_lipschitz"]
            found[f"{other}_below_{name}"] = (larger - smaller) / (larger + smaller)
    found["attacked_self_over_metric"] = found["self_attack"] - found["metric_clean"]
    return found


WORDS = {"self": "self-attention", "l2": "L2 attention", "mlp_dot": "the same map inside a dot product"}
WAYS = {
    "noise": "under Gaussian noise of standard deviation .4",
    "attack": "under an attack of radius .4",
}
common: dict[str, Any] = dict(
    source="RZ", kind="ordering", size="tokens", predicted=1.0, measures=("learned",),
    hypotheses="moons, 160 + 40 tokens, one block of width 16, 400 steps of Adam at the rate .01",
)  # fmt: skip
more_accurate = [
    af.Claim(
        id=f"L-robust/{way}-{other}", quantity=f"metric_over_{other}_{way}",
        statement=f"{words} metric-attention finds at least as many labels as {WORDS[other]}", **common,
    )
    for way, words in WAYS.items()
    for other in WORDS
]  # fmt: skip
stiffer = [
    af.Claim(
        id=f"L-stretch/{other}", quantity=f"{other}_below_metric",
        statement=f"the logits of {words} have a smaller local Lipschitz constant than those of metric-attention",
        **common,
    )
    for other, words in WORDS.items()
]  # fmt: skip
controls = [
    more_accurate[2].control(
        statement=f"{WAYS['noise']} metric-attention, trained on labels that were dealt out anew, finds at least as "
        f"many as {WORDS['mlp_dot']}",
        quantity="shuffled_over_mlp_dot_noise", truth=-0.5, truth_margin=0.45,
    ),
    more_accurate[3].control(
        statement=f"{WAYS['attack']} self-attention finds at least as many labels as metric-attention without it",
        quantity="attacked_self_over_metric", truth=-0.5, truth_margin=0.45,
    ),
    stiffer[1].control(
        statement=f"the logits of {WORDS['l2']} have a smaller local Lipschitz constant than those of metric-attention "
        "before it is trained",
        quantity="l2_below_raw", truth=-0.9, truth_margin=0.3,
    ),
]  # fmt: skip


def robust_accuracy(cases: list[tuple[dict, dict[str, np.ndarray]]]) -> Figure:
    """Draw what every seed finds of the labels, as the tokens are and disturbed."""
    _, found = cases[0]
    drawn = plots.figure(width=7.2, height=2.6)
    titles = {"clean": "tokens as they are", "noise": r"noise $\sigma = 0.4$", "attack": "attack, radius 0.4"}
    names = {
        "self": "self", "l2": "L2", "metric": "metric", "mlp_dot": r"$\varphi$ in a dot product",
        "shuffled": "metric, labels\ndealt out anew",
    }  # fmt: skip
    for ax, (way, title) in zip(drawn.subplots(1, 3, sharex=True, sharey=True), titles.items(), strict=True):
        values = {words: found[f"{name}_{way}"] for name, words in names.items()}
        plots.dots_and_violins(ax, values=values, label="share of labels found", reference=0.5)
        ax.set_title(title)
    return drawn


def local_lipschitz(cases: list[tuple[dict, dict[str, np.ndarray]]]) -> Figure:
    """Draw the local Lipschitz constants of the logits of every seed."""
    _, found = cases[0]
    drawn = plots.figure(width=4.4, height=2.4)
    names = {
        "self": "self", "l2": "L2", "metric": "metric", "mlp_dot": r"$\varphi$ in a dot product",
        "raw": "metric, untrained",
    }  # fmt: skip
    values = {words: np.log10(found[f"{name}_lipschitz"]) for name, words in names.items()}
    plots.dots_and_violins(drawn.subplots(), values=values, label=r"$\log_{10}$ of the local Lipschitz constant")
    return drawn


study = af.Study(
    name="robustness",
    measure=measure,
    ladder=[{"tokens": TRAINED}],
    quick=1,
    seeds=30,
    quick_seeds=10,
    claims=af.covered(
        [*more_accurate, *stiffer, *controls],
        by={
            "L-robust/noise-self": "L-robust-control/noise-mlp_dot",
            "L-robust/noise-l2": "L-robust-control/noise-mlp_dot",
            "L-robust/attack-l2": "L-robust-control/attack-self",
            "L-robust/attack-mlp_dot": "L-robust-control/attack-self",
            "L-stretch/self": "L-stretch-control/l2",
            "L-stretch/mlp_dot": "L-stretch-control/l2",
        },
    ),
    figures=[robust_accuracy, local_lipschitz],
    labels={
        **{claim.quantity: "more labels found by metric-attention" for claim in more_accurate},
        **{claim.quantity: "smaller Lipschitz constant than metric-attention, relative" for claim in stiffer},
        "shuffled_over_mlp_dot_noise": "more labels found after training on others",
        "attacked_self_over_metric": "more labels found by self-attention",
        "l2_below_raw": "smaller Lipschitz constant than before training, relative",
    },
)
