"""Where do tokens go that attend to earlier ones alone?

Under a causal mask the first token sees only itself, and with V = I it is at rest. In two dimensions and more the
others follow it, whatever Q and K are, for almost every start: all tokens tend to the first [KPR].

The control takes the mask away. The tokens still meet, in a place that is nobody's, so that they do not come to the
first.

Measured on S^2 with six tokens and random Q and K of variance 1/3, in 30 layers of length one: how far the
farthest token is then from where the first began.
"""

import functools

import numpy as np

import attnflow as af

TIME, NEAR = 30.0, 1e-3


@functools.cache
def costs(number: int) -> tuple[af.QueryKey, np.ndarray]:
    """Return random Q and K, of the size that networks begin with, and tokens (6, 3)."""
    rng = np.random.default_rng(number)
    query, key = rng.normal(size=(2, 3, 3)) / np.sqrt(3)
    tokens = rng.normal(size=(6, 3))
    return af.QueryKey(query, key), tokens / np.linalg.norm(tokens, axis=1, keepdims=True)


def distance(number: int, mask: str | None) -> float:
    """Return how far the farthest token is from where the first began."""
    cost, tokens = costs(number)
    flow = af.TokenFlow(af.Attention(cost, bandwidth=1.0, mask=mask), manifold=af.Sphere(2))
    moved = flow.evolve(tokens, TIME, integrator=af.Layer(1.0)).points[0]
    return float(np.linalg.norm(moved - tokens[0], axis=1).max())


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return how far tokens are from the first, with the mask and without."""
    return {"causal": distance(case["start"], "causal"), "full": distance(case["start"], None)}


first = af.Claim(
    id="causal-first", source="KPR",
    statement=r"under a causal mask all tokens tend to the first: after 30 layers they are within $10^{-3}$ of it",
    kind="identity", quantity="causal", size="start", predicted=0.0, margin=NEAR,
    hypotheses=r"six tokens on $S^2$, softmax, $V = I$, random $Q$ and $K$ of variance $1/3$", measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="causal",
    measure=measure,
    ladder=[{"start": number} for number in range(1, 9)],
    quick=6,
    claims=[
        first,
        first.control(
            statement=r"without a mask all tokens are within $10^{-3}$ of the first after 30 layers",
            quantity="full",
            truth=1.0,  # anywhere else on the sphere
            truth_margin=0.99,
        ),
    ],
    labels={
        "causal": "distance of the farthest token from the first, causal",
        "full": "distance of the farthest token from the first, without a mask",
    },
)
