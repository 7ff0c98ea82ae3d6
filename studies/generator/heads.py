"""Which generator have several heads together?

With output matrices that sum to the identity, H_new = sum_h (A_h H) W_h for a vector H of functions, and infinitely
many points of law p, [RZ]

    (H_new - H) / eps = sum_h (L_h H) W_h + O(eps),

L_h the generator of head h. Without the matrices, as sum_h L_h H, it is another operator.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), for the heads |x - y|^2 and 2 |x - y|^2, two components
(sin t + cos(3t)/2, sin 2t): the root mean square over 128 queries of the difference, the larger of the two components.
The control takes the plain sum: in truth that distance has the exponent zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

FIRST = np.array([[0.7, 0.2], [0.1, 0.6]])
OUTPUT = (FIRST, np.eye(2) - FIRST)
ANGLES = 2 * np.pi * np.arange(128) / 128
QUERIES = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])


def steep(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return 2 |x - y|^2."""
    return 2 * jnp.sum((x - y) ** 2)


COSTS = (af.SquaredDistance(), af.CustomPseudoMetric(steep, vanishes_on_diagonal=True, is_symmetric=True))


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant, .7 cos t + .3 sin 2t."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def test_functions(x: jax.Array) -> jax.Array:
    """Return sin t + cos(3t)/2 and sin 2t."""
    return jnp.stack([x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2, 2 * x[0] * x[1]])


@functools.cache
def density() -> af.LogDensity:
    """Return p, which is normalised once."""
    return af.LogDensity(af.Circle(), log_weight)


@functools.cache
def generators() -> list[np.ndarray]:
    """Return L_h H at the queries, (128, 2) each."""
    heads = [af.Attention(cost, bandwidth=1.0) for cost in COSTS]
    return [af.LaplaceExpansion(head, density()).generator(test_functions, at=QUERIES) for head in heads]


def distance(difference: np.ndarray) -> float:
    """Return the root mean square over the queries (Q, 2), the larger of the components."""
    return float(np.sqrt(np.mean(difference**2, axis=0)).max())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of (H_new - H)/eps from the generator of the heads and from the plain sum."""
    eps = case["bandwidth"]
    heads = af.MultiHead([af.Attention(cost, bandwidth=eps) for cost in COSTS], output=OUTPUT)
    layers = af.PopulationAttention(heads, density()).evolve(test_functions, times=[0, eps], at=QUERIES)
    quotient = (layers.values[1] - layers.values[0]) / eps
    mixed = sum(part @ matrix for part, matrix in zip(generators(), OUTPUT, strict=True))
    return {
        "mixed": distance(quotient - mixed),
        "plain": distance(quotient - sum(generators())),
        "solver_error": layers.solver_error / eps,
    }


rate = af.Claim(
    id="RZ-heads", source="RZ",
    statement=r"the distance of $(\sum_h A_h H W_h - H)/\varepsilon$ from $\sum_h (L_h H) W_h$ is of order "
    r"$\varepsilon$",
    kind="exponent", quantity="mixed", size="bandwidth", predicted=1.0,
    hypotheses=r"circle, $p > 0$ smooth, $H$ smooth, two heads, $\sum_h W_h = I$; infinitely many points",
    measures=("population", "expansion"),
)  # fmt: skip
study = af.Study(
    name="heads",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        rate,
        rate.control(
            statement=r"the distance of $(\sum_h A_h H W_h - H)/\varepsilon$ from $\sum_h L_h H$ is of order "
            r"$\varepsilon$",
            quantity="plain",
            truth=0.0,
        ),
    ],
    labels={
        "mixed": r"distance from $\sum_h (L_h H) W_h$",
        "plain": r"distance from $\sum_h L_h H$",
    },
)
