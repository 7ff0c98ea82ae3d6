"""Which bandwidth does entmax choose by itself as tokens become more?

Entmax with alpha = 1 + 1/n has the weights a_j = [(logit_j - tau)/n]_+^n, logit = -|x - y|^2 / 2eps, tau such that they
sum to one. Among N points of law p in m dimensions at a fixed eps a row reaches as far as R with

    N p int ((R^2 - |z|^2) / (2 eps n))^n dz = 1,    R^{m + 2n} = (2 eps n)^n / (N p C),
    C = int (1 - |z|^2)^n dz = pi^{m/2} n! / Gamma(n + 1 + m/2),

so the attention is that of the compact profile (1 - s)_+^n at the effective bandwidth

    eps_eff = R^2 / (2n + 2 + m) ~ N^{-2/(m + 2n)},

whatever eps. Sparsemax, n = 1, so has the bandwidth N^{-2/(m+2)} that is best for many layers; 1.5-entmax, n = 2,
N^{-2/(m+4)}, best for first eigenvalues; 4/3-entmax, n = 3, N^{-2/(m+6)}, best for the generator, at which the noise of
one layer over eps_eff has the order of the bias [Si]: where f is odd about the query the threshold does not matter, and

    N Var[A_N f] -> |grad f|^2 K R^{2-m} / p,    K = int (1 - |z|^2)^{2n} z_1^2 dz / C^2,

so that over eps_eff the noise has the exponent -1/2 + (1 + m/2)/(m + 2n): 0, -1/5, -2/7 on the circle.

What many layers do at this bandwidth, `entmax_depth` and `entmax_spectrum` ask.

Measured with the uniform density at eps = 1/2, at 64 queries x: the speed 2/m (1 - x.A_N y(x)), y the position, that is
eps_eff to leading order (entmax-speed), also over its formula (entmax-constant); and the root mean square of the
tangential part of A_N y(x) over its formula (entmax-noise). The controls are softmax at the same eps, which stays
biased: in truth its speed has the exponent 0; and speed and noise of a flat profile, n = 0, of the same R.
"""

from math import factorial, gamma
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import beta

import attnflow as af
from attnflow.lab import plots

BANDWIDTH = 0.5
KINDS = {"sparsemax": 1, "three_halves": 2, "four_thirds": 3}  # n
LABELS = {"sparsemax": "sparsemax", "three_halves": "1.5-entmax", "four_thirds": "4/3-entmax", "softmax": "softmax"}
DIMS = {"circle": 1, "sphere": 2}
PADDED = (2048, 8192, 65536)  # one of these many points is summed, the others having no mass: compiled once
QUERIES = 64


def reach(n: int, m: int, count: int) -> float:
    """Return R^2 for the uniform density on S^m."""
    area = 2 * np.pi ** ((m + 1) / 2) / gamma((m + 1) / 2)
    constant = np.pi ** (m / 2) * factorial(n) / gamma(n + 1 + m / 2)
    return float(((2 * BANDWIDTH * n) ** n * area / (count * constant)) ** (2 / (m + 2 * n)))


def effective(n: int, m: int, count: int) -> float:
    """Return eps_eff."""
    return reach(n, m, count) / (2 * n + 2 + m)


def scatter(n: int, m: int) -> float:
    """Return K; that of a flat profile for n = 0."""
    total = np.pi ** (m / 2) * factorial(n) / gamma(n + 1 + m / 2)
    return float(np.pi ** (m / 2) / gamma(m / 2) * beta(m / 2 + 1, 2 * n + 1) / m / total**2)


def noise_of(n: int, m: int, count: int, *, profile: int) -> float:
    """Return the standard deviation of a tangential coordinate of A_N y(x)."""
    area = 2 * np.pi ** ((m + 1) / 2) / gamma((m + 1) / 2)
    return float(np.sqrt(scatter(profile, m) * reach(n, m, count) ** (1 - m / 2) * area / count))


def attention(n: int) -> af.Attention:
    """Return entmax with alpha = 1 + 1/n; softmax for n = 0."""
    normalization = af.Entmax(1 + 1 / n) if n else "softmax"
    return af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, normalization=normalization)


