"""How long do independent tokens take to gather if several modes grow, and which of them wins?

N tokens drawn uniformly on the circle have Fourier modes Z_k, of which N |Z_k|^2 are independent and exponential. As
long as they are small each grows at its rate lambda_k, so that the first of them is of the size delta at a time T with

    P(T > t) = prod_k ( 1 - exp(-N delta^2 e^{-2 lambda_k t}) ).

One mode makes of it the law of Gumbel (`gumbel`). Of m modes of one rate lambda the largest counts: with G_i standard
Gumbel

    2 lambda T - log N - log delta^2  ->  min(G_1, ..., G_m),   E min = sum_k (-1)^{k+1} C(m, k) (gamma + log k),

which is gamma - log 2 for two and -.574 for four. Slower modes are left behind like N^{-(1 - lambda_k / lambda)}, so
slowly that the product has to be taken over all of them. The number of clusters is the k that wins: it is random.

Measured: tokens with a constant kernel on flat tori, four circles for one draw, each with the rate 1/2 and, as long as
all attend alike, log |Z|^2 / (1 - |Z|^2) in the place of log |Z|^2: 2 lambda T less log N and log delta^2 / (1 -
delta^2), delta = 1/2, T when the first of four is there. Then softmax of beta <x, y> on the circle, V = I, at the beta
= 3.1654 where lambda_2 = lambda_3 = .608 are the largest: 2 lambda T, delta = .2, less its mean by the product of six
modes; and whether k = 3 won, less its probability. What is of second order moves T by some delta^2 in these units.
Seeds leave a standard error of .05 in a mean of 2 lambda T, doubled by the extrapolation: the margin is .3, less than
half of the log 2 between one mode and two; and .1 for a share.

The controls: one circle alone, in truth gamma; the mean by mode 2 alone, in truth low by log 2 when others are gone and
by .80 to .71 at these N; k = 4 in place of 3, which wins with the probability .11 to .02 there, tending to zero.
"""

import functools
import math
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import brentq
from scipy.special import ive

import attnflow as af
from attnflow.lab import plots

CIRCLES, DRAWS = 4, 3  # of one draw, and draws of a seed
HALF, SMALL = 0.5, 0.2  # delta
ON_TORUS = (16, 23, 32, 45, 64, 91, 128, 181)
ON_CIRCLE = (256, 345, 464, 624, 840, 1131, 1522, 2048)
LONG = np.arange(0.0, 19.1, 1.0)
FIRST, SECOND = np.arange(0.0, 5.1, 0.25), np.arange(0.25, 8.1, 0.25)
MODES = np.arange(1, 7)
TIME, SHARE = 0.3, 0.1  # margins
LADDER: list[dict[str, Any]] = [
    *({"place": "torus", "tokens": count} for count in ON_TORUS),
    *({"place": "circle", "tokens": count} for count in ON_CIRCLE),
]


@functools.cache
def tie() -> float:
    """Return the beta at which modes 2 and 3 grow alike."""
    return float(brentq(lambda beta: 4 * ive(2, beta) - 9 * ive(3, beta), 0.5, 20.0, xtol=1e-14))


@functools.cache
def rates() -> np.ndarray:
    """Return lambda_1, ..., lambda_6."""
    return np.asarray(MODES**2 * ive(MODES, tie()) / (tie() * ive(0, tie())))


@functools.cache
def predicted(count: int) -> tuple[float, float, np.ndarray]:
    """Return the mean of 2 lambda T by all modes and by mode 2 alone, and the probabilities with which each wins."""
    times = np.linspace(0, 40, 80001)
    exponents = count * SMALL**2 * np.exp(-2 * np.outer(rates(), times))
    later = -np.expm1(-exponents)
    densities = 2 * rates()[:, None] * exponents * np.exp(-exponents)
    all_later = later.prod(axis=0)
    # of draws in which a mode begins above delta, T = 0, the largest wins; there are e^{-10} of them at most
    wins = np.trapezoid(densities * all_later / later, times, axis=1)
    scale = 2 * rates()[1]
    return scale * np.trapezoid(all_later, times), scale * np.trapezoid(later[1], times), wins


