"""Which key does attention with learned queries and keys attend to on a sphere?

With D(x, y) = -2 <Q x, K y> on S^2 and K'Q invertible the cost of a query is least at [RZ, Example 3]

    y* = K'Q x / |K'Q x|,

with the opposite sign in the printed example. With infinitely many points

    A f(x) = f(y*) + eps |K'Q x|^{-1} (1/2 Lap f + <grad log p, grad f>)(y*) + O(eps^2).

Measured for p ~ exp(.5 x_2 + .3 x_0 x_1) and f = x_0 + x_1 x_2, as root mean squares over 24 queries: the distance of
A f from f(y*), whose control takes -y*, and that of (A f - f(y*))/eps from the next term, whose control leaves |K'Q x|
out. At one query the next term itself, (4 A_{eps/2} f - A_eps f - 3 f(y*))/eps, whose error is of order eps^2; its
control has -K in place of K, for which the minimiser is that of the printed example. All of y* and of the next term is
by hand.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

QUERY = np.array([[1.2, 0.3, -0.2], [-0.4, 0.9, 0.5], [0.1, -0.6, 1.1]])  # Q
KEY = np.array([[0.8, -0.5, 0.3], [0.6, 1.0, -0.1], [-0.2, 0.4, 0.9]])  # K
QUERIES = af.Sphere(2).sample_uniform(24, np.random.default_rng(20241218))
SLOWS = np.linalg.norm(QUERIES @ QUERY.T @ KEY, axis=1)  # |K'Q x|
IMAGES = QUERIES @ QUERY.T @ KEY / SLOWS[:, None]  # y*


def cost(sign: float, x: jax.Array, y: jax.Array) -> jax.Array:
    """Return D = -2 <Q x, K y>, or 2 <Q x, K y>."""
    return -2 * sign * (jnp.asarray(QUERY) @ x) @ (jnp.asarray(KEY) @ y)


def function(x: jax.Array) -> jax.Array:
    """Return f = x_0 + x_1 x_2."""
    return x[0] + x[1] * x[2]


@functools.cache
def density() -> af.LogDensity:
    """Return p."""
    return af.LogDensity(af.Sphere(2), lambda x: 0.5 * x[2] + 0.3 * x[0] * x[1])


def diffused(y: np.ndarray) -> np.ndarray:
    """Return 1/2 Lap f + <grad log p, grad f> at points (Q, 3), by hand."""
    of_f = np.column_stack([np.ones(len(y)), y[:, 2], y[:, 1]])
    of_p = np.column_stack([0.3 * y[:, 1], 0.3 * y[:, 0], np.full(len(y), 0.5)])
    normal = np.sum(of_p * y, axis=1) * np.sum(of_f * y, axis=1)
    return -y[:, 0] - 3 * y[:, 1] * y[:, 2] + np.sum(of_p * of_f, axis=1) - normal


def value(y: np.ndarray) -> np.ndarray:
    """Return f at points (Q, 3)."""
    return y[:, 0] + y[:, 1] * y[:, 2]


def size(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


def layer_of(sign: float, eps: float, count: int | None = None) -> tuple[np.ndarray, float]:
    """Return A f at some of the queries, and its error."""
    attention = af.Attention(af.CustomPseudoMetric(jax.tree_util.Partial(cost, sign)), bandwidth=eps)
    flow = af.PopulationAttention(attention, density(), rtol=1e-10).evolve(function, times=eps, at=QUERIES[:count])
    return flow.values[0], flow.solver_error


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return distances from the jump and from the next term, and the next term at the first query."""
    eps = case["bandwidth"]
    layer, error = layer_of(1.0, eps)
    quotient, term = (layer - value(IMAGES)) / eps, diffused(IMAGES)
    row = {
        "jump": size(layer - value(IMAGES)),
        "jump.printed": size(layer - value(-IMAGES)),
        "next": size(quotient - term / SLOWS),
        "next.unscaled": size(quotient - term),
    }
    row |= {f"{name}.solver_error": error for name in ("jump", "jump.printed")}
    row |= {f"{name}.solver_error": error / eps for name in ("next", "next.unscaled")}
    for name, sign in (("term", 1.0), ("term.opposite", -1.0)):
        (whole, error), (half, error_of_half) = (layer_of(sign, bandwidth, count=1) for bandwidth in (eps, eps / 2))
        row[name] = (4 * half - whole - 3 * value(sign * IMAGES[:1]))[0] / eps
        row[f"{name}.solver_error"] = (4 * error_of_half + error) / eps
    return row


HYPOTHESES = r"$S^2$, $D = -2 \langle Q x, K y \rangle$, $K'Q$ invertible, $p > 0$ smooth; infinitely many points"
MINIMIZER = r"$y^* = K'Q x / |K'Q x|$"
TERM = r"$(\frac{1}{2} \Delta f + \langle \nabla \log p, \nabla f \rangle)(y^*)$"
QUOTIENT = r"$(4 A_{\varepsilon/2} f - A_\varepsilon f - 3 f(y^*)) / \varepsilon$"
jump = af.Claim(
    id="RZ-E3/sphere", source="RZ", kind="exponent", quantity="jump", size="bandwidth", predicted=1.0,
    statement=rf"the distance of $A f(x)$ from $f(y^*)$, {MINIMIZER}, is of order $\varepsilon$",
    hypotheses=HYPOTHESES, measures=("population",),
)  # fmt: skip
following = af.Claim(
    id="RZ-E3-next/sphere", source="RZ", kind="exponent", quantity="next", size="bandwidth", predicted=1.0,
    statement=rf"the distance of $(A f - f(y^*)) / \varepsilon$ from $|K'Q x|^{{-1}}$ {TERM} is of order $\varepsilon$",
    hypotheses=HYPOTHESES, measures=("population",),
)  # fmt: skip
NUMBER, OPPOSITE = (float(diffused(y)[0] / SLOWS[0]) for y in (IMAGES, -IMAGES))
term = af.Claim(
    id="RZ-E3-term/sphere", source="RZ", kind="constant", quantity="term", size="bandwidth",
    statement=rf"{QUOTIENT} at one query tends to $|K'Q x|^{{-1}}$ {TERM}",
    hypotheses=HYPOTHESES, predicted=NUMBER, margin=1e-4, correction_power=2.0, measures=("population",),
)  # fmt: skip
study = af.Study(
    name="query_key",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        jump,
        jump.control(
            statement=r"the distance of $A f(x)$ from $f(y^*)$, $y^* = -K'Q x / |K'Q x|$ as printed, is of order "
            r"$\varepsilon$",
            quantity="jump.printed", truth=0.0,
        ),
        following,
        following.control(
            statement=rf"the distance of $(A f - f(y^*)) / \varepsilon$ from {TERM} is of order $\varepsilon$",
            quantity="next.unscaled", truth=0.0,
        ),
        term,
        term.control(
            statement=rf"with $-K$ in place of $K$, {QUOTIENT} at that query tends to the same number",
            quantity="term.opposite", truth=OPPOSITE, truth_margin=1e-4,
        ),
    ],
    labels={
        "jump": "RMS distance of $A f(x)$ from $f(y^*)$",
        "jump.printed": "RMS distance of $A f(x)$ from $f(-y^*)$",
        "next": r"RMS distance of $(A f - f(y^*)) / \varepsilon$ from $|K'Q x|^{-1}$ " + TERM,
        "next.unscaled": r"RMS distance of $(A f - f(y^*)) / \varepsilon$ from " + TERM,
        "term": QUOTIENT,
        "term.opposite": QUOTIENT + ", $-K$ in place of $K$",
    },
)  # fmt: skip
