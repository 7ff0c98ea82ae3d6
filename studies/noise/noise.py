"""How far is the attention of N points from that of infinitely many?

For independent points X_1, ..., X_N of law p, fixed bandwidth eps and k(x, y) = e^{-|x-y|^2/2eps},

    A_N f(x) = sum_j k(x, X_j) f(X_j) / sum_j k(x, X_j)

is a ratio of two sample means. By the delta method its error is of order N^{-1/2}, and

    lim N Var[A_N f(x)] = int k^2 (f - A f(x))^2 p / (int k p)^2                                       [Si].

Measured at fixed queries that are no sample points: the root mean square over the queries of A_N f - A f (noise-N, at a
wide bandwidth), and the mean over the queries of N |A_N f - A f|^2 over the right-hand side (noise-CLT, at a narrow
bandwidth, where the queries see nearly independent points). Both right-hand sides are quadratures. The controls measure
the distance of A_N f from A f at half of the bandwidth, which tends to that between the two A f, with the exponent
zero; and take a variance without the centring, int k^2 f^2 p / (int k p)^2, which is too large by what a quadrature of
its own says.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

WIDE = {"circle": 0.05, "sphere": 0.1}  # N p (2 pi eps)^{m/2} = .09 N and .05 N neighbours
NARROW = {"circle": 0.005, "sphere": 0.02}  # .03 N and .01 N neighbours; about 100 and 25 independent queries
FEWEST_NARROW = (
    400  # points: with fewer, what is left of 1/nb^2 moves the extrapolated ratio by .01, a fifth of the margin
)


class Problem(NamedTuple):
    """The density p and queries (Q, D) that are no sample points."""

    density: af.VonMisesFisher
    queries: np.ndarray


def test_function(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Return f, without symmetry, at one point (D,) or, coordinates first, at many (D, N)."""
    return x[0] - 0.5 * x[-1] + x[0] * x[-1]


def test_function_and_square(x: jax.Array) -> jax.Array:
    """Return f and f^2 at one point."""
    return jnp.stack([test_function(x), test_function(x) ** 2])


@functools.cache
def problem(name: str) -> Problem:
    """Return p and the queries on the circle or the sphere."""
    manifold = {"circle": af.Circle(), "sphere": af.Sphere(2)}[name]
    density = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=0.7)
    if name == "circle":
        angles = 2 * np.pi * (np.arange(128) + 0.5) / 128
        return Problem(density, np.column_stack([np.cos(angles), np.sin(angles)]))
    return Problem(density, spiral(64))


def spiral(n: int) -> np.ndarray:
    """Return n points spread evenly over S^2: equal heights, golden-angle longitudes."""
    heights = 1 - (2 * np.arange(n) + 1) / n
    longitudes = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    rings = np.sqrt(1 - heights**2)
    return np.column_stack([rings * np.cos(longitudes), rings * np.sin(longitudes), heights])


class Asymptotics(NamedTuple):
    """A f, at half of the bandwidth too, lim N Var[A_N f], that without its centring, and lim ESS/N at the emptiest."""

    mean: np.ndarray
    mean_at_half: np.ndarray
    variance: np.ndarray
    uncentred: np.ndarray
    ess_per_point: float


@functools.cache
def asymptotics(name: str, bandwidth: float) -> Asymptotics:
    """Return both right-hand sides by quadrature; int k^2 f^2 p / int k^2 p is A f^2 at half of the bandwidth."""
    p = problem(name)
    full, half = (
        af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=eps), p.density)
        for eps in (bandwidth, bandwidth / 2)
    )
    mean = full.layer(test_function, at=p.queries)
    mean_at_half, of_square = half.layer(test_function_and_square, at=p.queries).T
    variance = full.sampling_variance(test_function, at=p.queries)
    inverse_ess = np.exp(half.log_normalizer(at=p.queries) - 2 * full.log_normalizer(at=p.queries))
    return Asymptotics(mean, mean_at_half, variance, inverse_ess * of_square, 1 / inverse_ess.max())


