"""How fast can many layers of N frozen points approach their limit?

N points leave in n = t/eps layers a bias, a slow-down and a noise (see the studies `depth_noise_limit` and
`depth_noise`). The bias is of order eps^k, k = 1 for plain layers and 2 for Richardson's 2 A_{eps/2}^{2n} - A_eps^n,
the noise N^{-1/2} {1, log(1/eps)^{1/2}, eps^{-(m-2)/4}} for m = 1, 2, >= 3, so the smallest error is of order

    N^{-1/2},    (log N / N)^{1/2},    N^{-2k/(4k + m - 2)}    at    eps ~ N^{-2/(4k + m - 2)},    m >= 3,

the minimax rate for densities of smoothness 2k - 1. Proved is N^{-2/(m+6)}, which is where plain layers come with the
bandwidth that is best for the generator. For k = 2 that bandwidth is the best one, and the error the square of it.

In two dimensions a best bandwidth ~ N^{-1/(2k)} turns the noise, 2 pi e^{-t} log(1/eps) / N, into

    N times the squared error = (2 pi e^{-t} / 2k) log N + O(1).

On flat tori with the uniform density and f = e^{i x_1} the first order of the noise is a sum over wave vectors q,

    N E |err|^2 = sum_q [c(q; n, eps)]^2,    c(q; n, eps) = sum_{k < n} kappa(l)^k kappa(q+l)^{n-1-k}
                                                           [kappa(q+l) - kappa(l) kappa(q)],    kappa = prod_i kappa_i,

and that of Richardson's is sum_q [2 c(q; 2n, eps/2) - c(q; n, eps)]^2. Both are sums over k and k' of products over the
axes of sums over one component, so that four dimensions cost what one does. The slow-down is taken to leading order,
1 - c/nb, c = 2 zeta(1 + m/2) - 1, nb = N p (2 pi eps)^{m/2}.

Nothing is measured here (the study `minimax_noise` measures): the smallest error over the number of layers, from these
sums, against the orders. In two dimensions it is by how much N times the square moves from N to 2N, over its logarithm.
The controls take plain layers with eps = N^{-2/(m+6)}, in truth of the proved order, and in two dimensions the step of
the other k.
"""

import functools
from typing import Any, NamedTuple

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.interpolate import CubicSpline
from scipy.special import ive, zeta

import attnflow as af
from attnflow.lab import plots

TIME = 0.5
ORDERS = {"plain": 1, "richardson": 2}  # k
LAST_IN_PLANE = 4e9  # points, for which plain layers are summed in two dimensions
LARGEST = {"plain": 12, "richardson": 9}  # of layers, as a power of 2
SLOPE = 2 * np.pi * np.exp(-TIME)  # of the noise in log(1/eps), m = 2


class Powers(NamedTuple):
    """kappa_{j+1}^a and kappa_j^a (A, J) of one axis for a = 0, ..., A - 1; kappa_j (J,); kappa_1."""

    shifted: np.ndarray
    plain: np.ndarray
    one: np.ndarray
    at_wave: float


def powers(n: int, eps: float, count: int, waves: np.ndarray) -> Powers:
    """Return the powers up to `count` of the symbols of one axis."""
    kappa = ive(np.abs(waves), 1 / eps) / ive(0, 1 / eps)
    shifted = ive(np.abs(waves + 1), 1 / eps) / ive(0, 1 / eps)
    many = [np.cumprod(np.vstack([np.ones(len(waves)), np.tile(k, (count - 1, 1))]), axis=0) for k in (shifted, kappa)]
    return Powers(many[0], many[1], kappa, float(ive(1, 1 / eps) / ive(0, 1 / eps)))


def waves_of(eps: float) -> np.ndarray:
    """Return the components of wave vectors that are seen."""
    largest = int(np.sqrt(80 / eps)) + 2
    return np.arange(-largest, largest + 1)


def own_noise(n: int, eps: float, m: int) -> float:
    """Return sum_q c(q)^2; terms of k and k' depend on s = k + k' alone, of which there are so many."""
    p = powers(n, eps, 2 * n + 1, waves_of(eps))
    s = np.arange(2 * n - 1)
    pairs = np.minimum(s, 2 * n - 2 - s) + 1
    total = 0.0
    for b, sign in ((0, 1.0), (1, -2.0), (2, 1.0)):
        a = 2 * n - b - s
        first, other = p.shifted[a] @ p.one**b, p.plain[a + b].sum(axis=1)
        total += sign * float(np.sum(pairs * p.at_wave ** (s + b) * first * other ** (m - 1)))
    return total


