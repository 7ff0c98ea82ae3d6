"""How long do two clusters of tokens stay apart?

Under softmax attention of beta <x, y> with V = I tokens fall together within times of order one if they are near; two
clusters at an angle D then wait, for each sees almost only itself [G]. Of two clusters of half the mass each

    D' = -2 w sin D,   w = e^{beta cos D} / (e^beta + e^{beta cos D}),

so that, the tail of the integral of 1/D' being short, they meet after

    T = e^{(1 - cos D) beta} / (2 beta sin^2 D) (1 + O(1/beta)) :

beta T grows like the power 1 - cos D of e^beta. Steps in time can be as long as that once the tokens of a cluster have
become one of their mass, which is what keeps their flow from being stiff.

The control reads the time after which the first tokens have met, at the same places: it is of order one, and no power
of e^beta.

Measured on the circle, six tokens in two clusters of three, D = 1.5; when they have met is the time of a merging, at a
distance of .01.
"""

import functools
import math

import numpy as np

import attnflow as af

ANGLE = 1.5
SPREAD = np.array([-0.03, 0.0, 0.02])


@functools.cache
def tokens() -> np.ndarray:
    """Return two clusters (6, 2)."""
    angles = np.concatenate([SPREAD, ANGLE + 1.3 * SPREAD])
    return np.column_stack([np.cos(angles), np.sin(angles)])


def waited(beta: float) -> float:
    """Return twice the leading order of T: by then they have met."""
    return math.exp((1 - math.cos(ANGLE)) * beta) / (beta * math.sin(ANGLE) ** 2)


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return beta times the time after which all have met, and the time after which the first have."""
    beta = math.log(case["e^beta"])
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta), manifold=af.Circle())
    moved = flow.evolve(tokens(), waited(beta), integrator=af.Adaptive(rtol=1e-3, merge=1e-2))
    gap = np.linalg.norm(moved.points[0][0] - moved.points[0][3])
    together = [event.time for event in moved.events if len(event.tokens) == len(tokens())]
    return {"met": beta * together[0] if gap == 0 else math.inf, "first": float(moved.events[0].time)}


wait = af.Claim(
    id="G-meta", source="G",
    statement=r"the time until two clusters meet, times $\beta$, grows like $e^{(1 - \cos D) \beta}$",
    kind="exponent", quantity="met", size="e^beta", predicted=1 - math.cos(ANGLE),
    hypotheses=r"six tokens in two clusters on the circle at an angle $D = 1.5$, softmax, $V = I$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="metastable",
    measure=measure,
    ladder=[{"e^beta": math.exp(beta)} for beta in (8.0, 10.0, 12.0, 14.0, 16.0, 18.0, 20.0, 22.0)],
    quick=6,
    claims=[
        wait,
        wait.control(
            statement=r"the time until the first tokens meet grows like $e^{(1 - \cos D) \beta}$",
            quantity="first",
            truth=0.0,
        ),
    ],
    labels={
        "e^beta": r"$e^{\beta}$",
        "met": r"$\beta$ times the time until two clusters meet",
        "first": "time until the first tokens meet",
    },
)
