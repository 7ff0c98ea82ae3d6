"""Does one layer of attention tend to a drift-diffusion as the bandwidth shrinks, and how fast?

Let M be a closed Riemannian manifold in R^D, or the line with a Gaussian density, and p > 0 a smooth density. The
attention of infinitely many points of law p with the cost D(x, y) = |x - y|^2,

    A f(x) = int e^{-|x-y|^2/2eps} f(y) p(y) dvol(y) / int e^{-|x-y|^2/2eps} p(y) dvol(y),

satisfies, for smooth f and eps -> 0 [RZ, Theorem 3; CL],

    (A f - f) / eps = L f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>.

Measured: the distance between the two sides at fixed queries, in L2(p) on the line (which is not closed: the
expansion is not uniform there) and in the maximum over the queries elsewhere. It must vanish (RZ3), at rate one
(bias). The controls drop the factor two of the drift, L' f = 1/2 Lap f + 1/2 <grad log p, grad f>: their distance
must not vanish but tend to sup |1/2 <grad log p, grad f>|, which is known in closed form. A cost in other units, D /
s^2, has the generator s^2 L (RZ-scale); its control forgets the s^2.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

MANIFOLDS = {
    "circle": af.Circle(),
    "torus": af.FlatTorus(2),
    "sphere": af.Sphere(2),
    "three-sphere": af.Sphere(3),
    "line": af.EuclideanSpace(1),
}
CIRCLE_FUNCTIONS = ("sin 2t + cos(t)/2", "sin t + cos(3t)/2", "sin t")
SCALE = 2.0  # s of RZ-scale


class Problem(NamedTuple):
    """A density p, the density proportional to sqrt(p), a test function, and where and how to compare."""

    density: af.Density
    root: af.Density
    f: Callable
    queries: np.ndarray
    weights: np.ndarray | None  # None: maximum over the queries


def directions(dim: int) -> tuple[np.ndarray, np.ndarray]:
    """A drift direction b, |b| = 1, and a test direction a, neither along an axis nor along the other."""
    b = np.arange(1.0, dim + 1)
    return b / np.linalg.norm(b), np.cos(np.arange(dim))


def von_mises_fisher(manifold: af.Sphere, concentration: float) -> af.VonMisesFisher:
    direction = np.eye(2)[0] if manifold.dim == 1 else directions(manifold.ambient_dim)[0]
    return af.VonMisesFisher(manifold, mean_direction=direction, concentration=concentration)


def circle_functions(x: jax.Array) -> jax.Array:
    c, s = x
    return jnp.stack([2 * s * c + c / 2, s + (4 * c**3 - 3 * c) / 2, s])


def ambient_function(x: jax.Array) -> jax.Array:
    """f = a.x + (b.x)^2 on spheres."""
    b, a = directions(x.shape[0])
    return a @ x + (b @ x) ** 2


def torus_function(x: jax.Array) -> jax.Array:
    return x[1] + x[0] * x[3]


def line_function(x: jax.Array) -> jax.Array:
    return jnp.sin(x[0] + 0.4)


def torus_density(power: float) -> af.LogDensity:
    return af.LogDensity(MANIFOLDS["torus"], lambda x: power * (0.5 * x[0] + 0.4 * x[2] + 0.3 * x[1] * x[2]))


@functools.cache
def problem(name: str) -> Problem:
    manifold = MANIFOLDS[name]
    generator = np.random.default_rng(20241218)
    if name == "line":
        # Gauss-Hermite nodes of p = N(0, 1.5): the comparison is in L2(p).
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        return Problem(
            af.Gaussian(mean=[0.0], covariance=[[1.5]]),
            af.Gaussian(mean=[0.0], covariance=[[3.0]]),
            line_function,
            np.sqrt(1.5) * nodes[:, None],
            weights / weights.sum(),
        )
    if name == "torus":
        queries = manifold.sample_uniform(128, generator)
        return Problem(torus_density(1.0), torus_density(0.5), torus_function, queries, None)
    angles = 2 * np.pi * np.arange(128) / 128
    if name == "circle":
        queries, f, kappa = np.column_stack([np.cos(angles), np.sin(angles)]), circle_functions, 0.7
    else:
        queries, f, kappa = manifold.sample_uniform(128, generator), ambient_function, 0.8
    return Problem(von_mises_fisher(manifold, kappa), von_mises_fisher(manifold, kappa / 2), f, queries, None)


def predicted_gaps(name: str) -> np.ndarray:
    """|1/2 <grad log p, grad f>| in the norm of the comparison, one per component of f, from derivatives by hand."""
    if name == "circle":
        t = 2 * np.pi * np.arange(128) / 128
        slopes = np.stack([2 * np.cos(2 * t) - np.sin(t) / 2, np.cos(t) - 1.5 * np.sin(3 * t), np.cos(t)])
        return np.abs(0.5 * -0.7 * np.sin(t) * slopes).max(axis=1)
    if name == "line":
        x, weights = np.polynomial.hermite_e.hermegauss(40)
        x, weights = np.sqrt(1.5) * x, weights / weights.sum()
        return np.sqrt([weights @ (0.5 * x / 1.5 * np.cos(x + 0.4)) ** 2])
    queries = MANIFOLDS[name].sample_uniform(128, np.random.default_rng(20241218))
    if name == "torus":
        c1, s1, c2, s2 = queries.T
        inner = (-0.5 * s1 + 0.3 * c1 * c2) * (c1 - s1 * s2) + (-0.4 * s2 - 0.3 * s1 * s2) * (c1 * c2)
    else:
        b, a = directions(queries.shape[1])
        drift, slope = 0.8 * b, a + 2 * np.outer(queries @ b, b)
        inner = slope @ drift - (queries @ drift) * np.sum(slope * queries, axis=1)
    return np.array([np.abs(0.5 * inner).max()])


def distances(difference: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """The norm of the difference (Q, c) over the queries: L2 with weights, else the maximum; one per component."""
    if weights is None:
        return np.abs(difference).max(axis=0)
    return np.sqrt(weights @ difference**2)


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    measured: dict[str, float] = {}
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    for name in MANIFOLDS:
        p = problem(name)
        quotient = af.PopulationAttention(attention, p.density).generator(p.f, at=p.queries)
        limit, halved = (
            af.LaplaceExpansion(attention, density).generator(p.f, at=p.queries) for density in (p.density, p.root)
        )
        gaps = distances((quotient - halved).reshape(len(quotient), -1), p.weights)
        measured[f"{name}.distance"] = distances((quotient - limit).reshape(len(quotient), -1), p.weights).max()
        measured[f"{name}.control"] = gaps.max()
        measured |= {f"{name}.gap.{i}": gap for i, gap in enumerate(gaps)}
        if name == "circle":
            scaled = af.Attention(af.CustomPseudoMetric(scaled_cost), bandwidth=case["bandwidth"])
            rescaled = af.PopulationAttention(scaled, p.density).generator(p.f, at=p.queries)
            measured["circle.scaled"] = distances(rescaled - SCALE**2 * limit, None).max()
            measured["circle.unscaled"] = distances(rescaled - limit, None).max()
    return {quantity: np.full(len(keys), value) for quantity, value in measured.items()}


def scaled_cost(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((x - y) ** 2) / SCALE**2


def claims_on(name: str) -> list[af.Claim]:
    where = {"line": "the line, p Gaussian, in L2(p)"}.get(name, f"{name}, p > 0 smooth, maximum over 128 queries")
    hypotheses = f"{where}; D = |x - y|^2; f smooth; infinitely many points"
    distance = dict(source="RZ", hypotheses=hypotheses, size="bandwidth")
    functions = CIRCLE_FUNCTIONS if name == "circle" else ("f",)
    return [
        af.Claim(
            id=f"RZ3/{name}",
            statement="(A - I) f / eps tends to L f = 1/2 Lap f + <grad log p, grad f>: the distance vanishes",
            kind="constant", quantity=f"{name}.distance", predicted=0.0, margin=0.01, **distance,
        ),
        af.Claim(
            id=f"bias/{name}",
            statement="the distance between (A - I) f / eps and L f is of order eps",
            kind="exponent", quantity=f"{name}.distance", predicted=1.0, **distance,
        ),
        af.Claim(
            id=f"RZ3-control/{name}",
            statement="(A - I) f / eps tends to 1/2 Lap f + 1/2 <grad log p, grad f> (drift without the factor two)",
            kind="constant", quantity=f"{name}.control", predicted=0.0, margin=0.01, control_of=f"RZ3/{name}",
            **distance,
        ),
        af.Claim(
            id=f"bias-control/{name}",
            statement="the distance to the generator without the factor two is of order eps",
            kind="exponent", quantity=f"{name}.control", predicted=1.0, control_of=f"bias/{name}", **distance,
        ),
        *(
            af.Claim(
                id=f"RZ3-gap/{name}" + (f"/{i + 1}" if len(functions) > 1 else ""),
                statement=f"without the factor two the distance tends to |1/2 <grad log p, grad f>|, f = {function}",
                kind="constant", quantity=f"{name}.gap.{i}", predicted=float(gap), margin=0.03 * float(gap), **distance,
            )
            for i, (function, gap) in enumerate(zip(functions, predicted_gaps(name), strict=True))
        ),
    ]  # fmt: skip


scale = dict(source="RZ", size="bandwidth", hypotheses="circle, p > 0 smooth; D = |x - y|^2 / s^2 with s = 2; f smooth")
study = af.Study(
    name="generator",
    measure=measure,
    ladder=[{"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        *(claim for name in MANIFOLDS for claim in claims_on(name)),
        af.Claim(
            id="RZ-scale", statement="(A - I) f / eps tends to s^2 L f: the distance is of order eps",
            kind="exponent", quantity="circle.scaled", predicted=1.0, **scale,
        ),
        af.Claim(
            id="RZ-scale-control", statement="(A - I) f / eps tends to L f, whatever s: the distance is of order eps",
            kind="exponent", quantity="circle.unscaled", predicted=1.0, control_of="RZ-scale", **scale,
        ),
    ],
)  # fmt: skip