def logit(radius: float) -> float:
    """Return log r^2 / (1 - r^2)."""
    return math.log(radius**2 / (1 - radius**2))


def mean_of_least(count: int) -> float:
    """Return E min(G_1, ..., G_m)."""
    terms = [(-1) ** (k + 1) * math.comb(count, k) * (np.euler_gamma + math.log(k)) for k in range(1, count + 1)]
    return float(sum(terms))


def times_on_torus(phases: np.ndarray) -> np.ndarray:
    """Return when |Z| = 1/2 (S,) for tokens that begin at phases (N, S) and attend to all alike."""
    torus = af.FlatTorus(phases.shape[1])
    flow = af.TokenFlow(af.Attention(0.0 * af.DotProduct(), bandwidth=1.0), manifold=torus, rtol=1e-6)
    found = flow.evolve(torus.from_angles(phases), times=LONG, integrator=af.Midpoint(0.25))
    places = found.points.reshape(len(LONG), len(phases), -1, 2) @ np.array([1, 1j])
    squares = np.abs(np.mean(places / np.abs(places), axis=1)) ** 2
    odds = np.log(squares / (1 - squares))  # it rises by 2 lambda in a unit of time
    return np.array([np.interp(logit(HALF), each, LONG) for each in odds.T])


def first_mode(points: np.ndarray) -> tuple[float, int]:
    """Return when the first of six modes is of the size .2, and which."""
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / tie()), manifold=af.Circle(), rtol=1e-6)
    moved = flow.evolve(points, times=FIRST, integrator=af.Midpoint(0.25)).points
    crossed = crossings(moved, FIRST)
    if not np.isfinite(crossed).any():
        later = flow.evolve(moved[-1], times=SECOND, integrator=af.Midpoint(0.25)).points
        times = np.concatenate([FIRST, FIRST[-1] + SECOND])
        crossed = crossings(np.concatenate([moved, later]), times)
    return float(crossed.min()), int(np.argmin(crossed)) + 1


