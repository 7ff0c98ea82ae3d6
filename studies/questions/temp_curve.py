"""At which temperature does attention condense on few of n random keys, in few and in many dimensions?

Of n independent keys, uniform on S^{d-1}, a query x attends to y with the weight w ~ e^{beta x.y}. The inverse
participation Y = sum_j w_j^2 is near 1/n for a small beta and one for a large one. As 1/Z^2 = int_0^inf s e^{-sZ} ds,
for every n, d and beta exactly

    E Y = n int_0^inf s M(s) L(s)^{n-1} ds,    L(s) = E exp(-s e^{beta t}),    M(s) = E e^{2 beta t} exp(-s e^{beta t}),

t = x.y with the density ~ (1 - t^2)^{(d-3)/2}. At a fixed d, m = d - 1, as n grows with beta of the order n^{2/m}, keys
near the query are Poisson points: |x - y|^2 = 2u / beta with the intensity nb u^{m/2 - 1} du / Gamma(m/2),

    E Y -> int_0^inf s M(s) e^{-H(s)} ds,      H(s) = nb / Gamma(m/2) int u^{m/2 - 1} (1 - exp(-s e^{-u})) du,
                                               M(s) = nb / Gamma(m/2) int u^{m/2 - 1} e^{-2u} exp(-s e^{-u}) du,

nb = n p (2 pi / beta)^{m/2}, a smooth function of beta / n^{2/m} (temp-curve-poisson). It has in it the density of keys
at the query alone, so that for other laws p is p(x), and m the dimension of what the keys lie on (temp-curve-density).

For many dimensions the logits of the largest keys are Poisson points whose density is nearly an exponential, as in the
random energy model, and E Y is nearly 1 - beta_c/beta: with n keys the largest product is about r, and e^{beta x.y}
weighted with the number of keys has its maximum there if

    beta_c = (d - 1) r / (1 - r^2),    r^2 = 1 - n^{-2/(d-1)},

which joins (d - 1) n^{2/(d-1)}, at a fixed d, and (2 d log n)^{1/2}, d >> log n. That is one curve for all d but for a
correction, of which the study `temp_order` finds the order.

Measured at beta = 2 beta_c, keys drawn as they are summed, d = 4, 8, 32, 256: the mean over 256 queries of Y less the
exact integral, less the Poisson limit for d = 4 and 8, and for keys of the density ~ e^{2 x_0} on S^3 at queries with
x_0 > .9 less that of p(x). The controls take the Poisson limit of d = 256 for what happens there and 1 - beta_c/beta
for d = 8, either limit alone; and the uniform density in place of p(x).
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import betaincinv, gammaln

import attnflow as af
from attnflow.lab import plots

DIMS = (4, 8, 32, 256)
QUERIES = 256
DRAWN, SUMMED = 4096, 256  # keys at once; up to as many as are drawn are summed in pieces, all compiled once
RATIO = 2.0  # of beta to beta_c
RATIOS = (0.5, 1.0, 2.0, 4.0)  # of the figure
CONCENTRATION, CAP = 2.0, 0.9  # of keys that are not uniform, and the least x_0 of their queries
FAR, NEAR = np.log(60.0), -60.0  # logarithms of how many keys are nearer: beyond these ends none is felt


def critical(log_n: float, d: int) -> float:
    """Return beta_c = (d - 1) r / (1 - r^2)."""
    rest = np.exp(-2 * log_n / (d - 1))
    return float((d - 1) * np.sqrt(-np.expm1(-2 * log_n / (d - 1))) / rest)


def squared_sine(log_share: float, d: int) -> float:
    """Return 1 - r^2 where a share of all keys, at most a half, has products beyond r."""
    return float(betaincinv((d - 1) / 2, 0.5, 2 * np.exp(min(log_share, np.log(0.5)))))


def depth_of(log_share: float, d: int) -> float:
    """Return 1 - r where that share of all keys has products beyond r; for more than a half, all keys."""
    rest = squared_sine(log_share, d)
    return 2.0 if log_share >= np.log(0.5) else rest / (1 + np.sqrt(1 - rest))


@functools.cache
def participation(log_n: float, d: int, beta: float, step: float = 0.2) -> float:
    """Return E Y of n independent uniform keys on S^{d-1}: sums over x, t = -tanh x, and over log s + beta."""
    reach = np.arccosh(np.exp((log_n + 60) / (d - 1)))
    largest = 2 * (d - 1) * max(beta / critical(log_n, d), 1.0)  # slope of logits in x, where one key is left
    x = np.linspace(-reach, reach, int(min(max(2 * reach * largest / (2 * step), 800), 20_000) * 0.2 / step))
    log_weights = -(d - 1) * np.log(np.cosh(x))
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    below = beta * (1 + np.tanh(x))  # how far logits lie below that of the query itself
    low, high = (beta * depth_of(end - log_n, d) for end in (NEAR, FAR))
    total = 0.0
    for v in np.array_split(np.arange(low - 40 - log_n, high + 8, step), 16):
        z = np.exp(np.minimum(v[:, None] - below, 100))
        lost = np.minimum(-np.expm1(-z) @ weights, 1 - 1e-15)
        total += np.sum((z**2 * np.exp(-z)) @ weights * np.exp(np.expm1(log_n) * np.log1p(-lost)))
    return float(np.exp(log_n) * total * step)


@functools.cache
def poisson(neighbours: float, m: int, step: float = 0.1) -> float:
    """Return E Y of Poisson points in m dimensions: sums over t with u = log(1 + e^t), and over log s.

    Such t are log u where u is small, and u itself where it is large, so that one step resolves e^{-u} everywhere.
    """
    t = np.arange(-120 / m - 16, 400, 2 * step)
    u = np.logaddexp(0, t)
    weights = np.exp(np.log(2 * step * neighbours) + (m / 2 - 1) * np.log(u) - gammaln(m / 2) + t - u)
    last = 40 + np.exp((np.log(60 / neighbours) + gammaln(1 + m / 2)) * 2 / m)  # the sixtieth point
    total = 0.0
    for log_s in np.array_split(np.arange(-40, min(last, 400), step), 20):
        z = np.exp(np.minimum(log_s[:, None] - u, 100))
        total += np.sum((z**2 * np.exp(-z)) @ weights * np.exp(np.expm1(-z) @ weights))
    return float(total * step)


def neighbours(log_n: float, d: int, beta: float, density: float = 1.0) -> float:
    """Return nb = n p (2 pi / beta)^{m/2} for p relative to the uniform density."""
    log_area = np.log(2) + d / 2 * np.log(np.pi) - gammaln(d / 2)
    return float(density * np.exp(log_n - log_area + (d - 1) / 2 * np.log(2 * np.pi / beta)))


@functools.cache
def tilted() -> af.VonMisesFisher:
    """Return the density ~ e^{2 x_0} on S^3."""
    return af.VonMisesFisher(af.Sphere(3), mean_direction=[1, 0, 0, 0], concentration=CONCENTRATION)


@functools.cache
def queries(d: int, cap: float = -1.0) -> np.ndarray:
    """Return 256 points (Q, d) drawn once, uniform where x_0 > cap."""
    points = np.random.default_rng(d).standard_normal((QUERIES if cap < 0 else 40 * QUERIES, d))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points[points[:, 0] > cap][:QUERIES]


@functools.cache
def relative_density() -> np.ndarray:
    """Return p(x) over the uniform density on S^3 at the queries in the cap."""
    log_density = np.array([tilted().log_density(x) for x in queries(4, CAP)])
    return np.exp(log_density) * 2 * np.pi**2


@functools.partial(jax.jit, static_argnames="life")
def log_totals(keys: jax.Array, at: jax.Array, betas: tuple, *, life: Callable) -> list[jax.Array]:
    """Return log sum_j e^{beta x.y_j} at the queries for each beta."""
    return [
        life(af.Attention(af.DotProduct(), bandwidth=1 / beta), keys, method="dense").log_normalizer(at=at)
        for beta in betas
    ]


def condensed(density: Any, at: np.ndarray, betas: list[float], *, count: int, key: jax.Array) -> np.ndarray:
    """Return sum_j w_j^2 at the queries for each beta, (B, Q), keys being drawn as they are summed."""
    asked = sorted({factor * beta for beta in betas for factor in (1, 2)})  # of e^{2 beta t} the total is Z(2 beta)
    totals = np.full((len(asked), len(at)), -np.inf)
    for part in range(-(-count // DRAWN)):
        keys = density.sample(min(count, DRAWN), key=jax.random.fold_in(key, part))
        for piece in np.split(keys, len(keys) // SUMMED) if count <= DRAWN else [keys]:
            found = log_totals(piece, at, tuple(asked), life=af.EmpiricalAttention)
            totals = np.logaddexp(totals, np.array(found))
    of = dict(zip(asked, totals, strict=True))
    return np.array([np.exp(of[2 * beta] - 2 * of[beta]) for beta in betas])


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return what Y has beyond its predictions, or the curves of the figure."""
    row: dict[str, Any] = {}
    n = case.get("keys") or case["curve"]
    log_n = float(np.log(n))
    for d in DIMS:
        uniform, beta = af.Uniform(af.Sphere(d - 1)), critical(log_n, d)
        if "curve" in case:
            betas = [ratio * beta for ratio in RATIOS]
            row[f"curve.{d}"] = condensed(uniform, queries(d), betas, count=n, key=key).mean(axis=1)
            continue
        beta *= RATIO
        found = condensed(uniform, queries(d), [beta], count=n, key=key).mean()
        limit = poisson(neighbours(log_n, d, beta), d - 1)
        row[f"exact.{d}"] = found - participation(log_n, d, beta)
        if d == 4:
            row["poisson.4"] = found - limit
            near = condensed(tilted(), queries(d, CAP), [beta], count=n, key=key).mean()
            local = [poisson(neighbours(log_n, d, beta, p), d - 1) for p in relative_density().round(2)]
            row["density.4"], row["uniform.4"] = near - np.mean(local), near - limit
        if d == 8:
            row["poisson.8"], row["random_energy.8"] = found - limit, found - (1 - 1 / RATIO)
        if d == 256:
            row["poisson.256"] = found - limit
    return row