def nodes(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a quadrature of the circle or the sphere that is fine enough for k^2: points (N, D) and weights."""
    if name == "circle":
        angles = 2 * np.pi * np.arange(512) / 512
        return np.column_stack([np.cos(angles), np.sin(angles)]), np.full(512, 1 / 512)
    heights, weights = np.polynomial.legendre.leggauss(100)
    z, longitudes = (axis.ravel() for axis in np.meshgrid(heights, 2 * np.pi * np.arange(200) / 200, indexing="ij"))
    rings = np.sqrt(1 - z**2)
    return np.column_stack([rings * np.cos(longitudes), rings * np.sin(longitudes), z]), np.repeat(weights, 200)


@functools.cache
def centred_share(name: str) -> float:
    """Return the mean over the queries of int k^2 (f - A f)^2 p / int k^2 f^2 p."""
    y, weights = nodes(name)
    f = np.asarray(test_function(y.T))
    masses = weights * np.exp(0.7 * y[:, 0])
    k = np.exp((problem(name).queries @ y.T - 1) / NARROW[name])  # |x - y|^2 = 2 - 2 x.y
    mean = (k @ (masses * f) / (k @ masses))[:, None]
    return float(np.mean((k**2 * (f - mean) ** 2) @ masses / (k**2 @ (masses * f**2))))


@functools.partial(jax.jit, static_argnames="life")
def layers(clouds: jax.Array, queries: jax.Array, bandwidth: Any, *, life: Callable) -> jax.Array:
    """Return A_N f at the queries (Q, D) for clouds (S, N, D), shape (S, Q); `life` is the empirical one.

    It is compiled once for a size: of a cloud on its own most of the time would be spent around the pairs.
    """
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth)

    def layer(points: jax.Array) -> jax.Array:
        return life(attention, points, method="dense").layer(test_function(points.T), at=queries)

    return jax.lax.map(layer, clouds)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the RMS error at the wide bandwidth, and N Var over both right-hand sides at the narrow one."""
    n = case["points"]
    measured: dict[str, np.ndarray] = {}
    for name in WIDE:
        p = problem(name)
        clouds = np.stack([p.density.sample(n, key=key) for key in keys])
        wide = asymptotics(name, WIDE[name])
        values = np.asarray(layers(clouds, p.queries, WIDE[name], life=af.EmpiricalAttention))
        measured |= {
            f"{name}.error": np.sqrt(np.mean((values - wide.mean) ** 2, axis=1)),
            f"{name}.error_at_half": np.sqrt(np.mean((values - wide.mean_at_half) ** 2, axis=1)),
            f"{name}.error.ess": np.full(len(keys), n * wide.ess_per_point),
            f"{name}.error_at_half.ess": np.full(len(keys), n * wide.ess_per_point),
        }
        if n < FEWEST_NARROW:
            continue
        narrow = asymptotics(name, NARROW[name])
        squares = (
            n * (np.asarray(layers(clouds, p.queries, NARROW[name], life=af.EmpiricalAttention)) - narrow.mean) ** 2
        )
        measured |= {
            f"{name}.variance_ratio": np.mean(squares / narrow.variance, axis=1),
            f"{name}.uncentred_ratio": np.mean(squares / narrow.uncentred, axis=1),
            f"{name}.variance_ratio.ess": np.full(len(keys), n * narrow.ess_per_point),
            f"{name}.uncentred_ratio.ess": np.full(len(keys), n * narrow.ess_per_point),
        }
    return measured


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    common: dict[str, Any] = dict(source="Si", size="points", measures=("empirical", "population"))
    where = rf"{name}, $p$ von Mises-Fisher, queries apart from the points, $\varepsilon"
    rate = af.Claim(
        id=f"noise-N/{name}", statement=r"$A_N f - A f$ at fixed $\varepsilon$ is of order $N^{-1/2}$",
        kind="exponent", quantity=f"{name}.error", predicted=-0.5, hypotheses=f"{where} = {WIDE[name]}$", **common,
    )  # fmt: skip
    variance = af.Claim(
        id=f"noise-CLT/{name}",
        statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 (f - A f)^2 p / (\int k p)^2$ tends to 1",
        kind="constant", quantity=f"{name}.variance_ratio", predicted=1.0,
        hypotheses=f"{where} = {NARROW[name]}$", **common,
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=r"the distance of $A_N f$ from $A f$ at half of its $\varepsilon$ is of order $N^{-1/2}$",
            quantity=f"{name}.error_at_half",
            truth=0.0,
            truth_margin=0.1,  # at 256 points the noise is as large as what is left of the distance
        ),
        variance,
        variance.control(
            statement=r"$N\,\mathrm{Var}[A_N f]$ over $\int k^2 f^2 p / (\int k p)^2$ tends to 1",
            quantity=f"{name}.uncentred_ratio",
            truth=centred_share(name),
            truth_margin=0.15
            * centred_share(name),  # as wide as the scatter of 400 seeds asks, of a gap of nine tenths
        ),
    ]


def labels_on(name: str) -> dict[str, str]:
    """Return what figures call the quantities of one manifold."""
    return {
        f"{name}.error": r"RMS of $A_N f - A f$",
        f"{name}.error_at_half": r"RMS of $A_N f$ less $A f$ at half of $\varepsilon$",
        f"{name}.variance_ratio": r"$N\,\mathrm{Var}[A_N f]$ over its asymptote",
        f"{name}.uncentred_ratio": r"$N\,\mathrm{Var}[A_N f]$ over the uncentred one",
    }


study = af.Study(
    name="noise",
    measure=measure,
    ladder=[{"points": round(256 * 64 ** (k / 7))} for k in range(10)],  # the eighth has 16384
    quick=8,
    claims=[*claims_on("circle"), *claims_on("sphere")],
    seeds=800,
    quick_seeds=448,
    labels=labels_on("circle") | labels_on("sphere"),
)
