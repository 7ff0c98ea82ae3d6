"""How does the noise of many layers depend on the bandwidth, and which bandwidth is best?

On flat tori with the uniform density the noise of n = t/eps layers with frozen points and the slow-down of the waves
are, to leading order in 1/N, sums over wave vectors q (see the study `depth_noise`). Here they are judged without
randomness, as eps -> 0, for f = e^{i x_1}. Where |q| is large, kappa(q) = e^{-eps |q|^2 / 2} and sums become integrals:

    N E |A_N^n f - A^n f|^2  ->  sum_q [2 q_1 (e^{-t |q+l|^2 / 2} - e^{-t/2}) / (|q+l|^2 - 1)]^2            m = 1,
                              ~  2 pi e^{-t} log(1/eps)                                                    m = 2,
                              ~  (2 pi)^{3/2} e^{-t} [zeta(3/2) - zeta(5/2)] eps^{-1/2} + R                 m = 3,

where l = e_1, the quotient is -t e^{-t/2} for |q+l| = 1, and the rest R is what the sum of the squared quotients, which
grows like 4 q_1^2 / |q|^4, has beyond the integral:

    e^t R = sum_{q != 0} [quotient^2 e^t - 4 q_1^2 / |q|^4] + 4/3 sum_{q != 0} 1/|q|^2,    R = 3.047 at t = 1/2,

the last one regularised, Epstein's zeta function of Z^3 at one [Epstein1903], -8.913633. In general the order is
eps^{1 - m/2} for m >= 3, with zeta(m/2) - zeta(1 + m/2). The noise of a layer is of order eps^{1/2 - m/4}, but what
is smooth in it returns in every layer, and up to m = 2 that dominates. An eigenvalue of the generator goes down by

    the factor 1 - c / nb,    c = 2 zeta(1 + m/2) - 1,    nb = N p (2 pi eps)^{m/2},

since with kappa = e^{-u^2/2} the two terms integrate to -1 and 2 int u^2 kappa / (1 - kappa) / int u^2 kappa. One of c
is due to the self-weights 1/nb; without them c = 2 zeta(1 + m/2) - 2.

Bias, slow-down and noise together are the error of N points, to leading order each. Its smallest value over eps is

    of order N^{-1/2} at eps ~ N^{-2/3},    N^{-1/2} (log N)^{1/2} at N^{-1/2},    N^{-2/(m+2)} at N^{-2/(m+2)}

for m = 1, 2, >= 3 (depth-best): far better than the generator alone can be known, N^{-2/(m+6)} (see the study
`generator_schedule`). For m = 1 the noise tends to its limit from below like eps^{1/2} / N, which a smaller eps spoils
before the bias of order eps is as small as N^{-1/2}.

The controls take new points for every layer, leave kappa(l) kappa(q) out of the response of a layer, take of the
slow-down the part of one layer alone, and for the best error its bandwidth, the order of one layer, and the circle. In
truth the noise of new points is, over
the size above, 0 for m = 1 and 2 and for m = 3, where its sum over layers is one over powers of e^{-u^2},

    2^{-m/2} zeta(1 + m/2) / 2 [zeta(m/2) - zeta(1 + m/2)];

the noise that is not centred grows like n, the part of one layer has c = -2^{-1 - m/2} (kappa times what is smooth in
the response of a layer, eps u_1^2 kappa / 2, over eps/2), and the best errors have the orders above.
"""

import functools
from fractions import Fraction
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import ive, zeta

import attnflow as af

