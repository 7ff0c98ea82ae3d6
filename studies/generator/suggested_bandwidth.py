"""Is the error of the suggested bandwidth the one that is predicted?

`suggest_bandwidth` predicts the root mean square error of (A_N f - f) / eps - L f from the density alone, without
asymptotics: the bias of infinitely many points at that bandwidth and the sampling noise of N, and takes the bandwidth
where the prediction is least.

Measured on the circle and on S^2, p von Mises-Fisher, f without symmetry: the mean square of the error at 32 queries
apart from the points over the square of its prediction, both at the suggested bandwidth. As the squares are averaged
and not the errors, the ratio should be 1 at every N, up to the third order of the noise.

The control compares with the noise alone. Where eps^2 b^2 + c^2 eps^{-1-m/2} is least, bias and noise are as (2 + m)/4,
squared, so that the ratio is in truth 1 + (2 + m)/4 = (m + 6)/4 up to O(eps), which vanishes like N^{-2/(m+6)} only.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

import attnflow as af

MANIFOLDS = {"circle": af.Circle(), "sphere": af.Sphere(2)}
CLOUDS = {"circle": 24, "sphere": 12}  # per seed: a circle has room for few independent errors
QUERIES = 32
FILLED = 3200  # points, up to which clouds are filled with points of no mass, so that a program serves all of them
CONCENTRATION = 0.7
MARGIN = 0.1  # twice the default: one cloud scatters by a half, and the squares that few seeds leave are known to .03


def test_function(x: jax.Array | np.ndarray) -> jax.Array | np.ndarray:
    """Return f, without symmetry, at one point (D,) or, coordinates first, at many (D, N)."""
    return x[0] - 0.5 * x[-1] + x[0] * x[-1]


class Problem(NamedTuple):
    """The density p, queries (Q, D) apart from the points, and the attention, whose bandwidth is not used."""

    density: af.VonMisesFisher
    queries: np.ndarray
    attention: af.Attention


@functools.cache
def problem(name: str) -> Problem:
    """Return the problem on the circle or the sphere."""
    manifold = MANIFOLDS[name]
    density = af.VonMisesFisher(manifold, mean_direction=np.eye(manifold.ambient_dim)[0], concentration=CONCENTRATION)
    queries = af.Uniform(manifold).sample(QUERIES, key=jax.random.key(0))
    return Problem(density, queries, af.Attention(af.SquaredDistance(), bandwidth=0.1))


@functools.cache
def suggestion(name: str, n: int) -> af.BandwidthSuggestion:
    """Return the bandwidth suggested for so many points."""
    p = problem(name)
    return af.suggest_bandwidth(p.attention, p.density, n=n, f=test_function, at=p.queries)


@functools.cache
def limit(name: str) -> np.ndarray:
    """Return L f at the queries."""
    p = problem(name)
    return af.DriftDiffusion(p.attention, p.density).generator(test_function, at=p.queries)


@functools.partial(jax.jit, static_argnames="life")
def layers(clouds: Any, masses: Any, queries: jax.Array, bandwidth: Any, *, life: Callable) -> jax.Array:
    """Return A_N f at the queries (Q, D) for clouds (S, N, D) with masses (N,), shape (S, Q); `life` is empirical."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=bandwidth)

    def layer(points: Any) -> jax.Array:
        cloud = af.DiscreteMeasure(points, masses)
        return life(attention, cloud, method="dense").layer(test_function(points.T), at=queries)

    return jax.lax.map(layer, clouds)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the mean square error of each seed over that of the prediction and over the noise alone."""
    n = case["points"]
    measured: dict[str, np.ndarray] = {}
    for name, manifold in MANIFOLDS.items():
        p, found, dim = problem(name), suggestion(name, n), manifold.ambient_dim
        clouds = np.concatenate(
            [p.density.sample(CLOUDS[name] * n, key=key).reshape(CLOUDS[name], n, dim) for key in keys]
        )
        clouds = np.pad(clouds, ((0, 0), (0, max(0, FILLED - n)), (0, 0)), mode="edge")
        masses = np.where(np.arange(clouds.shape[1]) < n, 1.0, 0.0)
        averages = np.asarray(layers(clouds, masses, p.queries, found.bandwidth, life=af.EmpiricalAttention))
        errors = (averages - np.asarray(test_function(p.queries.T))) / found.bandwidth - limit(name)
        squares = np.mean(errors**2, axis=1).reshape(len(keys), -1).mean(axis=1)
        measured |= {
            f"{name}.over_predicted": squares / found.predicted_error**2,
            f"{name}.over_noise": squares / found.noise**2,
        }
    return measured


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    m = MANIFOLDS[name].dim
    common: dict[str, Any] = dict(
        source="Si", kind="constant", size="points", predicted=1.0, measures=("empirical", "limit"),
        hypotheses=rf"{name} ($m = {m}$), $p$ von Mises-Fisher, queries apart from the points, "
        r"$\varepsilon$ as suggested",
    )  # fmt: skip
    square = r"the mean square of $(A_N - I) f / \varepsilon - L f$"
    claim = af.Claim(
        id=f"suggested-bandwidth/{name}", statement=f"{square} over that predicted tends to 1",
        quantity=f"{name}.over_predicted", margin=MARGIN, **common,
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=f"{square} over that predicted without the bias tends to 1",
            quantity=f"{name}.over_noise",
            truth=(m + 6) / 4,
            truth_margin=0.25,  # a third of the gap at most, for what is left of O(eps)
        ),
    ]


study = af.Study(
    name="suggested_bandwidth",
    measure=measure,
    ladder=[{"points": 400 * 2**k} for k in range(8)],
    quick=4,
    claims=[*claims_on("circle"), *claims_on("sphere")],
    seeds=128,
    quick_seeds=64,
    labels={
        f"{name}.{quantity}": label
        for name in MANIFOLDS
        for quantity, label in (
            ("over_predicted", "mean square error over that predicted"),
            ("over_noise", "mean square error over that of the noise"),
        )
    },
)
