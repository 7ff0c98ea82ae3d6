"""How does the Lipschitz constant of dot products on a ball grow with the number of tokens?

As a map of N tokens in the ball of radius R, with the Euclidean norm on R^{N D}, softmax of <x, y> has a constant that
grows like sqrt(N) while N is well under e^{R^2 / 4}: all but two tokens can sit where two far keys draw them alike, and
a key that moves moves them all. Beyond, such keys must be many to be seen, and the constant does not grow: it is that
of measures in the distance W_2 [CAP]. In the unit ball there is no growth at all.

Measured: on R = 24 the norm of the Jacobian at a designed place, two keys at angles of 45 degrees to all others, which
are at .65 R; it is attained, so that the constant is at least that. On R = 5 (e^{R^2 / 4} = 518) and R = 1 the largest
norm that a search over three places finds, of N tokens in all; its control is that of R = 24 with the claim that it
does not grow.
"""

import jax
import numpy as np

import attnflow as af

FAR, NEAR, UNIT = 24.0, 5.0, 1.0
DIAGONAL = np.sqrt(0.5)
PLACES = np.array([[DIAGONAL, DIAGONAL], [DIAGONAL, -DIAGONAL], [0.65, 0.0]])


def flow() -> af.TokenFlow:
    """Return tokens with the logit <x, y>."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0))


def searched(radius: float, count: int, key: jax.Array) -> float:
    """Return the largest norm that is found for so many tokens in a ball."""
    found = af.wasserstein_lipschitz(
        flow(), radius=radius, dim=2, order=2, tokens=count, atoms=3, starts=3, key=key
    )  # fmt: skip
    return found.constant


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return norms of Jacobians of N tokens in three balls."""
    count = case["tokens"]
    designed = af.DiscreteMeasure(FAR * PLACES, weights=np.array([1.0, 1.0, count - 2.0]))
    return {
        "far": af.jacobian_norm(flow(), designed),
        "near": searched(NEAR, count, key),
        "unit": searched(UNIT, count, key),
    }


grows = af.Claim(
    id="C-lip/growth", source="CAP", kind="exponent", quantity="far", size="tokens", predicted=0.5,
    statement=r"the norm of the Jacobian of $N$ tokens grows like $\sqrt{N}$",
    hypotheses=r"softmax of $\langle x, y\rangle$, tokens in a ball of the plane; in the claim $R = 24$, where "
    r"$e^{R^2 / 4}$ is far above $N$",
    measures=("tokens",),
)  # fmt: skip
ends = af.Claim(
    id="C-lip/saturation", source="CAP", kind="exponent", quantity="near", size="tokens", predicted=0.0,
    statement=r"the norm of the Jacobian of $N$ tokens does not grow with $N$",
    hypotheses=r"softmax of $\langle x, y\rangle$, tokens in a ball of the plane; in the claim $R = 5$, where "
    r"$e^{R^2 / 4}$ is far under $N$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="dot_product_ball",
    measure=measure,
    ladder=[{"tokens": 2**k} for k in range(13, 21)],
    quick=8,
    claims=[
        grows,
        grows.control(
            statement=r"in the unit ball, too, the norm of the Jacobian of $N$ tokens grows like $\sqrt{N}$",
            quantity="unit",
            truth=0.0,
        ),
        ends,
        ends.control(
            statement=r"at $R = 24$, too, the norm of the Jacobian of $N$ tokens does not grow with $N$",
            quantity="far",
            truth=0.5,
        ),
    ],
    labels={
        "far": "norm of the Jacobian, $R = 24$",
        "near": "norm of the Jacobian, $R = 5$",
        "unit": "norm of the Jacobian, $R = 1$",
    },
)
