"""Which signs has the equation of noisy tokens?

Tokens dx = P V A_mu x dt + sqrt(2 kappa) dB on the circle have the mean field

    d_t mu + div(mu P V A_mu id) = kappa Lap mu.

About uniform tokens, V = I and the logit beta <x, y>, the wave of k periods then grows at the rate

    k^2 ( I_k(beta) / (beta I_0(beta)) - kappa ):

attention gathers, noise spreads, and high waves fade like e^{-kappa k^2 t}. A survey (arXiv 2512.01868) prints both
signs reversed: there every rate has the other sign, high waves grow like e^{kappa k^2 t}, and no density has a future.

Measured for beta = 3, kappa = .2 with waves of size 1e-4 and both signs, of which half the difference leaves out what
is of second order: the rates of the waves k <= 5 over the formula, the one that is farthest; and how -rate grows with
k from 10 on, where attention adds less than 1e-5 of it. The control holds the same rates against the printed equation,
over whose formula they are in truth -1.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.special import ive

import attnflow as af

BETA, NOISE = 3.0, 0.2  # kappa
SIZE, TIME = 1e-4, 0.01
MODES = (10, 11, 13, 15, 17, 19, 22, 25)
FEW = 5
COUNT = max(MODES)


def log_weight(sizes: jax.Array, x: jax.Array) -> jax.Array:
    """Return log mu_0 up to a constant, sum_k s_k cos kt."""
    waves = [jnp.ones(()), x[0]]
    for _ in range(1, COUNT):
        waves.append(2 * x[0] * waves[-1] - waves[-2])
    return sizes @ jnp.stack(waves[1:])


@functools.cache
def rates() -> tuple[np.ndarray, float]:
    """Return at which rates waves grow, and what they may be off by."""
    rule = af.Circle().quadrature(4 * COUNT)
    attention, before, after, error = af.Attention(af.DotProduct(), bandwidth=1 / BETA), 0.0, 0.0, 0.0
    values = np.cos(np.outer(np.arange(1, COUNT + 1), np.arctan2(rule.points[:, 1], rule.points[:, 0]))) * rule.masses
    for sign in (1.0, -1.0):
        start = af.LogDensity(af.Circle(), jax.tree_util.Partial(log_weight, np.full(COUNT, sign * SIZE)))
        flow = af.MeanFieldFlow(attention, start, rtol=1e-10, diffusivity=NOISE)
        found = flow.evolve(times=[0.0, TIME], at=rule)
        first, last = sign * found.values @ values.T
        before, after, error = before + first, after + last, max(error, found.solver_error)
    return np.log(after / before) / TIME, 2 * np.pi * error / np.abs(after).min() / TIME


def formula() -> np.ndarray:
    """Return the rates of the first waves."""
    k = np.arange(1, FEW + 1)
    return k**2 * (ive(k, BETA) / ive(0, BETA) / BETA - NOISE)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the rates over two formulas, and how a wave fades."""
    found, error = rates()
    fades = -found[case["mode"] - 1]
    row = {"fades": fades, "fades.solver_error": error}
    if case["mode"] == MODES[0]:
        ratios = found[:FEW] / formula()
        row |= {"own": ratios[np.argmax(np.abs(ratios - 1))], "printed": -ratios[np.argmax(np.abs(ratios - 1))]}
        row |= {f"{name}.solver_error": error / np.abs(formula()).min() for name in ("own", "printed")}
    return row


common: dict[str, Any] = dict(
    source="derived", size="mode", measures=("mean_field",),
    hypotheses=r"circle, $V = I$, softmax with the logit $3\langle x, y\rangle$, $\kappa = .2$; infinitely many tokens",
)  # fmt: skip
signs = af.Claim(
    id="fokker-sign/rates", kind="identity", quantity="own", predicted=1.0, margin=1e-3,
    statement=r"waves grow at the rate $k^2 (I_k(\beta)/(\beta I_0(\beta)) - \kappa)$", **common,
)  # fmt: skip
study = af.Study(
    name="fokker_sign",
    measure=measure,
    ladder=[{"mode": mode} for mode in MODES],
    quick=len(MODES),
    claims=af.covered([
        signs,
        signs.control(
            statement=r"they grow at the rate of the printed equation, $k^2 (\kappa - I_k(\beta)/(\beta I_0(\beta)))$",
            quantity="printed",
            truth=-1.0,
            truth_margin=1e-3,
        ),
        af.Claim(
            id="fokker-sign/fading", kind="exponent", quantity="fades", predicted=2.0,
            statement=r"high waves fade at a rate of order $k^2$", **common,
        ),
    ], by="fokker-sign-control/rates"),
    labels={
        "fades": "rate at which a wave fades",
        "own": "rate over its formula",
        "printed": "rate over the printed formula",
    },
)  # fmt: skip
