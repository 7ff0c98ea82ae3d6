"""What does the bandwidth add to the generator, and can two bandwidths take it out?

One layer of infinitely many points at bandwidth eps is, by Laplace's method to the next order,

    (A f - f) / eps = L f + eps B f + O(eps^2).

Measured first (bias-constant): ((A - I) f / eps - L f) / eps, A by quadrature, against B f, found from the cost and
the density by automatic differentiation; the root mean square of the difference over 32 queries, in units of that of
B f. In an angle on the circle, with l = log p and the chord for a distance, B is by hand

    B f = (f'''' + 4 a f''' + 6 b f'' + 4 c f')/8 + (f'' + 2 a f')(1 - b)/4,    a, b, c = p'/p, p''/p, p'''/p,

so that without the curvature of log p, l'' = l''' = 0, it would be less by (l'' f'' + l''' f')/2 + l' l'' f'. That is
the control on the circle; on the sphere it is half of B f.

Measured then (Richardson): (4 A_{eps/2} - A_eps - 3 I) f / eps, from which eps B f cancels, and after many layers
2 A_{eps/2}^{2n} f - A_eps^n f at n eps = 0.4. Both must be of order eps^2. The controls take two layers at eps/2 in
place of one at eps, which costs as much: their error is halved, but stays of order eps. Sources: [RZ] for the first
order; the second is derived here.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np

import attnflow as af

TIME = 0.4
LAYERS = (8, 11, 16, 23, 32, 45, 64, 91, 128, 181)
RTOL = 1e-10
ANGLES = 2 * np.pi * np.arange(32) / 32


class Expansion(NamedTuple):
    """What A f is to second order at the queries, and what the control says of the second."""

    at: np.ndarray
    generator: np.ndarray
    bias: np.ndarray
    control: np.ndarray


def on_the_circle(x: jax.Array) -> jax.Array:
    """Return sin 2t + cos(t)/2."""
    return 2 * x[0] * x[1] + x[0] / 2


def on_the_sphere(x: jax.Array) -> jax.Array:
    """Return x_1 + x_2 x_3."""
    return x[0] + x[1] * x[2]


FUNCTIONS = {"circle": on_the_circle, "sphere": on_the_sphere}


@functools.cache
def density(name: str) -> af.VonMisesFisher:
    """Return p ~ exp(.7 cos t), and p ~ exp(.8 b.x) with b along no axis."""
    if name == "circle":
        return af.VonMisesFisher(af.Circle(), mean_direction=[1, 0], concentration=0.7)
    return af.VonMisesFisher(af.Sphere(2), mean_direction=[1, 2, 3], concentration=0.8)


@functools.cache
def expansion(name: str) -> Expansion:
    """Return L f and B f at 32 queries."""
    f, p = FUNCTIONS[name], density(name)
    limit = af.LaplaceExpansion(af.Attention(af.SquaredDistance(), bandwidth=0.1), p)
    if name == "sphere":
        at = af.Sphere(2).sample_uniform(32, np.random.default_rng(20241218))
        bias = limit.bias(f, at=at)
        return Expansion(at, limit.generator(f, at=at), bias, bias / 2)
    at = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
    bias = limit.bias(f, at=at)
    return Expansion(at, limit.generator(f, at=at), bias, bias - by_hand(ANGLES).of_curvature)


class ByHand(NamedTuple):
    """B f on the circle from its formula, and what the curvature of log p adds to it."""

    bias: np.ndarray
    of_curvature: np.ndarray


def by_hand(t: np.ndarray) -> ByHand:
    """Return both at angles, l = .7 cos t and f = sin 2t + cos(t)/2."""
    first, second, third = -0.7 * np.sin(t), -0.7 * np.cos(t), 0.7 * np.sin(t)
    a, b, c = first, second + first**2, third + 3 * first * second + first**3
    f1, f2 = 2 * np.cos(2 * t) - np.sin(t) / 2, -4 * np.sin(2 * t) - np.cos(t) / 2
    f3, f4 = -8 * np.cos(2 * t) + np.sin(t) / 2, 16 * np.sin(2 * t) + np.cos(t) / 2
    bias = (f4 + 4 * a * f3 + 6 * b * f2 + 4 * c * f1) / 8 + (f2 + 2 * a * f1) * (1 - b) / 4
    return ByHand(bias, (second * f2 + third * f1) / 2 + first * second * f1)


@functools.cache
def continuum() -> af.Trajectory:
    """Return e^{tL} f on the circle."""
    limit = af.DriftDiffusion(af.Attention(af.SquaredDistance(), bandwidth=0.1), density("circle"), rtol=RTOL)
    return limit.evolve(on_the_circle, times=TIME, at=expansion("circle").at)


def norm(values: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(values**2)))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances from B f, and those of extrapolated lives and of twice as many layers from their limits."""
    eps = case["bandwidth"]
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    measured: dict[str, float] = {}
    lives = {name: af.PopulationAttention(attention, density(name), rtol=RTOL) for name in FUNCTIONS}
    for name, life in lives.items():
        known = expansion(name)
        flow = life.evolve(FUNCTIONS[name], times=[0, eps], at=known.at)
        left = ((flow.values[1] - flow.values[0]) / eps - known.generator) / eps
        for quantity, other in (("bias", known.bias), ("control", known.control)):
            measured[f"{name}.{quantity}"] = norm(left - other) / norm(known.bias)
            measured[f"{name}.{quantity}.solver_error"] = flow.solver_error / eps**2 / norm(known.bias)
    life, known, limit = lives["circle"], expansion("circle"), continuum()
    twice = life.at_bandwidth(eps / 2).evolve(on_the_circle, times=[0, eps, TIME], at=known.at)
    better = af.extrapolated(life)
    flow = better.evolve(on_the_circle, times=TIME, at=known.at)
    measured |= {
        "generator": norm(better.generator(on_the_circle, at=known.at) - known.generator),
        "generator.solver_error": 5 * RTOL / eps,  # of f, which is at most 1.5: of two layers, 4 + 1 times
        "generator.control": norm((twice.values[1] - twice.values[0]) / eps - known.generator),
        "generator.control.solver_error": twice.solver_error / eps,
        "semigroup": norm(flow.values[0] - limit.values[0]),
        "semigroup.solver_error": flow.solver_error + limit.solver_error,
        "semigroup.control": norm(twice.values[2] - limit.values[0]),
        "semigroup.control.solver_error": twice.solver_error + limit.solver_error,
    }
    return measured


