"""How does the Lipschitz constant of dot products on a ball grow with the number of tokens?

As a map of N tokens in the ball of radius R, with the Euclidean norm on R^{N D}, softmax of <x, y> has a constant that
grows like sqrt(N) while N is well under e^{R^2 / 4}: all but two tokens can sit where two far keys draw them alike, and
a key that moves moves them all. Beyond, such keys must be many to be seen, and the constant does not grow: it is that
of measures in the distance W_2 [CAP]. In the unit ball there is no growth at all.

C-lip/growth. On R = 24 two keys at angles of 45 degrees to all others, which are at .65 R: the norm of the Jacobian,
over sqrt(N), tends to sqrt((1 + k^2) / 2), k = .65 R^2 / sqrt(2), while N is far under e^{.037 R^2}. It is attained, so
that the constant of the ball is at least that. In the control the norm is the largest that is found in the unit ball,
over sqrt(N).

C-lip/saturation. On R = 5, where e^{R^2 / 4} = 518, the largest norm that a search over three places in the plane
finds, of N tokens in all. It tends to the largest over two places on a line, R and another, with any masses, which is
found here from the formula of derivatives. In the control the ball is the unit ball.
"""

from typing import Any

import jax
import numpy as np

import attnflow as af

FAR, NEAR, UNIT = 24.0, 5.0, 1.0
DIAGONAL, INNER = np.sqrt(0.5), 0.65
PLACES = np.array([[DIAGONAL, DIAGONAL], [DIAGONAL, -DIAGONAL], [INNER, 0.0]])


def flow() -> af.TokenFlow:
    """Return tokens with the logit <x, y>."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1.0))


def growth() -> float:
    """Return the limit of the norm at the designed place over sqrt(N), from two keys that all others see alike."""
    moved = INNER * DIAGONAL * FAR**2
    return float(np.sqrt((1 + moved**2) / 2))


def of_measures(radius: float) -> float:
    """Return the largest norm in L^2 of masses q and 1 - q at R and another place on the line, from derivatives."""
    place, log_share = np.meshgrid(radius * np.linspace(-1, 1, 402)[:-1], np.linspace(-12, 12, 481))
    share = 1 / (1 + np.exp(-log_share))
    odds_here = (
        share / (1 - share) * np.exp(radius * (radius - place))
    )  # weights at R over those elsewhere, seen from R
    odds_there = share / (1 - share) * np.exp(place * (radius - place))
    here, there = (odds / (1 + odds) for odds in (odds_here, odds_there))
    gap = radius - place
    a = here * (1 + radius * gap * (1 - here)) + here * (1 - here) * gap**2
    b = (1 - here) * (1 - radius * gap * here) * np.sqrt(share / (1 - share))
    c = there * (1 + place * gap * (1 - there)) * np.sqrt((1 - share) / share)
    d = (1 - there) * (1 - place * gap * there) + there * (1 - there) * gap**2
    total = a**2 + b**2 + c**2 + d**2
    return float(np.sqrt((total + np.sqrt(total**2 - 4 * (a * d - b * c) ** 2)) / 2).max())


def searched(radius: float, count: int, key: jax.Array) -> float:
    """Return the largest norm that is found for so many tokens in a ball."""
    how: dict[str, Any] = dict(dim=2, order=2, atoms=3, starts=3, key=key)
    return af.wasserstein_lipschitz(flow(), radius=radius, tokens=count, **how).constant


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return norms of Jacobians of N tokens in three balls."""
    count = case["tokens"]
    designed = af.DiscreteMeasure(FAR * PLACES, weights=np.array([1.0, 1.0, count - 2.0]))
    unit = searched(UNIT, count, key)
    return {
        "far": af.jacobian_norm(flow(), designed) / np.sqrt(count),
        "unit_over_root": unit / np.sqrt(count),
        "near": searched(NEAR, count, key),
        "unit": unit,
    }


COMMON: dict[str, Any] = dict(
    source="CAP", kind="constant", size="tokens", correction_power=0.5, measures=("tokens",),
    hypotheses=r"softmax of $\langle x, y\rangle$, $N$ tokens in a ball of the plane; in the claims $R = 24$ for the "
    r"growth, where $N$ is far under $e^{R^2 / 4}$, and $R = 5$ for its end, where it is far above",
)  # fmt: skip
grows = af.Claim(
    id="C-lip/growth", quantity="far", predicted=growth(),
    statement=r"the norm of the Jacobian of $N$ tokens grows like $\sqrt{N}$, over which it tends to "
    r"$\sqrt{(1 + k^2) / 2}$", **COMMON,
)  # fmt: skip
ends = af.Claim(
    id="C-lip/saturation", quantity="near", predicted=of_measures(NEAR),
    statement="the norm of the Jacobian of $N$ tokens tends to that of measures at two places", **COMMON,
)  # fmt: skip
study = af.Study(
    name="dot_product_ball",
    measure=measure,
    ladder=[{"tokens": 2**k} for k in range(13, 21)],
    quick=8,
    claims=[
        grows,
        grows.control(
            statement=r"in the unit ball, too, the norm of the Jacobian grows like $\sqrt{N}$, over which it tends to "
            r"$\sqrt{(1 + k^2) / 2}$",
            quantity="unit_over_root",
            truth=0.0,
            truth_margin=0.01,
        ),
        ends,
        ends.control(
            statement="in the unit ball the norm of the Jacobian of $N$ tokens tends to that of measures at two places "
            "in the ball of radius 5",
            quantity="unit",
            truth=of_measures(UNIT),
        ),
    ],
    labels={
        "far": r"norm of the Jacobian over $\sqrt{N}$, $R = 24$",
        "unit_over_root": r"norm of the Jacobian over $\sqrt{N}$, $R = 1$",
        "near": "norm of the Jacobian, $R = 5$",
        "unit": "norm of the Jacobian, $R = 1$",
    },
)
