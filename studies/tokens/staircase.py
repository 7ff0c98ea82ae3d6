"""Where does the energy of tokens go as they gather?

With V = I and logits beta <x, y> tokens on the circle climb the hill [G]

    E = 1/(2 beta N^2) sum_ij e^{beta (<x_i, x_j> - 1)},

but not by the steepest way: the gradient of E at x_i is Z_i v_i / N, with the velocity v_i of softmax attention and its
normaliser Z_i = 1/N sum_j e^{beta (<x_i, x_j> - 1)}. Along the flow, therefore,

    dE/dt = 1/N sum_i Z_i |v_i|^2,

which is never negative. Where all is smooth for long and then is not, E is a staircase: c clusters of masses m have the
energy sum m^2 / (2 beta), up to e^{-beta (1 - cos)} of the angles between them, and such are the times that they wait.

Measured at beta = 9 for N = 20 tokens that are spread evenly but for waves of amplitude d in the modes 3 and 4: the
energy gained until t = 3 over the work, which is the right-hand side integrated by Gauss's rule in 24 times, and in the
control by the integral of 1/N sum |v_i|^2, as if the hill were climbed by the steepest way. About the uniform law all
Z_i are I_0(beta) e^{-beta} = .135, and the ratio is that in truth.

The figure: the energy, over the largest, and the tree of merging of 20 independent tokens until 10^5.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import i0e

import attnflow as af
from attnflow.lab import plots

BETA, COUNT, TIME = 9.0, 20, 3.0
MERGED = 3e-3  # the distance at which tokens of the figure become one


def flow() -> af.TokenFlow:
    """Return tokens on the circle with V = I."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / BETA), manifold=af.Circle())


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return points (N, 2)."""
    return np.column_stack([np.cos(angles), np.sin(angles)])


def kernel(points: np.ndarray) -> np.ndarray:
    """Return e^{beta (<x_i, x_j> - 1)} of tokens (..., N, 2)."""
    return np.exp(BETA * (points @ np.swapaxes(points, -1, -2) - 1))


def energy(points: np.ndarray) -> np.ndarray:
    """Return E over its largest value, 1 / (2 beta), of tokens (..., N, 2)."""
    return kernel(points).mean(axis=(-1, -2))


def picture() -> dict[str, np.ndarray]:
    """Return the energy of independent tokens over time and who merged with whom."""
    times = np.geomspace(0.3, 1e5, 160)
    start = np.sort(np.random.default_rng(6).uniform(0, 2 * np.pi, COUNT))
    moved = flow().evolve(on_circle(start), times=times, integrator=af.Adaptive(rtol=1e-5, merge=MERGED))
    joined = np.zeros((len(moved.events), COUNT), dtype=bool)
    for row, event in zip(joined, moved.events, strict=True):
        row[list(event.tokens)] = True
    return {
        "times": times,
        "energies": energy(moved.points),
        "merging_times": np.array([event.time for event in moved.events]),
        "joined": joined,
    }


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return the energy gained over the work, or what the figure shows."""
    if "amplitude" not in case:
        return picture()
    even, amplitude = 2 * np.pi * np.arange(COUNT) / COUNT, case["amplitude"]
    start = on_circle(even + amplitude * (np.sin(3 * even + 0.4) / 3 - np.sin(4 * even - 1.1) / 4))
    nodes, weights = np.polynomial.legendre.leggauss(24)
    times = [0.0, *(TIME * (1 + nodes) / 2), TIME]
    moved = flow().evolve(start, times=times, integrator=af.Adaptive(rtol=1e-10))
    within = moved.points[1:-1] / np.linalg.norm(moved.points[1:-1], axis=-1, keepdims=True)
    speeds = np.sum(np.stack([flow().velocity(points) for points in within]) ** 2, axis=-1)
    powers = {"work": kernel(within).mean(axis=-1) * speeds, "steepest": speeds}
    gained = np.diff(energy(moved.points[[0, -1]]))[0] / (2 * BETA)
    return {name: gained / (TIME / 2 * weights @ power.mean(axis=-1)) for name, power in powers.items()}


def staircase(records: list) -> Figure:
    """Draw the energy of independent tokens and the tree of their merging."""
    (arrays,) = ({n: a[0] for n, a in arrays.items()} for case, arrays in records if "amplitude" not in case)
    merges = [(time, np.flatnonzero(row)) for time, row in zip(arrays["merging_times"], arrays["joined"], strict=True)]
    drawn = plots.figure(width=5.2, height=4.4)
    drawn.suptitle(rf"$N = {COUNT}$ tokens on the circle, $V = I$, $\beta = {BETA:g}$", fontsize=8, x=0.01, ha="left")
    upper, _ = plots.staircase(drawn, times=arrays["times"], energies=arrays["energies"], merges=merges, count=COUNT)
    upper.set_ylabel("energy, over the largest")
    return drawn


work = af.Claim(
    id="energy/circle", source="G", kind="identity", quantity="work", size="amplitude", predicted=1.0, margin=1e-6,
    statement=r"the energy that tokens gain is the work $\int \frac{1}{N} \sum_i Z_i |v_i|^2 dt$: it never falls",
    hypotheses=r"circle, $V = I$, softmax with $\beta = 9$, $N = 20$, near an even spread",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="staircase",
    measure=measure,
    ladder=[*({"amplitude": d} for d in (0.04, 0.02, 0.01)), {"picture": "staircase"}],
    quick=4,
    claims=[
        work,
        work.control(
            statement=r"the energy that tokens gain is $\int \frac{1}{N} \sum_i |v_i|^2 dt$, as by the steepest way",
            quantity="steepest",
            truth=float(i0e(BETA)),
            truth_margin=0.02,  # of order of the waves that have grown, by a factor of e^2
        ),
    ],
    figures=[staircase],
    labels={
        "work": "energy gained over the work",
        "steepest": r"energy gained over $\int |v|^2$",
    },
)
