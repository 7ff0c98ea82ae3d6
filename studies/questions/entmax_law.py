"""Which diffusion, and which stationary law, does entmax have where tokens are not spread evenly?

Among N tokens of law p on a curve a row of entmax with alpha = 1 + 1/n reaches as far as R with R^{1 + 2n} ~ 1/(N p(x))
(see the study `entmax`), so its effective bandwidth is larger where tokens are few,

    (A - I) f / eps_eff(x) -> L f = 1/2 f'' + (log p)' f',    eps_eff = R^2 / (2n + 3) ~ (N p)^{-2/(1 + 2n)},

with what is left of the order eps_eff. The generator eps_eff L is reversible with respect to

    p^2 / eps_eff ~ p^{2 + 2/(1 + 2n)}:    p^{8/3}, p^{12/5}, p^{16/7} for sparsemax, 1.5- and 4/3-entmax,

where softmax has p^2: tokens weigh more where they are many.

Measured on the circle, p ~ exp(.5 cos t + .3 sin 2t), at eps = 1/2, N tokens being a quadrature of p of the mass N: the
root mean square over 32 queries of (A f - f)/eps_eff - L f for f = sin t + cos(t)/2 (entmax-generator), and half the
total variation between the stationary law of A, that of a matrix, and p to that power (entmax-stationary). Two rules,
the second of 3/2 as many nodes, tell the error of the quadrature. The controls take the mean of eps_eff for all
queries, and p^2: in truth their distances have the exponent zero.
"""

import functools
from math import factorial, gamma
from typing import Any

import jax
import numpy as np

import attnflow as af

BANDWIDTH = 0.5
KINDS = {"sparsemax": 1, "three_halves": 2, "four_thirds": 3}  # n
NODES = {1: 100_000, 2: 6000, 3: 3000}  # what is left after the threshold's kink falls like (h/R)^{n+1}/R
STATIONARY = {"three_halves": 2, "four_thirds": 3}  # of which the nodes of a matrix are enough
NODES_OF_MATRIX = 600
MARGIN = 0.15  # of the controls, whose distances still have eps_eff in them
ANGLES = 2 * np.pi * (np.arange(32) + 0.3) / 32


def log_weight(t: np.ndarray) -> np.ndarray:
    """Return log p up to a constant."""
    return 0.5 * np.cos(t) + 0.3 * np.sin(2 * t)


@functools.cache
def mass() -> float:
    """Return int exp(log_weight)."""
    return float(2 * np.pi * np.mean(np.exp(log_weight(2 * np.pi * np.arange(256) / 256))))


def on_circle(t: np.ndarray) -> np.ndarray:
    """Return the points (N, 2) at angles (N,)."""
    return np.column_stack([np.cos(t), np.sin(t)])


def effective(n: int, tokens: int, t: np.ndarray) -> np.ndarray:
    """Return eps_eff at angles."""
    constant = np.pi**0.5 * factorial(n) / gamma(n + 1.5)
    density = tokens * np.exp(log_weight(t)) / mass()
    return ((2 * BANDWIDTH * n) ** n / (density * constant)) ** (2 / (1 + 2 * n)) / (2 * n + 3)


def test_function(t: np.ndarray) -> np.ndarray:
    """Return f."""
    return np.sin(t) + np.cos(t) / 2


def limit(t: np.ndarray) -> np.ndarray:
    """Return L f."""
    drift = -0.5 * np.sin(t) + 0.6 * np.cos(2 * t)
    return -test_function(t) / 2 + drift * (np.cos(t) - np.sin(t) / 2)


def life_of(n: int, tokens: int, nodes: int) -> tuple[af.EmpiricalAttention, np.ndarray]:
    """Return the attention over a quadrature of p, and the angles of its nodes."""
    t = 2 * np.pi * (np.arange(nodes) + 0.5) / nodes
    weights = np.exp(log_weight(t))
    attention = af.Attention(af.SquaredDistance(), bandwidth=BANDWIDTH, normalization=af.Entmax(1 + 1 / n))
    measure = af.DiscreteMeasure(on_circle(t), tokens * weights / weights.sum())
    return af.EmpiricalAttention(attention, measure, method="dense"), t


