"""What does the norm of a key do to attention?

The dot product is a Gaussian kernel times two norms [S],

    exp(x.y / eps) = exp(-|x - y|^2 / 2eps) exp(|x|^2 / 2eps) exp(|y|^2 / 2eps);

that of the query cancels in a softmax, that of the key is a weight exp(b(y)) with b of order 1/eps. Off a sphere there
is then no diffusion limit but the jump to y* = argmax x.y. A weight that stays finite, exp(c |y|_P^P) with P >= 2, is a
drift: with infinitely many points of law p

    (A f - f) / eps  ->  1/2 Lap f + <grad log p, grad f> + c <grad |.|_P^P, grad f>.

Measured on the ellipse with half axes 1 and 3/2, p ~ exp(.7 x_1 + .6 x_1 x_2), f = sin t + cos(3t)/2 in its angle, at
64 queries: the largest difference between a layer by the dot product and the same sum with the kernel times the norm of
the key, over 2048 equal angles (`same`), and the root mean square of A f(x) - f(y*) (`jump`), y* = (a cos u, b sin u)
with tan u = b^2 sin t / a^2 cos t. The controls take the kernel alone, whose difference in truth tends to the largest
|f(y*) - f(x)|, and f(x) in the place of f(y*), exponent zero. On the circle, P = 4 and c = 1/2, the cost
|x - y|^2 - 2 eps c |y|_4^4: the root mean square of (A f - f)/eps less its limit, with (|y|_4^4)' = -sin 4t (`drift`);
its control leaves that out, exponent zero.
"""

import functools

import jax
import numpy as np

import attnflow as af

