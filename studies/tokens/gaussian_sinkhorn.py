"""Do tokens that attend by a doubly stochastic attention keep to their closed equation?

Sinkhorn's weights make the joint law of query and key one with both margins mu. If mu is Gaussian and the logit
quadratic, so is the joint law: with the logit xy on the line its covariance C solves C = s (s - C^2/s), and tokens that
move by dx/dt = V A_mu x have [C]

    C = ( (1 + 4 s^2)^{1/2} - 1 ) / 2,     s' = 2 V C,     m' = V m.

For V = 1 this is solved by t = F(s) - F(s0), F(s) = ( u - coth(u/2) ) / 2 with 2 s = sinh u.

Measured with 24 tokens on the line that carry the weights of a Gauss-Hermite rule, against the closure (`gauss`) and
against that solution (`line`). In the control of the first tokens start from a uniform law, by a Gauss-Legendre rule,
with the same mean and variance; in that of the second keys are weighed by softmax, of which the variance is
s0 / (1 - 2 s0 t). How far a uniform law is off at t = .5 was computed beforehand, by Sinkhorn sweeps and Runge-Kutta
steps of 1/100 in NumPy alone.
"""

import functools

import jax
import numpy as np
from scipy.optimize import brentq

import attnflow as af

MEAN, VARIANCE = 0.3, 0.8
TIMES = (0.125, 0.25, 0.375, 0.5)
RULES = {"gauss": (np.polynomial.hermite_e.hermegauss, 1.0), "uniform": (np.polynomial.legendre.leggauss, 3**0.5)}


def attention(name: str) -> af.Attention:
    """Return the attention with the logit xy, normalised by softmax or by Sinkhorn."""
    return af.Attention(af.DotProduct(), bandwidth=1.0, normalization=name)


@functools.cache
def law(name: str) -> af.GaussianTrajectory:
    """Return the closure at the times."""
    return af.GaussianClosure(attention(name)).evolve(mean=MEAN, covariance=VARIANCE, times=TIMES)


@functools.cache
def moved(rule: str) -> af.TokenTrajectory:
    """Return tokens that start at the nodes of a rule."""
    find, scale = RULES[rule]
    nodes, weights = find(24)
    start = af.DiscreteMeasure(MEAN + VARIANCE**0.5 * scale * nodes[:, None], weights)
    return af.TokenFlow(attention("sinkhorn")).evolve(start, times=TIMES, integrator=af.Adaptive(rtol=1e-7))


def solution(t: float) -> float:
    """Return s(t)."""

    def clock(s: float) -> float:
        u = np.arcsinh(2 * s)
        return (u - 1 / np.tanh(u / 2)) / 2

    return brentq(lambda s: clock(s) - clock(VARIANCE) - t, VARIANCE, 100.0, xtol=1e-14)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return distances of tokens from the closure, and of closures from the solution."""
    k = TIMES.index(case["time"])
    values = {}
    for rule in RULES:
        values[rule] = af.compare(moved(rule), law("sinkhorn"))[k]
        values[f"{rule}.solver_error"] = moved(rule).solver_error + law("sinkhorn").solver_error
    for name, closed in (("line", law("sinkhorn")), ("softmax", law("softmax"))):
        values[name] = closed.covariances[k, 0, 0] - solution(TIMES[k])
        values[f"{name}.solver_error"] = closed.solver_error
    return values


tokens = af.Claim(
    id="C-Sk/tokens", source="C", kind="identity", quantity="gauss", size="time", predicted=0.0, margin=1e-6,
    statement=r"tokens with Sinkhorn's weights keep the mean and the variance of $s' = 2 V C$, $m' = V m$",
    hypotheses="line; Gaussian data, by 24 tokens with the weights of a Gauss-Hermite rule",
    measures=("tokens", "closure"),
)  # fmt: skip
line = af.Claim(
    id="C-Sk/line", source="C", kind="identity", quantity="line", size="time", predicted=0.0, margin=1e-8,
    statement=r"the variance of the closure with Sinkhorn's weights solves $s' = (1 + 4 s^2)^{1/2} - 1$",
    hypotheses="line; Gaussian data",
    measures=("closure",),
)  # fmt: skip
study = af.Study(
    name="gaussian_sinkhorn",
    measure=measure,
    ladder=[{"time": t} for t in TIMES],
    quick=len(TIMES),
    claims=[
        tokens,
        tokens.control(
            statement="tokens of a uniform law of the same mean and variance keep those of the closed equation",
            quantity="uniform",
            truth=0.01863,
            truth_margin=2e-5,
        ),
        line,
        line.control(
            statement=r"the variance of the closure with the weights of softmax solves $s' = (1 + 4 s^2)^{1/2} - 1$",
            quantity="softmax",
            truth=VARIANCE / (1 - 2 * VARIANCE * TIMES[-1]) - solution(TIMES[-1]),
            truth_margin=1e-6,
        ),
    ],
    labels={
        "gauss": "distance of tokens from the closure",
        "uniform": "distance of tokens from the closure, uniform law",
        "line": "distance of the closure from the solution",
        "softmax": "distance of the closure of softmax from the solution",
    },
)
