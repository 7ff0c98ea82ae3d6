"""Down to how many neighbours does the continuum theory hold?

The effective sample size of a query, ESS = 1 / sum_j w_j^2, is about N (int k p)^2 / int k^2 p, for small eps about N p
(4 pi eps)^{m/2}, while the number of neighbours nb = N p (2 pi eps)^{m/2} is large. When nb falls below one, beta =
1/eps > N^{2/m}, attention becomes a nearest-neighbour map: ESS tends to 1 (two tokens compete only if their squared
distances differ by less than about eps, of probability nb^2 log(1/nb) up to a factor), and no limit theorem speaks of
it. In between, the asymptotic sampling variance is still right within a quarter at eight neighbours.

Measured on the circle with the uniform density and N = 8192: the mean of ESS over its population value for 64 queries
as nb grows, the mean of ESS as nb shrinks, and, for f = cos t, N Var[A_N f] over its asymptote at nb = 8 (see the study
`noise`; here it is a ratio of Bessel functions). The controls claim that ESS over the number nb itself tends to 1, in
truth 2^{1/2}, and that ESS tends to 1 for half of the points, each given twice, in truth 2.
"""

from typing import Any

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

N = 8192
P = 1 / (2 * np.pi)
ANGLES = 2 * np.pi * (np.arange(64) + 0.5) / 64


def population(bandwidth: float) -> tuple[np.ndarray, np.ndarray]:
    """Return A f and lim N Var[A_N f], f = cos t: A e^{int} = I_n(1/eps) / I_0(1/eps) e^{int} [DLMF, 10.32].

    k^2 is the kernel at bandwidth eps/2, so its moments of f and f^2 = (1 + cos 2t)/2 are such ratios too.
    """
    beta = 1 / bandwidth
    mean = ive(1, beta) / ive(0, beta) * np.cos(ANGLES)
    first = ive(1, 2 * beta) / ive(0, 2 * beta) * np.cos(ANGLES)
    second = 0.5 + 0.5 * ive(2, 2 * beta) / ive(0, 2 * beta) * np.cos(2 * ANGLES)
    return mean, ive(0, 2 * beta) / ive(0, beta) ** 2 * (second - 2 * mean * first + mean**2)


def population_ess(bandwidth: float) -> float:
    """Return N (int k p)^2 / int k^2 p  [DLMF, 10.32]."""
    return float(N * ive(0, 1 / bandwidth) ** 2 / ive(0, 2 / bandwidth))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return ESS against what it should be with that many neighbours, and at eight the variance over its asymptote."""
    nb = case["neighbours"]
    bandwidth = (nb / (N * P)) ** 2 / (2 * np.pi)
    at = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    points = af.Uniform(af.Circle()).sample(N, key=key)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), points)
    ess = life.effective_sample_size(at=at).mean()
    if nb <= 0.25:
        pairs = af.EmpiricalAttention(life.attention, np.repeat(points[: N // 2], 2, axis=0))
        return {"sparse": ess, "sparse_pairs": pairs.effective_sample_size(at=at).mean()}
    if nb < 8:
        return {"between": ess}
    measured = {"dense": ess / population_ess(bandwidth), "dense_over_neighbours": ess / nb}
    if nb == 8:
        mean, variance = population(bandwidth)
        measured["variance_at_eight"] = np.mean(N * (life.layer(points[:, 0], at=at) - mean) ** 2 / variance)
    return measured


common: dict[str, Any] = dict(
    source="derived", kind="constant", size="neighbours", predicted=1.0, measures=("empirical",),
    hypotheses="circle, uniform density, $N = 8192$, queries apart from the points",
)  # fmt: skip
above = af.Claim(
    id="breakdown/above", quantity="dense",
    statement=r"ESS over $N (\int k p)^2 / \int k^2 p$ tends to 1 with many neighbours", **common,
)  # fmt: skip
below = af.Claim(
    id="breakdown/below", quantity="sparse", correction_power=2.0,
    statement="ESS tends to 1 with fewer than one neighbour", **common,
)  # fmt: skip
eight = af.Claim(
    id="breakdown/eight", quantity="variance_at_eight", margin=0.25,
    statement=r"with 8 neighbours $N\,\mathrm{Var}[A_N f]$ is within a quarter of "
    r"$\int k^2 (f - A f)^2 p / (\int k p)^2$",
    **common,
)  # fmt: skip
study = af.Study(
    name="breakdown",
    measure=measure,
    ladder=[{"neighbours": 2.0**k} for k in (3, 4, 5, 6, 7, 8, 9, 2, 1, 0, -1, -2, -3, -4, -5, -6, -7)],
    quick=17,
    claims=[
        above,
        above.control(
            statement=r"ESS over $\mathrm{nb} = N p (2\pi\varepsilon)^{1/2}$ tends to 1 with many neighbours",
            quantity="dense_over_neighbours",
            truth=float(np.sqrt(2)),
        ),
        below,
        below.control(
            statement="ESS tends to 1 with fewer than one neighbour where every point is given twice",
            quantity="sparse_pairs",
            truth=2.0,
        ),
        eight,
    ],
    seeds=256,
    quick_seeds=128,
    labels={
        "dense": "ESS over its population value",
        "dense_over_neighbours": r"$\mathrm{ESS} / \mathrm{nb}$",
        "sparse": "ESS",
        "sparse_pairs": "ESS of points given twice",
        "variance_at_eight": r"$N\,\mathrm{Var}[A_N f]$ over its asymptote",
    },
)
