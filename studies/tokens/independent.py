"""How near are independent tokens to their mean field?

Tokens that attend to one another see their law mu^N alone, so that at a fixed time they are as near to the mean field
as they were at first, up to a factor [V]: W1(mu^N_t, mu_t) and moments are off by order N^{-1/2} for independent
tokens.

Where all attend to all others alike, A_mu id is the mean of the tokens, and the circles of a flat torus are moved each
by its own mean: tokens on T^m are m independent draws at once, four for each seed. Measured for tokens drawn from
mu_0 ~ e^{.8 cos t + .4 sin 2t}, V = I, at t = 1, by midpoint steps of 1/8, which are exact to 1e-3: root mean squares
over the draws of a seed of W1 along arcs, and of the differences of the moments e^{ikt}, k <= 4. The control compares
the moments with those of the mean field at t = 4: in truth they tend to what both differ by, with the exponent zero.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

TIME, LATER, STEP = 1.0, 4.0, 0.125
DRAWS = 4  # of one seed
MOST = 256  # tokens: those beyond N have no mass, so that all are one program
POWERS = np.arange(1, 5)


@functools.cache
def density() -> af.LogDensity:
    """Return mu_0."""
    return af.LogDensity(af.Circle(), lambda x: 0.8 * x[0] + 0.8 * x[0] * x[1])


def alike() -> af.Attention:
    """Return the attention to all others alike."""
    return af.Attention(0.0 * af.DotProduct(), bandwidth=1.0)


@functools.cache
def mean_field(time: float) -> af.Trajectory:
    """Return mu_t."""
    return af.MeanFieldFlow(alike(), density(), rtol=1e-7).evolve(times=time, at=af.Circle().quadrature(127))


@functools.cache
def moments(time: float) -> np.ndarray:
    """Return the moments of mu_t."""
    own = mean_field(time)
    assert own.weights is not None
    return (own.values[0] * own.weights) @ (own.points @ np.array([1, 1j]))[:, None] ** POWERS


def moved(points: np.ndarray) -> np.ndarray:
    """Return where tokens (N, m, 2) on m circles are at the time."""
    count, circles, _ = points.shape
    torus = af.FlatTorus(circles)
    filled = np.concatenate([points, np.repeat(points[:1], MOST - count, axis=0)]).reshape(MOST, -1)
    flow = af.TokenFlow(alike(), manifold=torus, rtol=1e-6)
    measure = af.DiscreteMeasure(filled, np.arange(MOST) < count)
    found = flow.evolve(measure, times=TIME, integrator=af.Midpoint(STEP)).points[0, :count].reshape(count, circles, 2)
    return found / np.linalg.norm(found, axis=2, keepdims=True)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the distances of tokens from their mean field, and from what it is later."""
    drawn = [density().sample(MOST * DRAWS, key=key).reshape(MOST, DRAWS, 2) for key in keys]
    points = moved(np.concatenate(drawn, axis=1)[: case["tokens"]])
    far = [float(af.wasserstein(each, mean_field(TIME), manifold=af.Circle())) for each in points.swapaxes(0, 1)]
    found = np.mean((points @ np.array([1, 1j]))[..., None] ** POWERS, axis=0)
    squares = {
        "transport": np.square(far),
        "moments": np.mean(np.abs(found - moments(TIME)) ** 2, axis=1),
        "others": np.mean(np.abs(found - moments(LATER)) ** 2, axis=1),
    }
    return {name: np.sqrt(each.reshape(len(keys), DRAWS).mean(axis=1)) for name, each in squares.items()}


common: dict[str, Any] = dict(
    source="V", kind="exponent", size="tokens", predicted=-0.5,
    hypotheses=r"circle, constant kernel, $V = I$, independent tokens of a smooth density, $t = 1$",
    measures=("tokens", "mean_field"),
)  # fmt: skip
transport = af.Claim(
    id="V-meanfield/independent", quantity="transport",
    statement=r"independent tokens have $W_1(\mu^N_t, \mu_t)$ of order $N^{-1/2}$", **common,
)  # fmt: skip
moment = af.Claim(
    id="V-meanfield/moments", quantity="moments",
    statement=r"moments of independent tokens differ from those of $\mu_t$ by order $N^{-1/2}$", **common,
)  # fmt: skip
study = af.Study(
    name="independent",
    measure=measure,
    ladder=[{"tokens": round(16 * 2 ** (k / 2))} for k in range(9)],
    quick=8,
    claims=af.covered(
        [
            transport,
            moment,
            moment.control(
                statement=r"so do they differ from those of the mean field at $t = 4$",
                quantity="others",
                truth=0.0,
                truth_margin=0.1,  # to which 32 seeds know it
            ),
        ],
        by="V-meanfield-control/moments",
    ),
    seeds=960,
    quick_seeds=32,
    labels={
        "transport": r"$W_1$ of independent tokens",
        "moments": "RMS difference of moments",
        "others": r"RMS difference of moments from those at $t = 4$",
    },
)
