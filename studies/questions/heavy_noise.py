"""Is the noise of attention with heavy tails the local one that its best schedule is derived from?

With Student's weights h of nu = 1 on the circle (see the study `heavy_tail`) one layer of N points has, where f is odd
about the query so that the total does not matter,

    N Var[A_N f] -> int h^2 f^2 p / (int h p)^2 = O(eps^{1/2})    for f ~ t,

as with Gaussian weights though nu has no mean of t^2: h^2 falls fast enough. From it and the bias follows the schedule
eps ~ N^{-2/3}.

Measured with the uniform density at eps = 4 N^{-2/3} and 64 queries: N times the mean square of the tangential part of
A_N y, y the position, over that quadrature. What is left falls like one over the number of neighbours, N^{-2/3}. The
control takes the quadrature at half of the bandwidth: in truth its number tends to 2^{1/2}.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from heavy_tail import scatter

import attnflow as af

ANGLES = 2 * np.pi * (np.arange(64) + 0.5) / 64
PADDED = (2048, 16384)  # points, of which those beyond N have no mass: compiled once


@functools.partial(jax.jit, static_argnames="life")
def layer(points: Any, masses: Any, bandwidth: Any, *, life: Callable) -> jax.Array:
    """Return A_N y at the queries."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth, profile=af.StudentT(1.0, dim=1))
    at = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    return life(attention, af.DiscreteMeasure(points, masses), method="dense").layer(points, at=at)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return N times the mean square of the tangential part over its quadrature, and over that at eps/2."""
    n = case["points"]
    eps = 4 * n ** (-2 / 3)
    points = af.Uniform(af.Circle()).sample(n, key=key)
    size = min(size for size in PADDED if size >= n)
    padded = np.concatenate([points, np.tile(points[:1], (size - n, 1))])
    masses = np.where(np.arange(size) < n, 1.0, 0.0)
    moved = np.asarray(layer(padded, masses, eps, life=af.EmpiricalAttention))
    tangential = moved[:, 1] * np.cos(ANGLES) - moved[:, 0] * np.sin(ANGLES)
    square = n * float(np.mean(tangential**2))
    return {"local": square / scatter(eps, 1.0), "halved": square / scatter(eps / 2, 1.0)}


noise = af.Claim(
    id="heavy-tail-noise/circle", source="derived", kind="constant", quantity="local", size="points", predicted=1.0,
    statement=r"$N$ times the variance of a layer over $\int h^2 f^2 p / (\int h p)^2$ tends to 1",
    hypotheses=r"circle, uniform density, $\nu = 1$, $f$ odd about the query, $\varepsilon = 4 N^{-2/3}$",
    correction_power=2 / 3, measures=("empirical",),
)  # fmt: skip
study = af.Study(
    name="heavy_noise",
    measure=measure,
    ladder=[{"points": round(128 * 2 ** (4 * k / 7))} for k in range(13)],
    quick=8,
    claims=[
        noise,
        noise.control(
            statement=r"$N$ times the variance of a layer over that quadrature at $\varepsilon/2$ tends to 1",
            quantity="halved",
            truth=2**0.5,
            truth_margin=0.15,
        ),
    ],
    seeds=800,
    quick_seeds=256,
    labels={"local": "variance over its quadrature", "halved": r"variance over that at $\varepsilon/2$"},
)
