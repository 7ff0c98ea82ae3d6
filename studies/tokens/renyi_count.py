"""How many tokens are leaders, which no earlier token comes near?

Under a causal mask a token that no earlier one is within delta of hardly moves, if the kernel is narrower than that,
and others gather around it: it is a strong Renyi centre. Of i.i.d. tokens of law mu the k-th is one with probability
int (1 - mu(B_delta))^{k-1} dmu, and so, of very many, the expected number is [KPR]

    int 1 / mu(B_delta) dmu:    pi / delta on the circle,    1 / sin^2(delta/2) on S^2, mu uniform.

On S^2 (3 sin^2(delta/2))^{-1} has been printed; the control lays that to the count. It is three times too small.

Measured by velocities: the kernel (1 - |x - y|^2/eps)_+ with |x - y| = sqrt(eps) at the angle delta, so that centres
are the tokens that are exactly at rest, and centred velocities. A draw has as many tokens as leave out e^-7 of the
centres; several draws, together about 1024 tokens, stand beside one another out of reach, and their mean is taken. It
is divided by what is predicted.
"""

import math

import jax
import numpy as np

import attnflow as af

REST = 1e-12
LEFT_OUT = 7.0  # - log of the probability that the last token is a centre
TOKENS, APART = 1024, 10.0
FILLED = 1408  # rows: tokens after the last are seen by none before, and let all radii share one program
RADII = {
    "circle": tuple(0.4 * 2 ** (-0.4 * k) for k in range(8)),
    "sphere": tuple(0.9 * 2 ** (-0.35 * k) for k in range(8)),
}


def share(place: str, radius: float) -> float:
    """Return mu(B_delta)."""
    return radius / math.pi if place == "circle" else math.sin(radius / 2) ** 2


def centres(place: str, radius: float, key: jax.Array) -> float:
    """Return how many tokens of a draw are at rest, the mean over a few draws."""
    count = math.ceil(LEFT_OUT / share(place, radius))
    draws = max(1, round(TOKENS / count))
    tokens = af.Uniform(af.Circle() if place == "circle" else af.Sphere(2)).sample(draws * count, key=key)
    beside = APART * np.repeat(np.arange(draws), count)
    attention = af.Attention(
        af.SquaredDistance(), bandwidth=4 * math.sin(radius / 2) ** 2, profile="compact", mask="causal"
    )
    placed = np.column_stack([tokens, beside])
    filled = np.concatenate([placed, np.repeat(placed[:1], FILLED - len(placed), axis=0)])
    speeds = af.TokenFlow(attention, centred=True).velocity(filled)[: len(placed)]
    return np.count_nonzero(np.linalg.norm(speeds, axis=1) < REST) / draws


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return how many tokens of one draw are at rest, divided by what is predicted and by what is printed."""
    place, radius = ("circle", case["angle"]) if "angle" in case else ("sphere", case["radius"])
    count = centres(place, radius, key) * share(place, radius)
    return {"circle": count} if place == "circle" else {"sphere": count, "printed": 3 * count}


def claim_of(place: str, size: str, predicted: str) -> af.Claim:
    """Return the claim at one place."""
    where = "the circle" if place == "circle" else "$S^2$"
    return af.Claim(
        id=f"renyi-count/{place}", source="KPR",
        statement=rf"the expected number of tokens that no earlier one is within $\delta$ of is {predicted}",
        kind="constant", quantity=place, size=size, predicted=1.0, margin=0.1, statistic="mean",
        hypotheses=f"i.i.d. uniform tokens on {where}, causal mask, a kernel of that radius; those at rest are counted",
        measures=("tokens",),
    )  # fmt: skip


sphere = claim_of("sphere", "radius", r"$1/\sin^2(\delta/2)$")
study = af.Study(
    name="renyi_count",
    measure=measure,
    ladder=[{"angle": radius} for radius in RADII["circle"]] + [{"radius": radius} for radius in RADII["sphere"]],
    quick=16,
    seeds=100,
    quick_seeds=12,
    claims=af.covered(
        [
            claim_of("circle", "angle", r"$\pi/\delta$"),
            sphere,
            sphere.control(
                statement=(
                    r"the expected number of tokens that no earlier one is within $\delta$ of is "
                    r"$1/(3\sin^2(\delta/2))$"
                ),
                quantity="printed",
                truth=3.0,
                truth_margin=0.3,
            ),
        ],
        by="renyi-count-control/sphere",
    ),
    labels={
        "circle": r"tokens at rest, over $\pi/\delta$",
        "sphere": r"tokens at rest, over $1/\sin^2(\delta/2)$",
        "printed": r"tokens at rest, over $1/(3\sin^2(\delta/2))$",
    },
)
