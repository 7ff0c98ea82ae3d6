"""Where do trained heads lie on the temperature curve of attention among random keys?

Five heads of a protein model on the 122 tokens of a protein, logits l_ij = q_i.k_j / 8 as trained. Multiplied by a
scale c, from 1/4 to 4, they give the weights w_ij ~ e^{c l_ij}, and the mean over rows of sum_j w_ij^2 is what
`temp_curve` has for random keys, 1/n for a small c and one for a large one. Beside each head, exact integrals (the
module `independent_logits`) say what independent logits would give:

    own     of one law, all that the head has, rows less their means;
    read    of one law for each kind of pair. Kinds are what `attnflow probe` says of the head: for a window, offsets
            j - i up to 8 each way, all others, and the two special tokens; for a sink, the key j;
    rows    Gaussian, of the spread of each row;
    scaled  of one law but for a spread of each row, a curve that was added after a look at the first run.

Among n Gaussian logits of the spread sigma condensation begins at sigma_c = (2 log n)^{1/2}, 3.10 for 122 keys.
Whatever a head's logits, it has an equivalent spread, at which Gaussian ones are as condensed, and c = 1 is above the
critical temperature if that is less than sigma_c.

Claimed before trained weights were looked at: a head is off its own curve, farther than its logits shuffled over all
pairs are by chance, by .03 in the mean over c = 1/2, 1, 2 of the distance (temp-heads); what the probe says of it
explains most of that: the curve `read` is at least twice as near as `own` (temp-heads-read); and each is above the
critical temperature as trained (temp-heads-hot), as from 8 to 51 effective keys suggest. Derived, and exact: a trained
query among Gaussian keys of the trained keys' covariance S is on the Gaussian curve at the spread (q'Sq)^{1/2} / 8
(temp-heads-gaussian, at c = 2).

The controls take logits shuffled once more for the head, whose advantages are none; Gaussian logits of 2 sigma_c, which
are below their critical temperature by (1 - 2)/(1 + 2); and for the Gaussian curve its limit for many keys,
1 - sigma_c/sigma or nothing. A head has no randomness: seeds are those of shuffles and of Gaussian keys. One model, and
one protein.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from independent_logits import (
    critical_spread,
    equivalent_spread,
    gaussian_curve,
    laws_of,
    participation,
    scaled_rows,
)
from matplotlib.figure import Figure
from temp_curve import log_totals
from trained_heads import HEADS, TOKENS, centred, kinds, trained

import attnflow as af
from attnflow.lab import plots

SCALES = tuple(2.0 ** (k / 2) for k in range(-4, 5))
DOUBLED = tuple(2.0 ** (k / 2) for k in range(-4, 7))  # of w^2 the total is Z(2c)
NEAR = [2, 4, 6]  # SCALES 1/2, 1, 2
TRAINED, TWICE = 4, 6  # SCALES 1 and 2
DRAWS = 4  # of Gaussian keys, for each seed


def curves(logits: np.ndarray, read: str, which: Sequence[int]) -> np.ndarray:
    """Return the exact integrals for one law, and for a law for each kind of pair, at some of the scales, (2, C)."""
    laws = [laws_of(kinds(each)) for each in ("own", read)]
    return np.array([participation(logits, *laws, scale=SCALES[index]) for index in which]).T


@functools.cache
def curves_of(name: str) -> dict[str, np.ndarray]:
    """Return what independent logits would give at all scales: `own`, `read`, `rows` and `scaled`."""
    logits = centred(name)
    own, read = curves(logits, HEADS[name], range(len(SCALES)))
    spreads = logits.std(axis=1, ddof=1)
    rows = np.array([gaussian_curve(TOKENS)(scale * spreads).mean() for scale in SCALES])
    return {"own": own, "read": read, "rows": rows, "scaled": scaled_rows(logits, SCALES)}


def condensed(keys: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return the mean over queries of sum_j w_j^2 at all scales.

    Coordinates that are zero change no product, and make one compiled program do.
    """
    keys, at = (np.pad(points, ((0, 0), (0, TOKENS - points.shape[1]))) for points in (keys, at))
    totals = dict(zip(DOUBLED, np.array(log_totals(keys, at, DOUBLED, life=af.EmpiricalAttention)), strict=True))
    return np.array([np.exp(totals[DOUBLED[index + 2]] - 2 * totals[c]).mean() for index, c in enumerate(SCALES)])


def of_logits(logits: np.ndarray) -> np.ndarray:
    """Return the same of logits that are given, as the coordinates of keys."""
    return condensed(logits.T.copy(), np.eye(len(logits)))


