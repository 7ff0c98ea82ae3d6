"""Do noisy tokens remember their order when the noise is raised and lowered slowly, and how much does N round that?

On the circle at beta = 6 > beta* ordered and even laws are both stable between kappa# and the largest kappa of the
branch, 1.1708 kappa# (`noisy_order`). Let s = kappa / kappa# fall from 1.4 to .8 at the rate v in units of 1 / kappa#,
and rise again. As v -> 0 and N -> infinity order appears at s = 1, is lost at s = 1.1708, and the loop of the order R
over s has the area

    A = int_1^{1.1708} r ds = .145   of the upper branch;

at beta = 1 < beta* nothing of all that: with the threshold R = 1/2 order appears and is lost where the branch has r =
1/2, and A = 0.

How v may depend on N follows from the two ends. Lost: dx = (s - s_max + x^2) dt + N^{-1/2} dW but for constants, where
x, t and the delay are of the orders v^{1/3}, v^{-1/3} and v^{2/3}; noise adds v^{-1/3} / N to x^2, as much as the drift
does if v ~ 1/N. Appears: dz = ((1 - s) z + z^3) dt + N^{-1/2} dW, t ~ v^{-1/2}, z^2 ~ v^{-1/2} / N, and the cubic term
is felt if that is v^{1/2}: v ~ 1/N again. So with v = 1/N both ends have limiting laws,

    s at which order is lost = 1.1708 + O(N^{-2/3}),   s at which it appears = 1 + O(N^{-1/2}),

of which the means are measured: the first time that R < 1/2 as s rises, the last one as s falls, and the area with an
error O(N^{-1/2}). They are extrapolated with these powers. Trials with other seeds gave 1.25 and 1.204 for the first at
N = 128 and 512, 1.07 and 1.03 for the second, as far off as the powers say, and between seeds at N = 96 the standard
deviations .04, .08 and .065. With 48 seeds the intervals of the limits should be +-.02, .05 and .04. The controls: the
same at beta = 1, where at that N the deviations are .06, .025 and .03.
"""

import functools
from typing import Any

import jax
import numpy as np
import ordered_branch
from circle_tokens import even, of_steps, orders
from matplotlib.figure import Figure
from noisy_order_tokens import streams

import attnflow as af
from attnflow.lab import plots

BETAS = {"above": 6.0, "below": 1.0}
LENGTHS = {"above": 0.05, "below": 0.1}  # kappa# h
TOP, BOTTOM, HALF = 1.4, 0.8, 0.5
COUNTS = (80, 101, 127, 159, 200, 252, 318, 400)
KEPT = 121  # places in s at which orders are kept


@functools.cache
def upper(beta: float) -> tuple[np.ndarray, np.ndarray]:
    """Return s, rising, and r of the stable ordered laws."""
    sizes = np.arange(0.005, 0.97, 0.0025)
    noises = np.array([law.noise for law in ordered_branch.branch(1, beta, sizes)])
    noises /= ordered_branch.critical_noise(1, beta)
    top = int(np.argmax(noises))
    return noises[top:][::-1], sizes[top:][::-1]


def lost_at(beta: float) -> float:
    """Return the s at which stable ordered laws come to r = 1/2, or end before."""
    s, r = upper(beta)
    return float(np.interp(HALF, r[::-1], s[::-1]))


def area(beta: float) -> float:
    """Return the area of the loop."""
    s, r = upper(beta)
    fine = np.linspace(1.0, max(s[-1], 1.0), 2001)
    return float(np.trapezoid(np.interp(fine, s, r), fine))


def loops(name: str, count: int, keys: list[jax.Array]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return s, rising, and R as s falls and as it rises, (S, T)."""
    beta, length = BETAS[name], LENGTHS[name]
    critical = ordered_branch.critical_noise(1, beta)
    s = np.linspace(BOTTOM, TOP, round((TOP - BOTTOM) * count / length))  # by 1/N in a unit of kappa# t
    noises = of_steps(critical * np.concatenate([s[::-1], s]), length / critical)
    starts = np.array([[even(count, key)] for key in keys])
    randoms = [streams(key, 1)[0] for key in keys]
    found = orders(starts, randoms, beta=beta, noises=noises, step=length / critical)
    both = np.array([order[:, 0] for order in found]).T
    return s, both[:, : len(s)][:, ::-1], both[:, len(s) :]


def first_below(s: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the smallest s at which R (S, T) is under 1/2, (S,), not a number where it never is."""
    below = found < HALF
    return np.where(below.any(axis=1), s[np.argmax(below, axis=1)], np.nan)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, Any]:
    """Return where order appears and is lost, and the area of the loop."""
    row: dict[str, Any] = {}
    for name in BETAS:
        s, falling, rising = loops(name, case["tokens"], keys)
        row[f"appears-{name}"] = first_below(s, falling)  # the last time as s falls
        row[f"lost-{name}"] = first_below(s, rising)
        row[f"area-{name}"] = np.trapezoid(rising - falling, s, axis=1)
        places = np.linspace(0, len(s) - 1, KEPT).astype(int)
        row |= {f"falling-{name}": falling[:, places], f"rising-{name}": rising[:, places]}
    return row


