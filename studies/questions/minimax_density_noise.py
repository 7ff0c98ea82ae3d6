"""Is the noise of many layers of drawn points that of their density?

For a product of densities on a flat torus and f = cos x_1 the first order of the noise of n layers of N points is an
exact sum over layers (see the study `minimax_density`, where its growth is derived). Measured at the points: N times
the squared distance of two layers of N points from those of infinitely many, over that sum, on T^2 and T^3. The points
are far from uniform: on the first axis one place has 8 times the density of another, on each other axis 4 times. The
controls take the sum for the uniform density: in truth their number is the ratio of the two sums.
"""

import functools

import jax
import numpy as np
from minimax_density import FIRST, OTHERS, PRODUCT, TIME, UNIFORM, Weights, axis, noise

import attnflow as af

LAYERS = 2
DIMS = (2, 3)


@functools.cache
def circle(weights: Weights) -> af.LogDensity:
    """Return the density of one axis."""
    return af.LogDensity(af.Circle(), lambda x: weights[0] * (2 * x[0] ** 2 - 1) + weights[1] * x[0])


def squared_noise(points: np.ndarray) -> float:
    """Return N times the squared error of cos x_1, the mean over the points."""
    angles, masses, _, layer = axis(LAYERS, FIRST)
    before = np.linalg.matrix_power(layer, LAYERS - 1) @ np.cos(angles)
    weights = np.exp((points[:, :2] @ [np.cos(angles), np.sin(angles)] - 1) * LAYERS / TIME) * masses
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=TIME / LAYERS), points)
    found = life.evolve(points[:, 0], times=TIME).values[0]
    return float(np.sum((found - weights @ before / weights.sum(axis=1)) ** 2))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the squared noise over its sum, and over that of the uniform density, on both tori."""
    axes = [FIRST, OTHERS, OTHERS]
    drawn = [circle(w).sample(case["points"], key=k) for w, k in zip(axes, jax.random.split(key, 3), strict=True)]
    row: dict[str, float] = {}
    for m in DIMS:
        found = squared_noise(np.hstack(drawn[:m]))
        row |= {f"own.{m}": found / noise(LAYERS, m), f"uniform.{m}": found / noise(LAYERS, m, UNIFORM, UNIFORM)}
    return row


def claims_in(m: int) -> list[af.Claim]:
    """Return what is claimed in m dimensions, with its control."""
    claim = af.Claim(
        id=f"minimax-density-noise/torus-{m}", source="derived", kind="constant", quantity=f"own.{m}", size="points",
        statement=r"$N$ times the squared noise over the sum for this density tends to 1",
        hypotheses=rf"flat torus ($m = {m}$), {PRODUCT}, chordal distance, $n = {LAYERS}$",
        predicted=1.0, margin=0.1, measures=("empirical",),
    )  # fmt: skip
    ratio = noise(LAYERS, m) / noise(LAYERS, m, UNIFORM, UNIFORM)
    return [
        claim,
        claim.control(
            statement=r"$N$ times the squared noise over the sum for the uniform density tends to 1",
            quantity=f"uniform.{m}",
            truth=ratio,
            truth_margin=0.1 * ratio,
        ),
    ]


study = af.Study(
    name="minimax_density_noise",
    measure=measure,
    ladder=[{"points": round(400 * 2 ** (k / 3))} for k in range(12)],
    quick=8,
    claims=[claim for m in DIMS for claim in claims_in(m)],
    seeds=384,
    quick_seeds=16,
    labels={
        **{f"own.{m}": "squared noise over its sum" for m in DIMS},
        **{f"uniform.{m}": "squared noise over that of uniform points" for m in DIMS},
    },
)
