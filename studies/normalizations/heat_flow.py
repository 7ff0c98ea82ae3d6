"""Do many layers whose keys are weighed by the inverse of their kernel density follow the heat equation?

With alpha = 1 the density of the points drops out of the limit [CL]: at t = n eps fixed,

    A^n f = e^{tL} f + O(eps),    L f = 1/2 Lap f,

so that on the circle e^{tL} multiplies cos kt and sin kt by e^{-k^2 t / 2}, whatever p > 0.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2, at t = 1/2: the maximum over 128 queries
of A^n f - e^{tL} f, the right-hand side in closed form (heat-flow), and the same of the solver of the limit, which is
told of alpha = 1 and of p only (heat-flow-solver). The controls leave the keys their weight, A and L of softmax: in
truth their distance has the exponent zero, and is what the matrix exponential of L on 128 waves says.
"""

import functools
from typing import Any

import jax
import numpy as np
from scipy.linalg import expm

import attnflow as af

NORMALIZATIONS: dict[str, Any] = {"": af.AlphaNormalization(1.0), "softmax_": "softmax"}
TIME = 0.5
ANGLES = 2 * np.pi * np.arange(128) / 128
QUERIES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant, .7 cos t + .3 sin 2t."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def test_function(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


@functools.cache
def density() -> af.LogDensity:
    """Return p, which is normalised once."""
    return af.LogDensity(af.Circle(), log_weight)


def heat_flow() -> np.ndarray:
    """Return e^{tL} f at the queries, L = 1/2 Lap."""
    return np.exp(-TIME / 2) * np.sin(ANGLES) + np.exp(-9 * TIME / 2) * np.cos(3 * ANGLES) / 2


def softmax_distance() -> float:
    """Return the maximum of |e^{tL} f - e^{t Lap/2} f|, L of softmax, with derivatives of 128 waves."""
    waves = np.fft.fftfreq(128, 1 / 128) * (np.arange(128) != 64)
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(128), axis=0), axis=0).real
    slope = -0.7 * np.sin(ANGLES) + 0.6 * np.cos(2 * ANGLES)  # of log p
    generator = derivative @ derivative / 2 + slope[:, None] * derivative
    f = np.sin(ANGLES) + np.cos(3 * ANGLES) / 2
    return float(np.abs(expm(TIME * generator) @ f - heat_flow()).max())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of n layers and of the limit from the heat flow, weighed and not."""
    row: dict[str, float] = {}
    for name, normalization in NORMALIZATIONS.items():
        attention = af.Attention(af.SquaredDistance(), bandwidth=TIME / case["layers"], normalization=normalization)
        layers = af.PopulationAttention(attention, density()).evolve(test_function, times=TIME, at=QUERIES)
        limit = af.DriftDiffusion(attention, density(), rtol=1e-10).evolve(test_function, times=TIME, at=QUERIES)
        row |= {
            f"{name}distance": np.abs(layers.values[0] - heat_flow()).max(),
            f"{name}distance.solver_error": layers.solver_error,
            f"{name}solver_distance": np.abs(limit.values[0] - heat_flow()).max(),
        }
    return row


common: dict[str, Any] = dict(
    source="CL", size="layers",
    hypotheses=r"circle, $p > 0$ smooth, $f$ smooth, $\alpha = 1$, points frozen and infinitely many, $t = 1/2$",
)  # fmt: skip
rate = af.Claim(
    id="heat-flow/circle",
    statement=r"keys weighed by $1/q$: $A^n f - e^{t\Delta/2} f$ at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
    kind="exponent", quantity="distance", predicted=-1.0, measures=("population",), **common,
)  # fmt: skip
solver = af.Claim(
    id="heat-flow-solver/circle",
    statement=r"keys weighed by $1/q$: the drift-diffusion is the heat flow $e^{t\Delta/2} f$",
    kind="identity", quantity="solver_distance", predicted=0.0, margin=1e-10, measures=("limit",), **common,
)  # fmt: skip
study = af.Study(
    name="heat_flow",
    measure=measure,
    ladder=[{"layers": n} for n in (5, 7, 10, 14, 20, 28, 40, 56, 80, 112)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"keys not weighed: $A^n f - e^{t\Delta/2} f$ is of order $\varepsilon = t/n$",
            quantity="softmax_distance",
            truth=0.0,
        ),
        solver,
        solver.control(
            statement=r"keys not weighed: the drift-diffusion is the heat flow $e^{t\Delta/2} f$",
            quantity="softmax_solver_distance",
            truth=softmax_distance(),
            truth_margin=1e-9,
        ),
    ],
    labels={
        "distance": r"$\max |A^n f - e^{t\Delta/2} f|$",
        "softmax_distance": r"$\max |A^n f - e^{t\Delta/2} f|$, keys not weighed",
        "solver_distance": r"$\max |e^{tL} f - e^{t\Delta/2} f|$",
        "softmax_solver_distance": r"$\max |e^{tL} f - e^{t\Delta/2} f|$, keys not weighed",
    },
)
