"""What does attention tend to where its cost is least at more than one key?

If the minimisers of D(x, .) form a submanifold A_x, of points or of more dimensions, with c_n the Hessian of D/2 in the
directions normal to it, then [RZ, Theorem 6]

    A f(x) = int f w / int w + O(eps),   w = p det(c_n)^{-1/2} over A_x.

On the circle graph attention with a linear feature is such a case: D = (cos x - cos y)^2 is least at y = x and y = -x
alike, so that A f tends to the average (p(x) f(x) + p(-x) f(-x)) / (p(x) + p(-x)), not to f(x): there is no diffusion
limit. On S^2, D = (x_2 - y_2)^2 (1 + y_0 / 2) is least on the parallel through x, with the weights
w = p / sqrt((1 - y_2^2)(1 + y_0 / 2)).

Measured is the root mean square of A f less that average, on the circle by hand and on S^2 as the expansion has it,
over 6 and 12 queries away from where D is degenerate. The control on the circle takes f(x); that on S^2 the average
with w = p, by hand.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

ANGLES = np.array([0.9, 1.0, 1.6, 2.1, -1.2, -2.0])
HEIGHTS = np.linspace(-0.5, 0.55, 12)
TURNS = 2.4 * np.arange(12)
QUERIES = {
    "circle": np.column_stack([np.cos(ANGLES), np.sin(ANGLES)]),
    "sphere": np.column_stack([*(np.sqrt(1 - HEIGHTS**2) * [np.cos(TURNS), np.sin(TURNS)]), HEIGHTS]),
}


def cost_on_circle(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D = (x_0 - y_0)^2."""
    return (x[0] - y[0]) ** 2


def cost_on_sphere(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D = (x_2 - y_2)^2 (1 + y_0 / 2)."""
    return (x[2] - y[2]) ** 2 * (1 + y[0] / 2)


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant, .7 x_0 + .6 x_0 x_1."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def function(x: jax.Array) -> jax.Array:
    """Return f = 1 + x_1 + x_0^2 + x_0^2 x_1."""
    return 1 + x[1] + x[0] ** 2 + x[0] ** 2 * x[1]


COSTS, DIMENSIONS = {"circle": cost_on_circle, "sphere": cost_on_sphere}, {"circle": 1, "sphere": 2}


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return p."""
    return af.LogDensity(af.Sphere(DIMENSIONS[name]), log_weight)


def attention(name: str, eps: float) -> af.Attention:
    """Return the attention."""
    return af.Attention(af.CustomPseudoMetric(COSTS[name]), bandwidth=eps)


@functools.cache
def leading(name: str) -> np.ndarray:
    """Return what A f tends to: on the circle the average over two points, on S^2 as the expansion has it."""
    if name == "sphere":
        return af.LaplaceExpansion(attention(name, 1.0), density(name)).leading_order(function, at=QUERIES[name]).values
    at = jnp.asarray(QUERIES["circle"]) * jnp.array([[[1.0, 1.0]], [[1.0, -1.0]]])
    weights = np.exp(jax.vmap(jax.vmap(log_weight))(at))
    return np.sum(weights * jax.vmap(jax.vmap(function))(at), axis=0) / np.sum(weights, axis=0)


@functools.cache
def of_the_control(name: str) -> np.ndarray:
    """Return f(x) on the circle, and on S^2 the mean of f under p over the parallel through x."""
    if name == "circle":
        return np.asarray(jax.vmap(function)(jnp.asarray(QUERIES["circle"])))
    turns = 2 * np.pi * np.arange(256) / 256
    means = []
    for height in HEIGHTS:
        ring = np.column_stack([np.cos(turns), np.sin(turns), 0 * turns]) * np.sqrt(1 - height**2)
        weights = np.exp(jax.vmap(log_weight)(jnp.asarray(ring)))
        means.append(weights @ np.asarray(jax.vmap(function)(jnp.asarray(ring))) / weights.sum())
    return np.array(means)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of A f from its leading order and from what the controls have in its place."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for name in DIMENSIONS:
        flow = af.PopulationAttention(attention(name, eps), density(name)).evolve(function, times=eps, at=QUERIES[name])
        for label, values in (("distance", leading(name)), ("control", of_the_control(name))):
            row[f"{name}.{label}"] = float(np.sqrt(np.mean((flow.values[0] - values) ** 2)))
            row[f"{name}.{label}.solver_error"] = flow.solver_error
    return row


def claims_on(name: str, *, place: str, average: str, control: str) -> list[af.Claim]:
    """Return the claim about one place and its control."""
    claim = af.Claim(
        id=f"RZ6/{name}", source="RZ", kind="exponent", quantity=f"{name}.distance", size="bandwidth", predicted=1.0,
        statement=rf"the distance of $A f(x)$ from {average} is of order $\varepsilon$",
        hypotheses=f"{place}; $p > 0$ and $f$ smooth, infinitely many points",
        measures=("population",) if name == "circle" else ("population", "expansion"),
    )  # fmt: skip
    other = claim.control(
        statement=rf"the distance of $A f(x)$ from {control} is of order $\varepsilon$",
        quantity=f"{name}.control", measures=("population",), truth=0.0,
    )  # fmt: skip
    return [claim, other]


study = af.Study(
    name="several_minimizers",
    measure=measure,
    ladder=[{"bandwidth": 0.01 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        *claims_on(
            "circle",
            place=r"circle, $D = (\cos x - \cos y)^2$, 6 queries",
            average="the mean of $f$ at $x$ and $-x$ under $p$",
            control="$f(x)$",
        ),
        *claims_on(
            "sphere",
            place=r"$S^2$, $D = (x_2 - y_2)^2 (1 + y_0 / 2)$, 12 queries",
            average=r"the mean of $f$ over the parallel through $x$ under $p \, c_n^{-1/2}$",
            control="the mean of $f$ over the parallel through $x$ under $p$",
        ),
    ],
    labels={
        "circle.distance": "RMS distance of $A f(x)$ from the mean at $x$ and $-x$",
        "circle.control": "RMS distance of $A f(x)$ from $f(x)$",
        "sphere.distance": r"RMS distance of $A f(x)$ from the mean under $p \, c_n^{-1/2}$",
        "sphere.control": "RMS distance of $A f(x)$ from the mean under $p$",
    },
)
