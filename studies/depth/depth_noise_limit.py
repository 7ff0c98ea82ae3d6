"""How does the noise of many layers depend on the bandwidth, and which bandwidth is best?

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

Bias, slow-down and noise together are the error of N points, to leading order each. Its smallest value over eps is

    of order N^{-1/2} at eps ~ N^{-2/3},    N^{-1/2} (log N)^{1/2} at N^{-1/2},    N^{-2/(m+2)} at N^{-2/(m+2)}

for m = 1, 2, >= 3 (depth-best): far better than the generator alone can be known, N^{-2/(m+6)} (see the study
`generator_schedule`). For m = 1 the noise tends to its limit from below like eps^{1/2} / N, which a smaller eps spoils
before the bias of order eps is as small as N^{-1/2}.

The controls take new points for every layer, leave kappa(l) kappa(q) out of the response of a layer, take c = 1 +
4 / (m 2^{m/2}), an estimate by scaling that counts the noise of one layer once, and take the best error of one layer.
"""

import functools
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.special import ive, zeta

import attnflow as af

DIMENSIONS = (1, 2, 3)
TIME = 0.5
SMALLEST_SYMBOL = 1e-7
LAST_POWER = {1: 19, 2: 14, 3: 8}  # of 2: most layers of the search for the best bandwidth
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


@functools.cache
def error_table(m: int) -> tuple[np.ndarray, CubicSpline]:
    """log n, and as functions of it the logarithms of minus the bias of A^n f and of the noise, and c."""
    layers = np.unique(np.round(2 ** np.arange(1, LAST_POWER[m] + 0.25, 0.5)))
    rows = []
    for n in layers.astype(int).tolist():
        bias = symbols(1, TIME / n).at_wave ** n - np.exp(-TIME / 2)
        rows.append([np.log(-bias), np.log(noise(m, n)["noise"]), slow_down(m, TIME / n)])
    return np.log(layers), CubicSpline(np.log(layers), rows)


def best(m: int, n_points: float) -> tuple[float, float]:
    """The smallest root mean square of A_N^n f - e^{tL} f over the bandwidths with 8 neighbours, and where it is."""
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


def measure_best(m: int, n_points: float) -> dict[str, float]:
    error, bandwidth = best(m, n_points)
    measured = {f"best_error.{m}d": error, f"best_bandwidth.{m}d": bandwidth}
    if m == 2:
        further, _ = best(m, 10 * n_points)
        growth = 10 * n_points * further**2 - n_points * error**2
        measured["best_growth.2d"] = growth / (np.pi * np.exp(-TIME) * np.log(10))
    return measured


def measure(case: dict, keys: list) -> dict[str, np.ndarray]:
    m = case["dimension"]
    if "points" in case:
        return {name: np.full(len(keys), value) for name, value in measure_best(m, case["points"]).items()}
    n = case["layers"]
    measured = {
        f"noise.{m}d": np.sqrt(noise(m, n)["noise"]),
        f"noise_not_centred.{m}d": np.sqrt(noise(m, n)["noise_not_centred"]),
        f"noise_over_limit.{m}d": scaled(m, n, "noise"),
        f"noise_of_new_points_over_limit.{m}d": scaled(m, n, "noise_of_new_points"),
        f"slow_down_constant.{m}d": slow_down(m, TIME / n),
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
            quantity=f"noise_over_limit.{m}d", correction_power=NOISE_CORRECTION[m], **common,
        ),
        af.Claim(
            id=f"depth-noise-limit-control/torus-{m}", statement=f"{noise}, were the points new in every layer",
            kind="constant", predicted=1.0, quantity=f"noise_of_new_points_over_limit.{m}d",
            correction_power=NOISE_CORRECTION[m], control_of=f"depth-noise-limit/torus-{m}", **common,
        ),
        af.Claim(
            id=f"slow-down-limit/torus-{m}", kind="constant",
            statement="-L e^(i x_1) goes down by the factor 1 - c/nb with c = 2 zeta(1 + m/2) - 1",
            predicted=float(2 * zeta(1 + m / 2) - 1), quantity=f"slow_down_constant.{m}d",
            correction_power=SLOW_DOWN_CORRECTION[m], **common,
        ),
        af.Claim(
            id=f"slow-down-limit-control/torus-{m}", kind="constant",
            statement="-L e^(i x_1) goes down by the factor 1 - c/nb with c = 1 + 4 / (m 2^(m/2))",
            predicted=1 + 4 / (m * 2 ** (m / 2)), quantity=f"slow_down_constant.{m}d",
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
            quantity=f"noise.{m}d",
            **exponent,
        ),
        af.Claim(
            id=f"depth-noise-limit-control/torus-{m}/exponent",
            statement=f"without kappa(l) kappa(q) in the response of a layer it is of order n^{rate:g}",
            quantity=f"noise_not_centred.{m}d",
            control_of=f"depth-noise-limit/torus-{m}/exponent",
            **exponent,
        ),
    ]


