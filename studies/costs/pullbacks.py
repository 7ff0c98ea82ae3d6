"""Is attention by a distance of mapped points a diffusion in the metric that the map pulls back?

With the cost D(x, y) = |phi(x) - phi(y)|^2 of an injective immersion phi and infinitely many points of law p,

    (A f - f) / eps  ->  L f = 1/2 Lap_G f + <grad log p_G, grad f>_G,    G = phi'phi,  p_G = p sqrt(det g / det G),

[RZ]: the metric is the one that phi pulls back, and the density counts in its volume. On a curve with parameter t, the
density q in dt and G = |d phi / dt|^2 that is, in one line,

    L f = f'' / 2G + (log q)' f' / G - 3 G' f' / 4 G^2.

Measured for p ~ exp(.7 x_1 + .6 x_1 x_2) and f = sin t + cos(3t)/2, at 64 queries, the root mean square of
(A f - f)/eps - L f, L from derivatives by hand:

- `circle`: L2 attention, phi = Q on the unit circle, Q = (1, .3; 0, .8);
- `ellipse`: the dot product D = -2 x'Q'Q y on the ellipse x'Q'Q x = 1 with half axes 1 and 3/2, on which it is
  |Q(x - y)|^2 less a constant: there G = 1, and q is p times the speed of the ellipse;
- `map`: phi(x) = (x_1 + .3 x_1 x_2, x_2, x_1^2 / 2), a learned map, on the circle.

The controls take the limit of |x - y|^2 instead (`circle`, `ellipse`), or, for `map`, the metric G but p itself for the
density: in truth these distances have the exponent zero. Bandwidths start from .01, where in the units of these metrics
they are about the .05 of other studies.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

ANGLES = 2 * np.pi * np.arange(64) / 64
C, S = np.cos(ANGLES), np.sin(ANGLES)
CIRCLE = np.column_stack([C, S])
AXES = np.array([1.0, 1.5])
Q = np.array([[1.0, 0.3], [0.0, 0.8]])


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def phi(x: jax.Array) -> jax.Array:
    """Return the learned map."""
    return jnp.stack([x[0] + 0.3 * x[0] * x[1], x[1], x[0] ** 2 / 2])


def test_function(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2 on the circle."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


def on_ellipse(x: jax.Array) -> jax.Array:
    """Return f at the point (x_1, 3 x_2 / 2) of the ellipse."""
    return test_function(x / jnp.asarray(AXES))


FIRST = C - 1.5 * np.sin(3 * ANGLES)  # f'
SECOND = -S - 4.5 * np.cos(3 * ANGLES)  # f''


def generator(*, metric: np.ndarray, slope: np.ndarray, drift: np.ndarray) -> np.ndarray:
    """Return L f from G, G' and (log q)' at the queries."""
    return SECOND / (2 * metric) + (drift / metric - 3 * slope / (4 * metric**2)) * FIRST


def immersed(first: np.ndarray, second: np.ndarray) -> dict[str, np.ndarray]:
    """Return G and G' from two derivatives (Q, k) of a curve."""
    return {"metric": (first**2).sum(axis=1), "slope": 2 * (first * second).sum(axis=1)}


def linear(matrix: np.ndarray) -> dict[str, np.ndarray]:
    """Return G and G' of the circle under a matrix."""
    return immersed(np.column_stack([-S, C]) @ matrix.T, -CIRCLE @ matrix.T)


def drift_on(axes: np.ndarray) -> np.ndarray:
    """Return (log q)' in the angle t on an ellipse: of p, and of the speed."""
    a, b = axes
    speed = a**2 * S**2 + b**2 * C**2
    return -0.7 * a * S + 0.6 * a * b * np.cos(2 * ANGLES) + (a**2 - b**2) * S * C / speed


