"""Down to how many neighbours does the continuum theory hold?

The effective sample size of a query, ESS = 1 / sum_j w_j^2, is about N (int k p)^2 / int k^2 p, for small eps about N p
(4 pi eps)^{m/2}, while the number of neighbours nb = N p (2 pi eps)^{m/2} is large. When nb falls below one, beta =
1/eps > N^{2/m}, attention becomes a nearest-neighbour map: ESS tends to 1. Two tokens at distances u < v compete if
v^2 - u^2 is less than about eps, and then ESS - 1 = sech((v^2 - u^2) / 2eps); with r = 2 N p the rate of distances,

    E ESS - 1 = int_{u<v} r^2 e^{-r v} sech((v^2 - u^2) / 2eps) du dv + O(nb^3)
              = nb^2 log(c / nb) + O(nb^3),    c = Gamma(1/4) / (2^{1/2} e^gamma Gamma(3/4)) = 1.1746           m = 1,

in p = v - u and q = v + u by int_0^z sech = gd(z) and Vardi's integral, int_0^inf log(z) sech(z) dz =
pi log((2 pi)^{1/2} Gamma(3/4) / Gamma(1/4)). Three tokens together are of order nb^3: simulated, 1.1 nb^3 is left.

In between, the asymptotic sampling variance is too small. As 1/z^2 = int_0^inf s e^{-sz} ds, sums over Poisson points
have the moments, with y in units of eps^{1/2} and f linear,

    N Var[A_N f] = int_0^inf s M(s) e^{-nb H(s)} ds,    H = (2 pi)^{-1/2} int (1 - e^{-sk}) dy,    k = e^{-y^2/2},

M = nb (2 pi)^{-1/2} int k^2 y^2 e^{-sk} dy: over its asymptote this is R(nb) = 1 + 1.033/nb + O(1/nb^2), R(8) = 1.165.

Measured on the circle with the uniform density and N = 8192: the mean of ESS over its population value for 64 queries
as nb grows, the mean of ESS less nb^2 log(c / nb) as nb shrinks, and, for f = cos t, N Var[A_N f] over its asymptote
times R at nb = 8, at 400 queries (see the study `noise`; the asymptote is a ratio of Bessel functions here). The
controls claim that ESS over the number nb itself tends to 1, in truth 2^{1/2}, that the same with few neighbours holds
for half of the points, each given twice, in truth 2, and that the asymptote still holds at eight neighbours.
"""

import functools
from typing import Any

import jax
import numpy as np
from scipy.special import gamma, ive

import attnflow as af

N = 8192
P = 1 / (2 * np.pi)
CLOUDS_AT_EIGHT = 3  # per seed: the variance scatters more than ESS does
CLOSE = gamma(1 / 4) / gamma(3 / 4) / np.sqrt(2) / np.exp(np.euler_gamma)  # c


def angles(count: int) -> np.ndarray:
    """Return the angles of evenly spaced queries."""
    return 2 * np.pi * (np.arange(count) + 0.5) / count


@functools.cache
def few_neighbours(nb: float) -> float:
    """Return R(nb), the variance of A_N f over Poisson points in one dimension, f linear, over its asymptote."""
    y = np.linspace(-9, 9, 2001)
    log_s = np.linspace(-25, 12, 1001)
    s, k = np.exp(log_s)[:, None], np.exp(-(y**2) / 2)
    density = nb / np.sqrt(2 * np.pi) * (y[1] - y[0])
    void = np.exp(density * np.expm1(-s * k).sum(axis=1))
    pairs = density * np.sum(k**2 * y**2 * np.exp(-s * k), axis=1)
    asymptote = density * np.sum(k**2 * y**2) / nb**2
    return float(np.trapezoid(np.exp(2 * log_s) * pairs * void, log_s) / asymptote)


