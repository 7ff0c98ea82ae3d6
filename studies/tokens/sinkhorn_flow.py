"""Which diffusion do tokens follow whose attention is doubly stochastic, or not normalised at all?

Infinitely many tokens on the circle move away from what they attend to, V = -I, with the kernel e^{-|x-y|^2 / 2 eps}:

    d_t mu + div(mu P V A_mu id) = 0.

With Sinkhorn's weights the attended mean is x + eps/2 grad log mu, half as far as with softmax, so that with s = eps t

    d_s mu = 1/2 Lap mu + O(eps)                                                                      [Sk].

Without a division of rows, A f = int k f mu, the tangent part of A id is (2 pi eps)^{1/2} eps grad mu, and with
s = (2 pi eps)^{1/2} eps t

    d_s mu = div(mu grad mu) + O(eps) = 1/2 Lap mu^2 + O(eps),

the porous medium equation. With Sinkhorn's weights the centre of mass of any tokens, however few, moves by m' = V m, as
if they did not attend to one another: columns sum to one, so that sum_i w_i (A x)_i = sum_j w_j x_j. Softmax lets it
drift.

Measured from mu_0 ~ exp(.8 cos t + .4 sin 2t) at s = .3 and s = 2: the root mean square difference from both
equations at 64 places, over the largest density; the second one is solved here with 64 waves. The controls compare with
what softmax tends to, heat at twice the speed, and with heat at the speed 1/2 pi of the porous medium near uniform
densities: in truth the exponent is zero. The centre of mass: how far after one unit of time that of 12 tokens in the
plane with masses is from e^-1 times where it was, V = -I, eps = .4; for softmax it is known from the equations written
here in a few lines.
"""

import functools
from typing import Any

import numpy as np
from scipy.integrate import solve_ivp

import attnflow as af

HEAT_TIME, POROUS_TIME = 0.3, 2.0  # s
COUNT = 64
ANGLES = 2 * np.pi * np.arange(COUNT) / COUNT
AT = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
WAVES = np.fft.rfftfreq(COUNT, 1 / COUNT)
FIRST, TOKEN_BANDWIDTH = 0.1, 0.4


@functools.cache
def density() -> af.LogDensity:
    """Return mu_0."""
    return af.LogDensity(af.Circle(), lambda x: 0.8 * x[0] + 0.8 * x[0] * x[1])


@functools.cache
def start() -> np.ndarray:
    """Return mu_0 at the places."""
    values = np.exp(0.8 * np.cos(ANGLES) + 0.4 * np.sin(2 * ANGLES))
    return values / (values.sum() * 2 * np.pi / COUNT)


@functools.cache
def heat(speed: float, s: float) -> np.ndarray:
    """Return e^{speed s Lap} mu_0 at the places."""
    return np.fft.irfft(np.exp(-speed * s * WAVES**2) * np.fft.rfft(start()), COUNT)


@functools.cache
def porous() -> np.ndarray:
    """Return the solution of d_s mu = 1/2 Lap mu^2 at the places."""

    def rate(_: float, values: np.ndarray) -> np.ndarray:
        return np.fft.irfft(-0.5 * WAVES**2 * np.fft.rfft(values**2), COUNT)

    return solve_ivp(rate, (0, POROUS_TIME), start(), "DOP853", rtol=1e-9, atol=1e-9).y[:, -1]


@functools.cache
def tokens() -> af.DiscreteMeasure:
    """Return tokens of the plane with masses."""
    generator = np.random.default_rng(7)
    return af.DiscreteMeasure(generator.standard_normal((12, 2)), generator.uniform(0.5, 2.0, 12))