TIME = 0.5
SMALLEST_SYMBOL = 1e-7
LAST_POWER = {1: 19, 2: 14, 3: 8}  # of 2: most layers of the search for the best bandwidth
# Of the next term in eps. Sums differ from integrals by eps^(m/2), for m = 2 times log(1/eps); kappa differs from a
# Gaussian by eps. For m = 3 the noise has its term in eps^(1/2), relative to the leading one, in the prediction.
NOISE_CORRECTION = {1: 0.5, 2: 1.0, 3: 1.0}
SLOW_DOWN_CORRECTION = {1: 0.5, 2: 1.0, 3: 1.0}
EPSTEIN = -8.913632917585  # sum' 1/|q|^2 over Z^3, regularised
BEST_ORDERS = {  # in N, of the best error and its bandwidth; and the power of the next term in 1/N
    1: (Fraction(-1, 2), Fraction(-2, 3), Fraction(1, 3)),
    2: (Fraction(-1, 2), Fraction(-1, 2), Fraction(1, 2)),
    3: (Fraction(-2, 5), Fraction(-2, 5), Fraction(2, 5)),
}
NOISE_OF_NEW_POINTS = {1: 0.0, 2: 0.0, 3: float(2**-2.5 * zeta(2.5) / (zeta(1.5) - zeta(2.5)))}  # over that of frozen
ROOT_NOISE = r"$N^{1/2}$ times the RMS of $A_N^n f - A^n f$"


class Symbols(NamedTuple):
    """kappa(q), kappa(q + e_1) and |q + e_1|^2 - 1 for q_1 of both signs, q_2, ... >= 0; how many q each stands for."""

    at_q: np.ndarray
    at_sum: np.ndarray
    excess: np.ndarray
    copies: np.ndarray
    at_wave: float


def symbols(m: int, bandwidth: float) -> Symbols:
    """Return the symbols of every wave vector where they are not negligible."""
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
    """Return sum_{k < n} a^{n-1-k} b^k."""
    return np.where(equal, n * b ** (n - 1), (a**n - b**n) / np.where(equal, 1, a - b))


@functools.cache
def noise(m: int, n: int) -> dict[str, float]:
    """Return N E |A_N^n f - A^n f|^2 at t = n eps: as it is, with new points in every layer, and not centred."""
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
    """Return c of the factor 1 - c / nb by which an eigenvalue of the generator goes down, at this bandwidth."""
    s = symbols(m, bandwidth)
    one_layer, other = s.at_sum - s.at_wave * s.at_q, s.excess != 0
    repeated = np.zeros_like(s.at_q)
    repeated[other] = (s.at_wave - s.at_sum * s.at_q)[other] / (s.at_wave - s.at_sum)[other]
    terms = s.copies * one_layer * (repeated - s.at_q)
    terms[s.at_q == 1] = 0
    return float(np.sum(terms) / (1 - s.at_wave) * (bandwidth / (2 * np.pi)) ** (m / 2))


def slow_down_of_one_layer(m: int, bandwidth: float) -> float:
    """Return the part of c that one layer has on the average."""
    s = symbols(m, bandwidth)
    terms = s.copies * s.at_q * (s.at_wave * s.at_q - s.at_sum)
    terms[s.at_q == 1] = 0
    return float(np.sum(terms) / (1 - s.at_wave) * (bandwidth / (2 * np.pi)) ** (m / 2))


@functools.cache
def circle_limit() -> float:
    """Return the limit of the noise for m = 1: q_1 / (|q+1|^2 - 1) = 1 / (q + 2), with the tail of 4 e^{-t} / q^2."""
    q = np.arange(-100_000, 100_001)
    shift = np.where(q == -2, 1, q + 2)
    c = 2 * (np.exp(-TIME * (q + 1.0) ** 2 / 2) - np.exp(-TIME / 2)) / shift
    c[q == -2] = 2 * TIME * np.exp(-TIME / 2)
    return float(np.sum(c[q != 0] ** 2) + 8 * np.exp(-TIME) / 100_000)


