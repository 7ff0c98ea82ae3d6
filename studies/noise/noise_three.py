"""How large is the sampling noise of one layer in three dimensions?

As in the study `noise`: for N independent points of law p, fixed eps and k(x, y) = e^{-|x-y|^2/2eps},

    lim N Var[A_N f(x)] = V(x) = int k^2 (f - A f(x))^2 p / (int k p)^2                                       [Si].

Ladders to small eps cannot be long here: N must grow like eps^{-3/2} for equally many neighbours. So the constant of
the noise is judged in two steps: the noise at one eps is measured against V, which is known in closed form, and the
study `noise_constant_three` takes V to its limit. A short ladder in eps goes both steps at once:

    N^{1/2} std[(A_N - A) f / eps] = |grad f| (2p)^{-1/2} (4 pi)^{-m/4} eps^{-1/2 - m/4} (1 + O(eps) + O(1/nb)),

nb = N p (2 pi eps)^{m/2}. With N ~ eps^{-1 - m/2} both corrections are of order eps, and one term extrapolates them.

Measured on S^3, p von Mises-Fisher, and on the flat torus T^3, p uniform, f linear: N (A_N f - A f)^2 / V, averaged
over 384 queries apart from the points; and on S^3 the root mean square of N^{1/2} (A_N f - A f) / eps over its limit,
at queries where grad f is not small. The scatter is that of about 110 and 180 independent queries, and no control
variate takes it away: one whose mean is known, such as the part of first order, would bring in the noise that is
claimed, and repeated points, whose noise is larger, would pass unseen. At the emptiest query 800 points are 10
effective neighbours; what is left of 1/nb^2 moves the extrapolated ratio by about .001. The controls leave the
centring out of V, int k^2 f^2 p / (int k p)^2, and the 2p out of the limit.
"""

import functools
import operator
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ive

import attnflow as af

M = 3
MANIFOLDS: dict[str, Any] = {"three-sphere": af.Sphere(3), "three-torus": af.FlatTorus(3)}
BANDWIDTH = {"three-sphere": 0.05, "three-torus": 0.2}  # about .009 N and .006 N neighbours
SLOPE = {"three-sphere": (1.0, 0.0, 0.0, -0.5), "three-torus": (1.0, 0.0, 0.0, -0.5, 0.25, 0.0)}  # a of f = a.x
DRIFT = {"three-sphere": (0.7, 0.0, 0.0, 0.0), "three-torus": (0.0,) * 6}  # b of p ~ e^{b.x}
FACTORS = {"three-sphere": 1, "three-torus": 3}  # unit spheres of which the manifold is the product
POINTS_AT_TENTH = 800  # of the ladder in eps, which begins at .1 with 20 neighbours
QUERIES = 384  # beyond about three times as many as are independent, more of them tell nothing new
STEEP_QUERIES = 128  # of those in the ladder in eps


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
    """Queries x, and there A f, V, V without its centring, and lim ESS / N at the emptiest."""

    queries: np.ndarray
    mean: np.ndarray
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
def asymptotics(name: str, bandwidth: float) -> Asymptotics:
    """Return closed forms: with k, with k^2, y is von Mises-Fisher about x/eps + b, 2x/eps + b  [DLMF, 10.32]."""
    x, drift = MANIFOLDS[name].sample_uniform(QUERIES, np.random.default_rng(11)), np.array(DRIFT[name])
    full, half = (product_moments(name, scale * x / bandwidth + drift) for scale in (1, 2))
    inverse_ess = np.exp(half.log_integral - 2 * full.log_integral + log_mass(name))
    return Asymptotics(
        queries=x,
        mean=full.mean,
        variance=inverse_ess * (half.variance + (half.mean - full.mean) ** 2),
        uncentred=inverse_ess * (half.variance + half.mean**2),
        ess_per_point=1 / inverse_ess.max(),
    )


