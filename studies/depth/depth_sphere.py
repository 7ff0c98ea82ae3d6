"""Do tokens on a sphere, up to a million, follow the semigroup of their drift-diffusion through many layers?

With n = t/eps layers over points that do not move,

    A^n f = e^{tL} f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>                                       [RZ],

here with finitely many of them. N independent points add a noise of order N^{-1/2} (see the study `depth_noise`), which
at a million would still hide what is of order eps below .03. So the points are spread evenly, on a golden-angle spiral,
with masses p: then they are a quadrature, and what is left is the bias.

Measured on S^2, p von Mises-Fisher, f = x - z/2 + xz, at t = 1, with layers of time 1/5 to 1/56 and up to a million
points (1/28 and 64 000 at quick size): the root mean square over 256 queries of A_N^n f - e^{tL} f. The control runs
the limit at half its clock, as if a layer were the time eps/2: the distance must not vanish, but tend to that of e^{tL}
f and e^{tL/2} f.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

TIME = 1.0
RTOL = 1e-7  # of one layer; n layers add up to less than 1 % of the errors measured
POINTS = {5: 2000, 7: 4000, 10: 8000, 14: 16_000, 20: 32_000, 28: 64_000, 40: 256_000, 56: 1_000_000}


def test_function(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Return f at one point (3,) or, coordinates first, at many (3, N)."""
    return x[0] - 0.5 * x[2] + x[0] * x[2]


def spiral(n: int) -> np.ndarray:
    """Return n points spread evenly over S^2: equal heights, golden-angle longitudes."""
    heights = 1 - (2 * np.arange(n) + 1) / n
    longitudes = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    rings = np.sqrt(1 - heights**2)
    return np.column_stack([rings * np.cos(longitudes), rings * np.sin(longitudes), heights])


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 0, 1], concentration=0.8)


@functools.cache
def limit() -> af.Trajectory:
    """Return e^{tL} f and e^{tL/2} f at the queries."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0)  # a drift-diffusion does not depend on it
    return af.DriftDiffusion(attention, density()).evolve(test_function, times=[TIME, TIME / 2], at=spiral(256))


def layers(n: int) -> np.ndarray:
    """Return A_N^n f at the queries."""
    points = spiral(POINTS[n])
    tokens = af.DiscreteMeasure(points, np.exp(density().log_densities(points)))
    attention = af.Attention(af.SquaredDistance(), bandwidth=TIME / n)
    operator = af.EmpiricalAttention(attention, tokens, rtol=RTOL)
    values = np.asarray(test_function(points.T))
    for _ in range(n - 1):
        values = operator.layer(values)
    return operator.layer(values, at=spiral(256))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of n layers from both limits."""
    values, flow = layers(case["layers"]), limit()
    distance, slow = (np.sqrt(np.mean((values - limit_values) ** 2)) for limit_values in flow.values)
    return {
        "distance": distance,
        "slow_clock": slow,
        "solver_error": case["layers"] * RTOL + flow.solver_error,
    }


common: dict[str, Any] = dict(
    source="derived", size="layers", measures=("empirical", "limit"),
    hypotheses=r"$S^2$, $p$ von Mises-Fisher, points spread evenly with masses $p$, frozen, $t = 1$",
)  # fmt: skip
rate = af.Claim(
    id="depth/sphere", statement=r"$A_N^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
    kind="exponent", quantity="distance", predicted=-1.0, **common,
)  # fmt: skip
study = af.Study(
    name="depth_sphere",
    measure=measure,
    ladder=[{"layers": n} for n in POINTS],
    quick=6,
    claims=[
        rate,
        rate.control(
            statement=r"$A_N^n f - e^{tL/2} f$, half the clock, at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
            quantity="slow_clock",
            truth=0.0,
        ),
    ],
    labels={
        "distance": r"RMS of $A_N^n f - e^{tL} f$",
        "slow_clock": r"RMS of $A_N^n f - e^{tL/2} f$",
    },
)
