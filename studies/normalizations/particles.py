"""Do N points whose keys are weighed follow infinitely many?

The weights e^{u_j} of the keys of N independent points come from the points themselves: for powers of the kernel
density, u_j = -alpha log sum_i k(X_j, X_i). At a fixed bandwidth they tend to those of the population, and

    A_N f - A f = O(N^{-1/2})

as for softmax [Si]: a smooth function of sample means.

Measured on the circle, p von Mises-Fisher, eps = .1, for alpha = 1/2, alpha = 1 and weights e^b, b = y_2 / 2: the root
mean square over 32 queries that are no sample points. The controls compare with the population of softmax: that
distance tends to the distance between the two populations, so in truth its exponent is zero.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 0.1
MARGIN = 0.1  # twice the default: a seed leaves a fifth of noise, and the weights of each are sums of their own
ANGLES = 2 * np.pi * (np.arange(32) + 0.5) / 32
QUERIES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def log_key_weight(y: jax.Array) -> jax.Array:
    """Return b = y_2 / 2."""
    return 0.5 * y[1]


NORMALIZATIONS: dict[str, Any] = {
    "alpha-half": af.AlphaNormalization(0.5),
    "alpha-one": af.AlphaNormalization(1.0),
    "key-weights": af.KeyWeights(log_key_weight),
    "softmax": "softmax",
}


def test_function(x: jax.Array) -> jax.Array:
    """Return f = x_1 - x_2/2 + x_1 x_2."""
    return x[0] - 0.5 * x[1] + x[0] * x[1]


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)


def attention(name: str) -> af.Attention:
    """Return the attention of a normalisation."""
    return af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, normalization=NORMALIZATIONS[name])


@functools.cache
def population(name: str) -> np.ndarray:
    """Return A f at the queries."""
    return af.PopulationAttention(attention(name), density()).layer(test_function, at=QUERIES)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of A_N f from A f, and from that of softmax."""
    points = density().sample(case["points"], key=key)
    row = {}
    for name in list(NORMALIZATIONS)[:-1]:
        particles = af.EmpiricalAttention(attention(name), points).layer(test_function, at=QUERIES)
        row[f"{name}.error"] = np.sqrt(np.mean((particles - population(name)) ** 2))
        row[f"{name}.control"] = np.sqrt(np.mean((particles - population("softmax")) ** 2))
    return row


def claims_of(name: str) -> list[af.Claim]:
    """Return the claim about one normalisation and its control."""
    rate = af.Claim(
        id=f"weighed-N/{name}", source="Si", size="points", kind="exponent", quantity=f"{name}.error", predicted=-0.5,
        margin=MARGIN, measures=("empirical", "population"),
        hypotheses=rf"circle, $p$ von Mises-Fisher, $\varepsilon = {BANDWIDTH}$, {name.replace('-', ' ')}, "
                   "queries apart from the points",
        statement=r"with weighed keys $A_N f - A f$ at fixed $\varepsilon$ is of order $N^{-1/2}$",
    )  # fmt: skip
    control = rate.control(
        statement=r"the distance of $A_N f$ with weighed keys from $A f$ of softmax is of order $N^{-1/2}$",
        quantity=f"{name}.control",
        truth=0.0,
        truth_margin=0.15,  # at 64 points the noise is as large as the distance that is left
    )
    return [rate, control]


study = af.Study(
    name="particles",
    measure=measure,
    ladder=[{"points": 64 * 2**k} for k in range(10)],
    quick=8,
    claims=[claim for name in list(NORMALIZATIONS)[:-1] for claim in claims_of(name)],
    seeds=256,
    quick_seeds=128,
    labels={
        f"{name}.{quantity}": label
        for name in list(NORMALIZATIONS)[:-1]
        for quantity, label in {
            "error": "RMS of $A_N f - A f$",
            "control": "RMS of $A_N f$ less $A f$ of softmax",
        }.items()
    },
)
