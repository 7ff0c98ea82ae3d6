"""At which power does the free energy of noisy tokens begin, and with which coefficient?

N tokens dx = P int e^{beta <x, y>} y mu(dy) dt + sqrt(2 kappa) dB on the circle go down a gradient with noise. Their
law at rest and, by it, that of their order R = |mean x| are to leading order

    exp( (N / 2 kappa) sum_l a_l |Z_l|^2 ),   Z_l the mean of e^{i l theta},   a_l = 2 I_l(beta) / beta,
    exp( -N Phi(r) ) r dr,   Phi(r) = min { int mu log mu - sum_l a_l m_l^2 / (2 kappa) : m_1 = r },

over densities mu (of the uniform law) that are even in theta, m_l = int cos(l theta) mu. With mu = 1 + 2 sum_l m_l cos
l theta and q_l = a_l / a_1 it is at kappa# = a_1 / 2

    Phi = (1 - q_2) m_2^2 + (1 - q_3) m_3^2 - r^2 m_2 - 2 r m_2 m_3 + r^4 / 2 + (2/3) r^3 m_3 + 2 r^2 m_2^2
          - 2 r^4 m_2 + (2/3) r^6 + ...,

least where m_2 = r^2 / (2 - 2 q_2), m_3 = r (m_2 - r^2 / 3) / (1 - q_3) to leading order:

    Phi = c_4 r^4 + ...,   c_4 = (1 - 2 q_2) / (4 - 4 q_2),   beta < beta*,
          c_6 r^6 + ...,   c_6 = (2/3)(1 - beta* / 3),        beta = beta*, q_2 = 1/2 and q_3 = 1 - 2 / beta*.

Measured: dPhi/dr over 4 c_4 r^3 at beta = 1 and over 6 c_6 r^5 at beta*, with mu ~ e^{c cos theta + sum_{l > 1} (a_l /
kappa) m_l cos l theta} found by iteration: dPhi/dr = c - 2 r. A formula is held against another. The control leaves out
the forces of the waves 2, 3, ...: then c_4 = 1/4.
"""

from typing import Any

import jax
import numpy as np
import ordered_branch
from noisy_order import beta_of

import attnflow as af

BELOW, CRITICAL = 1.0, beta_of(1, 0.5)
SEXTIC = 2 / 3 * (1 - CRITICAL / 3)
ANGLES = 2 * np.pi * np.arange(256) / 256
WAVES = np.cos(np.outer(np.arange(1, 25), ANGLES))
AT_REST = 1e-14


def quartic(beta: float) -> float:
    """Return c_4."""
    first, second = ordered_branch.coefficients(1, beta)[:2]
    q = float(second / first)
    return (1 - 2 * q) / (4 - 4 * q)


def slope(beta: float, size: float, *, higher: bool = True) -> float:
    """Return dPhi/dr at kappa#, with or without the forces of the waves 2, 3, ....

    mu ~ e^{c cos theta + sum_{l > 1} (a_l / kappa) m_l cos l theta} has the least free energy, and the slope c - 2 r.
    """
    strengths = 2 * ordered_branch.coefficients(1, beta)[1 : len(WAVES)] / ordered_branch.coefficients(1, beta)[0]
    multiplier, moments = 2 * size, np.zeros(len(WAVES) - 1)
    for _ in range(400):
        weights = np.exp(multiplier * WAVES[0] + higher * (strengths * moments) @ WAVES[1:])
        means = WAVES @ weights / weights.sum()
        spread = WAVES[0] ** 2 @ weights / weights.sum() - means[0] ** 2
        change = (size - means[0]) / spread
        moved = max(abs(change), np.abs(means[1:] - moments).max())
        multiplier, moments = multiplier + change, means[1:]
        if moved < AT_REST:
            break
    return float(multiplier - 2 * size)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return slopes of the free energy over their leading terms."""
    r = case["order"]
    quartic_slope = 4 * quartic(BELOW) * r**3
    return {
        "quartic": slope(BELOW, r) / quartic_slope,
        "sextic": slope(CRITICAL, r) / (6 * SEXTIC * r**5),
        "alone": slope(BELOW, r, higher=False) / quartic_slope,
    }


common: dict[str, Any] = dict(
    kind="constant", source="derived", size="order", predicted=1.0, margin=0.01, correction_power=2, measures=(),
    hypotheses=r"circle, $V = I$, kernel $e^{\beta\langle x, y\rangle}$, rows not divided, $\kappa = \kappa^\#$",
)  # fmt: skip
quartic_term = af.Claim(
    id="noisy-landau/quartic", quantity="quartic", **common,
    statement=r"at $\beta = 1$ the free energy of many tokens is $(1 - 2q_2)/(4 - 4q_2)\, r^4$",
)  # fmt: skip
study = af.Study(
    name="noisy_landau",
    measure=measure,
    ladder=[{"order": 0.2 * 2 ** (-k / 2)} for k in range(8)],
    quick=8,
    claims=af.covered([
        quartic_term,
        quartic_term.control(
            statement="so it is without the forces of higher waves", quantity="alone",
            truth=0.25 / quartic(BELOW), truth_margin=0.02,
        ),
        af.Claim(
            id="noisy-landau/sextic", quantity="sextic", **common,
            statement=r"at $\beta^*$ it is $(2/3)(1 - \beta^*/3)\, r^6$",
        ),
    ], by="noisy-landau-control/quartic"),
    labels={
        "quartic": r"free energy over $c_4 r^4$, by slopes",
        "sextic": r"free energy over $c_6 r^6$, by slopes",
        "alone": r"free energy over $c_4 r^4$, by the first wave alone",
    },
)  # fmt: skip
