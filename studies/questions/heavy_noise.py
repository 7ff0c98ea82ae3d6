"""How well do N points tell the fractional Laplacian of heavy tails?

With Student's weights of nu < 2 in m dimensions (see the study `heavy_tail`) the variance of A_N f is local where nu >
1 - m/2, and

    std[(A_N - A) f / eps^{nu/2}] ~ N^{-1/2} eps^{1/2 - m/4 - nu/2},    bias ~ eps^b,    b = min(nu/2, 1 - nu/2),

so that the best bandwidth and the error at it are

    eps ~ N^{-2/(4b + 2nu + m - 2)},    N^{-2b/(4b + 2nu + m - 2)}.

For nu = 1 on the circle these are N^{-2/3} and N^{-1/3}: a better rate than N^{-2/7}, that of the Laplacian from
Gaussian weights, whose bandwidth is N^{-2/7} [Si].

Measured on the circle, uniform density, eps = 4 N^{-2/3}, at 64 queries x with y the position: the root mean square of
(A_N y - y)/eps^{1/2} + c_1 Lambda_1 y, c_1 = 1 and Lambda_1 = 1. The next term is smaller by eps^{1/2} ~ N^{-1/3}. The
control takes Gaussian weights on the same schedule, for which (A_N y - y)/eps + y/2 in truth keeps its noise.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import attnflow as af

ANGLES = 2 * np.pi * (np.arange(64) + 0.5) / 64
PADDED = (2048, 16384)  # points, of which those beyond N have no mass: compiled once


@functools.partial(jax.jit, static_argnames=("life", "heavy"))
def layer(points: jax.Array, masses: jax.Array, bandwidth: Any, *, life: Callable, heavy: bool) -> jax.Array:
    """Return A_N y at the queries."""
    profile: Any = af.StudentT(1.0, dim=1) if heavy else "gaussian"
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, profile=profile)
    at = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    return life(attention, af.DiscreteMeasure(points, masses), method="dense").layer(points, at=at)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the root mean square distances of both generators from their limits."""
    n = case["points"]
    eps = 4 * n ** (-2 / 3)
    points = af.Uniform(af.Circle()).sample(n, key=key)
    size = min(size for size in PADDED if size >= n)
    padded = np.concatenate([points, np.tile(points[:1], (size - n, 1))])
    masses = np.where(np.arange(size) < n, 1.0, 0.0)
    x = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    row = {}
    for name, heavy, scale, speed in (("heavy", True, eps**0.5, 1.0), ("gaussian", False, eps, 0.5)):
        moved = np.asarray(layer(padded, masses, eps, life=af.EmpiricalAttention, heavy=heavy)) - x
        row[name] = float(np.sqrt(np.mean((moved / scale + speed * x) ** 2)))
    return row


rate = af.Claim(
    id="heavy-tail-schedule/circle", source="derived", kind="exponent", quantity="heavy", size="points",
    statement=r"$(A_N - I) f / \varepsilon^{1/2} + c_1 \Lambda f$ at $\varepsilon \sim N^{-2/3}$ is of order $N^{-1/3}$",
    hypotheses=r"circle, uniform density, $\nu = 1$, queries apart from the points", predicted=-1 / 3,
    correction_power=1 / 3, measures=("empirical",),
)  # fmt: skip
study = af.Study(
    name="heavy_noise",
    measure=measure,
    ladder=[{"points": round(128 * 2 ** (4 * k / 7))} for k in range(13)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"$(A_N - I) f / \varepsilon - L f$ of Gaussian weights on that schedule is of that order",
            quantity="gaussian", truth=0.0,
        ),
    ],
    seeds=100,
    quick_seeds=32,
    labels=dict.fromkeys(("heavy", "gaussian"), "RMS distance of the generator"),
)  # fmt: skip
