"""How fast do tokens come together under the ways in which networks normalise them?

Tokens that are nearly one direction theta have A theta = theta up to their spread, and what is left of a layer near
consensus is how long its step is. With V = I and x = r theta, in a time dt [Ka]:

    post     x <- N(x + dt A x)                     Var theta  ~  e^{-2t}
    pre      x <- x + dt A N x                      r = 1 + t, and Var theta  ~  (1 + t)^{-2}
    peri     x <- x + dt N A N x                    the same
    nGPT     x <- N(x + dt alpha N A x)             e^{-2 int alpha}
    depth    x <- N(x + dt A x / sqrt(1 + t))       e^{-4 (sqrt(1 + t) - 1)}: the output of layers scaled as against
                                                    the curse of depth

N divides by the norm. The control runs nGPT with the scale 1/alpha, in the place of alpha, and lays the same rate to
it: the logarithm is 1/alpha^2 times as large.

Measured with eight tokens on S^2 within a hundredth of one another, beta = 2, until t = 2: -log of the ratio of the
variances of theta, divided by what is predicted, as dt tends to zero.
"""

import functools
import math
from collections.abc import Callable

import numpy as np

import attnflow as af

TIME, ALPHA, SPREAD = 2.0, 0.5, 1e-2
STEPS = (8, 11, 16, 23, 32, 45, 64, 90)
PREDICTED = {
    "post": 2 * TIME,
    "pre": 2 * math.log(1 + TIME),
    "peri": 2 * math.log(1 + TIME),
    "ngpt": 2 * ALPHA * TIME,
    "depth": 4 * (math.sqrt(1 + TIME) - 1),
}
NAMES = {"post": "Post", "pre": "Pre", "peri": "Peri", "ngpt": "nGPT", "depth": "depth-scaled"}


@functools.cache
def tokens() -> np.ndarray:
    """Return tokens (8, 3) around one direction."""
    rng = np.random.default_rng(5)
    return normalized(np.array([0.6, 0.0, 0.8]) + SPREAD * rng.normal(size=(8, 3)))


@functools.cache
def flows() -> tuple[af.TokenFlow, af.TokenFlow]:
    """Return tokens on S^2, and the same attention in space, whose velocity is A x itself."""
    attention = af.Attention(af.DotProduct(), bandwidth=0.5)
    return af.TokenFlow(attention, manifold=af.Sphere(2)), af.TokenFlow(attention)


def normalized(points: np.ndarray) -> np.ndarray:
    """Return N x."""
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def repeated(layer: Callable[[np.ndarray, float], np.ndarray], steps: int) -> np.ndarray:
    """Return the directions after all layers; a layer takes x and t."""
    points = tokens()
    for n in range(steps):
        points = layer(points, n * TIME / steps)
    return normalized(points)


def moved(scheme: str, steps: int) -> np.ndarray:
    """Return the directions (8, 3) after the time."""
    on_sphere, in_space = flows()
    dt, output = TIME / steps, in_space.velocity
    if scheme in ("post", "pre"):
        kind = af.LayerNormStep if scheme == "post" else af.PreNormStep
        return normalized(on_sphere.evolve(tokens(), TIME, integrator=kind(dt)).points[0])
    if scheme == "peri":
        return repeated(lambda x, t: x + dt * normalized(output(normalized(x))), steps)
    if scheme == "depth":
        return repeated(lambda x, t: normalized(x + dt / math.sqrt(1 + t) * output(x)), steps)
    scale = ALPHA if scheme == "ngpt" else 1 / ALPHA
    return repeated(lambda x, t: normalized(x + dt * scale * normalized(output(x))), steps)


def variance(points: np.ndarray) -> float:
    """Return the mean squared distance from the mean."""
    return float(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean())


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return the logarithms of how the variance has fallen, divided by what is predicted."""
    steps = round(TIME / case["dt"])
    return {
        scheme: -math.log(variance(moved(scheme, steps)) / variance(tokens())) / PREDICTED[scheme.split("_")[0]]
        for scheme in (*PREDICTED, "ngpt_inverse")
    }


def claim_of(scheme: str) -> af.Claim:
    """Return the claim about one scheme."""
    rates = {
        "post": "e^{-2t}", "pre": "(1 + t)^{-2}", "peri": "(1 + t)^{-2}", "ngpt": r"e^{-2 \int \alpha}",
        "depth": r"e^{-4 (\sqrt{1 + t} - 1)}",
    }  # fmt: skip
    return af.Claim(
        id=f"norm-schemes/{scheme}", source="Ka",
        statement=rf"under {NAMES[scheme]} normalisation the variance of close tokens falls like ${rates[scheme]}$",
        kind="constant", quantity=scheme, size="dt", predicted=1.0,
        hypotheses=r"eight tokens on $S^2$ near consensus, $V = I$, $\beta = 2$, $t = 2$; logarithms are compared",
        measures=("tokens",),
    )  # fmt: skip


ngpt = claim_of("ngpt")
study = af.Study(
    name="norm_schemes",
    measure=measure,
    ladder=[{"dt": TIME / steps} for steps in STEPS],
    quick=8,
    claims=af.covered(
        [
            *(claim_of(scheme) for scheme in PREDICTED if scheme != "ngpt"),
            ngpt,
            ngpt.control(
                statement=(
                    r"under nGPT normalisation with the scale $1/\alpha$ the variance falls like $e^{-2 \int \alpha}$"
                ),
                quantity="ngpt_inverse",
                truth=1 / ALPHA**2,
            ),
        ],
        by="norm-schemes-control/ngpt",
    ),
    labels={
        **{scheme: f"{NAMES[scheme]} normalisation: logarithm of the variance, over its rate" for scheme in PREDICTED},
        "ngpt_inverse": r"nGPT normalisation with $1/\alpha$: logarithm of the variance, over that rate",
    },
)
