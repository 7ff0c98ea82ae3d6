"""Does attention tend to a drift-diffusion on spaces that are curved in other ways than spheres?

On any closed manifold M in R^D, with the metric of R^D, the attention of infinitely many points of law p with the cost
|x - y|^2 satisfies [RZ, Theorem 3]

    (A f - f) / eps = L f + O(eps),    L f = 1/2 Lap f + <grad log p, grad f>,

and many layers A^n f, t = n eps, are within O(eps) of e^{tL} f.

Measured on the torus of revolution (R = 1, r = .4), on the ellipsoid with half axes 1, 1.3, .7, on a trefoil knot,
whose strands come so close that the bandwidths there are an eighth of the others, and on S^2 x T^2, of dimension four,
where they are six times the others: the root mean square over some points of the distance of one layer from L f, and,
but for the last, of many layers from e^{tL} f at t = 1/4 (on the torus at .15: eps must be far below r^2). The controls
halve the drift: at each point they miss by half of <grad log p, grad f>, the projection of two gradients of R^D on the
tangent space, from derivatives by hand, and in truth tend to the root mean square of that.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

RADIUS, TUBE = 1.0, 0.4
AXES = np.array([1.0, 1.3, 0.7])
LEVELS = 10  # of one layer
BANDWIDTHS = [0.03 * 2 ** (-k / 3) for k in range(LEVELS)]


class Problem(NamedTuple):
    """A manifold, log p up to a constant, f, points, and half of <grad log p, grad f> there.

    Bandwidths are those of the ladder times `share`; of one layer there are as many as `levels`, and many layers are
    run if `deep`.
    """

    words: str
    manifold: Callable[[], af.Manifold]
    log_weight: Callable
    f: Callable
    queries: np.ndarray
    half_drift: np.ndarray
    time: float = 0.25
    share: float = 1.0
    levels: int = LEVELS
    deep: bool = True
    rtol: float = 3e-5  # of many layers and their limit: a twentieth of what these differ by


def trefoil(t: jax.Array) -> jax.Array:
    """Return a point of the knot."""
    return jnp.stack([jnp.sin(t) + 2 * jnp.sin(2 * t), jnp.cos(t) - 2 * jnp.cos(2 * t), -jnp.sin(3 * t)]) / 2


def on_the_knot() -> Problem:
    """Return p ~ exp(x/2 - 3yz/10), f = sin x + z."""
    t = 2 * np.pi * np.arange(128) / 128
    x, y, z = queries = np.stack([np.sin(t) + 2 * np.sin(2 * t), np.cos(t) - 2 * np.cos(2 * t), -np.sin(3 * t)]) / 2
    tangents = np.stack([np.cos(t) + 4 * np.cos(2 * t), 4 * np.sin(2 * t) - np.sin(t), -3 * np.cos(3 * t)])
    tangents /= np.linalg.norm(tangents, axis=0)
    of_p = np.sum(tangents * [np.full(128, 0.5), -0.3 * z, -0.3 * y], axis=0)
    of_f = np.sum(tangents * [np.cos(x), np.zeros(128), np.ones(128)], axis=0)
    return Problem(
        "a trefoil knot", lambda: af.ClosedCurve(trefoil), lambda x: 0.5 * x[0] - 0.3 * x[1] * x[2],
        lambda x: jnp.sin(x[0]) + x[2], queries.T, 0.5 * of_p * of_f, share=1 / 8, rtol=1e-6,
    )  # fmt: skip


def across(normals: np.ndarray, a: list, b: list) -> np.ndarray:
    """Return <P a, P b>, (Q,), P the projection along normals (3, Q)."""
    normals = normals / np.linalg.norm(normals, axis=0)
    first, second = (np.stack(np.broadcast_arrays(*part, normals[0]))[:3] for part in (a, b))
    return np.sum(first * second, axis=0) - np.sum(first * normals, axis=0) * np.sum(second * normals, axis=0)


def on_the_ring() -> Problem:
    """Return p ~ exp(6x/10 + 8yz/10), f = xy + exp z."""
    u, v = (2 * np.pi * grid.ravel() for grid in np.mgrid[0:16, 0:8] / np.array([16, 8])[:, None, None])
    normals = np.stack([np.cos(v) * np.cos(u), np.cos(v) * np.sin(u), np.sin(v)])
    x, y, z = queries = RADIUS * np.stack([np.cos(u), np.sin(u), 0 * u]) + TUBE * normals
    return Problem(
        "a torus of revolution", lambda: af.TorusOfRevolution(RADIUS, TUBE), lambda x: 0.6 * x[0] + 0.8 * x[1] * x[2],
        lambda x: x[0] * x[1] + jnp.exp(x[2]), queries.T,
        0.5 * across(normals, [0.6, 0.8 * z, 0.8 * y], [y, x, np.exp(z)]), time=0.15,
    )  # fmt: skip


def on_the_ellipsoid() -> Problem:
    """Return p ~ exp(z/2 + 3xy/10), f = exp(z + x/2) + x."""
    unit = af.Sphere(2).sample_uniform(128, np.random.default_rng(20241218)).T
    x, y, z = queries = AXES[:, None] * unit
    slope = np.exp(z + x / 2)
    return Problem(
        "an ellipsoid", lambda: af.Ellipsoid(tuple(AXES)), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1],
        lambda x: jnp.exp(x[2] + x[0] / 2) + x[0], queries.T,
        0.5 * across(unit / AXES[:, None], [0.3 * y, 0.3 * x, 0.5], [slope / 2 + 1, 0.0, slope]),
    )  # fmt: skip


def on_the_product() -> Problem:
    """Return p ~ exp(z + 8/10 x cos t1 + 6/10 sin t2), f = x sin t1 + exp(z/2) cos t2 on S^2 x T^2."""
    space = af.Product(af.Sphere(2), af.FlatTorus(2))
    queries = space.sample_uniform(8, np.random.default_rng(20241218))
    x, y, z, c1, s1, c2, s2 = queries.T
    of_p, of_f = [0.8 * c1, 0.0, 1.0], [s1, 0.0, np.exp(z / 2) * c2 / 2]
    on_torus = -0.8 * x * s1 * x * c1 - 0.6 * c2 * np.exp(z / 2) * s2
    return Problem(
        "$S^2 \\times T^2$", lambda: space, lambda x: x[2] + 0.8 * x[0] * x[3] + 0.6 * x[6],
        lambda x: x[0] * x[4] + jnp.exp(x[2] / 2) * x[5], queries,
        0.5 * (across(np.stack([x, y, z]), of_p, of_f) + on_torus), share=6.0, levels=8, deep=False,
    )  # fmt: skip


PROBLEMS = {
    "product": on_the_product,
    "knot": on_the_knot,
    "ring": on_the_ring,
    "ellipsoid": on_the_ellipsoid,
}
problem_on = functools.cache(lambda name: PROBLEMS[name]())


@functools.cache
def log_power(name: str) -> Callable:
    """Return (power, x) -> log p^power up to a constant: one function, compiled once for both powers."""
    log_weight = problem_on(name).log_weight
    return lambda power, x: power * log_weight(x)


@functools.cache
def space(name: str) -> af.Manifold:
    """Return the manifold."""
    return problem_on(name).manifold()


@functools.cache
def density(name: str, power: float) -> af.Density:
    """Return the density proportional to p^power, which is normalised once."""
    return af.LogDensity(space(name), jax.tree_util.Partial(log_power(name), power))


@functools.cache
def generators(name: str) -> list[np.ndarray]:
    """Return L f and, with half the drift, L' f."""
    problem, unit = problem_on(name), af.Attention(af.SquaredDistance(), bandwidth=1.0)
    laws = (density(name, power) for power in (1.0, 0.5))
    return [af.LaplaceExpansion(unit, law).generator(problem.f, at=problem.queries) for law in laws]


