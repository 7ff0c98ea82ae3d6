"""How does the noise of many layers depend on the bandwidth?

On flat tori with the uniform density the noise of n = t/eps layers with frozen points and the slow-down of the waves
are, to leading order in 1/N, sums over wave vectors q (see the study `depth_noise`). Here they are judged without
randomness, as eps -> 0, for f = e^{i x_1}. Where |q| is large, kappa(q) = e^{-eps |q|^2 / 2} and sums become integrals:

    N E |A_N^n f - A^n f|^2  ->  sum_q [2 q_1 (e^{-t |q+l|^2 / 2} - e^{-t/2}) / (|q+l|^2 - 1)]^2            m = 1,
                              ~  2 pi e^{-t} log(1/eps)                                                    m = 2,
                              ~  (2 pi)^{m/2} e^{-t} [zeta(m/2) - zeta(1 + m/2)] eps^{1 - m/2}              m >= 3

(l = e_1, and the quotient is -t e^{-t/2} where |q+l| = 1): the noise of a layer is of order eps^{1/2 - m/4}, but what
is smooth in it returns in every layer, and up to m = 2 that dominates. An eigenvalue of the generator goes down by

    the factor 1 - c / nb,    c = 2 zeta(1 + m/2) - 1,    nb = N p (2 pi eps)^{m/2},

since with kappa = e^{-u^2/2} the two terms integrate to -1 and 2 int u^2 kappa / (1 - kappa) / int u^2 kappa. One of c
is due to the self-weights 1/nb; without them c = 2 zeta(1 + m/2) - 2.

The controls take new points for every layer, leave kappa(l) kappa(q) out of the response of a layer, and take
c = 1 + 4 / (m 2^{m/2}), an estimate by scaling that counts the noise of one layer once.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from scipy.special import ive, zeta

import attnflow as af

DIMENSIONS = (1, 2, 3)
TIME = 0.5
SMALLEST_SYMBOL = 1e-7
# Of the next term in eps. Sums differ from integrals by eps^(1/2) for m = 1 and eps log(1/eps) for m = 2. For m = 3 the
# noise has both .2 eps^(1/2) and -7 eps, and the second is the larger one down to eps = .001.
NOISE_CORRECTION = {1: 0.5, 2: 1.0, 3: 1.0}
SLOW_DOWN_CORRECTION = {1: 0.5, 2: 1.0, 3: 0.5}


class Symbols(NamedTuple):
    """kappa(q), kappa(q + e_1) and |q + e_1|^2 - 1 for q_1 of both signs, q_2, ... >= 0; how many q each stands for."""

    at_q: np.ndarray
    at_sum: np.ndarray
    excess: np.ndarray
    copies: np.ndarray
    at_wave: float


def symbols(m: int, bandwidth: float) -> Symbols:
    largest = int(np.sqrt(-2 * np.log(SMALLEST_SYMBOL) / bandwidth)) + 1
    first, other = np.arange(-largest, largest + 1), np.arange(largest + 1)

    def kappa(waves: np.ndarray) -> np.ndarray:
        return ive(np.abs(waves), 1 / bandwidth) / ive(0, 1 / bandwidth)

    def over_axes(combine: np.ufunc, along: np.ndarray, across: np.ndarray) -> np.ndarray:
        return functools.reduce(combine.outer, [across] * (m - 1), along)

    return Symbols(
        at_q=over_axes(np.multiply, kappa(first), kappa(other)),
        at_sum=over_axes(np.multiply, kappa(first + 1), kappa(other)),
        excess=over_axes(np.add, (first + 1) ** 2 - 1, other**2),
        copies=over_axes(np.multiply, np.ones(len(first)), np.where(other == 0, 1, 2)),
        at_wave=float(kappa(np.ones(1))[0]),
    )


def powers_sum(a: np.ndarray, b: float, n: int, *, equal: np.ndarray) -> np.ndarray:
    """sum_{k < n} a^{n-1-k} b^k."""
    return np.where(equal, n * b ** (n - 1), (a**n - b**n) / np.where(equal, 1, a - b))


@functools.cache
def noise(m: int, n: int) -> dict[str, float]:
    """N E |A_N^n f - A^n f|^2 at t = n eps: as it is, with new points in every layer, and without the centring."""
    s = symbols(m, TIME / n)
    one_layer, equal = s.at_sum - s.at_wave * s.at_q, s.excess == 0
    frozen = powers_sum(s.at_sum, s.at_wave, n, equal=equal) ** 2
    fresh = powers_sum(s.at_sum**2, s.at_wave**2, n, equal=equal)
    centred, bare = s.copies * one_layer**2, s.copies * s.at_sum**2
    centre = s.at_q == 1  # q = 0: the number of points is not random
    bare[centre] = 0
    return {
        "noise": np.sum(centred * frozen),
        "noise_of_new_points": np.sum(centred * fresh),
        "noise_not_centred": np.sum(bare * frozen),
    }


def slow_down(m: int, bandwidth: float) -> float:
    """c with which an eigenvalue of the generator goes down by the factor 1 - c / nb, at this bandwidth."""
    s = symbols(m, bandwidth)
    one_layer, other = s.at_sum - s.at_wave * s.at_q, s.excess != 0
    repeated = np.zeros_like(s.at_q)
    repeated[other] = (s.at_wave - s.at_sum * s.at_q)[other] / (s.at_wave - s.at_sum)[other]
    terms = s.copies * one_layer * (repeated - s.at_q)
    terms[s.at_q == 1] = 0
    return float(np.sum(terms) / (1 - s.at_wave) * (bandwidth / (2 * np.pi)) ** (m / 2))


@functools.cache
def circle_limit() -> float:
    """The limit of the noise for m = 1: q_1 / (|q+1|^2 - 1) = 1 / (q + 2); the tail of 4 e^{-t} / q^2 is added."""
    q = np.arange(-100_000, 100_001)
    shift = np.where(q == -2, 1, q + 2)
    c = 2 * (np.exp(-TIME * (q + 1.0) ** 2 / 2) - np.exp(-TIME / 2)) / shift
    c[q == -2] = 2 * TIME * np.exp(-TIME / 2)
    return float(np.sum(c[q != 0] ** 2) + 8 * np.exp(-TIME) / 100_000)


def scaled(m: int, n: int, kind: str) -> float:
    """The noise over its predicted size; for m = 2 what a halved bandwidth adds to it, over what is predicted."""
    value = noise(m, n)[kind]
    if m == 1:
        return value / circle_limit()
    if m == 2:
        return (noise(m, 2 * n)[kind] - value) / (2 * np.pi * np.exp(-TIME) * np.log(2))
    constant = (2 * np.pi) ** (m / 2) * np.exp(-TIME) * (zeta(m / 2) - zeta(1 + m / 2))
    return value / constant * (TIME / n) ** (m / 2 - 1)


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    m, n = case["dimension"], case["layers"]
    measured = {
        f"noise.{m}": np.sqrt(noise(m, n)["noise"]),
        f"noise_not_centred.{m}": np.sqrt(noise(m, n)["noise_not_centred"]),
        f"scaled.{m}": scaled(m, n, "noise"),
        f"scaled_of_new_points.{m}": scaled(m, n, "noise_of_new_points"),
        f"slow_down.{m}": slow_down(m, TIME / n),
    }
    return {quantity: np.full(len(keys), value) for quantity, value in measured.items()}


SIZES = {
    1: "sum_q [2 q_1 (e^(-t|q+l|^2/2) - e^(-t/2)) / (|q+l|^2 - 1)]^2",
    2: "2 pi e^(-t) log(1/eps), in what a halved bandwidth adds,",
    3: "(2 pi)^(3/2) e^(-t) [zeta(3/2) - zeta(5/2)] eps^(-1/2)",
}


def claims_in(m: int) -> list[af.Claim]:
    common: dict[str, Any] = dict(
        source="derived", size="layers",
        hypotheses=f"flat torus (m = {m}), uniform density, chordal distance, leading order in 1/N, f = e^(i x_1)",
    )  # fmt: skip
    noise = f"N E |A_N^n f - A^n f|^2 at t = n eps over {SIZES[m]} tends to 1"
    claims = [
        af.Claim(
            id=f"depth-noise-limit/torus-{m}", statement=noise, kind="constant", predicted=1.0,
            quantity=f"scaled.{m}", correction_power=NOISE_CORRECTION[m], **common,
        ),
        af.Claim(
            id=f"depth-noise-limit-control/torus-{m}", statement=f"{noise}, were the points new in every layer",
            kind="constant", predicted=1.0, quantity=f"scaled_of_new_points.{m}",
            correction_power=NOISE_CORRECTION[m], control_of=f"depth-noise-limit/torus-{m}", **common,
        ),
        af.Claim(
            id=f"slow-down-limit/torus-{m}", kind="constant",
            statement="-L e^(i x_1) goes down by the factor 1 - c/nb with c = 2 zeta(1 + m/2) - 1",
            predicted=float(2 * zeta(1 + m / 2) - 1), quantity=f"slow_down.{m}",
            correction_power=SLOW_DOWN_CORRECTION[m], **common,
        ),
        af.Claim(
            id=f"slow-down-limit-control/torus-{m}", kind="constant",
            statement="-L e^(i x_1) goes down by the factor 1 - c/nb with c = 1 + 4 / (m 2^(m/2))",
            predicted=1 + 4 / (m * 2 ** (m / 2)), quantity=f"slow_down.{m}",
            correction_power=SLOW_DOWN_CORRECTION[m], control_of=f"slow-down-limit/torus-{m}", **common,
        ),
    ]  # fmt: skip
    if m == 2:  # a logarithm has no exponent
        return claims
    rate = {1: 0.0, 3: 0.25}[m]
    exponent: dict[str, Any] = dict(kind="exponent", predicted=rate, correction_power=NOISE_CORRECTION[m], **common)
    return [
        *claims,
        af.Claim(
            id=f"depth-noise-limit/torus-{m}/exponent",
            statement=f"N^(1/2) times the root mean square of A_N^n f - A^n f is of order n^{rate:g}",
            quantity=f"noise.{m}",
            **exponent,
        ),
        af.Claim(
            id=f"depth-noise-limit-control/torus-{m}/exponent",
            statement=f"without kappa(l) kappa(q) in the response of a layer it is of order n^{rate:g}",
            quantity=f"noise_not_centred.{m}",
            control_of=f"depth-noise-limit/torus-{m}/exponent",
            **exponent,
        ),
    ]


LAYERS = {1: [64 * 2**k for k in range(10)], 2: [64 * 2**k for k in range(8)], 3: [40, 57, 80, 113, 160, 226, 320]}
quick = [{"dimension": m, "layers": n} for m in DIMENSIONS for n in LAYERS[m][:6]]
study = af.Study(
    name="depth_noise_limit",
    measure=measure,
    ladder=[*quick, *({"dimension": m, "layers": n} for m in DIMENSIONS for n in LAYERS[m][6:])],
    quick=quick,
    claims=[claim for m in DIMENSIONS for claim in claims_in(m)],
)
