"""How large is the noise of many layers whose bandwidth is extrapolated?

Richardson's layers 2 A_{eps/2}^{2n} f - A_eps^n f see the same N frozen points twice, so that their noise is not that of
two independent clouds: on flat tori with the uniform density, f = e^{i x_1},

    N E |err|^2 -> sum_q [2 c(q; 2n, eps/2) - c(q; n, eps)]^2,

with c as in the study `minimax_depth`, where the best errors follow from this sum. Measured at the points: N times the
squared distance of Richardson's layers of N points from those of infinitely many, over that sum, for two and four
layers to t = 1/2 on T^2, and one and two on T^3, where points have few neighbours at a smaller bandwidth. The control takes the noises of the two bandwidths as independent, sum_q 4 c(q; 2n,
eps/2)^2 + c(q; n, eps)^2: in truth its number is the ratio of the two sums.
"""

import functools

import jax
import numpy as np
from minimax_depth import TIME, effects, own_noise
from scipy.special import ive

import attnflow as af

LAYERS = {2: 2, 3: 1}  # n


@functools.cache
def sums(m: int) -> tuple[float, float]:
    """Return the sum over wave vectors, and that for independent noises."""
    n = LAYERS[m]
    eps = TIME / n
    return effects("richardson", n, m).noise, 4 * own_noise(2 * n, eps / 2, m) + own_noise(n, eps, m)


def squared_noise(m: int, points: np.ndarray) -> float:
    """Return N times the squared error, the mean over the points, of f as its two real parts."""
    n = LAYERS[m]
    eps = TIME / n
    f = points[:, :2]  # cos x_1 and sin x_1
    life = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=eps), points)
    found = af.extrapolated(life).evolve(f, times=TIME).values[0]
    once, twice = ((ive(1, 1 / e) / ive(0, 1 / e)) ** round(TIME / e) for e in (eps, eps / 2))
    return float(np.sum((found - (2 * twice - once) * f) ** 2))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the squared noise over its sum, and over that of independent noises, on both tori."""
    row: dict[str, float] = {}
    for m in LAYERS:
        noise = squared_noise(m, af.Uniform(af.FlatTorus(m)).sample(case["points"], key=key))
        joint, independent = sums(m)
        row |= {f"joint.{m}": noise / joint, f"independent.{m}": noise / independent}
    return row


def claims_in(m: int) -> list[af.Claim]:
    """Return what is claimed in m dimensions, with its control."""
    joint, independent = sums(m)
    claim = af.Claim(
        id=f"minimax-noise/torus-{m}", source="derived", kind="constant", quantity=f"joint.{m}", size="points",
        statement=r"$N$ times the squared noise of Richardson's layers over $\sum_q [2 c(q; 2n, \varepsilon/2) - "
        r"c(q; n, \varepsilon)]^2$ tends to 1",
        hypotheses=rf"flat torus ($m = {m}$), uniform density, chordal distance, $n = {LAYERS[m]}$, $t = 1/2$",
        predicted=1.0, margin=0.1, measures=("empirical",),
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=r"$N$ times the squared noise of Richardson's layers over $\sum_q 4 c(q; 2n, \varepsilon/2)^2 + "
            r"c(q; n, \varepsilon)^2$ tends to 1",
            quantity=f"independent.{m}",
            truth=joint / independent,
            truth_margin=0.1 * joint / independent,
        ),
    ]


study = af.Study(
    name="minimax_noise",
    measure=measure,
    ladder=[{"points": round(400 * 2 ** (k / 3))} for k in range(12)],
    quick=8,
    claims=[claim for m in LAYERS for claim in claims_in(m)],
    seeds=100,
    quick_seeds=16,
    labels={
        **{f"joint.{m}": "squared noise over its sum" for m in LAYERS},
        **{f"independent.{m}": "squared noise over that of independent ones" for m in LAYERS},
    },
)
