"""What do N frozen points do to many layers?

On a flat torus with the uniform density attention is a convolution: A e^{iq.x} = kappa(q) e^{iq.x}, kappa(q) =
prod_i I_{q_i}(1/eps) / I_0(1/eps) for the chordal distance. N points enter through their Fourier coefficients alone,
phat(q) = 1/N sum_j e^{-iq.X_j}, E |phat(q)|^2 = 1/N. To first order in them one layer is off by

    (A_N - A) e^{il.x} = sum_{q != 0} phat(q) [kappa(q+l) - kappa(l) kappa(q)] e^{i(q+l).x},

and n layers, with the same points in each of them, by the sum over q of phat(q) c(q) e^{i(q+l).x},

    c(q) = [kappa(q+l) - kappa(l) kappa(q)] sum_{k < n} kappa(q+l)^{n-1-k} kappa(l)^k.

So N E |A_N^n f - A^n f|^2 tends to sum_q c(q)^2 (depth-noise). To second order the eigenvalues move. In the mean over
the waves of one length, where the first order cancels, that of A goes up by

    1/N sum_{q != 0} { -kappa(q) [kappa(q+l) - kappa(l) kappa(q)]
                       + [kappa(q+l) - kappa(l) kappa(q)] [kappa(l) - kappa(q+l) kappa(q)] / (kappa(l) - kappa(q+l)) },

without the second term where |q + l| = |l|. The first term is one layer on the average, the second is what repeated
layers add. So frozen points slow the flow down (slow-down), by a factor of 1 - O(1/nb), nb the number of neighbours.
The study `depth_noise_limit` says what both sums tend to.

Measured: both effects over their sums; and for t = 1/2 in 14 layers of 1000 points on the circle, f = e^{it}, the
squared noise over its limit as eps -> 0 (depth-noise-limit/torus-1/drawn; the study `depth_noise_limit` has the rest),

    sum_q [2 (e^{-t(q+1)^2/2} - e^{-t/2}) / (q+2)]^2 + e^{-t} J eps^{1/2},    J = (2 pi)^{1/2} [zeta(1/2) - zeta(3/2)],

the quotient being -t e^{-t/2} at q = -2: where kappa = e^{-u^2/2}, u = eps^{1/2} q, is not one, c(q)^2 e^t is eps u^2 /
(e^{u^2/2} - 1)^2 instead of 4/q^2, and J is the integral of the difference. The exact sum is .986 of this.

The same sums over the powers N |phat(q)|^2 of the drawn points have most of the scatter and cost a tenth. So their mean
is measured on many clouds, of 100 points each, and what attention adds to them on few [Giles2008]. No mean is put in:
of points that are too even, or four times each, the powers are as wrong as the noise. What is left of 1/nb^2 is .02 of
the extrapolated ratios, and a cloud is an eigenproblem or ten layers, so the margins are twice the default. The
controls take new points for every layer, which squares before it sums over k, and for the slow-down the first term
alone.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.special import ive, zeta

import attnflow as af

DEPTH_BANDWIDTH = {1: 0.05, 2: 0.1, 3: 0.25}
LAYERS = {1: 10, 2: 10, 3: 4}
WAVE = {1: (1,), 2: (1, 1), 3: (1, 1, 0)}  # l of the depth noise
MODES_BANDWIDTH = {1: 0.025, 2: 0.2, 3: 0.4}  # an eigenproblem has few points
CLOUDS = {
    "depth": {2: 2, 3: 2},
    "modes": {1: 3, 2: 2},
    "limit": {1: 2},
}  # per seed, where not one, by what they scatter
CLOUDS_OF_POWERS = {1: 96, 2: 32, 3: 8}  # per seed; the relative scatter of their sums is .45, .3 and .15
POINTS_OF_POWERS = 100
LIMIT_LAYERS, LIMIT_TIME = 14, 0.5
MARGIN = 0.1
SMALLEST_SYMBOL = 1e-6


class Response(NamedTuple):
    """Per wave vector q, zero in the middle, the weight of N |phat(q)|^2: in all, and by the control."""

    weights: np.ndarray
    control: np.ndarray


def symbols(waves: np.ndarray, *, bandwidth: float, shift: tuple[int, ...]) -> np.ndarray:
    """Return kappa(q + shift) for all q with components in `waves`, shape (len(waves),) * m."""
    factors = [ive(np.abs(waves + s), 1 / bandwidth) / ive(0, 1 / bandwidth) for s in shift]
    return functools.reduce(np.multiply.outer, factors)


def visible_waves(bandwidth: float) -> np.ndarray:
    """Return the waves of an axis, of both signs, whose symbol is not negligible."""
    orders = np.arange(1000)
    largest = np.count_nonzero(ive(orders, 1 / bandwidth) > SMALLEST_SYMBOL * ive(0, 1 / bandwidth))
    return np.arange(-largest, largest + 1)


@functools.cache
def depth_response(wave: tuple[int, ...], *, bandwidth: float, layers: int) -> Response:
    """Return c(q)^2, and the same with new points in every layer."""
    waves, n = visible_waves(bandwidth), layers
    at_q, at_sum = (symbols(waves, bandwidth=bandwidth, shift=shift) for shift in ((0,) * len(wave), wave))
    at_wave = symbols(np.zeros(1), bandwidth=bandwidth, shift=wave).item()
    one_layer = at_sum - at_wave * at_q
    one_layer[at_q == 1] = 0  # q = 0: constants are kept
    later = np.stack([at_sum ** (n - 1 - k) * at_wave**k for k in range(n)])
    return Response((one_layer * later.sum(axis=0)) ** 2, one_layer**2 * np.sum(later**2, axis=0))


@functools.cache
def modes_response(m: int, *, bandwidth: float) -> Response:
    """Return what moves the mean eigenvalue of the waves +-e_i, and one layer's part of it."""
    waves, zero = visible_waves(bandwidth), (0,) * m
    at_q = symbols(waves, bandwidth=bandwidth, shift=zero)
    length = functools.reduce(np.add.outer, [waves**2] * m)
    at_wave = symbols(np.zeros(1), bandwidth=bandwidth, shift=(1, *zero[1:])).item()
    total, single = np.zeros_like(at_q), np.zeros_like(at_q)
    for axis in range(m):
        wave = tuple(int(i == axis) for i in range(m))
        at_sum = symbols(waves, bandwidth=bandwidth, shift=wave)
        one_layer = at_sum - at_wave * at_q
        one_layer[at_q == 1] = 0
        along = waves.reshape([-1 if i == axis else 1 for i in range(m)])
        other = length + 2 * along != 0  # |q + e_i| is not |e_i|
        repeated = np.zeros_like(at_q)
        repeated[other] = (at_wave - at_sum * at_q)[other] / (at_wave - at_sum)[other]
        single -= at_q * one_layer / m
        total += (repeated - at_q) * one_layer / m
    return Response(total, single)