PLAIN = "$D = |x - y|^2$; infinitely many points"
CIRCLE = r"circle, $p \propto e^{0.7 \cos t}$, $f = \sin 2t + \cos(t)/2$"
SPHERE = r"sphere, $p \propto e^{0.8 b.x}$, $f = x_1 + x_2 x_3$"
LEFT = r"$((A - I) f / \varepsilon - L f) / \varepsilon$"
RICHARDSON = r"$(4 A_{\varepsilon/2} - A_\varepsilon - 3 I) f / \varepsilon$"
TWO_LAYERS = r"$(A_{\varepsilon/2}^2 - I) f / \varepsilon$"
FLOW = r"$2 A_{\varepsilon/2}^{2n} f - A_\varepsilon^n f$"
TWICE = r"$A_{\varepsilon/2}^{2n} f$"


def constant(name: str, where: str) -> af.Claim:
    """Return the claim that what is left over eps is B f, in units of it."""
    return af.Claim(
        id=f"bias-constant/{name}", source="RZ", kind="constant", quantity=f"{name}.bias", size="bandwidth",
        statement=f"{LEFT} tends to $B f$, by automatic differentiation", predicted=0.0, margin=0.01,
        hypotheses=f"{where}; {PLAIN}", measures=("population", "expansion"),
    )  # fmt: skip


def order(name: str, what: str, measures: tuple[str, ...]) -> af.Claim:
    """Return the claim that an extrapolated distance is of order eps^2."""
    common: dict[str, Any] = dict(source="RZ", kind="exponent", size="bandwidth", predicted=2.0)
    return af.Claim(
        id=f"Richardson/{name}", statement=rf"the distance of {what} is of order $\varepsilon^2$", quantity=name,
        hypotheses=f"{CIRCLE}; {PLAIN}", measures=measures, **common,
    )  # fmt: skip


circle, sphere = constant("circle", CIRCLE), constant("sphere", SPHERE)
generator = order("generator", f"{RICHARDSON} from $L f$", ("population", "expansion"))
semigroup = order("semigroup", rf"{FLOW} from $e^{{tL}} f$, $t = n \varepsilon = 0.4$,", ("population", "limit"))
study = af.Study(
    name="second_order",
    measure=measure,
    ladder=[{"bandwidth": TIME / layers} for layers in LAYERS],
    quick=8,
    claims=[
        circle,
        circle.control(
            statement=rf"{LEFT} tends to $B f$ without the curvature of $\log p$",
            quantity="circle.control",
            truth=norm(by_hand(ANGLES).of_curvature) / norm(by_hand(ANGLES).bias),
        ),
        sphere,
        sphere.control(statement=f"{LEFT} tends to $B f / 2$", quantity="sphere.control", truth=0.5),
        generator,
        generator.control(
            statement=rf"the distance of {TWO_LAYERS} from $L f$ is of order $\varepsilon^2$",
            quantity="generator.control",
            truth=1.0,
        ),
        semigroup,
        semigroup.control(
            statement=rf"the distance of {TWICE} from $e^{{tL}} f$, $t = n \varepsilon = 0.4$, is of order "
            r"$\varepsilon^2$",
            quantity="semigroup.control",
            truth=1.0,
        ),
    ],
    labels={
        "circle.bias": f"distance of {LEFT} from $B f$",
        "circle.control": rf"distance of {LEFT} from $B f$ without the curvature of $\log p$",
        "sphere.bias": f"distance of {LEFT} from $B f$",
        "sphere.control": f"distance of {LEFT} from $B f / 2$",
        "generator": f"distance of {RICHARDSON} from $L f$",
        "generator.control": f"distance of {TWO_LAYERS} from $L f$",
        "semigroup": f"distance of {FLOW} from $e^{{tL}} f$",
        "semigroup.control": f"distance of {TWICE} from $e^{{tL}} f$",
    },
)