def generator(n: int, tokens: int, nodes: int) -> dict[str, float]:
    """Return the distances of the generator of one layer from its limit, and from that with one eps_eff for all."""
    life, t = life_of(n, tokens, nodes)
    moved = life.layer(test_function(t), at=on_circle(ANGLES)) - test_function(ANGLES)
    speeds = {"generator": effective(n, tokens, ANGLES), "one_speed": effective(n, tokens, ANGLES).mean()}
    return {name: float(np.sqrt(np.mean((moved / s - limit(ANGLES)) ** 2))) for name, s in speeds.items()}


def stationary(n: int, tokens: int, nodes: int) -> dict[str, float]:
    """Return half the total variation between the stationary law and p^{2 + 2/(1 + 2n)}, and p^2."""
    life, t = life_of(n, tokens, nodes)
    rows = np.asarray(life.layer(np.eye(nodes)))
    system = rows.T - np.eye(nodes)
    system[0] = 1.0  # one equation follows from the others; in its place the mass
    found = np.linalg.solve(system, np.eye(nodes)[0])
    known = {}
    for name, power in {"stationary": 2 + 2 / (1 + 2 * n), "squared": 2.0}.items():
        law = np.exp(power * log_weight(t))
        known[name] = float(np.abs(found - law / law.sum()).sum() / 2)
    return known


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the distances for every kind of entmax, each with what a finer rule changes in it."""
    row: dict[str, float] = {}
    for what, kinds, size in (
        (generator, KINDS, NODES),
        (stationary, STATIONARY, dict.fromkeys((2, 3), NODES_OF_MATRIX)),
    ):
        for name, n in kinds.items():
            coarse, fine = (what(n, case["tokens"], nodes) for nodes in (size[n], 3 * size[n] // 2))
            row |= {f"{name}.{quantity}": value for quantity, value in fine.items()}
            row |= {
                f"{name}.{quantity}.solver_error": abs(value - coarse[quantity]) for quantity, value in fine.items()
            }
    return row


def claims_of(name: str) -> list[af.Claim]:
    """Return what is claimed of one entmax, with controls."""
    n = KINDS[name]
    rate = -2 / (1 + 2 * n)
    common: dict[str, Any] = dict(
        source="derived", kind="exponent", size="tokens", predicted=rate, measures=("empirical",),
        correction_power=-rate,
        hypotheses=rf"circle, $p > 0$ smooth, quadrature of $p$ of mass $N$, $\alpha = 1 + 1/{n}$",
    )  # fmt: skip
    claim = af.Claim(
        id=f"entmax-generator/{name}",
        statement=r"$(A f - f)/\varepsilon_{eff}(x) - L f$ is of order $\varepsilon_{eff}$, "
        rf"$N^{{-2/{1 + 2 * n}}}$",
        quantity=f"{name}.generator", **common,
    )  # fmt: skip
    found = [
        claim,
        claim.control(
            statement=r"with the mean of $\varepsilon_{eff}$ for all queries it is of that order",
            quantity=f"{name}.one_speed", truth=0.0, truth_margin=MARGIN,
        ),
    ]  # fmt: skip
    if name in STATIONARY:
        law = af.Claim(
            id=f"entmax-stationary/{name}",
            statement=r"the stationary law less $p^{2 + 2/" + rf"{1 + 2 * n}" + r"}$ is of order $\varepsilon_{eff}$, "
            rf"$N^{{-2/{1 + 2 * n}}}$",
            quantity=f"{name}.stationary", **common,
        )  # fmt: skip
        control = law.control(
            statement="the stationary law less $p^2$, that of softmax, is of that order",
            quantity=f"{name}.squared", truth=0.0, truth_margin=MARGIN,
        )  # fmt: skip
        found += [law, control]
    return found


study = af.Study(
    name="entmax_law",
    measure=measure,
    ladder=[{"tokens": round(1024 * 2 ** (k / 2))} for k in range(12)],
    quick=8,
    claims=[claim for name in KINDS for claim in claims_of(name)],
    labels={
        **{f"{name}.generator": r"RMS of $(A f - f)/\varepsilon_{eff} - L f$" for name in KINDS},
        **{f"{name}.one_speed": r"the same with the mean of $\varepsilon_{eff}$" for name in KINDS},
        **{f"{name}.stationary": r"distance from $p^{2 + 2/(1 + 2n)}$" for name in STATIONARY},
        **{f"{name}.squared": "distance from $p^2$" for name in STATIONARY},
    },
)