def joint_noise(n: int, eps: float, m: int) -> float:
    """Return sum_q c(q; n, eps) c(q; 2n, eps/2)."""
    waves = waves_of(eps / 2)
    wide, narrow = powers(n, eps, n + 1, waves), powers(2 * n, eps / 2, 2 * n + 1, waves)
    k, j = np.arange(n), np.arange(2 * n)
    total = 0.0
    for b, c in ((0, 0), (0, 1), (1, 0), (1, 1)):
        first = (wide.shifted[n - b - k] * wide.one**b * narrow.one**c) @ narrow.shifted[2 * n - c - j].T
        other = wide.plain[n - k] @ narrow.plain[2 * n - j].T
        weights = np.outer(wide.at_wave ** (k + b), narrow.at_wave ** (j + c))
        total += (-1) ** (b + c) * float(np.sum(weights * first * other ** (m - 1)))
    return total


class Effects(NamedTuple):
    """Bias, slow-down times N and N times the squared noise."""

    bias: float
    slow_down: float
    noise: float


@functools.cache
def effects(kind: str, n: int, m: int) -> Effects:
    """Return what n layers of the time t/n do to e^{i x_1}, of Richardson's with n and 2n layers."""
    eps = TIME / n
    factor = np.exp(-TIME / 2) * TIME / 2 * (2 * zeta(1 + m / 2) - 1) * (2 * np.pi / eps) ** (m / 2)
    once = (ive(1, 1 / eps) / ive(0, 1 / eps)) ** n
    if kind == "plain":
        return Effects(float(once - np.exp(-TIME / 2)), float(factor), own_noise(n, eps, m))
    twice = (ive(1, 2 / eps) / ive(0, 2 / eps)) ** (2 * n)
    noise = 4 * own_noise(2 * n, eps / 2, m) - 4 * joint_noise(n, eps, m) + own_noise(n, eps, m)
    slow_down = factor * (2 ** (1 + m / 2) - 1)
    return Effects(float(2 * twice - once - np.exp(-TIME / 2)), float(slow_down), noise)