@functools.cache
def semigroup(name: str) -> af.Trajectory:
    """Return e^{tL} f."""
    problem, unit = problem_on(name), af.Attention(af.SquaredDistance(), bandwidth=1.0)
    limit = af.DriftDiffusion(unit, density(name, 1.0), rtol=problem.rtol)
    return limit.evolve(problem.f, times=problem.time, at=problem.queries)


def size(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def of_one_layer(name: str, eps: float) -> dict[str, float]:
    """Return the distances of one layer from both generators."""
    problem = problem_on(name)
    attention = af.Attention(af.SquaredDistance(), bandwidth=problem.share * eps)
    quotient = af.PopulationAttention(attention, density(name, 1.0), rtol=1e-5).generator(problem.f, at=problem.queries)
    limit, halved = generators(name)
    return {"distance": size(quotient - limit), "control": size(quotient - halved)}


def of_many_layers(name: str, layers: int) -> dict[str, float]:
    """Return the distance of many layers from the semigroup."""
    problem, limit = problem_on(name), semigroup(name)
    layers = round(layers / problem.share)
    population = af.PopulationAttention(
        af.Attention(af.SquaredDistance(), bandwidth=problem.time / layers), density(name, 1.0), rtol=problem.rtol
    )
    run = population.evolve(problem.f, times=problem.time, at=problem.queries)
    return {"depth": size(run.values - limit.values), "depth.solver_error": run.solver_error + limit.solver_error}


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances on every manifold."""
    found = {}
    for name in PROBLEMS:
        problem = problem_on(name)
        if "layers" in case and problem.deep:
            found[name] = of_many_layers(name, case["layers"])
        elif "layers" not in case and case["bandwidth"] in BANDWIDTHS[: problem.levels]:
            found[name] = of_one_layer(name, case["bandwidth"])
    return {f"{name}.{quantity}": value for name, values in found.items() for quantity, value in values.items()}


QUOTIENT = r"$(A - I) f / \varepsilon$"


def claims_on(name: str) -> list[af.Claim]:
    """Return what is claimed on one manifold."""
    problem = problem_on(name)
    common: dict[str, Any] = dict(
        source="RZ", hypotheses=f"{problem.words}, $p > 0$ and $f$ smooth, $D = |x - y|^2$, infinitely many points",
    )  # fmt: skip
    deep = af.Claim(
        id=f"depth/{name}", kind="exponent", quantity=f"{name}.depth", size="layers", predicted=-1.0,
        statement=r"$A^n f - e^{tL} f$ at $t = n\varepsilon$ is of order $\varepsilon = t/n$",
        measures=("population", "limit"), **common,
    )  # fmt: skip
    limit = af.Claim(
        id=f"RZ3/{name}", kind="constant", quantity=f"{name}.distance", size="bandwidth", predicted=0.0, margin=0.01,
        statement=rf"{QUOTIENT} tends to $L f = \Delta f / 2 + \langle \nabla \log p, \nabla f \rangle$",
        measures=("population", "expansion"), **common,
    )  # fmt: skip
    return [
        limit,
        limit.control(
            statement=rf"{QUOTIENT} tends to $L' f = \Delta f / 2 + \langle \nabla \log p, \nabla f \rangle / 2$",
            quantity=f"{name}.control",
            truth=size(problem.half_drift),
            truth_margin=0.2 * size(problem.half_drift),  # twice or zero with the whole drift or none
        ),
        af.Claim(
            id=f"bias/{name}", kind="exponent", quantity=f"{name}.distance", size="bandwidth", predicted=1.0,
            statement=rf"the distance of {QUOTIENT} from $L f$ is of order $\varepsilon$",
            measures=("population", "expansion"), **common,
        ),
        *([deep] if problem.deep else []),
    ]  # fmt: skip


study = af.Study(
    name="curved",
    measure=measure,
    ladder=[{"bandwidth": eps} for eps in BANDWIDTHS] + [{"layers": n} for n in (8, 10, 12, 14, 16, 18, 20, 22)],
    quick=18,
    claims=af.covered(
        [claim for name in PROBLEMS for claim in claims_on(name)],
        by={
            "bias/product": "RZ3-control/product",
            "bias/knot": "RZ3-control/knot",
            "depth/knot": "depth-control/circle",
            "bias/ring": "RZ3-control/ring",
            "depth/ring": "depth-control/circle",
            "bias/ellipsoid": "RZ3-control/ellipsoid",
            "depth/ellipsoid": "depth-control/circle",
        },
    ),
    labels={
        claim.quantity: {
            "distance": f"RMS distance of {QUOTIENT} from $L f$",
            "control": f"RMS distance of {QUOTIENT} from $L' f$, with half the drift",
            "depth": r"RMS distance of $A^n f$ from $e^{tL} f$",
        }[claim.quantity.split(".")[1]]
        for name in PROBLEMS
        for claim in claims_on(name)
    },
)
