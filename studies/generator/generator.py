"""Does one layer of attention tend to a drift-diffusion as the bandwidth shrinks, and how fast?

Let M be a closed Riemannian manifold in R^D, or the line with a Gaussian density, and p > 0 a smooth density. The
attention of infinitely many points of law p with the cost D(x, y) = |x - y|^2,

    A f(x) = int e^{-|x-y|^2/2eps} f(y) p(y) dvol(y) / int e^{-|x-y|^2/2eps} p(y) dvol(y),

satisfies, for smooth f and eps -> 0 [RZ, Theorem 3; CL],

    (A f - f) / eps = L f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>.

Measured: the distance between the two sides at fixed queries, the root mean square over them, weighted by p on the line
(which is not closed: the expansion is not uniform there). It must vanish (RZ3), at rate one (bias). The controls drop
the factor two of the drift, L' f = 1/2 Lap f + 1/2 <grad log p, grad f>: their distance must not vanish. What they miss
by is known in closed form (RZ3-gap): at each query |1/2 <grad log p, grad f>|, measured at the query where that is
largest (on the line it has no maximum: among queries of weight over 1e-3). A cost in other units, D / s^2, has the
generator s^2 L (RZ-scale); its control forgets the s^2.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

MANIFOLDS: dict[str, Any] = {
    "circle": af.Circle(),
    "torus": af.FlatTorus(2),
    "sphere": af.Sphere(2),
    "three-sphere": af.Sphere(3),
    "line": af.EuclideanSpace(1),
}
FUNCTIONS = {
    "torus": "sin t1 + cos t1 sin t2",
    "sphere": "a.x + (b.x)^2",
    "three-sphere": "a.x + (b.x)^2",
    "line": "sin(x + .4)",
}
CIRCLE_FUNCTIONS = ("sin 2t + cos(t)/2", "sin t + cos(3t)/2", "sin t")
SCALE = 0.5  # s of RZ-scale


class Problem(NamedTuple):
    """A density p, the density proportional to sqrt(p), a test function, the queries and their weights, sum one."""

    density: af.Density
    root: af.Density
    f: Callable
    queries: np.ndarray
    weights: np.ndarray


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


def torus_log_weight(power: float, x: jax.Array) -> jax.Array:
    return power * (0.5 * x[0] + 0.4 * x[2] + 0.3 * x[1] * x[2])


def queries_on(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Where the two sides are compared, (Q, D), and with which weights, (Q,)."""
    if name == "line":  # Gauss-Hermite nodes of p = N(0, 1.5)
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        return np.sqrt(1.5) * nodes[:, None], weights / weights.sum()
    equal = np.full(128, 1 / 128)
    if name == "circle":
        angles = 2 * np.pi * np.arange(128) / 128
        return np.column_stack([np.cos(angles), np.sin(angles)]), equal
    return MANIFOLDS[name].sample_uniform(128, np.random.default_rng(20241218)), equal


@functools.cache
def problem(name: str) -> Problem:
    manifold = MANIFOLDS[name]
    p: af.Density
    root: af.Density
    if name == "line":
        p, root = (af.Gaussian(mean=[0.0], covariance=[[variance]]) for variance in (1.5, 3.0))
        f = line_function
    elif name == "torus":
        p, root = (af.LogDensity(manifold, jax.tree_util.Partial(torus_log_weight, power)) for power in (1.0, 0.5))
        f = torus_function
    else:
        kappa = 0.7 if name == "circle" else 0.8
        p, root = (von_mises_fisher(manifold, concentration) for concentration in (kappa, kappa / 2))
        f = circle_functions if name == "circle" else ambient_function
    return Problem(p, root, f, *queries_on(name))


def half_drift(name: str) -> np.ndarray:
    """1/2 <grad log p, grad f> at the queries, (Q, c), from derivatives by hand."""
    queries, _ = queries_on(name)
    if name == "circle":
        t = np.arctan2(queries[:, 1], queries[:, 0])
        slopes = np.stack([2 * np.cos(2 * t) - np.sin(t) / 2, np.cos(t) - 1.5 * np.sin(3 * t), np.cos(t)], axis=1)
        return 0.5 * -0.7 * np.sin(t)[:, None] * slopes
    if name == "line":
        return -0.5 * queries / 1.5 * np.cos(queries + 0.4)
    if name == "torus":
        c1, s1, c2, s2 = queries.T
        inner = (-0.5 * s1 + 0.3 * c1 * c2) * (c1 - s1 * s2) + (-0.4 * s2 - 0.3 * s1 * s2) * (c1 * c2)
    else:
        b, a = directions(queries.shape[1])
        drift, slope = 0.8 * b, a + 2 * np.outer(queries @ b, b)
        inner = slope @ drift - (queries @ drift) * np.sum(slope * queries, axis=1)
    return 0.5 * inner[:, None]


@functools.cache
def steepest(name: str) -> np.ndarray:
    """The query where the two limits are furthest apart, one for each component of f; on the line within p's bulk."""
    gap = np.abs(half_drift(name))
    return np.argmax(gap * (queries_on(name)[1] > 1e-3)[:, None], axis=0)


def predicted_gaps(name: str) -> np.ndarray:
    return np.abs(half_drift(name))[steepest(name), range(len(steepest(name)))]


