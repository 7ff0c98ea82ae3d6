"""How large is the sampling noise of one layer in three dimensions?

As in the study `noise`: for N independent points of law p, fixed eps and k(x, y) = e^{-|x-y|^2/2eps},

    lim N Var[A_N f(x)] = V(x) = int k^2 (f - A f(x))^2 p / (int k p)^2                                       [Si].

Ladders to small eps cannot be long here: N must grow like eps^{-3/2} for equally many neighbours. So the constant of
the noise is judged in two steps. Here the noise at one eps is measured against V, which is known in closed form; the
study `noise_constant_three` takes V to its limit.

Measured on S^3, p von Mises-Fisher, and on the flat torus T^3, p uniform, f linear: N (A_N f - A f)^2 / V, averaged
over 64 queries apart from the points. Its part of first order, N (d_N/d)^2 (A_N f - A f)^2 / V with d_N and d the
kernel densities of sample and population, has mean one: it serves as control variate, and most of the scatter goes
with it. The controls leave the centring out of V: int k^2 f^2 p / (int k p)^2.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

MANIFOLDS: dict[str, Any] = {"three-sphere": af.Sphere(3), "three-torus": af.FlatTorus(3)}
BANDWIDTH = {"three-sphere": 0.05, "three-torus": 0.2}  # about .009 N and .006 N neighbours
SLOPE = {"three-sphere": (1.0, 0.0, 0.0, -0.5), "three-torus": (1.0, 0.0, 0.0, -0.5, 0.25, 0.0)}  # a of f = a.x
DRIFT = {"three-sphere": (0.7, 0.0, 0.0, 0.0), "three-torus": (0.0,) * 6}  # b of p ~ e^{b.x}
FACTORS = {"three-sphere": 1, "three-torus": 3}  # unit spheres of which the manifold is the product


class Moments(NamedTuple):
    """Of f = a.y for y ~ e^{u.y}: mean, variance, and log int e^{u.y} dvol(y)."""

    mean: np.ndarray
    variance: np.ndarray
    log_integral: np.ndarray


def sphere_moments(u: np.ndarray, a: np.ndarray) -> Moments:
    """Return the moments on the unit sphere of R^D, u (Q, D) and not zero  [DLMF, 10.32]."""
    length, dim = np.linalg.norm(u, axis=1), u.shape[1]
    order = dim / 2 - 1
    ratio = ive(order + 1, length) / ive(order, length)
    along = u @ a / length
    variance = a @ a * ratio / length + (1 - dim * ratio / length - ratio**2) * along**2
    bessel = np.log(ive(order, length)) + length - order * np.log(length)
    return Moments(ratio * along, variance, (order + 1) * np.log(2 * np.pi) + bessel)


def product_moments(name: str, u: np.ndarray) -> Moments:
    """Return the moments on a product of spheres: sums over its factors."""
    slopes = np.split(np.array(SLOPE[name]), FACTORS[name])
    parts = [sphere_moments(block, a) for block, a in zip(np.split(u, FACTORS[name], axis=1), slopes, strict=True)]
    return Moments(*(np.sum(column, axis=0) for column in zip(*parts, strict=True)))


def log_mass(name: str) -> float:
    """Return log int e^{b.x} dvol(x)."""
    length = float(np.linalg.norm(DRIFT[name]))
    if length == 0:
        return float(np.log(MANIFOLDS[name].volume))
    return float(product_moments(name, np.array([DRIFT[name]])).log_integral[0])


class Asymptotics(NamedTuple):
    """Queries x, and there A f, log int k p, V, V without its centring, and lim ESS / N at the emptiest."""

    queries: np.ndarray
    mean: np.ndarray
    log_normalizer: np.ndarray
    variance: np.ndarray
    uncentred: np.ndarray
    ess_per_point: float


@functools.cache
def density(name: str) -> af.Density:
    """Return p."""
    if name == "three-torus":
        return af.Uniform(MANIFOLDS[name])
    b = np.array(DRIFT[name])
    return af.VonMisesFisher(MANIFOLDS[name], mean_direction=b, concentration=float(np.linalg.norm(b)))


@functools.cache
def asymptotics(name: str) -> Asymptotics:
    """Return closed forms: with k, with k^2, y is von Mises-Fisher about x/eps + b, 2x/eps + b  [DLMF, 10.32]."""
    x, eps, drift = MANIFOLDS[name].sample_uniform(64, np.random.default_rng(11)), BANDWIDTH[name], DRIFT[name]
    full, half = (product_moments(name, scale * x / eps + np.array(drift)) for scale in (1, 2))
    inverse_ess = np.exp(half.log_integral - 2 * full.log_integral + log_mass(name))
    return Asymptotics(
        queries=x,
        mean=full.mean,
        log_normalizer=full.log_integral - log_mass(name) - FACTORS[name] / eps,
        variance=inverse_ess * (half.variance + (half.mean - full.mean) ** 2),
        uncentred=inverse_ess * (half.variance + half.mean**2),
        ess_per_point=1 / inverse_ess.max(),
    )


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return N (A_N f - A f)^2 over both variances, less its scatter of first order, on both manifolds."""
    n = case["points"]
    measured: dict[str, float] = {}
    for name in MANIFOLDS:
        p = asymptotics(name)
        points = density(name).sample(n, key=key)
        layer = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH[name]), points)
        error = layer.layer(points @ np.array(SLOPE[name]), at=p.queries) - p.mean
        density_ratio = np.exp(layer.log_normalizer(at=p.queries) - np.log(n) - p.log_normalizer)
        excess = n * error**2 * (1 - density_ratio**2) / p.variance  # over the first-order part
        measured |= {
            f"{name}.variance_ratio": np.mean(1 + excess),
            f"{name}.uncentred_ratio": np.mean((1 + excess) * p.variance / p.uncentred),
            f"{name}.variance_ratio.ess": n * p.ess_per_point,
            f"{name}.uncentred_ratio.ess": n * p.ess_per_point,
        }
    return measured


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    variance = af.Claim(
        id=f"noise-CLT/{name}", source="Si", measures=("empirical",),
        statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 (f - A f)^2 p / (\int k p)^2$ tends to 1",
        kind="constant", quantity=f"{name}.variance_ratio", size="points", predicted=1.0,
        hypotheses=rf"{name} ($m = 3$), $\varepsilon = {BANDWIDTH[name]}$, queries apart from the points",
    )  # fmt: skip
    centred = float(np.mean(asymptotics(name).variance / asymptotics(name).uncentred))
    return [
        variance,
        variance.control(
            statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 f^2 p / (\int k p)^2$ tends to 1",
            quantity=f"{name}.uncentred_ratio",
            truth=centred,
            truth_margin=0.15 * centred,  # as wide as the scatter of the seeds asks, of a gap of three quarters
        ),
    ]


def labels_on(name: str) -> dict[str, str]:
    """Return what figures call the quantities of one manifold."""
    return {
        f"{name}.variance_ratio": r"$N\,\mathrm{Var}[A_N f]$ over its asymptote",
        f"{name}.uncentred_ratio": r"$N\,\mathrm{Var}[A_N f]$ over the uncentred one",
    }


study = af.Study(
    name="noise_three",
    measure=measure,
    ladder=[{"points": n} for n in (2000, 2800, 4000, 5600, 8000, 11_200, 16_000)],
    quick=5,
    claims=[*claims_on("three-sphere"), *claims_on("three-torus")],
    seeds=128,
    quick_seeds=48,
    labels=labels_on("three-sphere") | labels_on("three-torus"),
)