FLAT = {"metric": np.ones(64), "slope": np.zeros(64)}
MAP = immersed(
    np.column_stack([-S + 0.3 * np.cos(2 * ANGLES), C, -S * C]),
    np.column_stack([-C - 0.6 * np.sin(2 * ANGLES), -S, -np.cos(2 * ANGLES)]),
)
LIMITS = {
    "circle": generator(**linear(Q), drift=drift_on(np.ones(2))),
    "circle.plain": generator(**FLAT, drift=drift_on(np.ones(2))),
    "ellipse": generator(**FLAT, drift=drift_on(AXES)),
    "ellipse.plain": generator(**linear(np.diag(AXES)), drift=drift_on(AXES)),
    "map": generator(**MAP, drift=drift_on(np.ones(2))),
    # <grad log p, grad f>_G in place of log p_G = log p - log(G)/2
    "map.plain": generator(**MAP, drift=drift_on(np.ones(2)) + MAP["slope"] / (2 * MAP["metric"])),
}
COSTS: dict[str, Any] = {
    "circle": af.Mahalanobis(Q),
    "ellipse": af.QueryKey(np.diag(1 / AXES), np.diag(1 / AXES)),
    "map": af.LearnedMap(phi),
}
QUERIES = {"circle": CIRCLE, "ellipse": CIRCLE * AXES, "map": CIRCLE}


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return p on the circle or the ellipse."""
    return af.LogDensity(af.Ellipsoid(AXES) if name == "ellipse" else af.Circle(), log_weight)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of (A f - f)/eps from the limits."""
    eps = case["bandwidth"]
    row: dict[str, float] = {}
    for name, cost in COSTS.items():
        life = af.PopulationAttention(af.Attention(cost, bandwidth=eps), density(name))
        flow = life.evolve(on_ellipse if name == "ellipse" else test_function, times=[0, eps], at=QUERIES[name])
        quotient = (flow.values[1] - flow.values[0]) / eps
        for quantity in (name, f"{name}.plain"):
            row[quantity] = np.sqrt(np.mean((quotient - LIMITS[quantity]) ** 2))
            row[f"{quantity}.solver_error"] = flow.solver_error / eps
    return row


QUOTIENT = r"$(A f - f) / \varepsilon$"
FLOW = r"$\frac{1}{2} \Delta_G f + \langle \nabla \log p_G, \nabla f \rangle_G$"
STATED = {
    "circle": ("RZ-Q/circle", r"$D = |Q(x - y)|^2$, $G = Q^T Q$ on the circle"),
    "ellipse": ("RZ-Q/ellipse", r"$D = -2 x^T Q^T Q y$ on the ellipse $x^T Q^T Q x = 1$, $G = Q^T Q$"),
    "map": ("RZ-phi/circle", r"$D = |\phi(x) - \phi(y)|^2$, $G$ the metric that $\phi$ pulls back to the circle"),
}
PLAIN = dict.fromkeys(
    ["circle", "ellipse"], r"the limit of $|x - y|^2$, $\frac{1}{2} \Delta f + \langle \nabla \log p, \nabla f \rangle$"
) | {"map": r"$\frac{1}{2} \Delta_G f + \langle \nabla \log p, \nabla f \rangle_G$"}


def claims_of(name: str) -> list[af.Claim]:
    """Return the claim about one cost, and its control."""
    claim_id, hypotheses = STATED[name]
    rate = af.Claim(
        id=claim_id, source="RZ", kind="exponent", quantity=name, size="bandwidth", predicted=1.0,
        statement=f"the distance of {QUOTIENT} from {FLOW} is of order $\\varepsilon$",
        hypotheses=f"{hypotheses}; $p > 0$ and $f$ smooth, infinitely many points", measures=("population",),
    )  # fmt: skip
    return [
        rate,
        rate.control(
            statement=f"the distance of {QUOTIENT} from {PLAIN[name]} is of order $\\varepsilon$",
            quantity=f"{name}.plain",
            truth=0.0,
        ),
    ]


study = af.Study(
    name="pullbacks",
    measure=measure,
    ladder=[{"bandwidth": 0.01 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[claim for name in COSTS for claim in claims_of(name)],
    labels={
        **dict.fromkeys(COSTS, f"RMS distance of {QUOTIENT} from {FLOW}"),
        **{f"{name}.plain": f"RMS distance of {QUOTIENT} from {PLAIN[name]}" for name in COSTS},
    },
)
