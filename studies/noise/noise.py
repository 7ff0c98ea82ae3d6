"""How far is the attention of N points from that of infinitely many?

For independent points X_1, ..., X_N of law p, fixed bandwidth eps and k(x, y) = e^{-|x-y|^2/2eps},

    A_N f(x) = sum_j k(x, X_j) f(X_j) / sum_j k(x, X_j)

is a ratio of two sample means. By the delta method its error is of order N^{-1/2}, and

    lim N Var[A_N f(x)] = int k^2 (f - A f(x))^2 p / (int k p)^2                                       [Si].

Measured at fixed queries that are no sample points: the root mean square over the queries of A_N f - A f (noise-N, at
a wide bandwidth), and the mean over the queries of N |A_N f - A f|^2 over the right-hand side (noise-CLT, at a narrow
bandwidth, where the queries see nearly independent points). Both right-hand sides are quadratures: k^2 is the same
kernel at bandwidth eps/2. The controls claim the rate N^{-1}, and a variance without the centring: int k^2 f^2 p /
(int k p)^2.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

WIDE = {"circle": 0.05, "sphere": 0.1}  # N p (2 pi eps)^{m/2} = .09 N and .05 N neighbours
NARROW = {"circle": 0.01, "sphere": 0.02}  # .04 N and .01 N neighbours; about 60 and 25 independent queries


class Problem(NamedTuple):
    density: af.VonMisesFisher
    queries: np.ndarray


def test_function(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """f without symmetry, at one point (D,) or, coordinates first, at many (D, N)."""
    return x[0] - 0.5 * x[-1] + x[0] * x[-1]


def test_function_and_square(x: jax.Array) -> jax.Array:
    return jnp.stack([test_function(x), test_function(x) ** 2])


@functools.cache
def problem(name: str) -> Problem:
    manifold = {"circle": af.Circle(), "sphere": af.Sphere(2)}[name]
    density = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=0.7)
    if name == "circle":
        angles = 2 * np.pi * (np.arange(64) + 0.5) / 64
        return Problem(density, np.column_stack([np.cos(angles), np.sin(angles)]))
    return Problem(density, fibonacci_points(64))


def fibonacci_points(n: int) -> np.ndarray:
    """n points spread evenly over S^2: equal heights, golden-angle longitudes."""
    heights = 1 - (2 * np.arange(n) + 1) / n
    longitudes = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    rings = np.sqrt(1 - heights**2)
    return np.column_stack([rings * np.cos(longitudes), rings * np.sin(longitudes), heights])


class Asymptotics(NamedTuple):
    """A f and lim N Var[A_N f] at the queries, the latter without its centring, and lim ESS/N at the emptiest query."""

    mean: np.ndarray
    variance: np.ndarray
    uncentred: np.ndarray
    ess_per_point: float


@functools.cache
def asymptotics(name: str, bandwidth: float) -> Asymptotics:
    p = problem(name)
    full, half = (
        af.PopulationAttention(af.Attention(af.SquaredDistance(), bandwidth=eps), p.density)
        for eps in (bandwidth, bandwidth / 2)
    )
    mean = full.layer(test_function_and_square, at=p.queries)[:, 0]
    first, second = half.layer(test_function_and_square, at=p.queries).T  # moments of f under k^2 p
    inverse_ess = np.exp(half.log_normalizer(at=p.queries) - 2 * full.log_normalizer(at=p.queries))
    centred = second - 2 * mean * first + mean**2
    return Asymptotics(mean, inverse_ess * centred, inverse_ess * second, 1 / inverse_ess.max())


def measure_one(name: str, n: int, key: jax.Array) -> dict[str, float]:
    p = problem(name)
    points = p.density.sample(n, key=key)
    values = np.asarray(test_function(points.T))

    def errors(bandwidth: float) -> np.ndarray:
        attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth)
        return af.EmpiricalAttention(attention, points).layer(values, at=p.queries) - asymptotics(name, bandwidth).mean

    narrow, squares = asymptotics(name, NARROW[name]), n * errors(NARROW[name]) ** 2
    return {
        f"{name}.error": np.sqrt(np.mean(errors(WIDE[name]) ** 2)),
        f"{name}.variance_ratio": np.mean(squares / narrow.variance),
        f"{name}.uncentred_ratio": np.mean(squares / narrow.uncentred),
        f"{name}.error.ess": n * asymptotics(name, WIDE[name]).ess_per_point,
        f"{name}.variance_ratio.ess": n * narrow.ess_per_point,
        f"{name}.uncentred_ratio.ess": n * narrow.ess_per_point,
    }


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    rows = [measure_one("circle", case["points"], key) | measure_one("sphere", case["points"], key) for key in keys]
    return {quantity: np.array([row[quantity] for row in rows]) for quantity in rows[0]}


def claims_on(name: str) -> list[af.Claim]:
    common: dict[str, Any] = dict(source="Si", size="points")
    wide = f"{name}, p von Mises-Fisher, eps = {WIDE[name]}, queries apart from the points"
    narrow = f"{name}, p von Mises-Fisher, eps = {NARROW[name]}, queries apart from the points"
    return [
        af.Claim(
            id=f"noise-N/{name}", statement="A_N f - A f at fixed eps is of order N^(-1/2)",
            kind="exponent", quantity=f"{name}.error", predicted=-0.5, hypotheses=wide, **common,
        ),
        af.Claim(
            id=f"noise-N-control/{name}", statement="A_N f - A f at fixed eps is of order N^(-1)",
            kind="exponent", quantity=f"{name}.error", predicted=-1.0, hypotheses=wide,
            control_of=f"noise-N/{name}", **common,
        ),
        af.Claim(
            id=f"noise-CLT/{name}", statement="N Var[A_N f] / [int k^2 (f - A f)^2 p / (int k p)^2] tends to 1",
            kind="constant", quantity=f"{name}.variance_ratio", predicted=1.0, hypotheses=narrow, **common,
        ),
        af.Claim(
            id=f"noise-CLT-control/{name}", statement="N Var[A_N f] / [int k^2 f^2 p / (int k p)^2] tends to 1",
            kind="constant", quantity=f"{name}.uncentred_ratio", predicted=1.0, hypotheses=narrow,
            control_of=f"noise-CLT/{name}", **common,
        ),
    ]  # fmt: skip


study = af.Study(
    name="noise",
    measure=measure,
    ladder=[{"points": 256 * 2**k} for k in range(9)],
    quick=8,
    claims=[claim for name in WIDE for claim in claims_on(name)],
    seeds=800,
    quick_seeds=400,
    labels={
        f"{name}.{quantity}": label
        for name in WIDE
        for quantity, label in {
            "error": "RMS of A_N f − A f",
            "variance_ratio": "N Var[A_N f] over its asymptote",
            "uncentred_ratio": "N Var[A_N f] over the uncentred one",
        }.items()
    },
)
