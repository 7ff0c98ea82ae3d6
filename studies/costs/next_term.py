"""Which is the next term of an attention whose cost is of any kind?

Where D(x, .) has one minimiser y*, non-degenerate, with G and T the second and third derivatives of D/2 there,

    A f(x) = f(y*) + eps L f(y*) + O(eps^2),
    L f = 1/2 G^{ij} d_i d_j f + (G^{kl} d_k log p - 1/2 G^{ij} T_ijk G^{kl}) d_l f.

As printed [RZ, Proposition 1 and Theorem 5] all but the term of T is divided by m0 = (2 pi)^{m/2} det(G)^{-1/2}.

On the circle the cost is a trigonometric polynomial with D'' = 1.7, D''' = .8 and D'''' = 1.1 at its minimiser, where
p and f have the derivatives of exp(.4 v) and sin(1.3 v + .4) at v = 0. By hand L f = -.15511 there, and -.26659 as
printed. Measured are the remainder A f - f - eps L f, of order eps^2 if L f is right and eps if it is not, and L f,
(4 A_{eps/2} f - A_eps f - 3 f)/eps, whose error is of order eps^2; the control has the same for a cost with D''' = 0.

On S^2 the cost is D(x, y) = |psi(x) - y|^2 (1 + b.y / 2), psi a map of S^2 to itself of which nobody tells the
expansion: y* = psi(x). With s = 1 + b.y / 2, by hand,

    L f = (1/2 Lap f + <grad log p, grad f>) / s - <b, grad f> / s^2;

the control divides its first part by m0 = 2 pi / s. Measured is the root mean square over 24 queries of
(A f - f(y*))/eps - L f.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

SECOND, THIRD, FOURTH = 1.7, 0.8, 1.1  # derivatives of the cost on the circle
SLOPE, RATE, PHASE = 0.4, 1.3, 0.4  # p ~ exp(.4 v), f = sin(1.3 v + .4)
LEAN = np.array([0.5, -0.3, 0.4])  # b
TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
QUERIES = {
    "circle": np.array([[1.0, 0.0]]),
    "sphere": af.Sphere(2).sample_uniform(24, np.random.default_rng(20241218)),
}


def cost_on_circle(third: float, x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D: a (1 - cos v) + b (1 - cos 2v)/4 + D''' (sin v - sin(2v)/2)/3 in the angle v from x to y."""
    cosine, sine = x @ y, x[0] * y[1] - x[1] * y[0]
    b = -(SECOND + FOURTH) / 3
    return (SECOND - b) * (1 - cosine) + b * sine**2 / 2 + third / 3 * sine * (1 - cosine)


def cost_on_sphere(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D = |psi(x) - y|^2 (1 + b.y / 2)."""
    return jnp.sum((image(x) - y) ** 2) * (1 + jnp.asarray(LEAN) @ y / 2)


def image(x: jax.Array) -> jax.Array:
    """Return psi(x)."""
    bent = jnp.asarray(TURN) @ x + 0.3 * jnp.stack([x[0] * x[1], x[2] ** 2, jnp.sin(x[0])])
    return bent / jnp.sqrt(jnp.sum(bent**2))


def on_circle(x: jax.Array) -> jax.Array:
    """Return f: its value and two derivatives at v = 0 are those of sin(1.3 v + .4)."""
    return np.sin(PHASE) + RATE * np.cos(PHASE) * x[1] - RATE**2 * np.sin(PHASE) * (1 - x[0])


def on_sphere(x: jax.Array) -> jax.Array:
    """Return f = x_0 + x_1 x_2."""
    return x[0] + x[1] * x[2]


COSTS: dict[str, Callable] = {
    "circle": jax.tree_util.Partial(cost_on_circle, THIRD),
    "symmetric": jax.tree_util.Partial(cost_on_circle, 0.0),
    "sphere": cost_on_sphere,
}
FUNCTIONS = {"circle": on_circle, "sphere": on_sphere}


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return p: exp(.4 sin v) on the circle, exp(.5 x_2 + .3 x_0 x_1) on S^2."""
    if name == "circle":
        return af.LogDensity(af.Circle(), lambda x: SLOPE * x[1])
    return af.LogDensity(af.Sphere(2), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])