BETA = r"$\beta = 2 \beta_c$"


def curves(records: list) -> Figure:
    """Draw E Y over beta/beta_c: the exact integral for every d, what was measured, and both limits alone."""
    n, found = max(((case["curve"], a) for case, a in records if "curve" in case), key=lambda pair: pair[0])
    log_n, ratios = float(np.log(n)), np.geomspace(0.25, 8, 41)
    drawn = plots.figure(width=4.8, height=3.6)
    ax = drawn.subplots()
    for index, d in enumerate(DIMS):
        beta, colour = critical(log_n, d), f"C{index}"
        ax.plot(ratios, [participation(log_n, d, ratio * beta) for ratio in ratios], color=colour, lw=1.2)
        flat = [poisson(neighbours(log_n, d, ratio * beta), d - 1) for ratio in ratios]
        ax.plot(ratios, flat, color=colour, lw=0.8, ls=":")
        values = found[f"curve.{d}"]
        error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
        ax.errorbar(RATIOS, values.mean(axis=0), 2 * error, fmt="o", ms=3.5, color=colour, label=f"$d = {d}$")
    ax.plot(ratios, np.maximum(1 - 1 / ratios, 0), "k--", lw=1, label=r"$1 - \beta_c / \beta$")
    ax.set_xscale("log", base=2)
    ax.set_xticks(marks := (0.25, 0.5, 1, 2, 4, 8), labels=("1/4", "1/2", *map(str, marks[2:])))
    ax.set(xlabel=r"$\beta / \beta_c$", ylabel=r"$\mathrm{E}\, \Sigma_j\, w_j^2$", ylim=(0, 1))
    ax.set_title(f"{n} keys: exact integral (lines), Poisson limit (dotted)", fontsize=8)
    ax.legend(fontsize=7, frameon=False)
    return drawn


