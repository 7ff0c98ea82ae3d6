"""Down to how many neighbours does the continuum theory hold?

The effective sample size of a query, ESS = 1 / sum_j w_j^2, is about N p (4 pi eps)^{m/2} while the number of
neighbours nb = N p (2 pi eps)^{m/2} is large. When nb falls below one, beta = 1/eps > N^{2/m}, attention becomes a
nearest-neighbour map: ESS tends to 1, and no limit theorem speaks of it. In between, the asymptotic sampling variance
is still right within a quarter at eight neighbours.

Measured on the circle with the uniform density and N = 8192: the mean of ESS / (N p (4 pi eps)^{1/2}) over 64 queries
as nb grows, the mean of ESS as nb shrinks, and N Var[A_N f] over its asymptote at nb = 8 (see the study `noise`). The
controls claim that ESS over the number nb itself tends to 1, and that ESS tends to 2.
"""

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

N = 8192
P = 1 / (2 * np.pi)


def test_function(x: jax.Array) -> jax.Array:
    """f and f^2 at one point."""
    f = x[0] - 0.5 * x[1] + x[0] * x[1]
    return jnp.stack([f, f**2])


def variance_ratio(density: af.Uniform, attention: af.Attention, at: np.ndarray) -> "np.ndarray":
    """lim N Var[A_N f] and A f at the queries: k^2 is the kernel at half the bandwidth."""
    narrow = af.Attention(attention.pseudometric, bandwidth=attention.bandwidth / 2)
    full, half = (af.PopulationAttention(a, density) for a in (attention, narrow))
    mean = full.layer(test_function, at=at)[:, 0]
    first, second = half.layer(test_function, at=at).T
    inverse_ess = np.exp(half.log_normalizer(at=at) - 2 * full.log_normalizer(at=at))
    return np.stack([mean, inverse_ess * (second - 2 * mean * first + mean**2)])


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    nb = case["neighbours"]
    bandwidth = (nb / (N * P)) ** 2 / (2 * np.pi)
    angles = 2 * np.pi * (np.arange(64) + 0.5) / 64
    at = np.column_stack([np.cos(angles), np.sin(angles)])
    density = af.Uniform(af.Circle())
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth)
    lives = [af.EmpiricalAttention(attention, density.sample(N, key=key)) for key in keys]
    ess = np.array([life.effective_sample_size(at=at).mean() for life in lives])
    if nb >= 8:
        measured = {"dense": ess / (N * P * np.sqrt(4 * np.pi * bandwidth)), "dense_over_neighbours": ess / nb}
        if nb == 8:
            mean, variance = variance_ratio(density, attention, at)
            errors = np.array([life.layer(test_function, at=at)[:, 0] - mean for life in lives])
            measured["variance_at_eight"] = np.mean(N * errors**2 / variance, axis=1)
        return measured
    return {"sparse": ess} if nb < 1 else {"between": ess}


common = dict(
    source="RZ", size="neighbours", hypotheses="circle, uniform density, N = 8192, queries apart from the points"
)
study = af.Study(
    name="breakdown",
    measure=measure,
    ladder=[{"neighbours": 2.0**k} for k in (3, 4, 5, 6, 7, 8, 9, 2, 1, 0, -1, -2, -3, -4, -5, -6)],
    quick=16,
    claims=[
        af.Claim(
            id="breakdown/above", statement="ESS / (N p (4 pi eps)^(1/2)) tends to 1 with many neighbours",
            kind="constant", quantity="dense", predicted=1.0, **common,
        ),
        af.Claim(
            id="breakdown-control/above", statement="ESS / nb tends to 1 with many neighbours",
            kind="constant", quantity="dense_over_neighbours", predicted=1.0, control_of="breakdown/above", **common,
        ),
        af.Claim(
            id="breakdown/below", statement="ESS tends to 1 with fewer than one neighbour",
            kind="constant", quantity="sparse", predicted=1.0, **common,
        ),
        af.Claim(
            id="breakdown-control/below", statement="ESS tends to 2 with fewer than one neighbour",
            kind="constant", quantity="sparse", predicted=2.0, control_of="breakdown/below", **common,
        ),
        af.Claim(
            id="breakdown/eight", statement="at 8 neighbours N Var[A_N f] is within a quarter of its asymptote",
            kind="constant", quantity="variance_at_eight", predicted=1.0, margin=0.25, **common,
        ),
    ],
    seeds=64,
    quick_seeds=32,
)  # fmt: skip