def attention(name: str, eps: float) -> af.Attention:
    """Return the attention."""
    return af.Attention(af.CustomPseudoMetric(COSTS[name]), bandwidth=eps)


@functools.cache
def limit() -> tuple[np.ndarray, np.ndarray]:
    """Return f(y*) and L f(y*) on S^2 as the expansion has them, at the queries."""
    expansion = af.LaplaceExpansion(attention("sphere", 1.0), density("sphere"))
    now = jax.vmap(on_sphere)(jnp.asarray(expansion.minimizer(QUERIES["sphere"])))
    return np.asarray(now), expansion.generator(on_sphere, at=QUERIES["sphere"])


def terms_on_circle() -> tuple[float, float, float]:
    """Return by hand m0, the term of T, and all others."""
    slope, second = RATE * np.cos(PHASE), -(RATE**2) * np.sin(PHASE)
    others = second / SECOND + 2 * SLOPE * slope / SECOND
    return np.sqrt(4 * np.pi / SECOND), -THIRD * slope / SECOND**2, others


def terms_on_sphere() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return by hand m0, the term of T, and all others, at the queries."""
    y = np.array([image(x) for x in QUERIES["sphere"]])
    of_f = np.column_stack([np.ones(len(y)), y[:, 2], y[:, 1]])
    of_p = np.column_stack([0.3 * y[:, 1], 0.3 * y[:, 0], np.full(len(y), 0.5)])

    def along(a: np.ndarray) -> np.ndarray:
        return np.sum(a * of_f, axis=1) - np.sum(a * y, axis=1) * np.sum(of_f * y, axis=1)

    s = 1 + y @ LEAN / 2
    others = (-y[:, 0] - 3 * y[:, 1] * y[:, 2] + along(of_p)) / s
    return 2 * np.pi / s, -along(np.broadcast_to(LEAN, y.shape)) / s**2, others


@functools.cache
def by_hand(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return L f by hand, and as it is printed."""
    volume, of_third, others = terms_on_circle() if name == "circle" else terms_on_sphere()
    return np.asarray(others + of_third), np.asarray(others / volume + of_third)