def distance(difference: np.ndarray, weights: np.ndarray) -> float:
    """The root mean square over the queries, the largest over the components of f."""
    return float(np.sqrt(weights @ difference**2).max())


def difference_quotient(attention: af.Attention, p: Problem) -> tuple[np.ndarray, float]:
    """(A f - f) / eps at the queries, and its declared error: that of A f, over eps."""
    flow = af.PopulationAttention(attention, p.density).evolve(p.f, times=[0, attention.bandwidth], at=p.queries)
    before, after = flow.values
    return (after - before) / attention.bandwidth, flow.solver_error / attention.bandwidth


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    measured: dict[str, float] = {}
    attention = af.Attention(af.SquaredDistance(), bandwidth=case["bandwidth"])
    for name in MANIFOLDS:
        p = problem(name)
        quotient, solver_error = difference_quotient(attention, p)
        limit, halved = (
            af.LaplaceExpansion(attention, density).generator(p.f, at=p.queries) for density in (p.density, p.root)
        )
        to_limit, to_halved = ((quotient - other).reshape(len(quotient), -1) for other in (limit, halved))
        measured[f"{name}.distance"] = distance(to_limit, p.weights)
        measured[f"{name}.control"] = distance(to_halved, p.weights)
        for i, row in enumerate(steepest(name)):
            measured[f"{name}.gap.{i}"] = abs(to_halved[row, i])
            measured[f"{name}.gap.{i}.solver_error"] = solver_error
        measured[f"{name}.distance.solver_error"] = measured[f"{name}.control.solver_error"] = solver_error
        if name == "circle":
            scaled = af.Attention(af.CustomPseudoMetric(scaled_cost), bandwidth=case["bandwidth"])
            rescaled, solver_error = difference_quotient(scaled, p)
            measured["circle.scaled"] = distance(rescaled - SCALE**2 * limit, p.weights)
            measured["circle.unscaled"] = distance(rescaled - limit, p.weights)
            measured["circle.scaled.solver_error"] = measured["circle.unscaled.solver_error"] = solver_error
    return {quantity: np.full(len(keys), value) for quantity, value in measured.items()}


def scaled_cost(x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.sum((x - y) ** 2) / SCALE**2


def claims_on(name: str) -> list[af.Claim]:
    where = {"line": "the line, p Gaussian, in L2(p)"}.get(name, f"{name}, p > 0 smooth, at 128 queries")
    hypotheses = f"{where}; D = |x - y|^2; f smooth; infinitely many points"
    common: dict[str, Any] = dict(source="RZ", hypotheses=hypotheses, size="bandwidth")
    bulk = " among queries of weight over 1e-3" if name == "line" else ""
    at_steepest = f"{name}, p > 0 smooth, at the query where this is largest{bulk}"
    functions = CIRCLE_FUNCTIONS if name == "circle" else (FUNCTIONS[name],)
    return [
        af.Claim(
            id=f"RZ3/{name}",
            statement="(A - I) f / eps tends to L f = 1/2 Lap f + <grad log p, grad f>: the distance vanishes",
            kind="constant", quantity=f"{name}.distance", predicted=0.0, margin=0.01, **common,
        ),
        af.Claim(
            id=f"bias/{name}",
            statement="the distance between (A - I) f / eps and L f is of order eps",
            kind="exponent", quantity=f"{name}.distance", predicted=1.0, **common,
        ),
        af.Claim(
            id=f"RZ3-control/{name}",
            statement="(A - I) f / eps tends to 1/2 Lap f + 1/2 <grad log p, grad f> (drift without the factor two)",
            kind="constant", quantity=f"{name}.control", predicted=0.0, margin=0.01, control_of=f"RZ3/{name}",
            **common,
        ),
        af.Claim(
            id=f"bias-control/{name}",
            statement="the distance to the generator without the factor two is of order eps",
            kind="exponent", quantity=f"{name}.control", predicted=1.0, control_of=f"bias/{name}", **common,
        ),
        *(
            af.Claim(
                id=f"RZ3-gap/{name}" + (f"/{i + 1}" if len(functions) > 1 else ""),
                statement=f"without the factor two it is off by |1/2 <grad log p, grad f>|, f = {function}",
                kind="constant", quantity=f"{name}.gap.{i}", predicted=float(gap), margin=0.03 * float(gap),
                **common | {"hypotheses": f"{at_steepest}; D = |x - y|^2; f smooth; infinitely many points"},
            )
            for i, (function, gap) in enumerate(zip(functions, predicted_gaps(name), strict=True))
        ),
    ]  # fmt: skip


def labels() -> dict[str, str]:
    found = {"circle.scaled": "distance of (A − I)f/ε from s²Lf", "circle.unscaled": "distance of (A − I)f/ε from Lf"}
    for name in MANIFOLDS:
        found |= {f"{name}.distance": "distance of (A − I)f/ε from Lf"}
        found |= {f"{name}.control": "distance from Lf with half the drift"}
        found |= {f"{name}.gap.{i}": "distance from Lf with half the drift" for i in range(len(predicted_gaps(name)))}
    return found


scale: dict[str, Any] = dict(
    source="RZ", size="bandwidth", hypotheses="circle, p > 0 smooth; D = |x - y|^2 / s^2 with s = 1/2; f smooth"
)
study = af.Study(
    name="generator",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
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
    labels=labels(),
)  # fmt: skip