def crossings(moved: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return when log |Z_k| first is log delta, between the times by lines, or infinity, (6,)."""
    angles = np.arctan2(moved[..., 1], moved[..., 0])
    sizes = np.stack([np.log(np.abs(np.exp(1j * k * angles).mean(axis=1))) for k in MODES]) - math.log(SMALL)
    found = np.full(len(MODES), np.inf)
    for row, each in enumerate(sizes):
        above = np.flatnonzero(each >= 0)
        if len(above):
            place = above[0]
            here, before = each[place], each[max(place - 1, 0)]
            found[row] = times[place] - (times[1] - times[0]) * (here / (here - before) if place else 0.0)
    return found


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the times on a torus, or on the circle with the modes that win."""
    count = case["tokens"]
    if case["place"] == "torus":
        points = [af.Uniform(af.Circle()).sample(max(ON_TORUS) * CIRCLES * DRAWS, key=key) for key in keys]
        angles = np.stack([np.arctan2(each[:, 1], each[:, 0]).reshape(max(ON_TORUS), -1)[:count] for each in points])
        drawn = np.mod(angles, 2 * np.pi).transpose(1, 0, 2).reshape(count, -1)
        found = times_on_torus(drawn).reshape(len(keys), DRAWS, CIRCLES) - math.log(count) - logit(HALF)
        return {"first_of_four": found.min(axis=2).mean(axis=1), "alone": found.mean(axis=(1, 2))}
    of_all, of_one, wins = predicted(count)
    times, modes = zip(*(first_mode(af.Uniform(af.Circle()).sample(count, key=key)) for key in keys), strict=True)
    scaled, winner = 2 * rates()[1] * np.array(times), np.array(modes)
    return {
        "time": scaled - of_all,
        "time_of_one": scaled - of_one,
        "three": (winner == 3) - wins[2],
        "four": (winner == 4) - wins[2],
        "winner": winner,
    }


def winners(records: list) -> Figure:
    """Draw how often each mode wins over the number of tokens, and by theory."""
    rows = sorted((case["tokens"], a["winner"]) for case, a in records if case["place"] == "circle")
    drawn = plots.figure(width=4.2, height=3.0)
    axes = drawn.subplots()
    fine = np.geomspace(ON_CIRCLE[0], ON_CIRCLE[-1], 30).astype(int)
    theory = np.stack([predicted(int(count))[2] for count in fine])
    for mode in (2, 3, 4, 1):
        shares = np.array([(won == mode).mean() for _, won in rows])
        errors = [np.sqrt(share * (1 - share) / len(won)) for share, (_, won) in zip(shares, rows, strict=True)]
        axes.errorbar([count for count, _ in rows], shares, errors, fmt="o", markersize=3, color=f"C{mode}")
        axes.plot(fine, theory[:, mode - 1], color=f"C{mode}", linewidth=0.9, label=f"$k = {mode}$")
    axes.set(xscale="log", xlabel="tokens", ylabel="share of draws that the mode wins", ylim=(0, None))
    axes.set_xticks(marks := ON_CIRCLE[::2], labels=map(str, marks))
    axes.minorticks_off()
    axes.legend(fontsize=6)
    return drawn


common: dict[str, Any] = dict(kind="constant", source="derived", size="tokens", measures=("tokens",))
CIRCLE = r"circle, $V = I$, softmax with $\beta = 3.165$, $\lambda_2 = \lambda_3$, $\delta = .2$"
four = af.Claim(
    id="gumbel-modes/torus", quantity="first_of_four", predicted=mean_of_least(CIRCLES), margin=TIME / 2,
    statement=r"$2\lambda T - \log N - \log \delta^2/(1 - \delta^2)$ of four equal modes has the mean of the least of "
    "four Gumbel variables",
    hypotheses=r"four circles, constant kernel, $V = I$, $\lambda = 1/2$, $\delta = 1/2$", **common,
)  # fmt: skip
time = af.Claim(
    id="gumbel-modes/time", quantity="time", predicted=0.0, margin=TIME,
    statement=r"$2\lambda T$ has the mean of P$(T > t) = \prod_k (1 - \exp(-N \delta^2 e^{-2 \lambda_k t}))$",
    hypotheses=CIRCLE, **common,
)  # fmt: skip
winner = af.Claim(
    id="gumbel-modes/winner", quantity="three", predicted=0.0, margin=SHARE,
    statement=r"$k = 3$ wins with the probability that this law gives", hypotheses=CIRCLE, **common,
)  # fmt: skip
study = af.Study(
    name="gumbel_modes",
    measure=measure,
    ladder=LADDER,
    quick=5,
    claims=[
        four,
        four.control(
            statement="so has that of one circle alone",
            quantity="alone",
            truth=np.euler_gamma,
            truth_margin=TIME / 2,
        ),
    ],
    full_claims=[
        time,
        time.control(
            statement=r"$2\lambda T$ has the mean of $1 - \exp(-N \delta^2 e^{-2 \lambda_2 t})$",
            quantity="time_of_one",
            truth=-math.log(2),
            truth_margin=TIME,
        ),
        winner,
        winner.control(
            statement=r"$k = 4$ wins with that of $k = 3$",
            quantity="four",
            truth=-0.5,
            truth_margin=SHARE,
        ),
    ],
    seeds=512,
    quick_seeds=32,
    figures=[winners],
    labels={
        "first_of_four": r"$2\lambda T - \log N - \log \delta^2/(1 - \delta^2)$, first of four",
        "alone": r"$2\lambda T - \log N - \log \delta^2/(1 - \delta^2)$, one circle",
        "time": r"$2\lambda T$ less its mean by all modes",
        "time_of_one": r"$2\lambda T$ less its mean by one mode",
        "three": "share that $k = 3$ wins less its probability",
        "four": "share that $k = 4$ wins less the probability of $k = 3$",
    },
)  # fmt: skip