def hysteresis(records: list) -> Figure:
    """Draw R over s of a few seeds at the smallest and the largest N, and the branches."""
    drawn = plots.figure(width=6.0, height=2.8)
    s = np.linspace(BOTTOM, TOP, KEPT)
    counts = sorted({case["tokens"] for case, _ in records})
    for axes, (name, beta) in zip(drawn.subplots(1, 2, sharey=True), BETAS.items(), strict=True):
        for colour, count in enumerate((counts[0], counts[-1])):
            rows = [(a[f"falling-{name}"], a[f"rising-{name}"]) for case, a in records if case["tokens"] == count]
            for one in (0, 1):
                some = np.concatenate([pair[one] for pair in rows])[:4]
                axes.plot(s, some.T, color=f"C{colour}", linewidth=0.6, alpha=0.8, linestyle=("--", "-")[one])
            axes.plot([], [], color=f"C{colour}", linewidth=1, label=f"$N = {count}$")
        axes.plot(*upper(beta), color="black", linewidth=1.2, label="stable laws")
        axes.axvline(1, color="black", linewidth=0.5)
        axes.set(xlabel=r"$\kappa / \kappa^\#$", xlim=(BOTTOM, TOP), title=rf"$\beta = {beta:g}$")
        axes.plot([], [], color="0.5", linewidth=0.8, linestyle="--", label="noise falls")
        axes.legend(fontsize=6)
    drawn.axes[0].set_ylabel("order $R$")
    return drawn


common: dict[str, Any] = dict(
    kind="constant", source="derived", size="tokens", measures=("tokens",),
    hypotheses=r"circle, $V = I$, kernel $e^{\beta\langle x, y\rangle}$, rows not divided, $\beta = 6$, "
    r"$\kappa/\kappa^\#$ moves by $1/N$ in the time $1/\kappa^\#$",
)  # fmt: skip
lost = af.Claim(
    id="noisy-ramp/lost", quantity="lost-above", predicted=lost_at(6.0), margin=0.04, correction_power=2 / 3,
    statement=r"$\kappa/\kappa^\#$ at which order is lost tends to the largest of the branch", **common,
)  # fmt: skip
loop = af.Claim(
    id="noisy-ramp/area", quantity="area-above", predicted=area(6.0), margin=0.06, correction_power=0.5,
    statement="the area of the loop tends to that under the stable ordered laws", **common,
)  # fmt: skip
appears = af.Claim(
    id="noisy-ramp/appears", quantity="appears-above", predicted=1.0, margin=0.06, correction_power=0.5,
    statement=r"$\kappa/\kappa^\#$ at which order appears tends to 1", **common,
)  # fmt: skip
study = af.Study(
    name="noisy_ramp",
    measure=measure,
    ladder=[{"tokens": count} for count in COUNTS],
    quick=1,
    seeds=48,
    quick_seeds=16,
    claims=(),
    full_claims=[
        lost,
        lost.control(
            statement=r"so it does at $\beta = 1$", quantity="lost-below", truth=lost_at(1.0), truth_margin=0.04,
        ),
        loop,
        loop.control(statement=r"so it does at $\beta = 1$", quantity="area-below", truth=0.0, truth_margin=0.06),
        appears,
        appears.control(
            statement=r"so it does at $\beta = 1$, to $R = 1/2$", quantity="appears-below", truth=lost_at(1.0),
            truth_margin=0.03,
        ),
    ],
    figures=[hysteresis],
    labels={
        "lost-above": r"$\kappa/\kappa^\#$ where order is lost, $\beta = 6$",
        "lost-below": r"$\kappa/\kappa^\#$ where order is lost, $\beta = 1$",
        "area-above": r"area of the loop, $\beta = 6$",
        "area-below": r"area of the loop, $\beta = 1$",
        "appears-above": r"$\kappa/\kappa^\#$ where order appears, $\beta = 6$",
        "appears-below": r"$\kappa/\kappa^\#$ where order appears, $\beta = 1$",
    },
)  # fmt: skip
