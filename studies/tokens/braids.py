"""Where do tokens on a circle gather?

With V = I tokens that are spread evenly are not at rest for long. About the uniform law the mode e^{ik theta} of their
density grows at the rate [G]

    lambda_k = k^2 I_k(beta) / (beta I_0(beta)),

which is largest at a mode k* of about sqrt(2 beta), here k* = 4 at beta = 8. From a density 1 + d cos(k* theta - a)
+ d cos(2 theta - b) the first wave has grown to a quarter at the time T = log(1/4d) / lambda_k*, the second to a
quarter of (4d)^g, g = 1 - lambda_2 / lambda_k*. To first order in what it has grown to it moves the peaks of the
density, in which clusters form, off the maxima of the first: as d -> 0 tokens gather at the maxima of the most unstable
mode, and their distance from there is of order d^g, g = .456.

Measured with N = 96 tokens at the quantiles of that density, with a = .5 and b = 1: the root mean square over the four
peaks of their distance from the maxima at T. A peak is where the Fourier series of the tokens, up to the 31st mode, is
highest: tokens that are a smooth image of an even grid have the moments of their law to rounding. In the control the
maxima are those of the mode k* + 1 with the same phase: some of these lie between the peaks, whatever d.

The figure: tokens from 1 + .03 cos(4 theta - a) + .003 cos(k theta - b_k), k = 1, 2, 3, 5, 6, 7, until they are points.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import ive

import attnflow as af
from attnflow.lab import plots

BETA, FASTEST, OTHER = 8.0, 4, 2
PHASES = {FASTEST: 0.5, OTHER: 1.0}
OTHER_PHASES = {1: 1.0, 2: 2.5, 3: 4.0, 5: 0.3, 6: 5.0, 7: 3.0}  # of the figure
EVEN = 2 * np.pi * (np.arange(96) + 0.5) / 96
GROWN = 0.25  # of the most unstable mode; of order one, and small enough for peaks to be round
MODES = np.arange(1, 32)


def rate(k: int) -> float:
    """Return lambda_k."""
    return float(k**2 * ive(k, BETA) / (BETA * ive(0, BETA)))


def flow() -> af.TokenFlow:
    """Return tokens on the circle with V = I."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / BETA), manifold=af.Circle())


def start(waves: dict[int, tuple[float, float]]) -> np.ndarray:
    """Return tokens at the quantiles of 1 + sum_k a_k cos(k theta - b_k), to first order in a_k; waves: k -> (a, b)."""
    angles = EVEN - sum(a * np.sin(k * EVEN - b) / k for k, (a, b) in waves.items())
    return np.column_stack([np.cos(angles), np.sin(angles)])


def angles_of(points: np.ndarray) -> np.ndarray:
    """Return the angles of tokens (..., N, 2)."""
    return np.arctan2(points[..., 1], points[..., 0])


def maxima(k: int) -> np.ndarray:
    """Return where the mode k has its maxima, with the phase of the most unstable mode."""
    return (PHASES[FASTEST] + 2 * np.pi * np.arange(k)) / k


def peaks(angles: np.ndarray) -> np.ndarray:
    """Return the highest points of the law of tokens, by Newton's method from the maxima of the most unstable mode."""
    moments = np.exp(-1j * np.outer(MODES, angles)).mean(axis=1)
    found = maxima(FASTEST)
    for _ in range(8):
        waves = moments[:, None] * np.exp(1j * np.outer(MODES, found))
        found = found + np.real(1j * MODES @ waves) / np.real(MODES**2 @ waves)
    return found


def distance(found: np.ndarray, k: int) -> float:
    """Return the root mean square distance of the peaks from the nearest maxima of the mode k."""
    gaps = np.mod(found[:, None] - maxima(k) + np.pi, 2 * np.pi) - np.pi
    return float(np.sqrt(np.mean(np.abs(gaps).min(axis=1) ** 2)))


def picture() -> dict[str, np.ndarray]:
    """Return the paths of tokens until they are points."""
    waves = {k: (0.003, b) for k, b in OTHER_PHASES.items()} | {FASTEST: (0.03, PHASES[FASTEST])}
    times = np.linspace(0.0, 11.0, 133)  # matplotlib simplifies lines from 128 points on
    return {"times": times, "angles": angles_of(flow().evolve(start(waves), times=times).points)}


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return how far the peaks are from the maxima, or the paths of the figure."""
    if "amplitude" not in case:
        return picture()
    amplitude = case["amplitude"]
    time = np.log(GROWN / amplitude) / rate(FASTEST)
    moved = flow().evolve(start({k: (amplitude, b) for k, b in PHASES.items()}), times=time)
    found = peaks(angles_of(moved.points[0]))
    # The peak of a wave of amplitude GROWN and of k^2 GROWN its curvature moves by as much as tokens do, to a factor.
    return {
        "fastest": distance(found, FASTEST),
        "next": distance(found, FASTEST + 1),
        "solver_error": moved.solver_error / GROWN,
    }


def braid(records: list) -> Figure:
    """Draw the paths of tokens, with the maxima of the most unstable mode."""
    (arrays,) = (arrays for case, arrays in records if "amplitude" not in case)
    drawn = plots.figure(width=6.4, height=3.3)
    drawn.suptitle(
        r"$N = 96$ tokens on the circle, $V = I$, $\beta = 8$; triangles: maxima of the most unstable mode, $k^* = 4$",
        fontsize=8, x=0.01, ha="left",
    )  # fmt: skip
    plots.braids(drawn, times=arrays["times"][0], angles=arrays["angles"][0], centres=maxima(FASTEST))
    return drawn


rates = af.Claim(
    id="B-centres/circle", source="derived",
    statement=r"tokens gather at the maxima of the most unstable mode $k^*$: their distance from there is of order "
    r"$d^{1 - \lambda_2 / \lambda_{k^*}}$",
    kind="exponent", quantity="fastest", size="amplitude", predicted=1 - rate(OTHER) / rate(FASTEST),
    hypotheses=r"circle, $V = I$, softmax with $\beta = 8$, $k^* = 4$, quantile tokens of a density with waves of "
    "amplitude $d$ in the modes 2 and 4, when the second has grown to a quarter",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="braids",
    measure=measure,
    ladder=[
        *({"amplitude": 0.02 / 2**k} for k in range(8)),
        {"picture": "braid"},
        *({"amplitude": 0.02 / 2**k} for k in (8, 9)),
    ],
    quick=9,
    claims=[
        rates,
        rates.control(
            statement=r"tokens gather at the maxima of the mode $k^* + 1$: their distance from there is of order "
            r"$d^{1 - \lambda_2 / \lambda_{k^*}}$",
            quantity="next",
            truth=0.0,
        ),
    ],
    figures=[braid],
    labels={
        "fastest": "RMS distance of peaks from the maxima of $k^*$",
        "next": "RMS distance of peaks from the maxima of $k^* + 1$",
    },
)