@functools.cache
def curves(kind: str, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return log n on a fine grid with bias, slow-down and noise, splines of what was summed."""
    layers = sorted({round(2 ** (i / 2)) for i in range(4, 2 * LARGEST[kind] + 1)})
    found = [effects(kind, n, m) for n in layers]
    fine = np.linspace(np.log(layers[0]), np.log(layers[-1]), 20_000)
    columns = []
    for column in zip(*found, strict=True):
        values = np.array(column)
        columns.append(np.sign(values[0]) * np.exp(CubicSpline(np.log(layers), np.log(np.abs(values)))(fine)))
    return fine, columns[0], columns[1], columns[2]


def best(kind: str, m: int, points: float) -> float:
    """Return the smallest root mean square error of that many points."""
    fine, bias, slow_down, noise = curves(kind, m)
    squares = (bias + slow_down / points) ** 2 + noise / points
    least = int(np.argmin(squares))
    assert 0 < least < len(fine) - 1, f"the best number of layers is outside what was summed, at N = {points:g}"
    return float(np.sqrt(squares[least]))


def on_schedule(m: int, points: float) -> float:
    """Return the error of plain layers with eps = N^{-2/(m+6)}."""
    fine, bias, slow_down, noise = curves("plain", m)
    at = np.log(TIME) + 2 / (m + 6) * np.log(points)
    one, slow, scatter = (float(np.interp(at, fine, column)) for column in (bias, slow_down, noise))
    return float(np.sqrt((one + slow / points) ** 2 + scatter / points))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the best errors of plain or of Richardson's layers, and the errors on the schedule of the generator."""
    kind = "plain" if "points" in case else "richardson"
    n = case["points" if kind == "plain" else "extrapolated"]
    row = {f"{kind}.{m}": best(kind, m, n) for m in (3, 4)}
    if kind == "richardson":
        row |= {f"proved.{m}": on_schedule(m, n) for m in (3, 4)}
    if kind == "richardson" or n < LAST_IN_PLANE:
        moved = (2 * n * best(kind, 2, 2 * n) ** 2 - n * best(kind, 2, n) ** 2) / np.log(2)
        order = ORDERS[kind]
        row |= {f"{kind}.2": moved / (SLOPE / (2 * order)), f"{kind}.other.2": moved / (SLOPE / (6 - 2 * order))}
    return row


def schedules(records: list) -> Figure:
    """Draw the best errors over N for m = 3 and 4, the plain ones, Richardson's and the proved order."""
    drawn = plots.figure(width=7.0, height=3.1)
    for ax, m in zip(drawn.subplots(1, 2), (3, 4), strict=True):
        series = {
            "plain": ("points", f"plain.{m}"),
            "Richardson": ("extrapolated", f"richardson.{m}"),
            r"plain, $\varepsilon = N^{-2/(m+6)}$": ("extrapolated", f"proved.{m}"),
        }
        rates = (rate_of(1, m), rate_of(2, m), -2 / (m + 6))
        for index, ((label, (size, quantity)), rate) in enumerate(zip(series.items(), rates, strict=True)):
            rows = sorted((case[size], a[quantity][0]) for case, a in records if size in case)
            sizes, errors = np.array(rows).T
            ax.loglog(sizes, errors, "o", ms=3.5, color=f"C{index}", label=f"{label}: {plots.number(rate, digits=3)}")
            ax.loglog(sizes, errors[-1] * (sizes / sizes[-1]) ** rate, color=f"C{index}", lw=0.9)
        ax.set(xlabel="number of points $N$", ylabel=r"RMS of $A_N^n f - e^{tL} f$", title=f"$m = {m}$")
        ax.legend(fontsize=7, frameon=False)
    return drawn


def rate_of(k: int, m: int) -> float:
    """Return -2k/(4k + m - 2)."""
    return -2 * k / (4 * k + m - 2)


def claims_of(kind: str) -> list[af.Claim]:
    """Return what is claimed of plain or of Richardson's layers, with controls."""
    k = ORDERS[kind]
    common: dict[str, Any] = dict(
        source="derived", size="points" if kind == "plain" else "extrapolated", measures=(),
    )  # fmt: skip
    where = rf"flat torus, uniform density, {kind} layers, $k = {k}$, $t = 1/2$, $m = "
    found = []
    for m in (3, 4):
        rate = rate_of(k, m)
        # the noise has its next term in eps^{1/2} for m = 3, in eps log(1/eps) for m = 4
        power = (-rate / k) * (0.5 if m == 3 else 1.0)
        claim = af.Claim(
            id=f"minimax-depth/{kind}-{m}", kind="exponent", quantity=f"{kind}.{m}", predicted=rate,
            statement=r"the smallest error of many layers is of order $N^{-2k/(4k + m - 2)}$",
            hypotheses=f"{where}{m}$", correction_power=power, **common,
        )  # fmt: skip
        found.append(claim)
        if kind == "richardson":
            control = claim.control(
                statement=r"on the schedule $N^{-2/(m+6)}$ plain layers are of that order",
                quantity=f"proved.{m}", truth=-2 / (m + 6),
            )  # fmt: skip
            found.append(control)
    plane = af.Claim(
        id=f"minimax-depth-plane/{kind}", kind="constant", quantity=f"{kind}.2", predicted=1.0,
        statement=r"$N$ times the smallest squared error grows like $(2 \pi e^{-t} / 2k) \log N$: "
        "its step over the predicted one tends to 1",
        hypotheses=f"{where}2$", correction_power=1 / (2 * k), **common,
    )  # fmt: skip
    other = 3 - k
    return [
        *found,
        plane,
        plane.control(
            statement=rf"it grows like $(2 \pi e^{{-t}} / {2 * other}) \log N$: its step over that tends to 1",
            quantity=f"{kind}.other.2", truth=other / k,
        ),
    ]  # fmt: skip


quick: list[dict[str, Any]] = [
    *({"points": 10 ** (6.4 + 0.4 * k)} for k in range(8)),
    *({"extrapolated": 10 ** (9 + 0.6 * k)} for k in range(8)),
]
study = af.Study(
    name="minimax_depth",
    measure=measure,
    ladder=[
        *quick,
        *({"points": 10 ** (9.6 + 0.4 * k)} for k in range(4)),
        *({"extrapolated": 10 ** (13.8 + 0.6 * k)} for k in range(2)),
    ],
    quick=quick,
    claims=af.covered(
        [claim for kind in ORDERS for claim in claims_of(kind)],
        by={
            "minimax-depth/plain-3": "minimax-depth-control/richardson-3",
            "minimax-depth/plain-4": "minimax-depth-control/richardson-4",
        },
    ),
    figures=[schedules],
    labels={
        "extrapolated": "number of points $N$",
        **{f"{kind}.{m}": "smallest error of many layers" for kind in ORDERS for m in (3, 4)},
        **{f"proved.{m}": "error on the schedule of the generator" for m in (3, 4)},
        **{f"{kind}.2": "step over the predicted one" for kind in ORDERS},
        **{f"{kind}.other.2": "step over another one" for kind in ORDERS},
    },
)