def off(values: np.ndarray, expected: np.ndarray) -> float:
    """Return the mean distance of values at all scales from what is expected, over c = 1/2, 1, 2."""
    return float(np.abs(values - expected)[NEAR].mean())


def advantage(one: float, other: float) -> float:
    """Return by how much the first is less, relative to both."""
    return float((other - one) / (other + one))


@functools.cache
def gaussian(name: str) -> tuple[np.ndarray, float, float]:
    """Return a root of the keys' covariance, and means over queries at c = 2: the Gaussian curve and its limit."""
    queries, keys = trained(name)
    values, vectors = np.linalg.eigh(np.cov(keys.T))
    root = vectors * np.sqrt(np.maximum(values, 0))
    spreads = SCALES[TWICE] * np.linalg.norm(queries @ root, axis=1)
    limit = np.maximum(1 - critical_spread(TOKENS) / spreads, 0)
    return root, float(gaussian_curve(TOKENS)(spreads).mean()), float(limit.mean())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return what is claimed of each head, and what is drawn."""
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    row: dict[str, Any] = {}
    critical = critical_spread(case["tokens"])
    for name, read in HEADS.items():
        queries, keys = trained(name)
        logits, expected = centred(name), curves_of(name)
        shuffled, again = (rng.permutation(logits.ravel()).reshape(logits.shape) for _ in range(2))
        found, chance = condensed(keys, queries), of_logits(shuffled)

        by_chance, away = off(chance, expected["own"]), off(found, expected["own"])
        row[f"off.{name}"] = away - by_chance
        row[f"read.{name}"] = advantage(off(found, expected["read"]), away)
        row[f"hot.{name}"] = advantage(equivalent_spread(found[TRAINED], case["tokens"]), critical)
        root, integral, limit = gaussian(name)
        drawn = [condensed(rng.standard_normal(keys.shape) @ root.T, queries)[TWICE] for _ in range(DRAWS)]
        row[f"gaussian.{name}"] = np.mean(drawn) - integral
        row[f"trained.{name}"], row[f"shuffled.{name}"] = found, chance
        row |= {f"curve.{kind}.{name}": values for kind, values in expected.items()}
        if name == "1.2":
            row["off.shuffled"] = off(of_logits(again), expected["own"]) - by_chance
            near_read = curves(shuffled, read, NEAR)[1]
            row["read.shuffled"] = advantage(float(np.abs(chance[NEAR] - near_read).mean()), by_chance)
            cold = of_logits(2 * critical * rng.standard_normal(logits.shape))[TRAINED]
            row["hot.cold"] = advantage(equivalent_spread(cold, case["tokens"]), critical)
            row["limit"] = np.mean(drawn) - limit
    return row


def placed(records: list) -> Figure:
    """Draw the heads over their spread beside the Gaussian curve, and each head beside what independent logits give."""
    _, found = max(((case["tokens"], arrays) for case, arrays in records), key=lambda pair: pair[0])
    critical, ratios = critical_spread(TOKENS), np.geomspace(0.09, 5, 81)
    drawn = plots.figure(width=7.2, height=4.6)
    (all_heads, *others) = drawn.subplots(2, 3, sharey=True).flat
    for index, (name, ax) in enumerate(zip(HEADS, others, strict=True)):
        colour, values = f"C{index}", found[f"trained.{name}"][0]
        at = np.array(SCALES) * centred(name).std() / critical
        all_heads.plot(at, values, color=colour, lw=1)
        all_heads.plot(at[TRAINED], values[TRAINED], "o", color=colour, ms=6, mec="k", mew=0.6, label=name)
        by_chance = found[f"shuffled.{name}"]
        ax.errorbar(SCALES, by_chance.mean(axis=0), 2 * by_chance.std(axis=0), fmt="none", color="0.7", lw=3, zorder=0)
        lines = (("own", "one law", "-", "0.35"), ("read", "by kind of pair", "--", "0.35"))
        for curve, label, dashes, shade in (*lines, ("scaled", "by spread of row", "-", colour)):
            ax.plot(SCALES, found[f"curve.{curve}.{name}"][0], dashes, color=shade, lw=1, label=label)
        ax.plot(SCALES, values, "o", color=colour, ms=3.5)
        ax.plot(1.0, values[TRAINED], "o", color=colour, ms=6, mec="k", mew=0.6)
        ax.set_xscale("log", base=2)
        ax.set(xlabel="scale $c$ of logits", title=f"{name}, {HEADS[name]}")
    all_heads.plot(ratios, gaussian_curve(TOKENS)(ratios * critical), color="k", lw=1, label="Gaussian")
    all_heads.plot(ratios, np.maximum(1 - 1 / ratios, 0), "k:", lw=0.8)
    all_heads.axvline(1, color="0.8", lw=0.8, zorder=0)
    all_heads.set_xscale("log", base=2)
    all_heads.set(xlabel=r"spread of logits over $\sigma_c$", ylim=(0, 1), title="five heads, as trained")
    for ax in (all_heads, others[0]):
        ax.legend(fontsize=6.5, frameon=False)
    for ax in (all_heads, others[2]):
        ax.set_ylabel(r"mean of $\sum_j w_j^2$")
    return drawn


def claims() -> list[af.Claim]:
    """Return what is claimed of each head, with the controls."""
    common: dict[str, Any] = dict(source="derived", size="tokens", measures=("empirical",))
    ordering = common | dict(kind="ordering", predicted=1.0)
    listed = []
    for name, read in HEADS.items():
        where = f"head {name} of AntiBERTy on the 122 tokens of a protein"
        off = af.Claim(
            id=f"temp-heads/{name}",
            statement="a trained head is off the curve of independent draws of its logits, beyond shuffled ones",
            quantity=f"off.{name}", margin=0.97, hypotheses=f"{where}, $c$ from $1/2$ to $2$", **ordering,
        )  # fmt: skip
        explained = af.Claim(
            id=f"temp-heads-read/{name}",
            statement="with a law for each kind of pair the curve is at least twice as near to a trained head",
            quantity=f"read.{name}", margin=1 - 1 / 3, statistic="median",
            hypotheses=f"{where}, a {read}, $c$ from $1/2$ to $2$", **ordering,
        )  # fmt: skip
        hot = af.Claim(
            id=f"temp-heads-hot/{name}",
            statement=r"the equivalent spread of a head is less than $\sigma_c = (2 \log n)^{1/2}$",
            quantity=f"hot.{name}", statistic="median", hypotheses=f"{where}, as trained", **ordering,
        )  # fmt: skip
        random = af.Claim(
            id=f"temp-heads-gaussian/{name}",
            statement=r"among Gaussian keys the mean of $\sum_j w_j^2$ is that of Gaussian logits",
            kind="constant", predicted=0.0, quantity=f"gaussian.{name}", margin=0.05,
            hypotheses=f"queries of {where}, $c = 2$", **common,
        )  # fmt: skip
        listed += [off, explained, hot, random]
        if name == "1.2":
            listed += [
                off.control(
                    statement="its shuffled logits are off that curve, beyond what others are",
                    quantity="off.shuffled", truth=0.0, truth_margin=0.025,
                ),
                explained.control(
                    statement="with a law for each kind of pair the curve is twice as near to shuffled logits",
                    quantity="read.shuffled", truth=0.0, truth_margin=0.1,
                ),
                hot.control(
                    statement=r"the equivalent spread of logits of the spread $2 \sigma_c$ is less than $\sigma_c$",
                    quantity="hot.cold", truth=-1 / 3, truth_margin=0.15,
                ),
                random.control(
                    statement=r"among Gaussian keys it is $1 - \sigma_c / \sigma$ of each query, or nothing",
                    quantity="limit", truth=0.192, truth_margin=0.03,  # both integrals over the queries' spreads
                ),
            ]  # fmt: skip
    return listed


COVER = {
    f"{family}/{name}": f"{family}-control/1.2"
    for family in ("temp-heads", "temp-heads-read", "temp-heads-hot", "temp-heads-gaussian")
    for name in HEADS
    if name != "1.2"
}
study = af.Study(
    name="temp_heads",
    measure=measure,
    ladder=[{"tokens": TOKENS}],
    quick=1,
    claims=af.covered(claims(), by=COVER),
    seeds=128,
    quick_seeds=16,
    figures=[placed],
    labels={
        **{f"off.{name}": "distance from the curve beyond that by chance" for name in (*HEADS, "shuffled")},
        **{f"read.{name}": "advantage of a law for each kind of pair" for name in (*HEADS, "shuffled")},
        **{f"hot.{name}": r"advantage of $\sigma_c$ over the equivalent spread" for name in (*HEADS, "cold")},
        **{f"gaussian.{name}": r"$\sum_j w_j^2$ less that of Gaussian logits" for name in HEADS},
        "limit": r"$\sum_j w_j^2$ less its limit",
    },
)
