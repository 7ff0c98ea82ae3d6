"""Do finitely many noisy tokens remember whether they were in order?

Above beta* (`noisy_order`) the even and an ordered law of dx = P int e^{beta <x, y>} y mu(dy) dt + sqrt(2 kappa) dB are
both stable for kappa between kappa# and the largest kappa of the branch. N tokens that begin in order then keep the
order R = |mean x| -> r of the branch; those that begin even stay so but for fluctuations. These solve, near even,

    dz = -(d - 1)(kappa - kappa#) z dt + noise,   so that   N E R^2 -> kappa / (kappa - kappa#),

1 without attention. Few tokens do not remember: by the Gaussian law of z even ones reach the unstable law between, of
order r_u, with the weight e^{-3 N r_u^2 (1 - kappa#/kappa) / 2}; here r_u = .517 and that is e^{-17} for N = 256.

A step goes along a great circle, x <- Exp_x(w + h (u + u') / 2), w the noise, u the drift at x and u' that at Exp_x(w +
h u), carried back along the circle between. The noise w is tangent, Gaussian and of such a spread that steps without
drift forget as Brownian motion does, E cos |w| = e^{-2 kappa h}: what is left of the length h is of second order. Near
the end of the branch that counts: a first form of this study projected u' on the tangent plane in place of carrying it,
with the spread (2 kappa h)^{1/2}, and its tokens kept .91 of the order, .976 and .991 with half and a quarter of its
step of .02; in this form it is .977 at that step and .997 at half of it: .985 or so is expected of the step of .015.

Measured first is whether such steps are Brownian motion: on S^2 without attention the mean of <x_t, x_0> is e^{-2 kappa
t}, here of 65536 tokens for 33 steps. The control reads the same increments in the sense of Ito, and puts nothing back:
that is a martingale, its rate zero. (What other steps would do is asked in `noisy_steps`.)

Then on S^2 at beta = 4, kappa = 1.2 kappa#, of 1.263 kappa# that the branch reaches: R over r from t = 12 to 24, for
tokens that begin in one point; and N R^2 (kappa - kappa#) / kappa for tokens that begin even. Of 16 seeds, in each of
which R^2 is independent some four times, a mean of it has a standard error of .1: the margin is .4, far from .17 that
no attention would give. The control begins in one point at beta = 1 < beta*, at the same kappa / kappa#: no order is
left, R/r tends to zero.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import ordered_branch
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import dawsn

import attnflow as af
from attnflow.lab import plots

BETA, LOWER, EXCESS = 4.0, 1.0, 1.2  # beta above and below beta*, kappa over kappa#
STEP, STEPS = 0.015, 1600
FREE, FREE_STEPS = 65536, 33
COUNTS = (256, 303, 360, 426, 505, 598, 709, 840)
NOISE = EXCESS * ordered_branch.critical_noise(2, BETA)

Drift = Callable[[np.ndarray], np.ndarray]


def tangent(points: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return the parts of vectors (N, 3) tangent to the sphere at points."""
    return vectors - np.einsum("nd,nd->n", points, vectors)[:, None] * points


def along(points: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return where great circles lead from points by tangent vectors (N, 3)."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    moved = np.cos(lengths) * points + np.sinc(lengths / np.pi) * vectors
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)  # they drift by rounding alone


