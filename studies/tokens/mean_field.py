"""How near are tokens at quantiles to their mean field?

Tokens on the circle that move by softmax attention, V = I, see one another through their law mu^N alone. So, at a fixed
time, they stay as near to the solution of d_t mu + div(mu v[mu]) = 0 as they were at first, up to a factor [V]:

    W1(mu^N_t, mu_t) <= e^{Ct} W1(mu^N_0, mu_0).

Tokens that begin at the quantiles (i - 1/2) / N stay there up to terms of order N^{-2}: each is the middle of a piece
of the circle with the mass 1/N, at the mean distance of a quarter of its width, and the widths add up to 2 pi, so that
N W1 -> pi / 2 at every time.

Measured from mu_0 ~ exp(.8 cos t + .4 sin 2t) with the logit 3 <x, y> at t = 1/2, from 32 tokens on, where no piece is
wider than a radian: W1 along arcs, and N times that. The control compares the same tokens with the mean field of the
logit .3 <x, y>: in truth that distance has the exponent zero.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

BETA, WRONG = 3.0, 0.3
TIME = 0.5
MOST = 512  # tokens: those beyond N have no mass, so that all are one program


@functools.cache
def density() -> af.LogDensity:
    """Return mu_0."""
    return af.LogDensity(af.Circle(), lambda x: 0.8 * x[0] + 0.8 * x[0] * x[1])


@functools.cache
def mean_field(beta: float) -> af.Trajectory:
    """Return mu_t."""
    attention = af.Attention(af.DotProduct(), bandwidth=1 / beta)
    return af.MeanFieldFlow(attention, density(), rtol=1e-7).evolve(times=TIME, at=af.Circle().quadrature(1023))


@functools.cache
def flow() -> af.TokenFlow:
    """Return the flow of the tokens."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / BETA), manifold=af.Circle())


def moved(points: np.ndarray) -> tuple[np.ndarray, float]:
    """Return where N tokens are at the time, and what that may be off by."""
    count = len(points)
    filled = np.concatenate([points, np.repeat(points[:1], MOST - count, axis=0)])
    measure = af.DiscreteMeasure(filled, np.arange(MOST) < count)
    found = flow().evolve(measure, times=TIME, integrator=af.Adaptive(rtol=1e-7))
    moved = found.points[0, :count]
    return moved / np.linalg.norm(moved, axis=1, keepdims=True), found.solver_error


def quantiles(count: int) -> np.ndarray:
    """Return the points where the mass below, counted from the angle -pi, is (i - 1/2) / N."""
    angles = np.linspace(-np.pi, np.pi, 1 + (1 << 15))
    heights = np.exp(0.8 * np.cos(angles) + 0.4 * np.sin(2 * angles))
    below = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2)])
    at = np.interp((np.arange(count) + 0.5) / count, below / below[-1], angles)
    return np.column_stack([np.cos(at), np.sin(at)])


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of tokens at quantiles from mean fields."""
    count = case["tokens"]
    points, error = moved(quantiles(count))
    near = float(af.wasserstein(points, mean_field(BETA), manifold=af.Circle()))
    return {
        "quantiles": near,
        "scaled": count * near,
        "wrong": float(af.wasserstein(points, mean_field(WRONG), manifold=af.Circle())),
        "quantiles.solver_error": error,
        "wrong.solver_error": error,
        "scaled.solver_error": count * error,
    }


common: dict[str, Any] = dict(
    source="V", size="tokens", measures=("tokens", "mean_field"),
    hypotheses=r"circle, $V = I$, softmax with the logit $3\langle x, y\rangle$, $\mu_0 > 0$ smooth, $t = 1/2$",
)  # fmt: skip
near = af.Claim(
    id="V-meanfield/quantiles", kind="exponent", quantity="quantiles", predicted=-1.0,
    statement=r"tokens at quantiles have $W_1(\mu^N_t, \mu_t)$ of order $N^{-1}$", **common,
)  # fmt: skip
study = af.Study(
    name="mean_field",
    measure=measure,
    ladder=[{"tokens": round(32 * 2 ** (k / 2))} for k in range(9)],
    quick=8,
    claims=af.covered([
        near,
        near.control(
            statement=r"so is their distance from the mean field of the logit $.3\langle x, y\rangle$",
            quantity="wrong",
            truth=0.0,
            truth_margin=0.1,  # at 32 tokens the pieces are as wide as the fields are apart
        ),
        af.Claim(
            id="V-meanfield/constant", kind="constant", quantity="scaled", predicted=np.pi / 2,
            statement=r"tokens at quantiles have $N W_1(\mu^N_t, \mu_t) \to \pi/2$", **common,
        ),
    ], by="V-meanfield-control/quantiles"),
    labels={
        "quantiles": r"$W_1$ of tokens at quantiles",
        "wrong": r"$W_1$ from the mean field of another $\beta$",
        "scaled": r"$N W_1$ of tokens at quantiles",
    },
)  # fmt: skip