A, B = 1.0, 1.5
AXES = np.array([A, B])
STRENGTH = 0.5  # c
ANGLES = 2 * np.pi * np.arange(64) / 64
CIRCLE = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
TARGETS = np.arctan2(B**2 * np.sin(ANGLES), A**2 * np.cos(ANGLES))  # angles of y*


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def on_circle(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


def on_ellipse(x: jax.Array) -> jax.Array:
    """Return f at a point of the ellipse."""
    return on_circle(x / AXES)


def values(angles: np.ndarray) -> np.ndarray:
    """Return f at angles."""
    return np.sin(angles) + np.cos(3 * angles) / 2


JUMP = float(np.abs(values(TARGETS) - values(ANGLES)).max())


def limit(strength: float) -> np.ndarray:
    """Return L f on the circle."""
    t = ANGLES
    first, second = np.cos(t) - 1.5 * np.sin(3 * t), -np.sin(t) - 4.5 * np.cos(3 * t)
    return second / 2 + (-0.7 * np.sin(t) + 0.6 * np.cos(2 * t) - strength * np.sin(4 * t)) * first


def kernel_times_norm(eps: float, *, normed: bool) -> np.ndarray:
    """Return the average of f by e^{-|x - y|^2 / 2eps}, with e^{|y|^2 / 2eps} or without, at the queries."""
    t = 2 * np.pi * np.arange(2048) / 2048
    keys, queries = np.column_stack([A * np.cos(t), B * np.sin(t)]), CIRCLE * AXES
    masses = np.exp(0.7 * keys[:, 0] + 0.6 * keys[:, 0] * keys[:, 1]) * np.hypot(A * np.sin(t), B * np.cos(t))
    costs = ((queries[:, None] - keys) ** 2).sum(axis=2) - (keys**2).sum(axis=1) * normed
    weights = masses * np.exp((costs.min(axis=1, keepdims=True) - costs) / (2 * eps))
    return weights @ values(t) / weights.sum(axis=1)


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return p."""
    return af.LogDensity(af.Circle() if name == "circle" else af.Ellipsoid(AXES), log_weight)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what layers are apart from one another and from their limits."""
    eps = case["bandwidth"]

    def flow(cost: af.PseudoMetric, name: str) -> af.Trajectory:
        life = af.PopulationAttention(af.Attention(cost, bandwidth=eps), density(name))
        f, at = (on_circle, CIRCLE) if name == "circle" else (on_ellipse, CIRCLE * AXES)
        return life.evolve(f, times=[0, eps], at=at)

    product = flow(af.DotProduct(), "ellipse")
    drifting = flow(af.KernelTimesNorm(4, 2 * eps * STRENGTH), "circle")
    quotient = (drifting.values[1] - drifting.values[0]) / eps
    row = {
        "same": np.abs(product.values[1] - kernel_times_norm(eps, normed=True)).max(),
        "without_norm": np.abs(product.values[1] - kernel_times_norm(eps, normed=False)).max(),
        "jump": np.sqrt(np.mean((product.values[1] - values(TARGETS)) ** 2)),
        "jump.solver_error": product.solver_error,
        "stay": np.sqrt(np.mean((product.values[1] - values(ANGLES)) ** 2)),
        "stay.solver_error": product.solver_error,
    }
    for name, strength in (("drift", STRENGTH), ("no_drift", 0.0)):
        row[name] = np.sqrt(np.mean((quotient - limit(strength)) ** 2))
        row[f"{name}.solver_error"] = drifting.solver_error / eps
    return row


same = af.Claim(
    id="S-norm/ellipse", source="S", kind="identity", quantity="same", size="bandwidth", predicted=0.0, margin=1e-6,
    statement=r"a layer by the dot product averages by $e^{-|x - y|^2 / 2\varepsilon}$ times "
    r"$e^{|y|^2 / 2\varepsilon}$",
    hypotheses=r"ellipse, $p > 0$ smooth, infinitely many points", measures=("population",),
)  # fmt: skip
jump = af.Claim(
    id="S-norm/jump", source="S", kind="exponent", quantity="jump", size="bandwidth", predicted=1.0,
    statement=r"by the dot product $A f(x)$ is within order $\varepsilon$ of $f$ at $\mathrm{argmax}_y \, x^T y$",
    hypotheses=r"ellipse, $p > 0$ and $f$ smooth, infinitely many points", measures=("population",),
)  # fmt: skip
drift = af.Claim(
    id="S-Lp/circle", source="S", kind="exponent", quantity="drift", size="bandwidth", predicted=1.0,
    statement=r"keys weighed by $e^{c |y|_4^4}$: the distance of $(A f - f) / \varepsilon$ from $\frac{1}{2} \Delta f "
    r"+ \langle \nabla (\log p + c |.|_4^4), \nabla f \rangle$ is of order $\varepsilon$",
    hypotheses=r"circle, $c = 1/2$, $p > 0$ and $f$ smooth, infinitely many points", measures=("population",),
)  # fmt: skip
study = af.Study(
    name="kernel_norms",
    measure=measure,
    ladder=[{"bandwidth": 0.01 * 2 ** (-k / 2)} for k in range(10)],
    quick=8,
    claims=[
        same,
        same.control(
            statement=r"a layer by the dot product averages by $e^{-|x - y|^2 / 2\varepsilon}$",
            quantity="without_norm",
            truth=JUMP,
            truth_margin=0.2,
        ),
        jump,
        jump.control(
            statement=r"by the dot product $A f(x)$ is within order $\varepsilon$ of $f(x)$",
            quantity="stay",
            truth=0.0,
        ),
        drift,
        drift.control(
            statement=r"keys weighed by $e^{c |y|_4^4}$: the distance of $(A f - f) / \varepsilon$ from $\frac{1}{2} "
            r"\Delta f + \langle \nabla \log p, \nabla f \rangle$ is of order $\varepsilon$",
            quantity="no_drift",
            truth=0.0,
        ),
    ],
    labels={
        "same": "largest difference from the kernel times the norm",
        "without_norm": "largest difference from the kernel alone",
        "jump": "RMS distance of $A f(x)$ from $f(y^*)$",
        "stay": "RMS distance of $A f(x)$ from $f(x)$",
        "drift": r"RMS distance of $(A f - f) / \varepsilon$ from $L f$",
        "no_drift": r"RMS distance of $(A f - f) / \varepsilon$ from $L f$ without the norm",
    },
)
