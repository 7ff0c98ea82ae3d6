"""What changes when a token does not attend to itself?

With A the N x N attention matrix and A' that of the same points without the diagonal, for every f

    (A - I) f(X_i) = (1 - A_ii) (A' - I) f(X_i)

exactly. The self-weight A_ii is about 1 / (1 + nb_i), nb_i = N int k(X_i, y) p(y) dvol(y) the number of neighbours,
about N p(X_i) (2 pi eps)^{1/2}; the relative error is 1 / (2^{1/2} nb) + O(1/nb^2), from the scatter of that number,
nearly as much as the 1 in 1 + nb, so that only the leading 1/nb is decided here. Extrapolated by one term from 16
neighbours on, the exact mean of A_ii, int_0^inf e^{-s} E[e^{-sk}]^{N-1} ds, misses by .0013; from 5 on it would miss by
.008, and with N p (2 pi eps)^{1/2} for nb by another .0035, of order eps.

Measured on the circle, p ~ exp(.7 cos t), eps = .01: the largest residual of the identity, and the mean of A_ii over
the mean of 1 / (1 + nb_i), where int k p is a Bessel function of x/eps + b, b = (.7, 0) [DLMF, 10.32]. The identity is
one of sums, near a tautology; what it adds is that a row without its own point is made the way that is said. The
controls leave the factor 1 - A_ii out (in truth the left-hand side is then less than the right-hand one by the part
A_ii, in the mean over the points by that of 1 / (1 + nb)), and count 2^{1/2} times as many neighbours, as the effective
sample size does.
"""

import functools
from typing import Any

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

BANDWIDTH = 0.01
CONCENTRATION = 0.7
POINTS = (400, 560, 800, 1120, 1600, 2240)


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=CONCENTRATION)


def neighbours(points: np.ndarray, n: int) -> np.ndarray:
    """Return n int k p at the points."""
    length = np.hypot(points[:, 0] / BANDWIDTH + CONCENTRATION, points[:, 1] / BANDWIDTH)
    mass = ive(0, length) / ive(0, CONCENTRATION) * np.exp(length - 1 / BANDWIDTH - CONCENTRATION)
    return n * mass


def mean_self_weight(n: int) -> float:
    """Return the mean over p of 1 / (1 + nb)."""
    angles = 2 * np.pi * np.arange(256) / 256
    points = np.column_stack([np.cos(angles), np.sin(angles)])
    return float(np.average(1 / (1 + neighbours(points, n)), weights=np.exp(CONCENTRATION * points[:, 0])))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the residual of the identity and the mean self-weight over its prediction, each with its control."""
    n = case["points"]
    points = density().sample(n, key=key)
    values = points[:, 0] - 0.5 * points[:, 1] + points[:, 0] * points[:, 1]
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH)
    with_self = af.EmpiricalAttention(attention, points)
    without = af.EmpiricalAttention(attention, points, include_self=False)
    self_weight = np.exp(-with_self.log_normalizer())  # the own logit is zero
    left, right = (BANDWIDTH * life.generator(values) for life in (with_self, without))
    return {
        "residual": np.abs(left - (1 - self_weight) * right).max(),
        "residual_without_factor": np.mean(1 - left / right),
        "self_weight_ratio": self_weight.mean() / np.mean(1 / (1 + neighbours(points, n))),
        "self_weight_ratio_of_ess": self_weight.mean() / np.mean(1 / (1 + np.sqrt(2) * neighbours(points, n))),
    }


common: dict[str, Any] = dict(
    source="derived", size="points", measures=("empirical",),
    hypotheses=r"circle, $p$ von Mises-Fisher, $D = |x - y|^2$, $\varepsilon = 0.01$",
)  # fmt: skip
exact = af.Claim(
    id="self/exact",
    statement=r"$(A - I) f(X_i) = (1 - A_{ii}) (A' - I) f(X_i)$, where $A'$ is $A$ without the diagonal",
    kind="identity", quantity="residual", predicted=0.0, margin=1e-13, **common,
)  # fmt: skip
mean = af.Claim(
    id="self/mean",
    statement=r"mean $A_{ii}$ over mean $1/(1 + \mathrm{nb}_i)$, "
    r"$\mathrm{nb}_i = N \int k(X_i, y) p(y)\,dy$, tends to 1",
    kind="constant", quantity="self_weight_ratio", predicted=1.0, **common,
)  # fmt: skip
study = af.Study(
    name="self_weight",
    measure=measure,
    ladder=[{"points": n} for n in POINTS],
    quick=6,
    claims=[
        exact,
        exact.control(
            statement=r"$(A - I) f(X_i) = (A' - I) f(X_i)$, where $A'$ is $A$ without the diagonal",
            quantity="residual_without_factor",
            truth=mean_self_weight(POINTS[0]),  # the worst is at the fewest points
            truth_margin=mean_self_weight(POINTS[0]) / 4,  # 1 / (2^{1/2} nb) is .05; and it is the worst of the seeds
        ),
        mean,
        mean.control(
            statement=r"mean $A_{ii}$ over mean $1/(1 + \mathrm{nb}_i)$, "
            r"$\mathrm{nb}_i = \sqrt{2} N \int k(X_i, y) p(y)\,dy$, tends to 1",
            quantity="self_weight_ratio_of_ess",
            truth=float(np.sqrt(2)),
        ),
    ],
    seeds=96,
    quick_seeds=64,
    labels={
        "residual": "residual of the identity",
        "residual_without_factor": r"mean part that is missing without $1 - A_{ii}$",
        "self_weight_ratio": r"mean $A_{ii}$ over mean $1/(1 + \mathrm{nb}_i)$",
        "self_weight_ratio_of_ess": r"mean $A_{ii}$ over mean $1/(1 + \sqrt{2}\,\mathrm{nb}_i)$",
    },
)
