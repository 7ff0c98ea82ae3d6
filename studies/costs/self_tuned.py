"""Does self-tuned attention follow a heat flow on surfaces, where no new metric makes one of the squared distance?

With D(x, y) = |x - y|^2 / (rho(x) rho(y)) and rho = (V p)^{-1/m}, V the volume of M, the points are uniform in the
metric g~ = (V p)^{2/m} g, and with infinitely many of them attention tends to half its Laplacian [BH]. For m = 2

    (A f - f) / eps  ->  1/2 Lap_g~ f = Lap f / 2 V p,

without a drift, though p varies; that of |x - y|^2 has the drift grad log p, which is none of any metric (RZ4-m2).

Measured at 64 queries, the root mean square of (A f - f)/eps less that limit, with Laplacians by hand: on T^2 for
p ~ exp(.5 x_1 + .4 x_2 x_3) and f = sin t_1 + cos(t_1) sin(t_2)/2, on S^2 for p ~ exp(.8 b.x) and f = x_1 + x_2 x_3.
The controls are attention by |x - y|^2, whose distance from the same heat flow in truth has the exponent zero.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import attnflow as af

RNG = np.random.default_rng(0)
ANGLES = 2 * np.pi * RNG.random((64, 2))
POLE = np.array([2.0, -1.0, 2.0]) / 3  # b


def points_of_sphere() -> np.ndarray:
    """Return 64 points of S^2."""
    normal = RNG.standard_normal((64, 3))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


QUERIES = {
    "torus": np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=-1).reshape(64, 4),
    "sphere": points_of_sphere(),
}


def on_torus(x: jax.Array) -> jax.Array:
    """Return f = sin t_1 + cos(t_1) sin(t_2) / 2."""
    return x[1] + x[0] * x[3] / 2


def on_sphere(x: jax.Array) -> jax.Array:
    """Return f = x_1 + x_2 x_3."""
    return x[0] + x[1] * x[2]


FUNCTIONS: dict[str, Callable] = {"torus": on_torus, "sphere": on_sphere}


@functools.cache
def density(name: str) -> Any:
    """Return p."""
    if name == "torus":
        return af.LogDensity(af.FlatTorus(2), lambda x: 0.5 * x[0] + 0.4 * x[1] * x[2])
    return af.VonMisesFisher(af.Sphere(2), mean_direction=POLE, concentration=0.8)


def laplacian(name: str) -> np.ndarray:
    """Return Lap f at the queries."""
    if name == "sphere":
        x = QUERIES["sphere"]
        return -2 * x[:, 0] - 6 * x[:, 1] * x[:, 2]
    first, second = ANGLES.T
    return -np.sin(first) - np.cos(first) * np.sin(second)


@functools.cache
def limit(name: str) -> np.ndarray:
    """Return Lap f / 2 V p at the queries."""
    log_volume = density(name).manifold.log_volume
    return laplacian(name) / 2 * np.exp(-density(name).log_densities(QUERIES[name]) - log_volume)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of (A f - f)/eps from the limit, self-tuned and not."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for name in FUNCTIONS:
        for quantity, cost in ((name, af.SelfTuned(density(name))), (f"{name}.plain", af.SquaredDistance())):
            life = af.PopulationAttention(af.Attention(cost, bandwidth=eps), density(name))
            flow = life.evolve(FUNCTIONS[name], times=[0, eps], at=QUERIES[name])
            quotient = (flow.values[1] - flow.values[0]) / eps
            row[quantity] = np.sqrt(np.mean((quotient - limit(name)) ** 2))
            row[f"{quantity}.solver_error"] = flow.solver_error / eps
    return row


QUOTIENT = r"$(A f - f) / \varepsilon$"
HEAT = r"$\frac{1}{2} \Delta_h f$, $h = V p \, g$,"
PLACE = {"torus": "$T^2$, $m = 2$", "sphere": "$S^2$, $m = 2$"}


def claims_on(name: str) -> list[af.Claim]:
    """Return that one self-tuned layer tends to the heat flow, and its control."""
    rate = af.Claim(
        id=f"HEAT/{name}", source="BH", kind="exponent", quantity=name, size="bandwidth", predicted=1.0,
        statement=f"self-tuned, the distance of {QUOTIENT} from {HEAT} is of order $\\varepsilon$",
        hypotheses=rf"{PLACE[name]}, $D = |x - y|^2 / \rho(x) \rho(y)$, $\rho = (V p)^{{-1/m}}$, "
        "infinitely many points",
        measures=("population",),
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=f"by $|x - y|^2$, the distance of {QUOTIENT} from {HEAT} is of order $\\varepsilon$",
            quantity=f"{name}.plain",
            truth=0.0,
        ),
    ]


study = af.Study(
    name="self_tuned",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(8)],
    quick=8,
    claims=[claim for name in FUNCTIONS for claim in claims_on(name)],
    labels={
        **dict.fromkeys(FUNCTIONS, f"RMS distance of {QUOTIENT} from {HEAT} self-tuned"),
        **{f"{name}.plain": f"RMS distance of {QUOTIENT} from {HEAT} by $|x - y|^2$" for name in FUNCTIONS},
    },
)
