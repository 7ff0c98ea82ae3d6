"""Which generator has attention in units that vary, and are self-tuned ones a heat flow?

With the cost D(x, y) = |x - y|^2 / (rho(x) rho(y)) and infinitely many points of law p [BH],

    (A f - f) / eps  ->  rho^2 ( 1/2 Lap f + <grad log p, grad f> + (m+2)/2 <grad log rho, grad f> ),

attention in the metric g / rho^2. With rho = (V p)^{-1/m}, V the volume of M, the points are uniform in that metric,
g~ = (V p)^{2/m} g, and the limit is half its Laplacian, pure heat flow. On the circle, in the arc length s of g~ with
ds = 2 pi p dt, it is half the second derivative.

Measured on the circle, p ~ exp(.7 cos t + .3 sin 2t), f = sin t + cos(3t)/2, at 64 queries, with derivatives by hand:
the root mean square of (A f - f)/eps less the limit for rho = exp(.4 sin t - .2 cos 2t) (`rho`) and self-tuned
(`tuned`), and of A^n f at t = n eps = 1/2, self-tuned, less e^{tL} f, L = 1/2 Lap_g~, by the matrix exponential on 256
waves (`depth`). Bandwidths start from .0025: rho^2 reaches 5, and its derivatives make the next term larger still; at
.01 that is above a tenth of the exponent.

The controls: `rho` without the change of volume, m/2 in the place of (m+2)/2; else attention by |x - y|^2 against the
same heat flow. In truth their distances have the exponent zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import expm

import attnflow as af

TIME = 0.5
ANGLES = 2 * np.pi * np.arange(64) / 64
C, S = np.cos(ANGLES), np.sin(ANGLES)
QUERIES = np.column_stack([C, S])


def log_weight(x: jax.Array) -> jax.Array:
    """Return log p up to a constant."""
    return 0.7 * x[0] + 0.6 * x[0] * x[1]


def rho(x: jax.Array) -> jax.Array:
    """Return exp(.4 sin t - .2 cos 2t)."""
    return jnp.exp(0.4 * x[1] - 0.2 * (x[0] ** 2 - x[1] ** 2))


def test_function(x: jax.Array) -> jax.Array:
    """Return f = sin t + cos(3t)/2."""
    return x[1] + (4 * x[0] ** 3 - 3 * x[0]) / 2


DRIFT = -0.7 * S + 0.6 * np.cos(2 * ANGLES)  # (log p)'
FIRST, SECOND = C - 1.5 * np.sin(3 * ANGLES), -S - 4.5 * np.cos(3 * ANGLES)


@functools.cache
def density() -> af.LogDensity:
    """Return p."""
    return af.LogDensity(af.Circle(), log_weight)


def per_length(points: np.ndarray) -> np.ndarray:
    """Return dt/ds = 1 / 2 pi p at points of the circle."""
    return np.exp(-density().log_densities(points)) / (2 * np.pi)


@functools.cache
def tuned_limit() -> np.ndarray:
    """Return 1/2 d^2 f / ds^2 at the queries."""
    return per_length(QUERIES) ** 2 * (SECOND - DRIFT * FIRST) / 2


def limit_in_units(share: float) -> np.ndarray:
    """Return the limit of rho, with `share` for (m+2)/2."""
    units = np.exp(0.4 * S - 0.2 * np.cos(2 * ANGLES))
    slope = 0.4 * C + 0.4 * np.sin(2 * ANGLES)  # of log rho
    return units**2 * (SECOND / 2 + (DRIFT + share * slope) * FIRST)


@functools.cache
def heat() -> np.ndarray:
    """Return e^{tL} f at the queries, with derivatives of 256 waves."""
    t = 2 * np.pi * np.arange(256) / 256
    waves = np.fft.fftfreq(256, 1 / 256) * (np.arange(256) != 128)
    derivative = np.fft.ifft(1j * waves[:, None] * np.fft.fft(np.eye(256), axis=0), axis=0).real
    slope = per_length(np.column_stack([np.cos(t), np.sin(t)]))[:, None] * derivative
    return (expm(TIME / 2 * slope @ slope) @ (np.sin(t) + np.cos(3 * t) / 2))[::4]


def size(difference: np.ndarray) -> float:
    """Return the root mean square over the queries."""
    return float(np.sqrt(np.mean(difference**2)))


def life(cost: af.PseudoMetric, eps: float) -> af.PopulationAttention:
    """Return attention with infinitely many points."""
    return af.PopulationAttention(af.Attention(cost, bandwidth=eps), density())


def of_one_layer(eps: float) -> dict[str, float]:
    """Return the distances of (A f - f)/eps from the limits."""
    row: dict[str, float] = {}
    for cost, limits in (
        (af.VariableBandwidth(rho), {"rho": limit_in_units(1.5), "rho.volume": limit_in_units(0.5)}),
        (af.SelfTuned(density()), {"tuned": tuned_limit()}),
        (af.SquaredDistance(), {"tuned.plain": tuned_limit()}),
    ):
        flow = life(cost, eps).evolve(test_function, times=[0, eps], at=QUERIES)
        quotient = (flow.values[1] - flow.values[0]) / eps
        for quantity, limit in limits.items():
            row |= {quantity: size(quotient - limit), f"{quantity}.solver_error": flow.solver_error / eps}
    return row


def of_many_layers(layers: int) -> dict[str, float]:
    """Return the distances of many layers from the heat flow."""
    row: dict[str, float] = {}
    for quantity, cost in (("depth", af.SelfTuned(density())), ("depth.plain", af.SquaredDistance())):
        flow = life(cost, TIME / layers).evolve(test_function, times=TIME, at=QUERIES)
        row |= {quantity: size(flow.values[0] - heat()), f"{quantity}.solver_error": flow.solver_error}
    return row


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what one layer or many are apart from their limits."""
    return of_many_layers(case["layers"]) if "layers" in case else of_one_layer(case["bandwidth"])


