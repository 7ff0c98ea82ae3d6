"""By how much does attention stretch distances of measures, and where do bounds hold?

V-lip. On measures in the ball of radius R softmax with the logit beta <x, y> is Lipschitz in the distance W_1 [V],

    W_1(A mu, A nu) <= ( s + (1 + 2 s) e^{2 s} ) W_1(mu, nu),   s = beta R^2.

The largest ratio is searched from below, in the plane, from designed and random starts: measured is by which share it
exceeds the bound. In the control weights are taken for frozen, and the constant for one: what that misses is known from
two clusters at either end of the ball, one of them a grain that moves.

K-lip. With the kernel e^{-|x - y|^2} on the line the Jacobian of N tokens has rows of at most 4 c + 1, c e^{c+1} =
N - 1, in absolute sums [K]. One token at 0 and half of the others at either side, at sqrt(1 + c), attain 4 c + 1 - 2 q,
q = c / (1 + c); measured over that, tokens at one place being one of their mass. In the control the bound itself is
said to be attained.

K-dot. Dot products have no such bound: a token at 0 amid four others at -R and four at R has a row that grows like
R^2, over which it tends to the share 8/9 of the others. In the control these tokens attend by distance: each sees
itself alone, with the constant 1.
"""

from typing import Any

import jax
import numpy as np
from scipy.optimize import brentq

import attnflow as af

SIZES = [2.0**k / 16 for k in range(6)]  # s
COUNTS = [11, 101, 1001, 10_001, 100_001, 1_000_001]
RADII = [4.0 * 2 ** (k / 2) for k in range(8)]


def of_dot_products(size: float) -> af.TokenFlow:
    """Return attention with beta = s, on the unit ball."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / size))


def of_distances() -> af.TokenFlow:
    """Return attention with the kernel e^{-|x - y|^2}."""
    return af.TokenFlow(af.Attention(af.SquaredDistance(), bandwidth=0.5))


def two_clusters(size: float) -> float:
    """Return the ratio for a grain at -1 among masses q at -1 and 1 - q at 1, the largest over q."""
    share = np.linspace(0, 1, 100_002)[1:-1]
    here, there = np.exp(size), np.exp(-size)
    own, other = share * here + (1 - share) * there, share * there + (1 - share) * here
    mean, other_mean = ((1 - share) * there - share * here) / own, ((1 - share) * here - share * there) / other
    variance = 1 - mean**2
    seen = share * here / own * np.abs(1 + size * (1 + mean))
    seen += (1 - share) * there / other * np.abs(1 - size * (1 + other_mean))
    return float((size * variance + seen).max())


def half_of_each(side: float, count: int) -> af.DiscreteMeasure:
    """Return one token at 0 and half of the others at either side."""
    half = (count - 1) / 2
    return af.DiscreteMeasure(np.array([[0.0], [side], [-side]]), np.array([1.0, half, half]))


def attained(count: int) -> tuple[float, float]:
    """Return c and what is attained, 4 c + 1 - 2 q."""
    c = brentq(lambda x: x * np.exp(x + 1) - (count - 1), 0.0, 50.0, xtol=1e-14)
    return c, 4 * c + 1 - 2 * c / (1 + c)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what one of the three claims is about."""
    if "s" in case:
        flow = of_dot_products(case["s"])
        found = af.wasserstein_lipschitz(flow, radius=1.0, dim=2, atoms=3, starts=6, key=key).constant
        bound = af.wasserstein_lipschitz_bound(flow, radius=1.0)
        return {"excess": max(found / bound - 1, 0.0), "excess_over_frozen": max(found - 1, 0.0)}
    if "tokens" in case:
        c, right = attained(case["tokens"])
        tokens = half_of_each(np.sqrt(1 + c), case["tokens"])
        norm = af.jacobian_norm(of_distances(), tokens, order=np.inf)
        return {"attained": norm / right, "of_bound": norm / (4 * c + 1)}
    tokens = half_of_each(case["radius"], 9)
    dots, distances = (af.jacobian_norm(flow, tokens, order=np.inf) for flow in (of_dot_products(1.0), of_distances()))
    return {"dots": dots / case["radius"] ** 2, "distances": distances / case["radius"] ** 2}


never = af.Claim(
    id="V-lip/plane", source="V", kind="identity", quantity="excess", size="s", predicted=0.0, margin=1e-12,
    statement=r"$W_1$ grows at most by $s + (1 + 2 s) e^{2 s}$ in a layer, $s = \beta R^2$",
    hypotheses=r"softmax of $\beta \langle x, y\rangle$, $V = I$, measures in a ball of the plane, by search",
    measures=("tokens",),
)  # fmt: skip
K: dict[str, Any] = dict(source="K", measures=("tokens",))
worst = af.Claim(
    id="K-lip/attained", kind="identity", quantity="attained", size="tokens", predicted=1.0, margin=1e-10,
    statement=r"the largest row sum is $4 c + 1 - 2 c / (1 + c)$, $c e^{c + 1} = N - 1$, over which it is one",
    hypotheses=r"kernel $e^{-|x - y|^2}$, one token at 0 and half of the others at $\pm\sqrt{1 + c}$", **K,
)  # fmt: skip
square = af.Claim(
    id="K-dot/line", kind="constant", quantity="dots", size="radius", predicted=8 / 9, correction_power=2.0,
    statement=r"the Jacobian's largest row sum grows like $R^2$, over which it tends to $8/9$",
    hypotheses=r"one token at 0 and four at $-R$ and at $R$; softmax of $x y$ in the claim", **K,
)  # fmt: skip
study = af.Study(
    name="lipschitz",
    measure=measure,
    ladder=[*({"s": s} for s in SIZES), *({"tokens": n} for n in COUNTS), *({"radius": r} for r in RADII)],
    quick=len(SIZES) + len(COUNTS) + len(RADII),
    claims=[
        never,
        never.control(
            statement=r"$W_1$ does not grow in a layer, as with frozen weights",
            quantity="excess_over_frozen",
            truth=two_clusters(SIZES[-1]) - 1,
            truth_margin=1e-4,
        ),
        worst,
        worst.control(
            statement=r"the largest row sum is the bound $4 c + 1$, $c e^{c + 1} = N - 1$, over which it is one",
            quantity="of_bound",
            truth=min(right / (4 * c + 1) for c, right in map(attained, COUNTS)),
            truth_margin=1e-10,
        ),
        square,
        square.control(
            statement=r"for attention by distance, too, the Jacobian's largest row sum grows like $R^2$, over which it "
            "tends to $8/9$",
            quantity="distances",
            truth=0.0,
            truth_margin=0.01,
        ),
    ],
    labels={
        "s": r"$s = \beta R^2$",
        "excess": "what was found over the bound, less one",
        "excess_over_frozen": "what was found, less one",
        "attained": "largest row sum over what is attained",
        "of_bound": "largest row sum over the bound",
        "dots": "largest row sum over $R^2$, dot products",
        "distances": "largest row sum over $R^2$, distances",
    },
)
