"""Which generator has the attention of a cost in other units?

Dividing the cost by s^2 divides the metric by s^2: with D(x, y) = |x - y|^2 / s^2 and infinitely many points of law p,

    (A f - f) / eps = s^2 L f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>                [RZ, Theorem 3; CL].

So one layer of it is a layer of |x - y|^2 at the bandwidth s^2 eps, and its rate is that of the study `generator` at
another bandwidth. What this adds: the limit is found from the cost in its own units, and nobody tells it of s.

Measured on the circle, s = 1/2, p ~ exp(.7 cos t), for f = sin 2t + cos(t)/2, sin t + cos(3t)/2 and sin t: the root
mean square of the difference over 128 queries, the largest of the three f. The control takes the limit of |x - y|^2: in
truth that distance tends to 1 - s^2 of the size of L f, with the exponent zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

SCALE = 0.5  # s


def cost(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D(x, y)."""
    return jnp.sum((x - y) ** 2) / SCALE**2


def test_functions(x: jax.Array) -> jax.Array:
    """Return sin 2t + cos(t)/2, sin t + cos(3t)/2 and sin t."""
    c, s = x
    return jnp.stack([2 * s * c + c / 2, s + (4 * c**3 - 3 * c) / 2, s])


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)


def distance(difference: np.ndarray) -> float:
    """Return the root mean square over the queries (Q, 3), the largest of the three functions."""
    return float(np.sqrt(np.full(128, 1 / 128) @ difference**2).max())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distance of (A f - f) / eps from the limit of its cost, s^2 L f, and from that of |x - y|^2."""
    eps = case["bandwidth"]
    angles = 2 * np.pi * np.arange(128) / 128
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    scaled = af.Attention(af.CustomPseudoMetric(cost), bandwidth=eps)
    flow = af.PopulationAttention(scaled, density()).evolve(test_functions, times=[0, eps], at=at)
    quotient = (flow.values[1] - flow.values[0]) / eps
    plain = af.Attention(af.SquaredDistance(), bandwidth=eps)
    own, other = (af.LaplaceExpansion(each, density()).generator(test_functions, at=at) for each in (scaled, plain))
    return {
        "scaled": distance(quotient - own),
        "unscaled": distance(quotient - other),
        "solver_error": flow.solver_error / eps,
    }


rate = af.Claim(
    id="RZ-scale", source="RZ",
    statement=r"the distance of $(A - I) f / \varepsilon$ from its limit, $s^2 L f$, is of order $\varepsilon$",
    kind="exponent", quantity="scaled", size="bandwidth", predicted=1.0,
    hypotheses=r"circle, $p > 0$ smooth; $D = |x - y|^2 / s^2$ with $s = 1/2$; $f$ smooth",
    measures=("population", "expansion"),
)  # fmt: skip
study = af.Study(
    name="scale",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"the distance of $(A - I) f / \varepsilon$ from $L f$, whatever $s$, is of order $\varepsilon$",
            quantity="unscaled",
            truth=0.0,
        ),
    ],
    labels={
        "scaled": r"distance of $(A - I) f / \varepsilon$ from $s^2 L f$",
        "unscaled": r"distance of $(A - I) f / \varepsilon$ from $L f$",
    },
)