def angles_of(points: np.ndarray) -> np.ndarray:
    """Return the angles (m, N) of points (N, 2m)."""
    return np.arctan2(points[:, 1::2], points[:, 0::2]).T


def powers(clouds: np.ndarray, largest: int) -> np.ndarray:
    """Return N |phat(q)|^2 of clouds (..., N, 2m) for all q with components from -largest to largest.

    The shape is (...) + (2 largest + 1,) * m. That of -q is that of q: sums are taken where the last component is not
    negative.
    """
    *many, n, dim = clouds.shape
    step = np.moveaxis(clouds[..., 0::2] - 1j * clouds[..., 1::2], -1, 0)  # e^{-ix}, of one angle after another
    phases = np.empty((dim // 2, *many, largest + 1, n), complex)
    phases[..., 0, :] = 1
    for q in range(largest):
        np.multiply(phases[..., q, :], step, out=phases[..., q + 1, :])
    products = np.ones((*many, 1, n))
    for upwards in phases[:-1]:
        both = np.concatenate([upwards[..., :0:-1, :].conj(), upwards], axis=-2)
        products = (products[..., :, None, :] * both[..., None, :, :]).reshape(*many, -1, n)
    sums = products @ np.swapaxes(phases[-1], -1, -2) if dim > 2 else phases[-1].sum(axis=-1)[..., None, :]
    half = (sums.real**2 + sums.imag**2) / n
    whole = np.concatenate([half[..., ::-1, :0:-1], half], axis=-1)
    return whole.reshape(*many, *[2 * largest + 1] * (dim // 2))


def weighted_powers(clouds: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the sum over q of the weights times N |phat(q)|^2 of clouds (..., N, 2m), shape (...)."""
    axes = tuple(range(-weights.ndim, 0))
    return np.sum(weights * powers(clouds, len(weights) // 2), axis=axes)


def squared_noise(points: np.ndarray, *, wave: tuple[int, ...], bandwidth: float, layers: int) -> float:
    """Return N |A_N^n f - A^n f|^2, the mean over the points, f = e^{il.x} as its two real parts."""
    phase = np.array(wave) @ angles_of(points)
    f = np.column_stack([np.cos(phase), np.sin(phase)])
    attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), points)
    symbol = symbols(np.zeros(1), bandwidth=bandwidth, shift=wave).item()
    return float(np.sum((attention.evolve(f, times=layers * bandwidth).values[0] - symbol**layers * f) ** 2))


def eigenvalue_shift(m: int, points: np.ndarray, *, bandwidth: float) -> float:
    """Return N times the mean shift of the 2m first eigenvalues of A."""
    attention = af.EmpiricalAttention(af.Attention(af.SquaredDistance(), bandwidth=bandwidth), points)
    eigenvalue = 1 - bandwidth * attention.spectrum(2 * m + 1).eigenvalues[1:].mean()
    symbol = symbols(np.zeros(1), bandwidth=bandwidth, shift=(1, *(0,) * (m - 1))).item()
    return float(len(points) * (eigenvalue - symbol))


def limit_of_noise(bandwidth: float) -> float:
    """Return the limit of the squared noise on the circle with its next term, without the tail 8 e^{-t} / |q|."""
    q, t = np.arange(-100_000, 100_001), LIMIT_TIME
    quotient = 2 * (np.exp(-t * (q + 1.0) ** 2 / 2) - np.exp(-t / 2)) / np.where(q == -2, 1, q + 2)
    quotient[q == -2] = 2 * t * np.exp(-t / 2)
    next_term = np.exp(-t) * np.sqrt(2 * np.pi * bandwidth) * (zeta(0.5) - zeta(1.5))
    return float(np.sum(quotient[q != 0] ** 2) + next_term)


class Effect(NamedTuple):
    """What one cloud gives, how it responds to powers, and by name what it is predicted to be: first by the claim."""

    of_cloud: Callable[[np.ndarray], float]
    response: Response
    predicted: dict[str, float]
    bandwidth: float


@functools.cache
def effect(name: str, m: int) -> Effect:
    """Return the squared noise of many layers, the shift of eigenvalues, or the noise at a small bandwidth."""
    if name == "modes":
        eps = MODES_BANDWIDTH[m]
        response = modes_response(m, bandwidth=eps)
        names = f"slow_down_ratio.{m}d", f"slow_down_ratio_of_one_layer.{m}d"
        predicted = dict(zip(names, (response.weights.sum(), response.control.sum()), strict=True))
        return Effect(functools.partial(eigenvalue_shift, m, bandwidth=eps), response, predicted, eps)
    wave, eps, n = WAVE[m], DEPTH_BANDWIDTH[m], LAYERS[m]
    if name == "limit":
        wave, eps, n = (1,), LIMIT_TIME / LIMIT_LAYERS, LIMIT_LAYERS
    response = depth_response(wave, bandwidth=eps, layers=n)
    predicted = {
        f"noise_ratio.{m}d": response.weights.sum(),
        f"noise_ratio_of_new_points.{m}d": response.control.sum(),
    }
    if name == "limit":
        predicted = {"noise_over_limit": limit_of_noise(eps), "noise_over_bare_limit": limit_of_noise(0.0)}
    return Effect(functools.partial(squared_noise, wave=wave, bandwidth=eps, layers=n), response, predicted, eps)


def neighbours(m: int, n: int, bandwidth: float) -> float:
    """Return nb = N p (2 pi eps)^{m/2}."""
    return n * (bandwidth / (2 * np.pi)) ** (m / 2)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return what the case asks for over its predictions, in every dimension; the limit on the circle alone."""
    n, name = case["points"], case["effect"]
    row: dict[str, float] = {}
    for m in (1,) if name == "limit" else (1, 2, 3):
        asked, uniform, count = effect(name, m), af.Uniform(af.FlatTorus(m)), CLOUDS.get(name, {}).get(m, 1)
        clouds = uniform.sample(count * n, key=key).reshape(count, n, 2 * m)
        others = uniform.sample(CLOUDS_OF_POWERS[m] * POINTS_OF_POWERS, key=jax.random.fold_in(key, 1))
        weights = asked.response.weights
        added = np.mean([asked.of_cloud(points) for points in clouds] - weighted_powers(clouds, weights))
        of_powers = np.mean(weighted_powers(others.reshape(-1, POINTS_OF_POWERS, 2 * m), weights))
        row |= {quantity: float((added + of_powers) / value) for quantity, value in asked.predicted.items()}
        row[f"{next(iter(asked.predicted))}.ess"] = np.sqrt(2) ** m * neighbours(m, n, asked.bandwidth)
    return row


SQUARED_NOISE = r"$N\,\mathrm{E} |A_N^n f - A^n f|^2$"
C_K = r"$c_k(q) = [\kappa(q+l) - \kappa(l) \kappa(q)] \kappa(q+l)^{n-1-k} \kappa(l)^k$"


def claims_in(m: int) -> list[af.Claim]:
    """Return what is claimed in m dimensions."""
    torus = f"flat torus ($m = {m}$), uniform density, chordal distance"
    common: dict[str, Any] = dict(
        source="derived", kind="constant", size="points", predicted=1.0, margin=MARGIN, measures=("empirical",)
    )
    of_depth, of_modes = (
        float(response.weights.sum() / response.control.sum())
        for response in (
            depth_response(WAVE[m], bandwidth=DEPTH_BANDWIDTH[m], layers=LAYERS[m]),
            modes_response(m, bandwidth=MODES_BANDWIDTH[m]),
        )
    )
    noise = af.Claim(
        id=f"depth-noise/torus-{m}",
        statement=rf"{SQUARED_NOISE} over $\sum_q (\sum_{{k<n}} c_k(q))^2$ tends to 1, {C_K}",
        quantity=f"noise_ratio.{m}d",
        hypotheses=rf"{torus}, $\varepsilon = {DEPTH_BANDWIDTH[m]}$, {LAYERS[m]} layers", **common,
    )  # fmt: skip
    shift = af.Claim(
        id=f"slow-down/torus-{m}",
        statement="$N$ times the mean shift of eigenvalues of $A_N$ over its sum of second order tends to 1",
        quantity=f"slow_down_ratio.{m}d",
        hypotheses=rf"{torus}, $\varepsilon = {MODES_BANDWIDTH[m]}$, waves of length one", **common,
    )  # fmt: skip
    return [
        noise,
        noise.control(
            statement=rf"{SQUARED_NOISE} over $\sum_q \sum_{{k<n}} c_k(q)^2$ tends to 1, {C_K}",
            quantity=f"noise_ratio_of_new_points.{m}d",
            truth=of_depth,
            truth_margin=0.15 * of_depth,  # three times that of the claim, as its scatter is that much larger
        ),
        shift,
        shift.control(
            statement="$N$ times the mean shift of eigenvalues of $A_N$ over its sum of second order, without what "
            "repeated layers add, tends to 1",
            quantity=f"slow_down_ratio_of_one_layer.{m}d",
            truth=of_modes,
            truth_margin=0.15 * abs(of_modes),
        ),
    ]


def claims_on_the_limit() -> list[af.Claim]:
    """Return what is claimed of drawn points on the circle at a small bandwidth."""
    with_next = r"$\sum_q [2 (e^{-t (q+1)^2 / 2} - e^{-t/2}) / (q+2)]^2 + J e^{-t} \varepsilon^{1/2}$, $J = -10.21$"
    claim = af.Claim(
        id="depth-noise-limit/torus-1/drawn", source="derived",
        statement=rf"of drawn points {SQUARED_NOISE} is {with_next}",
        kind="constant", quantity="noise_over_limit", size="points", predicted=1.0, margin=MARGIN,
        measures=("empirical",),
        hypotheses=rf"circle, uniform density, chordal distance, $f = e^{{i x}}$, $t = 1/2$ in {LIMIT_LAYERS} layers",
    )  # fmt: skip
    return [
        claim,
        claim.control(
            statement=rf"of drawn points {SQUARED_NOISE} is {with_next.split(' + ')[0]}$, the limit itself",
            quantity="noise_over_bare_limit",
            truth=limit_of_noise(LIMIT_TIME / LIMIT_LAYERS) / limit_of_noise(0.0),
            truth_margin=MARGIN,
        ),
    ]


def labels_in(m: int) -> dict[str, str]:
    """Return what figures call the quantities in m dimensions."""
    return {
        f"noise_ratio.{m}d": "squared noise over its sum",
        f"noise_ratio_of_new_points.{m}d": "squared noise over that of new points",
        f"slow_down_ratio.{m}d": "eigenvalue shift over its sum",
        f"slow_down_ratio_of_one_layer.{m}d": "eigenvalue shift over that of one layer",
    }


quick: list[dict[str, Any]] = [
    *({"effect": "modes", "points": n} for n in (250, 350, 500, 700)),
    *({"effect": "depth", "points": n} for n in (700, 1000, 1400, 2000)),
    {"effect": "limit", "points": 1000},
]
study = af.Study(
    name="depth_noise",
    measure=measure,
    ladder=[
        *quick,
        *({"effect": "modes", "points": n} for n in (1000, 1400, 2000)),
        *({"effect": "depth", "points": n} for n in (2800, 4000, 5600)),
    ],
    quick=quick,
    claims=[*claims_in(1), *claims_in(2), *claims_in(3), *claims_on_the_limit()],
    seeds=64,
    quick_seeds=48,
    labels=labels_in(1)
    | labels_in(2)
    | labels_in(3)
    | {
        "noise_over_limit": "squared noise over its limit and the next term",
        "noise_over_bare_limit": "squared noise over its limit",
    },
)
