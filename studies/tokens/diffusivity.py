"""Which equation do tokens obey that attend to their neighbours alone?

Infinitely many tokens on the unit circle that move by softmax attention with the logit beta <x, y>,

    d_t mu + div(mu P V A_mu id) = 0,   V = gamma I.

As beta grows the attended mean is x + grad log mu / beta + O(1/beta^2) on the tangent space, so that with s = t / beta

    d_s mu = -gamma Lap mu + O(1/beta):

heat for gamma = -1, heat backwards for gamma = 1 [B]. Heat with half of that diffusivity, as noise of the same speed
would have, is another flow.

Measured from mu_0 ~ exp(cos t + .4 sin 2t) at s = .15 for gamma = -1, and for gamma = 1 from what heat makes of
the same density in s = .05 back to it: the largest difference at 64 places, over the largest density. Distances are of
order 1/beta; the control compares with half of the diffusivity, from which the distance in truth has the exponent zero.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

FORWARD, BACKWARD = 0.15, 0.05  # s
ANGLES = 2 * np.pi * np.arange(64) / 64
AT = np.column_stack([np.cos(ANGLES), np.sin(ANGLES)])
WAVES = np.arange(17)  # beyond, those of mu_0 are below 1e-17


def log_weight(x: jax.Array) -> jax.Array:
    """Return log mu_0 up to a constant, cos t + .4 sin 2t."""
    return x[0] + 0.8 * x[0] * x[1]


@functools.cache
def moments() -> np.ndarray:
    """Return the moments int e^{-ikt} mu_0 of the starting density, by 256 equal steps."""
    angles = 2 * np.pi * np.arange(256) / 256
    weights = np.exp(np.cos(angles) + 0.4 * np.sin(2 * angles))
    return np.exp(-1j * np.outer(WAVES, angles)) @ (weights / weights.sum())


def heated(s: float) -> np.ndarray:
    """Return e^{s Lap} mu_0 at the places."""
    return np.real(np.exp(1j * np.outer(ANGLES, WAVES)) @ halved(moments() * np.exp(-s * WAVES**2))) / np.pi


def halved(numbers: np.ndarray) -> np.ndarray:
    """Return the coefficients of a real sum from moments: of the constant one half."""
    return numbers * np.where(WAVES == 0, 0.5, 1.0)


def log_heated(x: jax.Array) -> jax.Array:
    """Return log e^{s Lap} mu_0 at s = .05, up to a constant."""
    waves = halved(moments() * np.exp(-BACKWARD * WAVES**2))
    powers = jnp.cumprod(jnp.concatenate([jnp.ones(1), jnp.full(len(WAVES) - 1, x[0] + 1j * x[1])]))
    return jnp.log(jnp.real(jnp.sum(waves * powers)))


@functools.cache
def density(name: str) -> af.LogDensity:
    """Return the density at the start."""
    return af.LogDensity(af.Circle(), {"forward": log_weight, "backward": log_heated}[name])


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances of the mean field from heat, with its diffusivity and with half of it."""
    beta, row = 1 / case["bandwidth"], {}
    attention = af.Attention(af.DotProduct(), bandwidth=case["bandwidth"])
    for name, sign, s, expected, half in (
        ("forward", -1.0, FORWARD, heated(FORWARD), heated(FORWARD / 2)),
        ("backward", 1.0, BACKWARD, heated(0.0), heated(BACKWARD / 2)),
    ):
        flow = af.MeanFieldFlow(attention, density(name), value=sign, rtol=1e-6)
        found = flow.evolve(times=s * beta, at=AT)
        row[name], row[f"{name}.half"] = (
            np.abs(found.values[0] - other).max() / expected.max() for other in (expected, half)
        )
        row |= {f"{each}.solver_error": found.solver_error / expected.max() for each in (name, f"{name}.half")}
    return row


def claims_of(name: str, *, sign: str, start: str, s: float) -> list[af.Claim]:
    """Return the claim about one sign of the value matrix, and its control."""
    rate = af.Claim(
        id=f"B-heat/{name}", source="B", kind="exponent", quantity=name, size="bandwidth", predicted=1.0,
        statement=rf"with $V = {sign}I$ and $s = t/\beta$ the distance of $\mu$ from $\partial_s\mu = "
        rf"{'-' if sign == '' else ''}\Delta\mu$ is of order $1/\beta$",
        hypotheses=rf"circle, softmax, $1/\beta = \varepsilon$, $s = {s}$, {start}; infinitely many tokens",
        measures=("mean_field",),
    )  # fmt: skip
    half = rate.control(
        statement="the distance from the flow with half of the diffusivity is of order " + r"$1/\beta$",
        quantity=f"{name}.half",
        truth=0.0,
    )
    return [rate, half]


study = af.Study(
    name="diffusivity",
    measure=measure,
    ladder=[{"bandwidth": 0.05 * 2 ** (-k / 2)} for k in range(9)],
    quick=8,
    claims=[
        *claims_of("forward", sign="-", start=r"$\mu_0 \sim e^{\cos t + .4 \sin 2t}$", s=FORWARD),
        *claims_of("backward", sign="", start="a density that heat has smoothed before", s=BACKWARD),
    ],
    labels={
        f"{name}{quantity}": label
        for name in ("forward", "backward")
        for quantity, label in {"": "distance from heat", ".half": "distance from heat at half the speed"}.items()
    },
)