@functools.cache
def lattice_rest() -> float:
    """Return R of the noise for m = 3: the sum over a ball of radius 80, with the tail of 48/5 e^{-t} / |q|^4."""
    radius = 80
    first, other = np.arange(-radius, radius + 1)[:, None, None], np.arange(radius + 1)
    squares = first**2 + other[:, None] ** 2 + other**2
    copies = np.where(other[:, None] == 0, 1, 2) * np.where(other == 0, 1, 2)
    excess = squares + 2 * first
    quotient = 2 * first * np.expm1(-TIME * excess / 2) / np.where(excess == 0, 1, excess)
    quotient = np.where(excess == 0, -first * TIME, quotient)
    inside = (squares > 0) & (squares <= radius**2)
    terms = np.where(inside, quotient**2 - 4 * first**2 / np.maximum(squares, 1) ** 2, 0)
    return float(np.exp(-TIME) * (np.sum(copies * terms) + 48 / 5 * 4 * np.pi / radius + 4 / 3 * EPSTEIN))


def scaled(m: int, n: int, kind: str) -> float:
    """Return the noise over its predicted size; for m = 2 what a halved bandwidth adds, over what is predicted."""
    value = noise(m, n)[kind]
    if m == 1:
        return value / circle_limit()
    if m == 2:
        return (noise(m, 2 * n)[kind] - value) / (2 * np.pi * np.exp(-TIME) * np.log(2))
    constant = (2 * np.pi) ** (m / 2) * np.exp(-TIME) * (zeta(m / 2) - zeta(1 + m / 2))
    return (value - lattice_rest()) / constant * (TIME / n) ** (m / 2 - 1)


@functools.cache
def error_table(m: int) -> tuple[np.ndarray, CubicSpline]:
    """Return log n, and functions of it: the logarithms of minus the bias of A^n f and of the noise, and c."""
    layers = np.unique(np.round(2 ** np.arange(1, LAST_POWER[m] + 0.25, 0.5)))
    rows = []
    for n in layers.astype(int).tolist():
        bias = symbols(1, TIME / n).at_wave ** n - np.exp(-TIME / 2)
        rows.append([np.log(-bias), np.log(noise(m, n)["noise"]), slow_down(m, TIME / n)])
    return np.log(layers), CubicSpline(np.log(layers), rows)


def best(m: int, n_points: float) -> tuple[float, float]:
    """Return the least root mean square of A_N^n f - e^{tL} f over bandwidths with 8 neighbours, and where it is."""
    log_n, table = error_table(m)
    fine = np.linspace(log_n[0], log_n[-1], 100_001)
    bandwidths = TIME / np.exp(fine)
    log_bias, log_noise, c = table(fine).T
    neighbours = n_points * (bandwidths / (2 * np.pi)) ** (m / 2)
    slower = c / neighbours * TIME / 2 * np.exp(-TIME / 2)
    errors = np.sqrt((slower - np.exp(log_bias)) ** 2 + np.exp(log_noise) / n_points)
    errors[neighbours < 8] = np.inf  # fewer are no matter of leading orders
    at = int(errors.argmin())
    return float(errors[at]), float(bandwidths[at])


def of_layers(m: int, n: int) -> dict[str, float]:
    """Return the root mean square noise, centred and not, the noise over its predicted size, and c."""
    return {
        "noise": np.sqrt(noise(m, n)["noise"]),
        "noise_not_centred": np.sqrt(noise(m, n)["noise_not_centred"]),
        "noise_over_limit": scaled(m, n, "noise"),
        "noise_of_new_points_over_limit": scaled(m, n, "noise_of_new_points"),
        "slow_down_constant": slow_down(m, TIME / n),
        "slow_down_constant_of_one_layer": slow_down_of_one_layer(m, TIME / n),
    }