def carried(vectors: np.ndarray, points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Return vectors (N, 3) tangent at moved points, carried to the points along great circles."""
    shares = np.einsum("nd,nd->n", points, vectors) / (1 + np.einsum("nd,nd->n", points, moved))
    return vectors - shares[:, None] * (points + moved)


@functools.cache
def spread(noise: float) -> float:
    """Return the standard deviation at which a Gaussian step forgets as Brownian motion does: E cos |w|, by Dawson."""
    kept = np.exp(-2 * noise * STEP)
    return float(brentq(lambda s: 1 - np.sqrt(2) * s * dawsn(s / np.sqrt(2)) - kept, 1e-6, 1.5, xtol=1e-15))


def stepped(points: np.ndarray, drift: Drift, noise: float, random: np.random.Generator) -> np.ndarray:
    """Return points after a step."""
    kick = tangent(points, spread(noise) * random.standard_normal(points.shape))
    here = drift(points)
    moved = along(points, kick + STEP * here)
    return along(points, kick + STEP * (here + carried(drift(moved), points, moved)) / 2)


def still(points: np.ndarray) -> np.ndarray:
    """Return no drift."""
    return np.zeros_like(points)


def streams(key: jax.Array, count: int) -> list[np.random.Generator]:
    """Return random generators of one seed."""
    words = np.asarray(jax.random.key_data(key)).tolist()
    return [np.random.default_rng([*words, place]) for place in range(1, 1 + count)]  # with 0 it is that of the points


def free(key: jax.Array) -> dict[str, float]:
    """Return the rates at which Brownian motion forgets, over 2 kappa."""
    first, second = streams(key, 2)
    start = af.Uniform(af.Sphere(2)).sample(FREE, key=key)
    moved, ito = start, start
    for _ in range(FREE_STEPS):
        moved = stepped(moved, still, NOISE, first)
        kick = np.sqrt(2 * NOISE * STEP) * second.standard_normal(ito.shape)
        ito = ito + tangent(ito / np.linalg.norm(ito, axis=1, keepdims=True), kick)
    time = 2 * NOISE * FREE_STEPS * STEP
    return {
        name: -float(np.log(np.einsum("nd,nd->n", end, start).mean())) / time
        for name, end in (("brownian", moved), ("ito", ito))
    }


def order(start: np.ndarray, beta: float, random: np.random.Generator) -> np.ndarray:
    """Return R at every tenth step of the second half of a run."""
    attention = af.Attention(af.DotProduct(), bandwidth=1 / beta, normalization="unnormalized")
    flow = af.TokenFlow(attention, manifold=af.Sphere(2), rtol=1e-6)
    noise = EXCESS * ordered_branch.critical_noise(2, beta)
    points, found = start, []
    for step in range(STEPS):
        points = stepped(points, flow.velocity, noise, random)
        if step >= STEPS // 2 and step % 10 == 0:
            found.append(np.linalg.norm(points.mean(axis=0)))
    return np.array(found)


def branch_order() -> float:
    """Return r of the stable ordered law."""
    sizes = np.arange(0.02, 0.97, 0.002)
    noises = np.array([law.noise for law in ordered_branch.branch(2, BETA, sizes)])
    falling = np.arange(len(sizes)) > np.argmax(noises)
    return float(np.interp(-NOISE, -noises[falling], sizes[falling]))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return how Brownian motion forgets, or what order is left."""
    if "steps" in case:
        return free(key)
    count = case["tokens"]
    even = af.Uniform(af.Sphere(2)).sample(count, key=key)
    one = np.tile([0.0, 0.0, 1.0], (count, 1))
    first, second, third = streams(key, 3)
    ordered, spread, below = order(one, BETA, first), order(even, BETA, second), order(one, LOWER, third)
    return {
        "kept": ordered.mean() / branch_order(),
        "lost": below.mean() / branch_order(),
        "fluctuation": count * (spread**2).mean() * (1 - 1 / EXCESS),
        "even": spread.mean() / branch_order(),
    }


def memory(records: list) -> Figure:
    """Draw the order that is left over the number of tokens, from both starts."""
    drawn = plots.figure(width=4.2, height=3.0)
    axes = drawn.subplots()
    for place, (name, label) in enumerate(
        {"kept": "from one point", "even": "from even tokens", "lost": "from one point"}.items()
    ):
        beta = LOWER if name == "lost" else BETA
        rows = [(case["tokens"], each) for case, values in records if "tokens" in case for each in values[name]]
        counts, orders = np.array(rows).reshape(-1, 2).T
        axes.plot(counts, orders, "os^"[place], markersize=2.5, alpha=0.5, label=rf"$\beta = {beta:g}$, {label}")
    counts = np.geomspace(COUNTS[0], COUNTS[-1], 50)
    gaussian = np.sqrt(8 / (3 * np.pi) / counts / (1 - 1 / EXCESS)) / branch_order()
    axes.plot(counts, gaussian, color="0.4", linewidth=0.8, label="Gaussian fluctuations")
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle="--", label="branch of the mean field")
    axes.set(xscale="log", xlabel="tokens", ylabel="order over that of the branch")
    axes.set_xticks(marks := COUNTS[::2], labels=map(str, marks))
    axes.minorticks_off()
    axes.legend(fontsize=6)
    return drawn


SPHERE = r"$S^2$, $V = I$, kernel $e^{\beta\langle x, y\rangle}$, rows not divided, $\kappa = 1.2\,\kappa^\#$, "
common: dict[str, Any] = dict(kind="constant", source="derived", measures=("tokens",))
brownian = af.Claim(
    id="noisy-order/brownian", quantity="brownian", size="steps", predicted=1.0, margin=0.03,
    statement=r"steps without drift forget where they began at the rate $2\kappa$",
    hypotheses=r"$S^2$, 33 steps of $.015$, $\kappa = 1.54$", **(common | {"measures": ()}),
)  # fmt: skip
kept = af.Claim(
    id="noisy-order/kept", quantity="kept", size="tokens", predicted=1.0,
    statement=r"tokens that begin in order keep that of the branch above $\kappa^\#$",
    hypotheses=SPHERE + r"$\beta = 4$, from $t = 12$ to 24", **common,
)  # fmt: skip
study = af.Study(
    name="noisy_order_tokens",
    measure=measure,
    ladder=[{"steps": FREE_STEPS}, *({"tokens": count} for count in COUNTS)],
    quick=1,
    seeds=16,
    claims=[
        brownian,
        brownian.control(
            statement="they do so in the sense of Ito, not put back on the sphere",
            quantity="ito",
            truth=0.0,
            truth_margin=0.05,
        ),
    ],
    full_claims=af.covered([
        kept,
        kept.control(
            statement=r"so they do at $\beta = 1$", quantity="lost", truth=0.0, truth_margin=0.15,
        ),
        af.Claim(
            id="noisy-order/fluctuation", quantity="fluctuation", size="tokens", predicted=1.0, margin=0.4,
            statement=r"tokens that begin even stay even: $N R^2 \to \kappa / (\kappa - \kappa^\#)$",
            hypotheses=SPHERE + r"$\beta = 4$, from $t = 12$ to 24", **common,
        ),
    ], by={"noisy-order/fluctuation": "noisy-order-control/kept"}),
    figures=[memory],
    labels={
        "brownian": r"rate over $2\kappa$",
        "ito": r"rate over $2\kappa$, in the sense of Ito",
        "kept": r"order over that of the branch, $\beta = 4$",
        "lost": r"order over that of the branch, $\beta = 1$",
        "fluctuation": r"$N R^2 (\kappa - \kappa^\#) / \kappa$",
    },
)  # fmt: skip
