"""Which law does the attention of N points leave invariant?

For a symmetric cost the N x N attention matrix A satisfies detailed balance with

    pi_i = Z_i / sum_k Z_k,    Z_i = sum_j e^{-|X_i - X_j|^2 / 2eps},

exactly: sum_i pi_i (A h)(X_i) = sum_i pi_i h(X_i) for every h. For independent points the moments of pi tend to those
of the population's stationary density, proportional to p(x) int e^{-|x-y|^2/2eps} p(y) dvol(y), at order N^{-1/2}
[CL].

Measured on the circle, p ~ exp(.7 cos t), eps = .1: the residual of the first identity for h = cos t, sin t (from 256
to 1024 points), and the root mean square error of the moments e^{ikt} (k <= 24: so many tell nearly independent errors;
of the control k <= 8, where there is something to tell from noise). The identity is one of sums, near a
tautology: what it adds is that the weights that the library gives are those of the matrix that it applies. The controls
weigh all points equally. In truth the first residual is then the mean of A h - h, eps int p L h = eps/2 int p cos t for
h = cos t at leading order, and the error of the moments tends to what p and the stationary density differ by.
"""

import functools
from typing import Any

import jax
import numpy as np
from scipy.special import i0, i1

import attnflow as af

BANDWIDTH = 0.1
IDENTITY_POINTS = (256, 1024)  # fewer scatter as widely as what the control misses by
MOMENTS, MOMENTS_OF_CONTROL = 24, 8


@functools.cache
def density() -> af.VonMisesFisher:
    """Return p."""
    return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)


def moments(points: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the means of e^{ikt}, k = 1, ..., 24."""
    phases = (points @ np.array([1, 1j])) ** np.arange(1, MOMENTS + 1)[:, None]
    return phases @ weights / weights.sum()


def root_mean_square(errors: np.ndarray) -> float:
    """Return that of complex numbers."""
    return float(np.sqrt(np.mean(np.abs(errors) ** 2)))


@functools.cache
def population_moments() -> np.ndarray:
    """Return the moments of p(x) int k(x, y) p(y) dvol(y), normalised."""
    points, weights = density().quadrature(256)
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH)
    log_z = af.PopulationAttention(attention, density()).log_normalizer(at=points)
    return moments(points, weights * np.exp(log_z))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the residual of the invariance and the error of the moments, with the weights pi and with equal ones."""
    n = case["points"]
    points = density().sample(n, key=key)
    attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH), points)
    weights = attention.stationary()
    error = moments(points, weights) - population_moments()
    equal = moments(points, np.full(n, 1 / n)) - population_moments()
    row = {"moments": root_mean_square(error), "equal_moments": root_mean_square(equal[:MOMENTS_OF_CONTROL])}
    if IDENTITY_POINTS[0] <= n <= IDENTITY_POINTS[1]:
        change = attention.layer(points) - points
        row |= {"residual": np.abs(weights @ change).max(), "equal_residual": np.abs(change.mean(axis=0)).max()}
    return row


common: dict[str, Any] = dict(
    source="CL", size="points",
    hypotheses=r"circle, $p$ von Mises-Fisher, $D = |x - y|^2$, $\varepsilon = 0.1$",
)  # fmt: skip
exact = af.Claim(
    id="invariant/exact",
    statement=r"$\pi_i$ proportional to $\sum_j e^{-|X_i - X_j|^2 / 2\varepsilon}$ is stationary: $\pi A = \pi$",
    kind="identity", quantity="residual", predicted=0.0, margin=1e-13, measures=("empirical",), **common,
)  # fmt: skip
sampled = af.Claim(
    id="invariant/N", statement=r"the moments of $\pi$ tend to those of the population's $\pi$ at order $N^{-1/2}$",
    kind="exponent", quantity="moments", predicted=-0.5, measures=("empirical", "population"), **common,
)  # fmt: skip
mean_change = BANDWIDTH / 2 * float(i1(0.7) / i0(0.7))
study = af.Study(
    name="stationary",
    measure=measure,
    ladder=[{"points": 64 * 2**k} for k in range(9)],
    quick=8,
    claims=[
        exact,
        exact.control(
            statement=r"$\pi_i = 1/N$ is stationary: $\pi A = \pi$",
            quantity="equal_residual",
            truth=mean_change,
            truth_margin=mean_change / 2,  # what few points and the next order in eps add to the worst of the seeds
        ),
        sampled,
        sampled.control(
            statement=r"the moments of $\pi_i = 1/N$ tend to those of the population's $\pi$ at order $N^{-1/2}$",
            quantity="equal_moments",
            measures=("population",),
            truth=0.0,
            truth_margin=0.1,  # at 64 points the noise of the moments is as large as what they tend to
        ),
    ],
    seeds=192,
    quick_seeds=96,
    labels={
        "residual": r"residual of $\pi A = \pi$",
        "equal_residual": r"residual of $\pi A = \pi$, equal weights",
        "moments": r"RMS error of moments of $\pi$",
        "equal_moments": "RMS error of moments, equal weights",
    },
)