def queries(m: int) -> np.ndarray:
    """Return points on S^m drawn once, (64, m + 1)."""
    points = np.random.default_rng(m).standard_normal((QUERIES, m + 1))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def one_layer(n: int, m: int, points: np.ndarray) -> tuple[float, float]:
    """Return the speed, and the root mean square of the tangential part over m^{1/2}, of N points (N, m + 1)."""
    count, x = len(points), queries(m)
    padded = np.concatenate([points, np.tile(points[:1], (min(p for p in PADDED if p >= count) - count, 1))])
    masses = np.where(np.arange(len(padded)) < count, 1.0, 0.0)
    life = af.EmpiricalAttention(attention(n), af.DiscreteMeasure(padded, masses), method="dense")
    found = life.layer(padded, at=x)
    radial = np.sum(found * x, axis=1, keepdims=True)
    tangential = found - radial * x
    return float(2 / m * np.mean(1 - radial)), float(np.sqrt(np.mean(np.sum(tangential**2, axis=1)) / m))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return speeds and noises of one layer."""
    row: dict[str, float] = {}
    place, count = ("circle", case["points"]) if "points" in case else ("sphere", case["spherical"])
    m = DIMS[place]
    points = af.Uniform(af.Sphere(m)).sample(count, key=key)
    for name, n in {**KINDS, "softmax": 0}.items():
        speed, noise = one_layer(n, m, points)
        row[f"{name}.{place}.speed"] = speed
        row[f"{name}.{place}.scatter"] = noise / (effective(n, m, count) if n else BANDWIDTH)
        if n:
            row[f"{name}.{place}.constant"] = speed / effective(n, m, count)
            row[f"{name}.{place}.flat"] = speed / (reach(n, m, count) / (m + 2))
            row[f"{name}.{place}.noise"] = noise / noise_of(n, m, count, profile=n)
            row[f"{name}.{place}.flat_noise"] = noise / noise_of(n, m, count, profile=0)
    return row


def speeds(records: list) -> Figure:
    """Draw speed and noise over N on the circle, with the predicted powers."""
    rows = sorted(((case["points"], a) for case, a in records if "points" in case), key=lambda row: row[0])
    sizes = np.array([size for size, _ in rows])
    drawn = plots.figure(width=7.0, height=3.1)
    ylabels = {
        "speed": r"effective bandwidth $\varepsilon_{eff}$",
        "scatter": r"noise of a layer over $\varepsilon_{eff}$",
    }
    for ax, (quantity, ylabel) in zip(drawn.subplots(1, 2), ylabels.items(), strict=True):
        for index, (name, n) in enumerate({**KINDS, "softmax": 0}.items()):
            values = np.array([np.sqrt(np.mean(a[f"{name}.circle.{quantity}"] ** 2)) for _, a in rows])
            rate = predicted(quantity, n, 1)
            ax.loglog(
                sizes,
                values,
                "o",
                ms=3.5,
                color=f"C{index}",
                label=f"{LABELS[name]}, slope {plots.number(rate, digits=3)}",
            )
            ax.loglog(sizes, values[-1] * (sizes / sizes[-1]) ** rate, color=f"C{index}", lw=0.9)
        ax.set(xlabel="number of points $N$", ylabel=ylabel)
        ax.legend(fontsize=7, frameon=False)
    return drawn


def predicted(quantity: str, n: int, m: int) -> float:
    """Return the exponent in N of the speed, or of the noise over it."""
    if quantity == "speed":
        return -2 / (m + 2 * n) if n else 0.0
    return -1 / 2 + (1 + m / 2) / (m + 2 * n) if n else -0.5


def claims_of(name: str, place: str) -> list[af.Claim]:
    """Return what is claimed of one layer of one entmax in one place, with controls."""
    n, m = KINDS[name], DIMS[place]
    common: dict[str, Any] = dict(
        source="derived", size={"circle": "points", "sphere": "spherical"}[place], measures=("empirical",),
        correction_power=2 / (m + 2 * n),
        hypotheses=rf"{place}, uniform density, $\alpha = 1 + 1/{n}$, $\varepsilon = 1/2$",
    )  # fmt: skip
    speed = af.Claim(
        id=f"entmax-speed/{name}-{place}", kind="exponent", quantity=f"{name}.{place}.speed",
        statement=rf"the effective bandwidth of entmax with $\alpha = 1 + 1/{n}$ is of order $N^{{-2/(m + {2 * n})}}$",
        predicted=predicted("speed", n, m), margin=0.03, **common,
    )  # fmt: skip
    noise = af.Claim(
        id=f"entmax-noise/{name}-{place}", kind="constant", quantity=f"{name}.{place}.noise", predicted=1.0,
        statement=r"the noise of a layer over $(K R^{2-m} / N p)^{1/2}$ tends to 1", statistic="rms", **common,
    )  # fmt: skip
    constant = af.Claim(
        id=f"entmax-constant/{name}-{place}", kind="constant", quantity=f"{name}.{place}.constant",
        statement=rf"the effective bandwidth over $R^2 / ({2 * n + 2} + m)$ tends to 1", predicted=1.0, **common,
    )  # fmt: skip
    flat = (m + 2) / (2 * n + 2 + m)
    return [
        speed,
        speed.control(
            statement="the effective bandwidth of softmax is of that order", quantity=f"softmax.{place}.speed",
            truth=0.0, truth_margin=0.03,
        ),
        noise,
        noise.control(
            statement=r"the noise of a layer over that of equal weights as far as $R$ tends to 1",
            quantity=f"{name}.{place}.flat_noise", truth=float(np.sqrt(scatter(n, m) / scatter(0, m))),
        ),
        constant,
        constant.control(
            statement=r"the effective bandwidth over $R^2/(2 + m)$, that of equal weights, tends to 1",
            quantity=f"{name}.{place}.flat", truth=flat,
        ),
    ]  # fmt: skip


study = af.Study(
    name="entmax",
    measure=measure,
    ladder=[
        *({"points": round(128 * 2 ** (4 * k / 7))} for k in range(8)),
        *({"points": 2**k} for k in (12, 13, 14, 16)),
        *({"spherical": round(256 * 2 ** (5 * k / 7))} for k in range(8)),
    ],
    quick=8,
    claims=[claim for name in KINDS for claim in claims_of(name, "circle")],
    full_claims=[claim for name in KINDS for claim in claims_of(name, "sphere")],
    seeds=100,
    quick_seeds=32,
    figures=[speeds],
    labels={
        "spherical": "number of points $N$",
        **{f"{name}.{place}.speed": r"effective bandwidth" for name in (*KINDS, "softmax") for place in DIMS},
        **{f"{name}.{place}.noise": "noise over its formula" for name in KINDS for place in DIMS},
        **{f"{name}.{place}.flat_noise": "noise over that of equal weights" for name in KINDS for place in DIMS},
        **{f"{name}.{place}.constant": r"$\varepsilon_{eff}$ over its formula" for name in KINDS for place in DIMS},
        **{f"{name}.{place}.flat": r"$\varepsilon_{eff}$ over $R^2/(2 + m)$" for name in KINDS for place in DIMS},
    },
)  # fmt: skip