def population(bandwidth: float, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return A f and lim N Var[A_N f], f = cos t: A e^{int} = I_n(1/eps) / I_0(1/eps) e^{int} [DLMF, 10.32].

    k^2 is the kernel at bandwidth eps/2, so its moments of f and f^2 = (1 + cos 2t)/2 are such ratios too.
    """
    beta = 1 / bandwidth
    mean = ive(1, beta) / ive(0, beta) * np.cos(angles)
    first = ive(1, 2 * beta) / ive(0, 2 * beta) * np.cos(angles)
    second = 0.5 + 0.5 * ive(2, 2 * beta) / ive(0, 2 * beta) * np.cos(2 * angles)
    return mean, ive(0, 2 * beta) / ive(0, beta) ** 2 * (second - 2 * mean * first + mean**2)


def population_ess(bandwidth: float) -> float:
    """Return N (int k p)^2 / int k^2 p  [DLMF, 10.32]."""
    return float(N * ive(0, 1 / bandwidth) ** 2 / ive(0, 2 / bandwidth))


def variance(life: af.EmpiricalAttention, points: np.ndarray) -> float:
    """Return N (A_N f - A f)^2 over its asymptote, f = cos t, the mean over 400 queries."""
    queries = angles(400)
    mean, asymptote = population(life.attention.bandwidth, queries)
    at = np.column_stack([np.cos(queries), np.sin(queries)])
    return float(np.mean(N * (life.layer(points[:, 0], at=at) - mean) ** 2 / asymptote))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return ESS against what it should be with that many neighbours, and at eight the variance."""
    nb = case["neighbours"]
    bandwidth = (nb / (N * P)) ** 2 / (2 * np.pi)
    at = np.column_stack([np.cos(angles(64)), np.sin(angles(64))])
    points = af.Uniform(af.Circle()).sample(N, key=key)
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), points)
    ess = life.effective_sample_size(at=at).mean()
    if nb <= 0.25:
        close = nb**2 * np.log(CLOSE / nb)
        pairs = af.EmpiricalAttention(life.attention, np.repeat(points[: N // 2], 2, axis=0))
        return {"sparse": ess - close, "sparse_pairs": pairs.effective_sample_size(at=at).mean() - close}
    if nb < 8:
        return {"between": ess}
    measured = {"dense": ess / population_ess(bandwidth), "dense_over_neighbours": ess / nb}
    if nb == 8:
        others = af.Uniform(af.Circle()).sample((CLOUDS_AT_EIGHT - 1) * N, key=jax.random.fold_in(key, 1))
        clouds = [points, *others.reshape(-1, N, 2)]
        ratio = float(np.mean([variance(af.EmpiricalAttention(life.attention, cloud), cloud) for cloud in clouds]))
        measured |= {"variance_at_eight": ratio / few_neighbours(nb), "asymptote_at_eight": ratio}
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
    id="breakdown/below", quantity="sparse", correction_power=3.0,
    statement=r"ESS less $\mathrm{nb}^2 \log(1.175 / \mathrm{nb})$ tends to 1 with fewer than one neighbour", **common,
)  # fmt: skip
eight = af.Claim(
    id="breakdown/eight", quantity="variance_at_eight",
    statement=r"with 8 neighbours $N\,\mathrm{Var}[A_N f]$ is 1.165 times "
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
            statement=r"ESS less $\mathrm{nb}^2 \log(1.175 / \mathrm{nb})$ tends to 1 with fewer than one neighbour "
            "where every point is given twice",
            quantity="sparse_pairs",
            truth=2.0,
        ),
        eight,
        eight.control(
            statement=r"with 8 neighbours $N\,\mathrm{Var}[A_N f]$ is $\int k^2 (f - A f)^2 p / (\int k p)^2$",
            quantity="asymptote_at_eight",
            truth=few_neighbours(8.0),
        ),
    ],
    seeds=96,
    quick_seeds=48,
    labels={
        "dense": "ESS over its population value",
        "dense_over_neighbours": r"$\mathrm{ESS} / \mathrm{nb}$",
        "sparse": r"ESS less $\mathrm{nb}^2 \log(1.175 / \mathrm{nb})$",
        "sparse_pairs": "the same of points given twice",
        "variance_at_eight": r"$N\,\mathrm{Var}[A_N f]$ over 1.165 times its asymptote",
        "asymptote_at_eight": r"$N\,\mathrm{Var}[A_N f]$ over its asymptote",
    },
)