def drift(normalization: str) -> tuple[float, float]:
    """Return how far the centre of mass of the tokens is from where V takes it, and what that may be off by."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=TOKEN_BANDWIDTH, normalization=normalization)
    flow = af.TokenFlow(attention, value=-1.0, rtol=1e-12)
    found = flow.evolve(tokens(), times=[0.0, 1.0], integrator=af.Adaptive(rtol=1e-10))
    centres = np.einsum("tni,n->ti", found.points, tokens().masses / tokens().mass)
    return float(np.linalg.norm(centres[1] - np.exp(-1) * centres[0])), found.solver_error


@functools.cache
def expected_drift() -> float:
    """Return how far that is with softmax, by the equations of the tokens."""
    points, masses = tokens()

    def rate(_: float, flat: np.ndarray) -> np.ndarray:
        x = flat.reshape(points.shape)
        kernel = masses * np.exp(-((x[:, None] - x) ** 2).sum(axis=2) / (2 * TOKEN_BANDWIDTH))
        return -(kernel @ x / kernel.sum(axis=1, keepdims=True)).ravel()

    end = solve_ivp(rate, (0, 1), points.ravel(), "DOP853", rtol=1e-11, atol=1e-11).y[:, -1].reshape(points.shape)
    return float(np.linalg.norm(masses @ (end - np.exp(-1) * points)) / masses.sum())


def distance(flow: af.Trajectory, other: np.ndarray) -> float:
    """Return the root mean square difference, over the largest density."""
    return float(np.sqrt(np.mean((flow.values[0] - other) ** 2)) / start().max())


@af.per_seed
def measure(case: dict, key: Any) -> dict[str, float]:
    """Return distances from diffusions, and at the first bandwidth how far centres of mass move."""
    eps = case["bandwidth"]
    sinkhorn, undivided = (
        af.MeanFieldFlow(
            af.Attention(af.SquaredDistance(), bandwidth=eps, normalization=name), density(), value=-1.0, rtol=1e-5
        ).evolve(times=time, at=AT)
        for name, time in (
            ("sinkhorn", HEAT_TIME / eps),
            ("unnormalized", POROUS_TIME / (eps * np.sqrt(2 * np.pi * eps))),
        )
    )
    row = {
        "heat": distance(sinkhorn, heat(0.5, HEAT_TIME)),
        "heat.softmax": distance(sinkhorn, heat(1.0, HEAT_TIME)),
        "porous": distance(undivided, porous()),
        "porous.linear": distance(undivided, heat(1 / (2 * np.pi), POROUS_TIME)),
    }
    row["solver_error"] = max(sinkhorn.solver_error, undivided.solver_error) / start().max()
    if eps == FIRST:
        for name in ("sinkhorn", "softmax"):
            row[f"{name}.drift"], row[f"{name}.drift.solver_error"] = drift(name)
    return row


CIRCLE = r"circle, $V = -I$, $k = e^{-|x-y|^2/2\varepsilon}$, $\mu_0 > 0$ smooth; infinitely many tokens"
common: dict[str, Any] = dict(source="Sk", size="bandwidth")
heats = af.Claim(
    id="Sk-flow/heat", kind="exponent", quantity="heat", predicted=1.0,
    statement=r"with Sinkhorn's weights the distance of $\mu$ from $\partial_s\mu = \frac{1}{2}\Delta\mu$, "
    r"$s = \varepsilon t$, is of order $\varepsilon$",
    hypotheses=CIRCLE, measures=("mean_field",), **common,
)  # fmt: skip
medium = af.Claim(
    id="Sk-flow/porous", kind="exponent", quantity="porous", predicted=1.0,
    statement=r"without division of rows the distance of $\mu$ from $\partial_s\mu = \frac{1}{2}\Delta\mu^2$, "
    r"$s = \varepsilon\sqrt{2\pi\varepsilon}\,t$, is of order $\varepsilon$",
    hypotheses=CIRCLE, measures=("mean_field",), **common,
)  # fmt: skip
centre = af.Claim(
    id="Sk-flow/centre", kind="identity", quantity="sinkhorn.drift", predicted=0.0, margin=1e-9,
    statement=r"with Sinkhorn's weights the centre of mass of tokens moves by $m' = V m$",
    hypotheses="12 tokens of the plane with masses, $V = -I$", measures=("tokens",), **common,
)  # fmt: skip
study = af.Study(
    name="sinkhorn_flow",
    measure=measure,
    ladder=[{"bandwidth": FIRST * 2 ** (-k / 2)} for k in range(9)],
    quick=8,
    claims=[
        heats,
        heats.control(
            statement=r"so is the distance from what softmax tends to, $\partial_s\mu = \Delta\mu$",
            quantity="heat.softmax",
            truth=0.0,
        ),
        medium,
        medium.control(
            statement=r"so is the distance from heat at the speed of nearly uniform densities, $1/2\pi$",
            quantity="porous.linear",
            truth=0.0,
        ),
        centre,
        centre.control(
            statement=r"with softmax the centre of mass of tokens moves by $m' = V m$",
            quantity="softmax.drift",
            truth=expected_drift(),
            truth_margin=1e-7,
        ),
    ],
    labels={
        "heat": r"distance from $\partial_s\mu = \frac{1}{2}\Delta\mu$",
        "heat.softmax": r"distance from $\partial_s\mu = \Delta\mu$",
        "porous": r"distance from $\partial_s\mu = \frac{1}{2}\Delta\mu^2$",
        "porous.linear": "distance from heat",
        "sinkhorn.drift": "way of the centre of mass, less its prediction, Sinkhorn",
        "softmax.drift": "way of the centre of mass, less its prediction, softmax",
    },
)
