"""How fast do waves grow among tokens that are spread evenly?

Uniform tokens on a sphere stay where they are. About them, with V = I and the logit beta <x, y>, infinitely many tokens
let every harmonic of degree k grow by itself [B], on the circle and on S^2 at the rates

    k^2 I_k(beta) / (beta I_0(beta)),    l (l + 1) i_l(beta) / (beta i_0(beta)),

i_l the modified spherical Bessel functions: k^2 / beta times the eigenvalue of the attention. Without the division of
rows, and with the kernel e^{-beta |x - y|^2 / 2}, the eigenvalue is e^{-beta} I_k(beta). As beta grows the fastest of
them is k* = sqrt(2 beta), by which tokens gather in so many clusters, at the speed 2/e.

Measured by evolving mu_0 ~ exp(+-delta sum_k cos kt), delta = 1e-4, for a quarter of a unit of time: of both signs half
the difference leaves out what is of second order. Quantities: the rate over the formula, of the wave that is farthest
from it, on the circle and on S^2 at beta = 4; the place of the largest rate over sqrt(2 beta), between whole numbers by
a parabola; the largest rate. The controls: rows that are not divided, against the formula of those that are, which is
off by e^{-beta} I_0(beta); the place over sqrt(beta), in truth sqrt 2; the largest rate without division, in truth
zero.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ive

import attnflow as af

SIZE, TIME = 1e-4, 0.25
MOST = {1: 27, 2: 6}  # waves, by dimension
FIRST = 0.25  # the bandwidth at which rates are compared one by one


def waves_of(height: Any, count: int, *, dim: int) -> list[Any]:
    """Return T_k, or on S^2 the Legendre polynomials P_k, k = 1, ..., count, by their recurrence."""
    waves = [1.0 + 0 * height, height]
    for k in range(1, count):
        a, b = (2.0, 1.0) if dim == 1 else ((2 * k + 1) / (k + 1), k / (k + 1))
        waves.append(a * height * waves[-1] - b * waves[-2])
    return waves[1:]


def on_circle(sizes: jax.Array, x: jax.Array) -> jax.Array:
    """Return log mu_0 up to a constant."""
    return sizes @ jnp.stack(waves_of(x[-1], len(sizes), dim=1))


def on_sphere(sizes: jax.Array, x: jax.Array) -> jax.Array:
    """Return log mu_0 up to a constant."""
    return sizes @ jnp.stack(waves_of(x[-1], len(sizes), dim=2))


@functools.cache
def start(sign: float, count: int, dim: int) -> af.LogDensity:
    """Return mu_0; of all with as many waves at most it is one program."""
    sizes = sign * SIZE * (np.arange(MOST[dim]) < count)
    return af.LogDensity(af.Sphere(dim), jax.tree_util.Partial(on_circle if dim == 1 else on_sphere, sizes))


def rates(attention: af.Attention, count: int, *, dim: int) -> tuple[np.ndarray, float]:
    """Return at which rates waves grow, and what they may be off by."""
    rule = af.Sphere(dim).quadrature(2 * count + 11)
    values = np.stack(waves_of(rule.points[:, -1], count, dim=dim)) * rule.masses
    flows = [
        af.MeanFieldFlow(attention, start(sign, count, dim), rtol=1e-9).evolve(times=[0.0, TIME], at=rule)
        for sign in (1.0, -1.0)
    ]
    before, after = (flows[0].values - flows[1].values) @ values.T
    error = max(flow.solver_error for flow in flows) * 2 * np.pi / np.abs(before).min() / TIME
    return np.log(after / before) / TIME, error


def eigenvalues(beta: float, count: int, *, dim: int) -> np.ndarray:
    """Return k (k + m - 1) b_k / beta with b_k the eigenvalues of softmax attention."""
    k, shift = np.arange(1, count + 1), (dim - 1) / 2
    return k * (k + dim - 1) * ive(k + shift, beta) / ive(shift, beta) / beta


def farthest(ratios: np.ndarray) -> float:
    """Return the ratio that is farthest from one."""
    return float(ratios[np.argmax(np.abs(ratios - 1))])


def summit(rate: np.ndarray) -> float:
    """Return where the parabola through the largest of some rates, k = 1, 2, ..., and its neighbours is largest."""
    top = int(np.argmax(rate))
    below, at, above = np.log(rate[top - 1 : top + 2])
    return top + 1 + (below - above) / (2 * (below - 2 * at + above))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the rates over their formulas at the first bandwidth; place and size of the largest at the others."""
    eps = case["bandwidth"]
    beta = 1 / eps
    attention = af.Attention(af.SquaredDistance(), bandwidth=eps)
    plain = attention.replace(normalization="unnormalized")
    if eps == FIRST:
        row: dict[str, float] = {}
        for name, kind, dim in (("circle", attention, 1), ("undivided", plain, 1), ("sphere", attention, 2)):
            found, error = rates(kind, 6, dim=dim)
            formula = eigenvalues(beta, 6, dim=dim)
            row |= {name: farthest(found / formula), f"{name}.solver_error": error / formula.min()}
        return row
    found, error = rates(attention, math.ceil(1.5 * math.sqrt(2 * beta)), dim=1)
    other, _ = rates(plain, math.ceil(1.5 * math.sqrt(2 * beta)), dim=1)
    return {
        "place": summit(found) / math.sqrt(2 * beta),
        "other_place": summit(found) / math.sqrt(beta),
        "speed": found.max(),
        "other_speed": other.max(),
        "solver_error": error,
    }