def of_points(m: int, n_points: float) -> dict[str, float]:
    """Return the best error and its bandwidth; for m = 2 the growth of N times its square over what is predicted."""
    error, bandwidth = best(m, n_points)
    found = {"best_error": error, "best_bandwidth": bandwidth}
    if m == 2:
        further, _ = best(m, 10 * n_points)
        growth = 10 * n_points * further**2 - n_points * error**2
        found["best_growth"] = growth / (np.pi * np.exp(-TIME) * np.log(10))
    return found


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what depends on the number of layers or of points, in one dimension."""
    m = case["dimension"]
    found = of_points(m, case["points"]) if "points" in case else of_layers(m, case["layers"])
    return {f"{quantity}.{m}d": value for quantity, value in found.items()}


TORUS = "flat torus ($m = {m}$), uniform density, $f = e^{{i x_1}}$"
SQUARED_NOISE = r"$N\,\mathrm{E} |A_N^n f - A^n f|^2$ at $t = n\varepsilon$"
NOISE_RATIO = {
    1: SQUARED_NOISE + r" over $\sum_q [2 q_1 (e^{-t |q+l|^2 / 2} - e^{-t/2}) / (|q+l|^2 - 1)]^2$",
    2: rf"what a halved bandwidth adds to {SQUARED_NOISE} over $2\pi e^{{-t}} \log 2$",
    3: SQUARED_NOISE + r", less $R = 3.047$, over $(2\pi)^{3/2} e^{-t} [\zeta(3/2) - \zeta(5/2)] \varepsilon^{-1/2}$",
}


def claims_of_layers(m: int) -> list[af.Claim]:
    """Return what is claimed of noise and slow-down as eps -> 0."""
    common: dict[str, Any] = dict(
        source="derived", size="layers", measures=(),
        hypotheses=TORUS.format(m=m) + ", chordal distance, leading order in $1/N$",
    )  # fmt: skip
    ratio = af.Claim(
        id=f"depth-noise-limit/torus-{m}", statement=f"{NOISE_RATIO[m]} tends to 1",
        kind="constant", quantity=f"noise_over_limit.{m}d", predicted=1.0,
        correction_power=NOISE_CORRECTION[m], **common,
    )  # fmt: skip
    slower = r"$-L e^{i x_1}$ goes down by the factor $1 - c/\mathrm{nb}$"
    constant = af.Claim(
        id=f"slow-down-limit/torus-{m}", statement=rf"{slower} with $c = 2 \zeta(1 + m/2) - 1$",
        kind="constant", quantity=f"slow_down_constant.{m}d", predicted=float(2 * zeta(1 + m / 2) - 1),
        correction_power=SLOW_DOWN_CORRECTION[m], **common,
    )  # fmt: skip
    claims = [
        ratio,
        ratio.control(
            statement=f"with points new in every layer {NOISE_RATIO[m]} tends to 1",
            quantity=f"noise_of_new_points_over_limit.{m}d",
            truth=NOISE_OF_NEW_POINTS[m],
            truth_margin=0.05,
        ),
        constant,
        constant.control(
            statement=rf"{slower} with $c = 2 \zeta(1 + m/2) - 1$, without what repeated layers add",
            quantity=f"slow_down_constant_of_one_layer.{m}d",
            truth=-(2.0 ** (-1 - m / 2)),
        ),
    ]
    if m == 2:  # a logarithm has no exponent
        return claims
    order = {1: Fraction(0), 3: Fraction(1, 4)}[m]
    exponent = af.Claim(
        id=f"depth-noise-limit/torus-{m}/exponent",
        statement=rf"{ROOT_NOISE} at $t = n\varepsilon$ is of order $n^{{{order}}}$",
        kind="exponent", quantity=f"noise.{m}d", predicted=float(order),
        correction_power=NOISE_CORRECTION[m], **common,
    )  # fmt: skip
    control = exponent.control(
        statement=rf"without $\kappa(l) \kappa(q)$ in the response of a layer {ROOT_NOISE} is of order $n^{{{order}}}$",
        quantity=f"noise_not_centred.{m}d",
        truth=1.0,
    )
    return [*claims, exponent, control]


def claims_of_points(m: int) -> list[af.Claim]:
    """Return what is claimed of the best error and of its bandwidth as N grows."""
    error, bandwidth, correction = BEST_ORDERS[m]
    common: dict[str, Any] = dict(
        source="derived", size="points", measures=(), correction_power=float(correction),
        hypotheses=TORUS.format(m=m) + ", $t = 1/2$, leading orders, 8 neighbours",
    )  # fmt: skip
    growth = af.Claim(
        id=f"depth-best/torus-{m}", statement=r"$N$ times the best squared error grows like $\pi e^{-t} \log N$",
        kind="constant", quantity=f"best_growth.{m}d", predicted=1.0, **common,
    )  # fmt: skip
    rate = af.Claim(
        id=f"depth-best/torus-{m}", statement=f"the best error of many layers is of order $N^{{{error}}}$",
        kind="exponent", quantity=f"best_error.{m}d", predicted=float(error), **common,
    )  # fmt: skip
    place = af.Claim(
        id=f"depth-best/torus-{m}/bandwidth",
        statement=rf"the best error of many layers is reached at $\varepsilon$ of order $N^{{{bandwidth}}}$",
        kind="exponent", quantity=f"best_bandwidth.{m}d", predicted=float(bandwidth), **common,
    )  # fmt: skip
    if m == 1:
        control = rate.control(
            statement=rf"the best error of many layers is reached at $\varepsilon$ of order $N^{{{error}}}$",
            quantity=f"best_bandwidth.{m}d", truth=float(bandwidth),
        )  # fmt: skip
    elif m == 2:  # a logarithm has no exponent
        one_layer = Fraction(-2, m + 6)
        control = growth.control(
            statement=f"the best error of many layers is of order $N^{{{one_layer}}}$, as that of one layer",
            kind="exponent", quantity=f"best_error.{m}d", predicted=float(one_layer), truth=float(error),
        )  # fmt: skip
    else:
        control = rate.control(
            statement=f"on the circle the best error of many layers is of order $N^{{{error}}}$",
            quantity="best_error.1d", truth=-0.5, truth_margin=0.04,
        )  # fmt: skip
    return [growth if m == 2 else rate, control, place]


LAYERS = {1: [64 * 2**k for k in range(10)], 2: [64 * 2**k for k in range(8)], 3: [40, 57, 80, 113, 160, 226, 320]}
POINTS = {m: [float(10 ** (first + k / 2)) for k in range(11)] for m, first in ((1, 5), (2, 5), (3, 4))}
LABELS = {
    "noise": ROOT_NOISE,
    "noise_not_centred": f"{ROOT_NOISE}, not centred",
    "noise_over_limit": "squared noise over its limit",
    "noise_of_new_points_over_limit": "squared noise of new points over the limit",
    "slow_down_constant": "constant $c$ of the slow-down",
    "slow_down_constant_of_one_layer": "constant $c$ of one layer",
    "best_error": "best error",
    "best_bandwidth": r"bandwidth $\varepsilon$ of the best error",
    "best_growth": r"growth of $N \times$ best squared error",
}
quick = [
    *({"dimension": m, "layers": n} for m in LAYERS for n in LAYERS[m][:6]),
    *({"dimension": m, "points": n} for m in POINTS for n in POINTS[m]),
]
claims = [claim for m in LAYERS for claim in (*claims_of_layers(m), *claims_of_points(m))]
study = af.Study(
    name="depth_noise_limit",
    measure=measure,
    ladder=[*quick, *({"dimension": m, "layers": n} for m in LAYERS for n in LAYERS[m][6:])],
    quick=quick,
    claims=af.covered(
        claims,
        by={
            "depth-best/torus-1/bandwidth": "depth-best-control/torus-1",
            "depth-best/torus-2/bandwidth": "depth-best-control/torus-2",
            "depth-best/torus-3/bandwidth": "depth-best-control/torus-3",
        },
    ),
    labels={claim.quantity: LABELS[claim.quantity.split(".")[0]] for claim in claims},
)
