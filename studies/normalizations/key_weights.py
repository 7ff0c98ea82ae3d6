"""What do weights of the keys do to the limit of attention?

Softmax attention to keys of different norms weighs a key by e^{b(y)} [S]. With b smooth and fixed,

    A f(x) = int k(x, y) e^{b(y)} f(y) p(y) dvol(y) / int k(x, y) e^{b(y)} p(y) dvol(y),
    (A f - f) / eps  ->  L f = 1/2 Lap f + <grad log p, grad f> + <grad b, grad f>:

the limit sees the density p e^b. The limit is found from the weights themselves, it is not written down here.

Measured on S^2, p von Mises-Fisher, b = .6 y_1 - .5 y_2 y_3, f = a.x + (c.x)^2: the root mean square over 128 queries
of (A f - f)/eps - L f. The control takes the limit without weights, from which the distance in truth has the exponent
zero. What it misses by is known by hand (key-weights-gap): |<grad b, grad f>|, measured at the query where it is
largest.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

SPHERE = af.Sphere(2)
QUERIES = SPHERE.sample_uniform(128, np.random.default_rng(20060614))
A, C = np.array([1.0, 0.5, -0.4]), np.array([0.3, -0.7, 0.6])


def log_key_weight(y: jax.Array) -> jax.Array:
    """Return b = .6 y_1 - .5 y_2 y_3."""
    return 0.6 * y[0] - 0.5 * y[1] * y[2]


def test_function(x: jax.Array) -> jax.Array:
    """Return f = a.x + (c.x)^2."""
    return A @ x + (C @ x) ** 2


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(SPHERE, mean_direction=[1, 2, 2], concentration=0.8)


def extra_drift() -> np.ndarray:
    """Return <grad b, grad f> at the queries, from derivatives by hand."""
    x, y, z = QUERIES.T
    of_b = np.stack([np.full(len(x), 0.6), -0.5 * z, -0.5 * y], axis=1)
    of_f = A + 2 * np.outer(QUERIES @ C, C)
    return np.sum(of_b * of_f, axis=1) - np.sum(of_b * QUERIES, axis=1) * np.sum(of_f * QUERIES, axis=1)


STEEPEST = int(np.argmax(np.abs(extra_drift())))
NORMALIZATIONS: dict[str, Any] = {"weighed": af.KeyWeights(log_key_weight), "softmax": "softmax"}


@functools.cache
def limit(name: str) -> np.ndarray:
    """Return L f at the queries."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization=NORMALIZATIONS[name])
    return af.DriftDiffusion(attention, density()).generator(test_function, at=QUERIES)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of (A f - f)/eps from its limit and from that of softmax."""
    eps = case["bandwidth"]
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=NORMALIZATIONS["weighed"])
    layers = af.PopulationAttention(attention, density()).evolve(test_function, times=[0, eps], at=QUERIES)
    quotient = (layers.values[1] - layers.values[0]) / eps
    return {
        "distance": np.sqrt(np.mean((quotient - limit("weighed")) ** 2)),
        "control": np.sqrt(np.mean((quotient - limit("softmax")) ** 2)),
        "gap": np.abs(quotient - limit("softmax"))[STEEPEST],
        "solver_error": layers.solver_error / eps,
    }


common: dict[str, Any] = dict(
    source="S", size="bandwidth", measures=("population", "limit"),
    hypotheses=r"$S^2$, $p > 0$ and $b$ smooth, at 128 queries; $f$ smooth; infinitely many points",
)  # fmt: skip
rate = af.Claim(
    id="key-weights/sphere",
    statement=(
        r"with keys weighed by $e^b$ the distance of $(A f - f)/\varepsilon$ from "
        r"$\frac{1}{2}\Delta f + \langle\nabla\log p + \nabla b, \nabla f\rangle$ is of order $\varepsilon$"
    ),
    kind="exponent", quantity="distance", predicted=1.0, **common,
)  # fmt: skip
missed = float(np.abs(extra_drift()[STEEPEST]))
study = af.Study(
    name="key_weights",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(10)],
    quick=7,
    claims=af.covered([
        rate,
        rate.control(
            statement=(
                r"with keys weighed by $e^b$ the distance of $(A f - f)/\varepsilon$ from "
                r"$\frac{1}{2}\Delta f + \langle\nabla\log p, \nabla f\rangle$ is of order $\varepsilon$"
            ),
            quantity="control",
            truth=0.0,
        ),
        af.Claim(
            id="key-weights-gap/sphere",
            statement=r"without the weights the limit is off by $|\langle\nabla b, \nabla f\rangle|$, at its largest",
            kind="constant", quantity="gap", predicted=missed, margin=0.03 * missed, **common,
        ),
    ], by="key-weights-control/sphere"),
    labels={
        "distance": r"distance of $(A f - f)/\varepsilon$ from $L f$",
        "control": r"distance from the limit without weights",
        "gap": r"distance from the limit without weights",
    },
)  # fmt: skip
