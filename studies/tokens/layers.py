"""Which order has a layer of a network as a step of the flow of tokens?

Tokens move by dx_i/dt = P_x V (A_mu id)(x_i), and a layer is a step of length dt [Sk, G]:

    Layer           x <- R(x + dt P_x V A x)                    order 1, R(y) = y/|y|
    LayerNormStep   x <- R(x + dt V A x)                        order 1: the output of attention is added whole
    Midpoint        x <- R(x + dt v(R(x + dt/2 v(x))))          order 2, v = P V A.

The control lays the order of the midpoint rule to the layer, which has the first.

The two layers are alike to first order and not in their constants. Of two tokens on the circle at an angle phi the
flow is phi' = F = -2 w sin phi with the weight w = e^{beta cos phi} / (e^beta + e^{beta cos phi}) of the other. A layer
turns both by arctan(dt w sin phi), Euler's step for phi; the normal part r = 1 - w + w cos phi makes that
arctan(dt w sin phi / (1 + dt r)). By the modified equations F - (dt/2) F F' and F - (dt/2) F F' - dt F r the errors
after a time t are to first order dt F(phi_t) times -(1/2) log(F(phi_t)/F(phi_0)) and that less int_0^t r ds. So

    error of LayerNormStep / error of Layer  ->  1 + 2 int_0^t r ds / log(F(phi_t)/F(phi_0)),

by quadrature 11.85 for the start and the time here; there is no one number for all. The error that is measured is that
of the first; that of the second is taken to first order, for each of the two tokens half of that of the angle.

Measured on S^2 with 16 tokens and random Q, K, V, at t = 1 against adaptive steps, the largest distance of a token; and
on the circle with two tokens, beta = 2, from phi = 2.2.
"""

import functools
from typing import Any

import numpy as np
from scipy.integrate import quad, solve_ivp

import attnflow as af

BETA, ANGLE, PAIR_TIME = 2.0, 2.2, 2.0
STEPS = (5, 7, 10, 14, 20, 28, 40, 56, 80)


@functools.cache
def swarm() -> tuple[af.TokenFlow, np.ndarray]:
    """Return a flow on S^2 and tokens (16, 3), none of them with a symmetry."""
    rng = np.random.default_rng(3)
    query, key, value = (rng.normal(size=(3, 3)) / 1.5 for _ in range(3))
    tokens = rng.normal(size=(16, 3))
    attention = af.Attention(af.QueryKey(query, key), bandwidth=0.5)
    flow = af.TokenFlow(attention, value, manifold=af.Sphere(2))
    return flow, tokens / np.linalg.norm(tokens, axis=1, keepdims=True)


@functools.cache
def pair() -> tuple[af.TokenFlow, np.ndarray]:
    """Return a flow on S^2 and two tokens (2, 3)."""
    angles = np.array([0.0, ANGLE])
    attention = af.Attention(af.QueryKey(np.eye(3), np.eye(3)), bandwidth=1 / BETA)
    flow = af.TokenFlow(attention, np.eye(3), manifold=af.Sphere(2))
    return flow, np.column_stack([np.cos(angles), np.sin(angles), 0 * angles])


def speed(angle: float) -> float:
    """Return F."""
    weight = 1 / (1 + np.exp(BETA * (1 - np.cos(angle))))
    return -2 * weight * np.sin(angle)


def normal_part(angle: float) -> float:
    """Return r."""
    weight = 1 / (1 + np.exp(BETA * (1 - np.cos(angle))))
    return 1 - weight + weight * np.cos(angle)


@functools.cache
def first_order() -> tuple[float, float]:
    """Return the error of Layer for each of a pair, over dt, and the ratio; by quadrature in the angle, ds = dphi/F."""
    last = solve_ivp(lambda _, y: [speed(y[0])], (0, PAIR_TIME), [ANGLE], rtol=1e-12, atol=1e-12).y[0, -1]
    normal = quad(lambda angle: normal_part(angle) / speed(angle), ANGLE, last, epsabs=1e-12)[0]
    growth = np.log(speed(last) / speed(ANGLE))
    return float(abs(speed(last) * growth) / 4), float(1 + 2 * normal / growth)


@functools.cache
def exact(name: str) -> np.ndarray:
    """Return where the tokens are at the end."""
    flow, tokens = swarm() if name == "swarm" else pair()
    time = 1.0 if name == "swarm" else PAIR_TIME
    return flow.evolve(tokens, time, integrator=af.Adaptive(rtol=1e-11)).points[0]


def error_of(name: str, integrator: Any, time: float) -> float:
    """Return the largest distance of a token from where it should be."""
    flow, tokens = swarm() if name == "swarm" else pair()
    moved = flow.evolve(tokens, time, integrator=integrator)
    return float(np.linalg.norm(moved.points[0] - exact(name), axis=1).max())


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return the errors of three integrators at one step length."""
    dt = case["dt"]
    row = {
        "layer": error_of("swarm", af.Layer(dt), 1.0),
        "post-norm": error_of("swarm", af.LayerNormStep(dt), 1.0),
        "midpoint": error_of("swarm", af.Midpoint(dt), 1.0),
    }
    row["as_midpoint"] = row["layer"]
    return {**row, "ratio": error_of("pair", af.LayerNormStep(dt), PAIR_TIME) / (dt * first_order()[0])}


def order(name: str, words: str, predicted: float) -> af.Claim:
    """Return the claim about the order of one integrator."""
    return af.Claim(
        id=f"layers/{name}", source="Sk",
        statement=rf"{words} is of order $\mathrm{{d}}t^{{{predicted:g}}}$ from the flow at a fixed time",
        kind="exponent", quantity=name, size="dt", predicted=predicted,
        hypotheses=r"$S^2$, 16 tokens, random $Q$, $K$, $V$, $t = 1$; the largest distance of a token",
        measures=("tokens",),
    )  # fmt: skip


midpoint = order("midpoint", "the midpoint rule", 2.0)
study = af.Study(
    name="layers",
    measure=measure,
    ladder=[{"dt": 1 / steps} for steps in STEPS],
    quick=8,
    claims=af.covered([
        order("layer", "a layer", 1.0),
        order("post-norm", "a layer with normalisation after the sum", 1.0),
        midpoint,
        midpoint.control(
            statement=r"a layer is of order $\mathrm{d}t^{2}$ from the flow at a fixed time",
            quantity="as_midpoint",
            truth=1.0,
        ),
        af.Claim(
            id="layers/ratio", source="derived",
            statement=(
                r"with normalisation after the sum the error is $1 + 2 \int r\, \mathrm{d}s / \log (F_t / F_0)$ times "
                "that of a layer whose residual is tangential"
            ),
            kind="constant", quantity="ratio", size="dt", predicted=first_order()[1],
            hypotheses=r"two tokens on $S^2$, $V = I$, $\beta = 2$, from $\varphi = 2.2$, $t = 2$",
            measures=("tokens",),
        ),
    ], by="layers-control/midpoint"),
    labels={
        "layer": "error of a layer",
        "post-norm": "error of a layer with normalisation after the sum",
        "midpoint": "error of the midpoint rule",
        "as_midpoint": "error of a layer",
        "ratio": "error with normalisation after the sum, over that of a layer to first order",
    },
)  # fmt: skip