def claims_of_best(m: int) -> list[af.Claim]:
    common: dict[str, Any] = dict(
        source="derived", size="points",
        hypotheses=f"flat torus (m = {m}), uniform density, f = e^(i x_1), t = 1/2, leading orders, 8 neighbours",
    )  # fmt: skip
    rates = {1: (-1 / 2, -2 / 3, 1 / 3), 2: (-1 / 2, -1 / 2, 1 / 2), 3: (-2 / 5, -2 / 5, 2 / 5)}
    error, bandwidth, power = rates[m]
    if m == 2:
        main = af.Claim(
            id="depth-best/torus-2", statement="N times the best squared error grows like pi e^(-t) log N",
            kind="constant", predicted=1.0, quantity="best_growth.2d", correction_power=power, **common,
        )  # fmt: skip
    else:
        main = af.Claim(
            id=f"depth-best/torus-{m}", statement=f"the best error of many layers is of order N^({error:g})",
            kind="exponent", predicted=error, quantity=f"best_error.{m}d", correction_power=power, **common,
        )  # fmt: skip
    return [
        main,
        af.Claim(
            id=f"depth-best-control/torus-{m}", statement=f"the best error of many layers is of order N^(-2/{m + 6})",
            kind="exponent", predicted=-2 / (m + 6), quantity=f"best_error.{m}d", correction_power=power,
            control_of=f"depth-best/torus-{m}", **common,
        ),
        af.Claim(
            id=f"depth-best/torus-{m}/bandwidth", statement=f"it is reached at eps of order N^({bandwidth:.3g})",
            kind="exponent", predicted=bandwidth, quantity=f"best_bandwidth.{m}d", correction_power=power, **common,
        ),
    ]  # fmt: skip


def labels() -> dict[str, str]:
    names = {
        "noise_over_limit": "squared noise over its limit",
        "noise_of_new_points_over_limit": "squared noise of new points over the limit",
        "slow_down_constant": "constant c of the slow-down",
        "best_error": "best error",
        "best_bandwidth": "bandwidth ε of the best error",
    }
    found = {f"{quantity}.{m}d": label for m in DIMENSIONS for quantity, label in names.items()}
    found |= {f"noise.{m}d": "√N RMS of A_Nⁿf − Aⁿf" for m in (1, 3)}
    found |= {f"noise_not_centred.{m}d": "√N RMS of A_Nⁿf − Aⁿf, not centred" for m in (1, 3)}
    return found | {"best_growth.2d": "growth of N × best squared error"}


LAYERS = {1: [64 * 2**k for k in range(10)], 2: [64 * 2**k for k in range(8)], 3: [40, 57, 80, 113, 160, 226, 320]}
quick = [{"dimension": m, "layers": n} for m in DIMENSIONS for n in LAYERS[m][:6]]
POINTS = {m: [float(10 ** (first + k)) for k in range(6)] for m, first in ((1, 5), (2, 5), (3, 4))}
quick += [{"dimension": m, "points": n} for m in DIMENSIONS for n in POINTS[m]]
study = af.Study(
    name="depth_noise_limit",
    measure=measure,
    ladder=[*quick, *({"dimension": m, "layers": n} for m in DIMENSIONS for n in LAYERS[m][6:])],
    quick=quick,
    claims=[claim for m in DIMENSIONS for claim in [*claims_in(m), *claims_of_best(m)]],
    labels=labels(),
)
