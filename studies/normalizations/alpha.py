"""Which drift is left when keys are weighed by a power of their kernel density?

With q(y) = int k(y, z) p(z) dvol(z), k = e^{-|x-y|^2/2eps}, the attention

    A f(x) = int k(x, y) q(y)^{-alpha} f(y) p(y) dvol(y) / int k(x, y) q(y)^{-alpha} p(y) dvol(y)

has the limit [CL]

    (A f - f) / eps  ->  L f = 1/2 Lap f + (1 - alpha) <grad log p, grad f>:

alpha = 0 is softmax, alpha = 1 pure heat flow. The limit is not written down here: as eps vanishes the kernel density
tends to p itself, and the same normalisation then gives the density p^{1-alpha} that the expansion sees.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2, for alpha = 1/2 and 1: the root mean
square over 128 queries of (A f - f)/eps - L f. The controls take the limit of softmax instead, from which the distance
in truth has the exponent zero. What they miss by is known by hand (CL-alpha-gap): alpha |<grad log p, grad f>|,
measured at the query where it is largest.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

POWERS = {"half": 0.5, "one": 1.0}
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


def drift() -> np.ndarray:
    """Return <grad log p, grad f> at the queries, from derivatives by hand."""
    slope = -0.7 * np.sin(ANGLES) + 0.6 * np.cos(2 * ANGLES)
    return slope * (np.cos(ANGLES) - 1.5 * np.sin(3 * ANGLES))


STEEPEST = int(np.argmax(np.abs(drift())))


@functools.cache
def limit(alpha: float) -> np.ndarray:
    """Return L f at the queries."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization=af.AlphaNormalization(alpha))
    return af.DriftDiffusion(attention, density()).generator(test_function, at=QUERIES)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of (A f - f)/eps from its limit and from that of softmax."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for name, alpha in POWERS.items():
        attention = af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=af.AlphaNormalization(alpha))
        layers = af.PopulationAttention(attention, density()).evolve(test_function, times=[0, eps], at=QUERIES)
        quotient = (layers.values[1] - layers.values[0]) / eps
        row |= {
            f"{name}.distance": np.sqrt(np.mean((quotient - limit(alpha)) ** 2)),
            f"{name}.control": np.sqrt(np.mean((quotient - limit(0.0)) ** 2)),
            f"{name}.gap": np.abs(quotient - limit(0.0))[STEEPEST],
        }
        row |= {f"{quantity}.solver_error": layers.solver_error / eps for quantity in list(row) if name in quantity}
    return row


def claims_of(name: str, alpha: float) -> list[af.Claim]:
    """Return the claims about one power."""
    common: dict[str, Any] = dict(
        source="CL", size="bandwidth", measures=("population", "limit"),
        hypotheses=rf"circle, $p > 0$ smooth, $\alpha = {alpha:g}$, at 128 queries; $f$ smooth; infinitely many points",
    )  # fmt: skip
    rate = af.Claim(
        id=f"CL-alpha/{name}",
        statement=(
            r"with keys weighed by $q^{-\alpha}$ the distance of $(A f - f)/\varepsilon$ from "
            r"$\frac{1}{2}\Delta f + (1 - \alpha)\langle\nabla\log p, \nabla f\rangle$ is of order $\varepsilon$"
        ),
        kind="exponent", quantity=f"{name}.distance", predicted=1.0, **common,
    )  # fmt: skip
    softmax = r"the limit of softmax, $\frac{1}{2}\Delta f + \langle\nabla\log p, \nabla f\rangle$,"
    missed = alpha * float(np.abs(drift()[STEEPEST]))
    return [
        rate,
        rate.control(statement=f"the distance from {softmax} is of order " + r"$\varepsilon$",
                     quantity=f"{name}.control", truth=0.0),
        af.Claim(
            id=f"CL-alpha-gap/{name}",
            statement=f"{softmax} is off by " + r"$\alpha|\langle\nabla\log p, \nabla f\rangle|$, at its largest",
            kind="constant", quantity=f"{name}.gap", predicted=missed, margin=0.03 * missed, **common,
        ),
    ]  # fmt: skip


study = af.Study(
    name="alpha",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=af.covered(
        [claim for name, alpha in POWERS.items() for claim in claims_of(name, alpha)],
        by={
            "CL-alpha-gap/half": "CL-alpha-control/half",
            "CL-alpha-gap/one": "CL-alpha-control/one",
        },
    ),
    labels={
        f"{name}.{quantity}": label
        for name in POWERS
        for quantity, label in {
            "distance": r"distance of $(A f - f)/\varepsilon$ from $L f$",
            "control": r"distance from the limit of softmax",
            "gap": r"distance from the limit of softmax",
        }.items()
    },
)
