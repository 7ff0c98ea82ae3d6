"""What changes when a token does not attend to itself?

With A the N x N attention matrix and A' that of the same points without the diagonal, for every f

    (A - I) f(X_i) = (1 - A_ii) (A' - I) f(X_i)

exactly. The self-weight A_ii is about 1 / (1 + nb_i), nb_i = N p(X_i) (2 pi eps)^{1/2} the number of neighbours; the
relative error is of order 1/nb, as much as the 1 in 1 + nb, so that only the leading 1/nb is decided here.

Measured on the circle, p ~ exp(.7 cos t), eps = .01: the largest residual of the identity, and the mean of A_ii over
the mean of 1 / (1 + nb_i). The identity is one of sums, near a tautology; what it adds is that a row without its own
point is made the way that is said. The controls leave the factor 1 - A_ii out (in truth a lonely point then misses by a
part of the range of f), and count neighbours with the (4 pi eps)^{1/2} of the effective sample size, in truth 2^{1/2}
times as many.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 0.01


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)


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
    neighbours = n * np.exp(density().log_densities(points)) * np.sqrt(2 * np.pi * BANDWIDTH)
    left, right = (BANDWIDTH * life.generator(values) for life in (with_self, without))
    return {
        "residual": np.abs(left - (1 - self_weight) * right).max(),
        "residual_without_factor": np.abs(left - right).max(),
        "self_weight_ratio": self_weight.mean() / np.mean(1 / (1 + neighbours)),
        "self_weight_ratio_of_ess": self_weight.mean() / np.mean(1 / (1 + np.sqrt(2) * neighbours)),
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
    r"$\mathrm{nb}_i = N p(X_i) (2\pi\varepsilon)^{1/2}$, tends to 1",
    kind="constant", quantity="self_weight_ratio", predicted=1.0, **common,
)  # fmt: skip
study = af.Study(
    name="self_weight",
    measure=measure,
    ladder=[{"points": n} for n in (128, 256, 512, 1024, 2048)],
    quick=5,
    claims=[
        exact,
        exact.control(
            statement=r"$(A - I) f(X_i) = (A' - I) f(X_i)$, where $A'$ is $A$ without the diagonal",
            quantity="residual_without_factor",
            truth=1.0,
            truth_margin=0.9,  # the worst of all points: from a tenth to the range of f
        ),
        mean,
        mean.control(
            statement=r"mean $A_{ii}$ over mean $1/(1 + \mathrm{nb}_i)$, "
            r"$\mathrm{nb}_i = N p(X_i) (4\pi\varepsilon)^{1/2}$, tends to 1",
            quantity="self_weight_ratio_of_ess",
            truth=float(np.sqrt(2)),
        ),
    ],
    seeds=96,
    quick_seeds=64,
    labels={
        "residual": "residual of the identity",
        "residual_without_factor": r"residual without $1 - A_{ii}$",
        "self_weight_ratio": r"mean $A_{ii}$ over mean $1/(1 + \mathrm{nb}_i)$",
        "self_weight_ratio_of_ess": r"mean $A_{ii}$ over mean $1/(1 + \sqrt{2}\,\mathrm{nb}_i)$",
    },
)