def claims() -> list[af.Claim]:
    """Return what is claimed, with the controls."""
    common: dict[str, Any] = dict(source="derived", kind="constant", size="keys", predicted=0.0)
    where = "independent uniform keys on the unit sphere of $R^d$, "

    def exact(d: int) -> af.Claim:
        return af.Claim(
            id=f"temp-curve/{d}", statement=rf"the mean of $\sum_j w_j^2$ at {BETA} is its exact integral",
            quantity=f"exact.{d}", margin=0.03, hypotheses=f"{where}$d = {d}$", measures=("empirical",), **common,
        )  # fmt: skip

    def in_limit(d: int) -> af.Claim:
        return af.Claim(
            id=f"temp-curve-poisson/{d}",
            statement=rf"the mean of $\sum_j w_j^2$ at {BETA} tends to that of Poisson points in $d - 1$ dimensions",
            quantity=f"poisson.{d}", margin=0.06, hypotheses=f"{where}$d = {d}$", correction_power=2 / (d - 1),
            measures=("empirical",), **common,
        )  # fmt: skip

    large, eight = exact(256), in_limit(8)
    density = af.Claim(
        id="temp-curve-density/4",
        statement=rf"the mean of $\sum_j w_j^2$ at {BETA} tends to that of Poisson points of the density $p(x)$",
        quantity="density.4", margin=0.06, correction_power=2 / 3, measures=("empirical",),
        hypotheses="independent keys on the unit sphere of $R^4$, $p$ von Mises-Fisher", **common,
    )  # fmt: skip
    return [
        *(exact(d) for d in DIMS[:-1]),
        large,
        large.control(
            statement=rf"the mean of $\sum_j w_j^2$ at {BETA} is that of Poisson points in $d - 1$ dimensions",
            quantity="poisson.256", truth=0.56, truth_margin=0.05,  # the integral, .58 to .55 as n grows, less nothing
        ),
        in_limit(4),
        eight,
        eight.control(
            statement=rf"the mean of $\sum_j w_j^2$ at {BETA} tends to $1 - \beta_c/\beta$, as in many dimensions",
            quantity="random_energy.8", truth=poisson(neighbours(1000.0, 8, RATIO * critical(1000.0, 8)), 7) - 0.5,
            truth_margin=0.06,
        ),
        density,
        density.control(
            statement=rf"the mean of $\sum_j w_j^2$ at {BETA} tends to that of Poisson points with the uniform density",
            quantity="uniform.4", truth=-0.21, truth_margin=0.06,  # of the mean over the queries in the cap
        ),
    ]  # fmt: skip


quick: list[dict[str, Any]] = [
    *({"keys": 256 * k} for k in (1, 2, 3, 4, 6, 8, 12, 16)),
    {"curve": 1024},
]
study = af.Study(
    name="temp_curve",
    measure=measure,
    ladder=[*quick, *({"keys": 2**k} for k in (14, 16, 18, 20)), {"curve": 2**16}],
    quick=quick,
    claims=af.covered(
        claims(),
        by={
            **{f"temp-curve/{d}": "temp-curve-control/256" for d in (4, 8, 32)},
            "temp-curve-poisson/4": "temp-curve-poisson-control/8",
        },
    ),
    seeds=16,
    figures=[curves],
    labels={
        **{f"exact.{d}": r"$\sum_j w_j^2$ less its integral" for d in DIMS},
        **{f"poisson.{d}": r"$\sum_j w_j^2$ less that of Poisson points" for d in (4, 8, 256)},
        "random_energy.8": r"$\sum_j w_j^2$ less $1 - \beta_c/\beta$",
        "density.4": r"$\sum_j w_j^2$ less that of Poisson points",
        "uniform.4": r"$\sum_j w_j^2$ less that of uniform Poisson points",
    },
)