@functools.cache
def steep(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return queries where |grad f| is at least half of its largest, and there |grad f|^2 and p."""
    x, slope = MANIFOLDS[name].sample_uniform(2 * STEEP_QUERIES, np.random.default_rng(7)), np.array(SLOPE[name])
    squares = slope @ slope - (x @ slope) ** 2
    chosen = np.flatnonzero(squares > 0.25 * squares.max())[:STEEP_QUERIES]
    return x[chosen], squares[chosen], np.exp(x[chosen] @ np.array(DRIFT[name]) - log_mass(name))


@functools.cache
def mean_at_steep(name: str, bandwidth: float) -> np.ndarray:
    """Return A f at the queries of `steep`."""
    return product_moments(name, steep(name)[0] / bandwidth + np.array(DRIFT[name])).mean


def layer(name: str, points: np.ndarray, bandwidth: float, queries: np.ndarray) -> np.ndarray:
    """Return A_N f at the queries."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth)
    return af.EmpiricalAttention(attention, points).layer(points @ np.array(SLOPE[name]), at=queries)


def at_one_bandwidth(name: str, n: int, key: jax.Array) -> dict[str, float]:
    """Return N (A_N f - A f)^2 over both variances."""
    p, points = asymptotics(name, BANDWIDTH[name]), density(name).sample(n, key=key)
    squares = n * (layer(name, points, BANDWIDTH[name], p.queries) - p.mean) ** 2
    return {
        f"{name}.variance_ratio": np.mean(squares / p.variance),
        f"{name}.uncentred_ratio": np.mean(squares / p.uncentred),
        f"{name}.variance_ratio.ess": n * p.ess_per_point,
        f"{name}.uncentred_ratio.ess": n * p.ess_per_point,
    }


def towards_the_limit(name: str, bandwidth: float, key: jax.Array) -> dict[str, float]:
    """Return the noise of the generator over its limit, and over that without 2p; 1/nb falls like eps."""
    n = round(POINTS_AT_TENTH * (10 * bandwidth) ** (-1 - M / 2))
    queries, slopes_squared, p = steep(name)
    averages = layer(name, density(name).sample(n, key=key), bandwidth, queries)
    squares = n * ((averages - mean_at_steep(name, bandwidth)) / bandwidth) ** 2
    bare = slopes_squared * (4 * np.pi) ** (-M / 2) * bandwidth ** (-1 - M / 2)
    return {
        f"{name}.noise_over_limit": np.sqrt(np.mean(squares / (bare / (2 * p)))),
        f"{name}.noise_over_bare_limit": np.sqrt(np.mean(squares / bare)),
        f"{name}.noise_over_limit.ess": n * asymptotics(name, bandwidth).ess_per_point,
        f"{name}.noise_over_bare_limit.ess": n * asymptotics(name, bandwidth).ess_per_point,
    }


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what a step of the ladder in N measures on both manifolds, or one of the ladder in eps on the sphere."""
    if "bandwidth" in case:
        return towards_the_limit("three-sphere", case["bandwidth"], key)
    return functools.reduce(operator.or_, [at_one_bandwidth(name, case["points"], key) for name in MANIFOLDS])


GENERATOR_NOISE = r"$N^{1/2}\,\mathrm{std}[(A_N - A) f / \varepsilon]$"


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold at one bandwidth."""
    variance = af.Claim(
        id=f"noise-CLT/{name}", source="Si", measures=("empirical",),
        statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 (f - A f)^2 p / (\int k p)^2$ tends to 1",
        kind="constant", quantity=f"{name}.variance_ratio", size="points", predicted=1.0,
        hypotheses=rf"{name} ($m = 3$), $\varepsilon = {BANDWIDTH[name]}$, queries apart from the points",
    )  # fmt: skip
    closed = asymptotics(name, BANDWIDTH[name])
    centred = float(np.mean(closed.variance / closed.uncentred))
    return [
        variance,
        variance.control(
            statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 f^2 p / (\int k p)^2$ tends to 1",
            quantity=f"{name}.uncentred_ratio",
            truth=centred,
            truth_margin=0.15 * centred,  # as wide as the scatter of the seeds asks, of a gap of three quarters
        ),
    ]


def claims_on_the_limit(name: str) -> list[af.Claim]:
    """Return what is claimed of drawn points as the bandwidth shrinks."""
    limit = af.Claim(
        id=f"noise-const/{name}/drawn", source="Si", measures=("empirical",),
        statement=rf"of drawn points {GENERATOR_NOISE} over "
        r"$|\nabla f| (2p)^{-1/2} (4\pi)^{-m/4} \varepsilon^{-1/2 - m/4}$ tends to 1",
        kind="constant", quantity=f"{name}.noise_over_limit", size="bandwidth", predicted=1.0, statistic="rms",
        hypotheses=rf"{name} ($m = 3$), $N \sim \varepsilon^{{-1 - m/2}}$, $|\nabla f|$ bounded below",
    )  # fmt: skip
    without_density = float(np.sqrt(np.mean(1 / (2 * steep(name)[2]))))
    return [
        limit,
        limit.control(
            statement=rf"of drawn points {GENERATOR_NOISE} over "
            r"$|\nabla f| (4\pi)^{-m/4} \varepsilon^{-1/2 - m/4}$ tends to 1",
            quantity=f"{name}.noise_over_bare_limit",
            truth=without_density,
            truth_margin=0.1 * without_density,  # it scatters as widely as the claim, in parts of itself
        ),
    ]


def labels_on(name: str) -> dict[str, str]:
    """Return what figures call the quantities of one manifold."""
    return {
        f"{name}.variance_ratio": r"$N\,\mathrm{Var}[A_N f]$ over its asymptote",
        f"{name}.uncentred_ratio": r"$N\,\mathrm{Var}[A_N f]$ over the uncentred one",
    }


quick: list[dict[str, Any]] = [
    *({"points": n} for n in (800, 1600, 3200, 6400)),
    *({"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(4)),
]
study = af.Study(
    name="noise_three",
    measure=measure,
    ladder=[*quick, {"points": 12_800}, {"bandwidth": 0.025}],
    quick=quick,
    claims=[*claims_on("three-sphere"), *claims_on("three-torus"), *claims_on_the_limit("three-sphere")],
    seeds=384,
    quick_seeds=336,
    labels=labels_on("three-sphere")
    | labels_on("three-torus")
    | {
        "three-sphere.noise_over_limit": "noise over its predicted constant",
        "three-sphere.noise_over_bare_limit": r"noise over the constant without $(2p)^{-1/2}$",
    },
)