CIRCLE = r"circle, $V = I$, softmax with the logit $\beta\langle x, y\rangle$; infinitely many tokens"
common: dict[str, Any] = dict(source="B", size="bandwidth", measures=("mean_field",))
circle = af.Claim(
    id="B-modes/circle", kind="identity", quantity="circle", predicted=1.0, margin=1e-4,
    statement=r"waves of $k$ periods about uniform tokens grow at the rate $k^2 I_k(\beta) / (\beta I_0(\beta))$",
    hypotheses=CIRCLE + r", $\beta = 4$, $k \leq 6$", **common,
)  # fmt: skip
place = af.Claim(
    id="B-modes/place", kind="constant", quantity="place", predicted=1.0,
    statement=r"the fastest wave has $k^* \to \sqrt{2\beta}$ periods", hypotheses=CIRCLE, **common,
)  # fmt: skip
speed = af.Claim(
    id="B-modes/speed", kind="constant", quantity="speed", predicted=2 / math.e,
    statement=r"the fastest wave grows at the rate $2/e$", hypotheses=CIRCLE, **common,
)  # fmt: skip
study = af.Study(
    name="modes",
    measure=measure,
    ladder=[{"bandwidth": FIRST}, *({"bandwidth": 0.1 * 2 ** (-k / 2)} for k in range(9))],
    quick=8,
    claims=af.covered([
        circle,
        circle.control(
            statement=r"so they do where rows are not divided, with the kernel $e^{-\beta|x-y|^2/2}$",
            quantity="undivided",
            truth=float(ive(0, 4.0)),
            truth_margin=1e-4,
        ),
        af.Claim(
            id="B-modes/sphere", kind="identity", quantity="sphere", predicted=1.0, margin=1e-4,
            statement=r"harmonics of degree $l$ grow at the rate $l (l + 1) i_l(\beta) / (\beta i_0(\beta))$",
            hypotheses=CIRCLE.replace("circle", "$S^2$") + r", $\beta = 4$, $l \leq 6$", **common,
        ),
        place,
        place.control(
            statement=r"the fastest wave has $k^* \to \sqrt{\beta}$ periods",
            quantity="other_place",
            truth=math.sqrt(2),
        ),
        speed,
        speed.control(
            statement=r"so it does where rows are not divided, with the kernel $e^{-\beta|x-y|^2/2}$",
            quantity="other_speed",
            truth=0.0,
            truth_margin=0.1,
        ),
    ], by="B-modes-control/circle"),
    labels={
        "circle": "rate over its prediction, circle",
        "undivided": "rate over its prediction, rows not divided",
        "sphere": "rate over its prediction, $S^2$",
        "place": r"$k^* / \sqrt{2\beta}$",
        "other_place": r"$k^* / \sqrt{\beta}$",
        "speed": "largest rate",
        "other_speed": "largest rate where rows are not divided",
    },
)  # fmt: skip
