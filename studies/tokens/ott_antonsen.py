"""Do tokens that attend to all others alike close up to one number?

Where the kernel is constant, A_mu id is the mean of all tokens, and on the circle with V = I

    theta' = int sin(phi - theta) mu(dphi):

phases that are drawn to one another with one strength. Let Z_n = int e^{in theta} mu and Z = Z_1. If mu_0 is a Poisson
kernel, (1 - r^2) / (1 - 2 r cos theta + r^2) / 2 pi, so is mu_t [OA]: Z_n = Z^n, and

    |Z|^2 = 1 / (1 + (|Z_0|^-2 - 1) e^-t).

Measured from r = .4, off by how much |Z|^2 is from that, and Z_3 from Z^3, at four times. The control starts from
(1 + .8 cos theta) / 2 pi, with the same Z_0: there e^{i theta} is still moved by the maps z -> (z + a) / (1 + a z) of
the disk with a' = Z (1 - a^2) / 2, a = 0 at first, and Z_3 - Z^3 is known from one ordinary differential equation.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.integrate import solve_ivp

import attnflow as af

RADIUS = 0.4  # |Z_0|
TIMES = (1.0, 0.5, 1.5, 2.0)


def log_poisson(x: jax.Array) -> jax.Array:
    """Return the logarithm of the Poisson kernel, up to a constant."""
    return -jnp.log(1 + RADIUS**2 - 2 * RADIUS * x[0])


def log_wave(x: jax.Array) -> jax.Array:
    """Return the logarithm of a density with the same Z, up to a constant."""
    return jnp.log(1 + 2 * RADIUS * x[0])


@functools.cache
def moments(name: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Return Z and Z_3 at all times, and what they may be off by."""
    alike = af.Attention(0.0 * af.DotProduct(), bandwidth=1.0)
    start = af.LogDensity(af.Circle(), {"poisson": log_poisson, "wave": log_wave}[name])
    flow = af.MeanFieldFlow(alike, start, rtol=1e-8).evolve(times=TIMES, at=af.Circle().quadrature(511))
    assert flow.weights is not None
    phases = flow.points @ np.array([1, 1j])
    first, third = ((flow.values * flow.weights) @ phases**n for n in (1, 3))
    return first, third, 2 * np.pi * flow.solver_error


@functools.cache
def expected_difference(time: float) -> float:
    """Return Z_3 - Z^3 at a time for tokens that begin as a wave."""
    angles = 2 * np.pi * np.arange(512) / 512
    points, masses = np.exp(1j * angles), (1 + 2 * RADIUS * np.cos(angles)) / 512

    def moved(a: float) -> np.ndarray:
        return (points + a) / (1 + a * points)

    def rate(_: float, a: np.ndarray) -> np.ndarray:
        return (masses @ moved(a[0])).real * (1 - a**2) / 2

    end = moved(solve_ivp(rate, (0, time), [0.0], "DOP853", rtol=1e-12, atol=1e-12).y[0, -1])
    return float((masses @ end**3 - (masses @ end) ** 3).real)


@af.per_seed
def measure(case: dict, key: Any) -> dict[str, float]:
    """Return how far the moments are from what one number would tell."""
    place = TIMES.index(case["time"])
    first, third, error = moments("poisson")
    size = abs(first[place]) ** 2 - 1 / (1 + (RADIUS**-2 - 1) * np.exp(-case["time"]))
    row = {
        "size": size,
        "size.solver_error": 2 * error,
        "third": (third - first**3)[place].real,
        "third.solver_error": 4 * error,
    }
    if place == 0:
        first, third, error = moments("wave")
        row |= {"third.wave": (third - first**3)[0].real, "third.wave.solver_error": 4 * error}
    return row


common: dict[str, Any] = dict(
    source="OA", kind="identity", size="time", predicted=0.0, margin=1e-6, measures=("mean_field",),
)  # fmt: skip
start = "circle, constant kernel, $V = I$; in the claims tokens begin as a Poisson kernel"
third = af.Claim(
    id="Ott-Antonsen/third", quantity="third", statement="$Z_3 = Z^3$ at all times", hypotheses=start, **common
)
study = af.Study(
    name="ott_antonsen",
    measure=measure,
    ladder=[{"time": time} for time in TIMES],
    quick=len(TIMES),
    claims=af.covered([
        af.Claim(
            id="Ott-Antonsen/size", quantity="size", hypotheses=start,
            statement=r"$|Z|^2 = 1/(1 + (|Z_0|^{-2} - 1) e^{-t})$", **common,
        ),
        third,
        third.control(
            statement="so is it for tokens that begin as a wave",
            quantity="third.wave",
            truth=expected_difference(TIMES[0]),
            truth_margin=1e-6,
        ),
    ], by="Ott-Antonsen-control/third"),
    labels={
        "size": "$|Z|^2$ less its formula",
        "third": "$Z_3 - Z^3$",
        "third.wave": "$Z_3 - Z^3$ of a wave",
    },
)  # fmt: skip
