"""Do many layers of attention follow the semigroup of the drift-diffusion?

A layer is the time eps. With infinitely many points that do not move and t = n eps fixed,

    A^n f = e^{tL} f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>,

with the generator L of [RZ, Theorem 3]; n local errors of order eps^2 add up to one of order eps.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2, at t = 1/2: the maximum over 128 queries
of A^n f - e^{tL} f (depth). The control runs the limit at half its speed, as if a layer were the time eps/2: the
distance to e^{tL/2} f tends to sup |e^{tL} f - e^{tL/2} f|, so in truth it has the exponent zero.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

TIME = 0.5


def log_weight(x: jax.Array) -> jax.Array:
    """Return .7 cos t + .3 sin 2t."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def test_function(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


@functools.cache
def density() -> af.LogDensity:
    """Return p, which is normalised once."""
    return af.LogDensity(af.Circle(), log_weight)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of n layers from both limits."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=TIME / case["layers"])
    angles = 2 * np.pi * np.arange(128) / 128
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    layers = af.PopulationAttention(attention, density()).evolve(test_function, times=TIME, at=at)
    limit = af.DriftDiffusion(attention, density(), rtol=1e-10).evolve(test_function, times=[TIME, TIME / 2], at=at)
    distance, slow = (np.abs(layers.values[0] - values).max() for values in limit.values)
    return {
        "distance": distance,
        "slow_clock": slow,
        "distance.solver_error": layers.solver_error + limit.solver_error,
    }


common: dict[str, Any] = dict(
    source="derived", size="layers", measures=("population", "limit"),
    hypotheses=r"circle, $p > 0$ smooth, $f$ smooth, points frozen and infinitely many, $t = 1/2$",
)  # fmt: skip
rate = af.Claim(
    id="depth/circle", statement=r"$A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
    kind="exponent", quantity="distance", predicted=-1.0, **common,
)  # fmt: skip
study = af.Study(
    name="depth",
    measure=measure,
    ladder=[{"layers": n} for n in (5, 7, 10, 14, 20, 28, 40, 56, 80, 112)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"$A^n f - e^{tL/2} f$, half the clock, at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
            quantity="slow_clock",
            truth=0.0,
        ),
    ],
    labels={
        "distance": r"$\max |A^n f - e^{tL} f|$",
        "slow_clock": r"$\max |A^n f - e^{tL/2} f|$",
    },
)
