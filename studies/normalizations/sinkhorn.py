"""Which drift is left when attention is doubly stochastic?

Sinkhorn's key weights e^u make columns, too, sum to their masses: with infinitely many points of law p

    A f(x) = e^{u(x)} int k(x, y) e^{u(y)} f(y) p(y) dvol(y),   A 1 = 1,   k = e^{-|x-y|^2/2eps},

and A leaves p itself invariant. As eps vanishes u tends to -1/2 log p, and [Sk]

    (A f - f) / eps  ->  L f = 1/2 Lap f + 1/2 <grad log p, grad f>:

half the drift of softmax. The limit is not written down here: the same fixed point, at one key, gives the density
p^{1/2} that the expansion sees.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2: the root mean square over 128 queries of
(A f - f)/eps - L f; the control takes the limit of softmax, from which the distance in truth has the exponent zero.
Sk-ratio takes no limit: it is the quotient of the drifts of softmax and Sinkhorn, (A f - f)/eps - f''/2 each, at the
query where the drift is largest; its control has keys weighed by q^{-1/4} in place of Sinkhorn's, where it is 4/3.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

ANGLES = 2 * np.pi * np.arange(128) / 128
QUERIES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
HALF_LAPLACIAN = (-np.sin(ANGLES) - 4.5 * np.cos(3 * ANGLES)) / 2  # of f
SLOPE = -0.7 * np.sin(ANGLES) + 0.6 * np.cos(2 * ANGLES)  # of log p
STEEPEST = int(np.argmax(np.abs(SLOPE * (np.cos(ANGLES) - 1.5 * np.sin(3 * ANGLES)))))
NORMALIZATIONS: dict[str, Any] = {"sinkhorn": "sinkhorn", "softmax": "softmax", "quarter": af.AlphaNormalization(0.25)}


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


def attention(name: str, eps: float) -> af.Attention:
    """Return the attention with one of the normalisations."""
    return af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=NORMALIZATIONS[name])


@functools.cache
def limit(name: str) -> np.ndarray:
    """Return L f at the queries."""
    return af.DriftDiffusion(attention(name, 1.0), density()).generator(test_function, at=QUERIES)


def distance(difference: np.ndarray) -> float:
    """Return the root mean square over the queries."""
    return float(np.sqrt(np.mean(difference**2)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return distances of (A f - f)/eps from the two limits, and quotients of drifts."""
    eps, quotient, error = case["bandwidth"], {}, 0.0
    for name in NORMALIZATIONS:
        life = af.PopulationAttention(attention(name, eps), density())
        layers = life.evolve(test_function, times=[0, eps], at=QUERIES)
        quotient[name] = (layers.values[1] - layers.values[0]) / eps
        error = max(error, layers.solver_error / eps)
    drift = {name: (found - HALF_LAPLACIAN)[STEEPEST] for name, found in quotient.items()}
    return {
        "distance": distance(quotient["sinkhorn"] - limit("sinkhorn")),
        "control": distance(quotient["sinkhorn"] - limit("softmax")),
        "ratio": drift["softmax"] / drift["sinkhorn"],
        "quarter_ratio": drift["softmax"] / drift["quarter"],
        "solver_error": error,
    }


CIRCLE = r"circle, $p > 0$ smooth, $f$ smooth, at 128 queries; infinitely many points"
rate = af.Claim(
    id="Sk-gen/circle", source="Sk",
    statement=(
        r"with Sinkhorn's weights the distance of $(A f - f)/\varepsilon$ from "
        r"$\frac{1}{2}\Delta f + \frac{1}{2}\langle\nabla\log p, \nabla f\rangle$ is of order $\varepsilon$"
    ),
    kind="exponent", quantity="distance", size="bandwidth", predicted=1.0, hypotheses=CIRCLE,
    measures=("population", "limit"),
)  # fmt: skip
ratio = af.Claim(
    id="Sk-ratio/circle", source="Sk",
    statement=r"the drift of softmax is twice that of Sinkhorn",
    kind="constant", quantity="ratio", size="bandwidth", predicted=2.0, margin=0.02, hypotheses=CIRCLE,
    measures=("population",),
)  # fmt: skip
study = af.Study(
    name="sinkhorn",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=(
                r"with Sinkhorn's weights the distance from the limit of softmax, "
                r"$\frac{1}{2}\Delta f + \langle\nabla\log p, \nabla f\rangle$, is of order $\varepsilon$"
            ),
            quantity="control",
            truth=0.0,
        ),
        ratio,
        ratio.control(
            statement=r"the drift of softmax is twice that with keys weighed by $q^{-1/4}$",
            quantity="quarter_ratio",
            truth=4 / 3,
            truth_margin=0.02,
        ),
    ],
    labels={
        "distance": r"distance of $(A f - f)/\varepsilon$ from $L f$",
        "control": "distance from the limit of softmax",
        "ratio": "drift of softmax over that of Sinkhorn",
        "quarter_ratio": r"drift of softmax over that with $q^{-1/4}$",
    },
)