QUOTIENT = r"$(A f - f) / \varepsilon$"
HEAT = r"$\frac{1}{2} \Delta_h f$, $h = (V p)^2 g$,"
PLAIN = r"\rho^2 (\frac{1}{2} \Delta f + \langle \nabla \log p, \nabla f \rangle + "
TUNED = r"circle, $m = 1$, $D = |x - y|^2 / \rho(x) \rho(y)$, $\rho = (V p)^{-1/m}$, infinitely many points"
units = af.Claim(
    id="BH-rho/circle", source="BH", kind="exponent", quantity="rho", size="bandwidth", predicted=1.0,
    statement=rf"the distance of {QUOTIENT} from ${PLAIN}\frac{{m+2}}{{2}} \langle \nabla \log \rho, \nabla f "
    r"\rangle)$ is of order $\varepsilon$",
    hypotheses=r"circle, $m = 1$, $D = |x - y|^2 / \rho(x) \rho(y)$, $\rho, p > 0$ smooth, infinitely many points",
    measures=("population",),
)  # fmt: skip
tuned = af.Claim(
    id="HEAT/circle", source="BH", kind="exponent", quantity="tuned", size="bandwidth", predicted=1.0,
    statement=f"self-tuned, the distance of {QUOTIENT} from {HEAT} is of order $\\varepsilon$",
    hypotheses=TUNED, measures=("population",),
)  # fmt: skip
depth = af.Claim(
    id="HEAT/depth", source="BH", kind="exponent", quantity="depth", size="layers", predicted=-1.0,
    statement=rf"self-tuned, $A^n f$ at $t = n\varepsilon$ is within order $\varepsilon$ of the heat flow of {HEAT}",
    hypotheses=f"{TUNED}, frozen, $t = 1/2$", measures=("population",),
)  # fmt: skip
study = af.Study(
    name="local_units",
    measure=measure,
    ladder=[{"bandwidth": 0.0025 * 2 ** (-k / 2)} for k in range(8)]
    + [{"layers": n} for n in (40, 56, 80, 112, 160, 224, 320, 448)],
    quick=16,
    claims=[
        units,
        units.control(
            statement=rf"the distance of {QUOTIENT} from ${PLAIN}\frac{{m}}{{2}} \langle \nabla \log \rho, \nabla f "
            r"\rangle)$ is of order $\varepsilon$",
            quantity="rho.volume",
            truth=0.0,
        ),
        tuned,
        tuned.control(
            statement=f"by $|x - y|^2$, the distance of {QUOTIENT} from {HEAT} is of order $\\varepsilon$",
            quantity="tuned.plain",
            truth=0.0,
        ),
        depth,
        depth.control(
            statement=r"by $|x - y|^2$, $A^n f$ at $t = n\varepsilon$ is within order $\varepsilon$ of the heat flow "
            rf"of {HEAT}",
            quantity="depth.plain",
            truth=0.0,
        ),
    ],
    labels={
        "rho": f"RMS distance of {QUOTIENT} from its limit",
        "rho.volume": f"RMS distance of {QUOTIENT} from the limit with $m/2$",
        "tuned": f"RMS distance of {QUOTIENT} from {HEAT} self-tuned",
        "tuned.plain": f"RMS distance of {QUOTIENT} from {HEAT} by $|x - y|^2$",
        "depth": "RMS distance of $A^n f$ from the heat flow, self-tuned",
        "depth.plain": "RMS distance of $A^n f$ from the heat flow, by $|x - y|^2$",
    },
)
