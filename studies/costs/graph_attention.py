"""Is graph attention on linear features a diffusion?

With the cost D(x, y) = (a'P(x - y))^2 the features count through one linear functional. Where it is strictly monotone
along M, as on an interval, D is a squared distance with the metric G = (a'P)^2, and with infinitely many points
of law p

    (A f - f) / eps  ->  L f = (a'P)^-2 ( f''/2 + (log p)' f' ).

On a closed curve a linear functional has extrema, and takes every value in between twice: every x has a second
minimiser y, and attention tends to an average over both [RZ, Theorem 6],

    A f(x)  ->  ( f(x) p(x) + f(y) p(y) ) / ( p(x) + p(y) ),

here with equal second derivatives of D at both. The printed example claims the metric case without this condition.

Measured on the interval [-2, 2], p ~ exp(.6 x - .3 x^2), a'P = 1.5, f = sin 2x + x/2, at 33 queries in [-.6, .6], ends
being of no account there (e^{-200} at the largest bandwidth): the root mean square of A f - f, which a diffusion moves
by order eps (`interval`), and of (A f - f)/eps - L f (`generator`). On the circle, a'P x = cos t, so that y = -t,
p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2: the root mean square of A f - f over 32 queries t in [.6, 2.4],
which in truth has the exponent zero (the control), and A f at t = 1, against the average of two points.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

FEATURE = 1.5
LINE = np.linspace(-0.6, 0.6, 33)
ANGLES = np.append(np.linspace(0.6, 2.4, 32), 1.0)
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
COSTS = {
    "interval": af.GraphAttention(np.array([[1.0], [0.25]]), np.array([1.0, 2.0])),  # a'P = 1.5
    "circle": af.GraphAttention(np.eye(2), np.array([1.0, 0.0])),
}


def on_line(x: jax.Array) -> jax.Array:
    """Return f = sin 2x + x/2."""
    return jnp.sin(2 * x[0]) + x[0] / 2


def on_circle(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return p."""
    if name == "interval":
        return af.LogDensity(af.Interval(-2.0, 2.0), lambda x: 0.6 * x[0] - 0.3 * x[0] ** 2)
    return af.LogDensity(af.Circle(), lambda x: 0.7 * x[0] + 0.6 * x[0] * x[1])


def limit() -> np.ndarray:
    """Return L f on the interval."""
    first, second = 2 * np.cos(2 * LINE) + 0.5, -4 * np.sin(2 * LINE)
    return (second / 2 + (0.6 - 0.6 * LINE) * first) / FEATURE**2


def average_of_two(t: float) -> float:
    """Return the average of f over t and -t, weighed by p."""
    angles = np.array([t, -t])
    weights = np.exp(0.7 * np.cos(angles) + 0.3 * np.sin(2 * angles))
    return float(weights @ (np.sin(angles) + np.cos(3 * angles) / 2) / weights.sum())


def size(difference: np.ndarray) -> float:
    """Return the root mean square over the queries."""
    return float(np.sqrt(np.mean(difference**2)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return how far a layer moves f, and how far that is from its limits."""
    eps = case["bandwidth"]
    line, circle = (
        af.PopulationAttention(af.Attention(COSTS[name], bandwidth=eps), density(name)).evolve(f, times=[0, eps], at=at)
        for name, f, at in (("interval", on_line, LINE[:, None]), ("circle", on_circle, CIRCLE))
    )
    moved, moved_on_circle = (flow.values[1] - flow.values[0] for flow in (line, circle))
    return {
        "interval": size(moved),
        "interval.solver_error": line.solver_error,
        "generator": size(moved / eps - limit()),
        "generator.solver_error": line.solver_error / eps,
        "circle": size(moved_on_circle[:-1]),
        "circle.solver_error": circle.solver_error,
        "average": circle.values[1][-1],
        "average.solver_error": circle.solver_error,
    }


jump = af.Claim(
    id="RZ-GAT/interval", source="RZ", kind="exponent", quantity="interval", size="bandwidth", predicted=1.0,
    statement=r"one layer moves $f$ by order $\varepsilon$",
    hypotheses=r"interval, $D = (a^T P (x - y))^2$, queries away from its ends, infinitely many points",
    measures=("population",),
)  # fmt: skip
generator = af.Claim(
    id="RZ-GAT/generator", source="RZ", kind="exponent", quantity="generator", size="bandwidth", predicted=1.0,
    statement=r"the distance of $(A f - f) / \varepsilon$ from $(a^T P)^{-2} (f'' / 2 + (\log p)' f')$ is of order "
    r"$\varepsilon$",
    hypotheses=r"interval, $D = (a^T P (x - y))^2$, queries away from its ends, infinitely many points",
    measures=("population",),
)  # fmt: skip
average = af.Claim(
    id="RZ-GAT/circle", source="RZ", kind="constant", quantity="average", size="bandwidth",
    predicted=average_of_two(1.0), margin=0.01,
    statement=r"$A f$ at $t = 1$ tends to the average of $f$ over $t$ and $-t$, weighed by $p$",
    hypotheses=r"circle, $D = (\cos t - \cos s)^2$, infinitely many points",
    measures=("population",),
)  # fmt: skip
study = af.Study(
    name="graph_attention",
    measure=measure,
    ladder=[{"bandwidth": 0.01 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=af.covered(
        [
            jump,
            jump.control(
                statement=(
                    r"one layer moves $f$ by order $\varepsilon$ on a circle, where a linear "
                    r"functional has extrema"
                ),
                quantity="circle",
                hypotheses=r"circle, $D = (\cos t - \cos s)^2$, queries away from the extrema, infinitely many points",
                truth=0.0,
            ),
            generator,
            average,
        ],
        by="RZ-GAT-control/interval",
    ),
    labels={
        "interval": "RMS of $A f - f$ on the interval",
        "circle": "RMS of $A f - f$ on the circle",
        "generator": r"RMS distance of $(A f - f) / \varepsilon$ from $L f$",
        "average": "$A f$ at $t = 1$ on the circle",
    },
)