def layer_of(name: str, eps: float) -> tuple[np.ndarray, float]:
    """Return A f at the queries, and its error."""
    place = "sphere" if name == "sphere" else "circle"
    population = af.PopulationAttention(attention(name, eps), density(place), rtol=1e-10 if place == "circle" else 1e-8)
    flow = population.evolve(FUNCTIONS[place], times=eps, at=QUERIES[place])
    return flow.values[0], flow.solver_error


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the remainders on the circle, L f there, and distances on S^2."""
    eps = case["bandwidth"]
    layer, error = layer_of("circle", eps)
    half, error_of_half = layer_of("circle", eps / 2)
    (other, error_of_other), (other_half, error_of_other_half) = (layer_of("symmetric", e) for e in (eps, eps / 2))
    layer_on_sphere, error_on_sphere = layer_of("sphere", eps)
    (own, printed), now, (before, slope) = by_hand("circle"), np.sin(PHASE), limit()
    off = (layer_on_sphere - before) / eps
    row = {
        "circle.remainder": abs(layer - now - eps * own)[0],
        "circle.printed": abs(layer - now - eps * printed)[0],
        "circle.term": (4 * half - layer - 3 * now)[0] / eps,
        "circle.symmetric": (4 * other_half - other - 3 * now)[0] / eps,
        "sphere.distance": np.sqrt(np.mean((off - slope) ** 2)),
        "sphere.printed": np.sqrt(np.mean((off - by_hand("sphere")[1]) ** 2)),
    }
    row |= {f"circle.{name}.solver_error": error for name in ("remainder", "printed")}
    row |= {f"sphere.{name}.solver_error": error_on_sphere / eps for name in ("distance", "printed")}
    row["circle.term.solver_error"] = (4 * error_of_half + error) / eps
    row["circle.symmetric.solver_error"] = (4 * error_of_other_half + error_of_other) / eps
    return row


TERM = r"$\varepsilon L f(y^*)$"
PRINTED = r"as printed, with $1/m_0$ before all but the term of third derivatives"
ON_CIRCLE = r"circle, $D'' = 1.7$, $D''' = 0.8$, $D'''' = 1.1$ at $y^* = x$, $p'/p = 0.4$, $f = \sin(1.3 v + 0.4)$"
ON_SPHERE = r"$S^2$, $D = |\psi(x) - y|^2 (1 + b \cdot y / 2)$, $p > 0$ smooth, 24 queries; infinitely many points"
remainder = af.Claim(
    id="RZ5/circle", source="RZ", kind="exponent", quantity="circle.remainder", size="bandwidth", predicted=2.0,
    statement=f"what $A f - f(y^*)$ differs by from {TERM} is of order " + r"$\varepsilon^2$",
    hypotheses=ON_CIRCLE, measures=("population",),
)  # fmt: skip
term = af.Claim(
    id="RZ5-term/circle", source="RZ", kind="constant", quantity="circle.term", size="bandwidth",
    statement=r"$(4 A_{\varepsilon/2} f - A_\varepsilon f - 3 f) / \varepsilon$ tends to $L f(y^*) = -0.15511$",
    hypotheses=ON_CIRCLE, predicted=float(by_hand("circle")[0]), margin=1e-4, correction_power=2.0,
    measures=("population",),
)  # fmt: skip
distance = af.Claim(
    id="RZ5/sphere", source="RZ", kind="exponent", quantity="sphere.distance", size="bandwidth", predicted=1.0,
    statement=r"the distance of $(A f - f(y^*)) / \varepsilon$ from $L f(y^*)$ is of order $\varepsilon$",
    hypotheses=ON_SPHERE, measures=("population", "expansion"),
)  # fmt: skip
study = af.Study(
    name="next_term",
    measure=measure,
    ladder=[{"bandwidth": 0.02 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        remainder,
        remainder.control(
            statement=f"what $A f - f(y^*)$ differs by from {TERM}, {PRINTED}, is of order " + r"$\varepsilon^2$",
            quantity="circle.printed", truth=1.0,
        ),
        term,
        term.control(
            statement=r"with $D''' = 0$, $(4 A_{\varepsilon/2} f - A_\varepsilon f - 3 f) / \varepsilon$ tends to "
            r"$-0.15511$ as well",
            quantity="circle.symmetric", truth=float(terms_on_circle()[2]), truth_margin=1e-4,
        ),
        distance,
        distance.control(
            statement=r"the distance of $(A f - f(y^*)) / \varepsilon$ from $L f(y^*)$, " + PRINTED
            + r", is of order $\varepsilon$",
            quantity="sphere.printed", measures=("population",), truth=0.0,
        ),
    ],
    labels={
        "circle.remainder": r"distance of $A f - f(y^*)$ from " + TERM,
        "circle.printed": r"distance of $A f - f(y^*)$ from " + TERM + " as printed",
        "circle.term": r"$(4 A_{\varepsilon/2} f - A_\varepsilon f - 3 f) / \varepsilon$",
        "circle.symmetric": r"$(4 A_{\varepsilon/2} f - A_\varepsilon f - 3 f) / \varepsilon$, $D''' = 0$",
        "sphere.distance": r"RMS distance of $(A f - f(y^*)) / \varepsilon$ from $L f(y^*)$",
        "sphere.printed": r"RMS distance of $(A f - f(y^*)) / \varepsilon$ from $L f(y^*)$ as printed",
    },
)  # fmt: skip
