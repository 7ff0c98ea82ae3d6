"""How far is attention through R random features from that of their kernel?

With frequencies w_r drawn from the spectral density of a kernel kappa and

    kappa_R(z) = (1/R) sum_r cos <w_r, z / sqrt eps>,

the averages with kappa_R are off from those with kappa by R^{-1/2} at a fixed bandwidth, once R^{-1/2} is small against
the share p (2 pi eps)^{m/2} of the keys that are near [S].

Measured on 40 points of the circle with p ~ exp(.5 cos t + .3 sin t), eps = 1, for f = cos kt and sin kt, k = 1, 2, 3:
the root mean square over points and functions of A_R f - A f, A with the kernel itself, e^{-|z|^2/2}, on the same
points. The control compares with A of the kernel e^{-|z|^2}: in truth that distance tends to one that is not zero.
"""

import functools

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 1.0
POINTS = 40


@functools.cache
def points() -> np.ndarray:
    """Return a sample, the same for all seeds."""
    tilt = np.array([0.5, 0.3])
    density = af.VonMisesFisher(af.Circle(), mean_direction=tilt, concentration=float(np.linalg.norm(tilt)))
    return density.sample(POINTS, key=jax.random.key(1))


@functools.cache
def values() -> np.ndarray:
    """Return the functions at the points, (40, 6)."""
    angles = np.arctan2(*points().T[::-1])[:, None] * [1, 2, 3]
    return np.hstack([np.cos(angles), np.sin(angles)])


@functools.cache
def exact(profile: str) -> np.ndarray:
    """Return A f with a kernel itself."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, profile=profile)
    return af.EmpiricalAttention(attention, points()).layer(values())


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of A_R f from A f with the kernel of its spectrum, and with another."""
    features = af.RandomFeatures("gaussian", case["features"], key=key)
    life = af.EmpiricalAttention(af.Attention(features, bandwidth=BANDWIDTH), points())
    found = life.layer(values())
    return {
        name: np.sqrt(np.mean((found - exact(profile)) ** 2))
        for name, profile in (("distance", "gaussian"), ("control", "exponential"))
    }


rate = af.Claim(
    id="S-kernel-features", source="S", kind="exponent", quantity="distance", size="features",
    statement=r"$A_R f$, through $R$ random features, is off from $A f$ by the order $R^{-1/2}$",
    predicted=-0.5, margin=0.1,  # the interval of 128 seeds is wider than .1
    measures=("empirical",),
    hypotheses=r"circle, 40 points, $\kappa(z) = e^{-|z|^2/2}$, $\varepsilon = 1$ fixed, $R \geq 64$",
)  # fmt: skip
study = af.Study(
    name="random_features",
    measure=measure,
    ladder=[{"features": 64 * 2**k} for k in range(9)],
    quick=8,
    seeds=960,
    quick_seeds=128,
    claims=[
        rate,
        rate.control(
            statement=r"it is off by the order $R^{-1/2}$ from $A f$ with the kernel $e^{-|z|^2}$",
            quantity="control", truth=0.0,
        ),
    ],
    labels={
        "distance": r"distance of $A_R f$ from $A f$",
        "control": r"distance of $A_R f$ from $A f$ with another kernel",
    },
)  # fmt: skip
