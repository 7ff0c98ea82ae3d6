"""How many clusters do tokens form, and how long do they last?

About the uniform law on the circle the mode k of the density of tokens grows, with V = I, at the rate [G]

    lambda_k = k^2 I_k(beta) / (beta I_0(beta)),

which as beta -> oo is largest at k* = sqrt(2 beta), where it tends to 2/e. Waves of the amplitude d in all modes have
grown to be of order one at the time log(1/d) / lambda_k*, the fastest ahead of the others by d^-(1 - lambda_k /
lambda_k*): if d is small there are k* clusters. These wait for exponentially long, and merge.

Measured at beta = k^2 / 2 for N = 96 tokens that are spread evenly but for waves of the amplitude d = 10^-6 in the
modes 1 to 12, of unlike phases, by midpoint steps of .5, three after log(1/d) / lambda_k*: the number of clusters over
k. A cluster is a maximum of the kernel density int e^{beta (<x, y> - 1)} mu(dy), which is what attention sees; there is
none as long as it varies by less than a fifth. The control has four times the bandwidth: half as many clusters in
truth, a whole number near k/2.

The figure: d = 10^-3, and the tokens of layers of .25 until t = 16 and of 1 from there on, where all that is fast is
over.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.special import ive

import attnflow as af
from attnflow.lab import plots

COUNT, SMALL, WAVES = 96, 1e-6, 1e-3
EVEN = 2 * np.pi * (np.arange(COUNT) + 0.5) / COUNT
MODES = np.arange(1, 13)
PHASES = 2 * np.pi * np.mod(MODES * 0.6180339887, 1)
GRID = 2 * np.pi * np.arange(240) / 240
SEEN = 1.2  # of the largest kernel density over the smallest
STEP, AFTER = 0.5, 6  # steps from when clusters have formed in theory
EARLY, LATE = np.arange(4.0, 16.1, 0.5), np.arange(2.0, 97.0, 2.0)


def rate(beta: float) -> float:
    """Return the largest lambda_k."""
    k = np.arange(1, 2 + round(2 * np.sqrt(2 * beta)))
    return float((k**2 * ive(k, beta)).max() / (beta * ive(0, beta)))


def flow(beta: float) -> af.TokenFlow:
    """Return tokens on the circle with V = I."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta), manifold=af.Circle())


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return points (N, 2)."""
    return np.column_stack([np.cos(angles), np.sin(angles)])


def start(amplitude: float) -> np.ndarray:
    """Return tokens that are spread evenly but for waves."""
    return on_circle(EVEN - amplitude * (np.sin(np.outer(EVEN, MODES) - PHASES) / MODES).sum(axis=1))


def clusters(points: np.ndarray, beta: float) -> np.ndarray:
    """Return the numbers of clusters of tokens (T, N, 2)."""
    density = np.exp(beta * (points @ on_circle(GRID).T - 1)).mean(axis=1)
    maxima = (density > np.roll(density, 1, axis=1)) & (density >= np.roll(density, -1, axis=1))
    return np.where(density.max(axis=1) > SEEN * density.min(axis=1), maxima.sum(axis=1), 0)


def formed(beta: float) -> int:
    """Return how many clusters have formed from small waves."""
    steps = round(np.log(1 / SMALL) / rate(beta) / STEP) + AFTER
    moved = flow(beta).evolve(start(SMALL), times=steps * STEP, integrator=af.Midpoint(STEP))
    return int(clusters(moved.points, beta)[0])


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return the number of clusters over k, with 1/beta and with four times that, or a row of the figure."""
    if "modes" in case:
        k = case["modes"]
        return {"clusters": formed(k**2 / 2) / k, "wider": formed(k**2 / 8) / k}
    beta = case["inverse_temperature"]
    early = flow(beta).evolve(start(WAVES), times=EARLY, integrator=af.Layer(0.25)).points
    late = flow(beta).evolve(early[-1], times=LATE, integrator=af.Layer(1.0)).points
    return {"counts": clusters(np.concatenate([early, late]), beta)}


def phases(records: list) -> Figure:
    """Draw the number of clusters over time and the inverse temperature."""
    rows = {case["inverse_temperature"]: a["counts"][0] for case, a in records if "inverse_temperature" in case}
    betas = sorted(rows)
    times = np.append(EARLY, EARLY[-1] + LATE)
    drawn = plots.figure(width=4.6, height=3.5)
    drawn.suptitle(r"$N = 96$ tokens on the circle, $V = I$; white: spread evenly", fontsize=8, x=0.01, ha="left")
    plots.phases(
        drawn.subplots(), times=times, inverse_temperatures=betas, counts=np.stack([rows[beta] for beta in betas]),
        predicted=np.array([np.log(1 / WAVES) / rate(beta) for beta in betas]),
    )  # fmt: skip
    return drawn


counts = af.Claim(
    id="B-clusters/circle", source="derived", kind="identity", quantity="clusters", size="modes", predicted=1.0,
    margin=0.05,  # less than one cluster in any number of them here
    statement=r"from small waves in all modes there form $k^* = \sqrt{2 \beta}$ clusters",
    hypotheses=r"circle, $V = I$, softmax with $\beta = k^2 / 2$, tokens spread evenly but for waves of $10^{-6}$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="phases",
    measure=measure,
    ladder=[
        *({"modes": k} for k in (6, 2, 3, 4, 5)),
        *({"inverse_temperature": float(beta)} for beta in np.geomspace(1, 64, 10).round(2)),
        *({"modes": k} for k in (7, 8)),
        *({"inverse_temperature": float(beta)} for beta in np.geomspace(2 ** (1 / 3), 2 ** (17 / 3), 9).round(2)),
    ],
    quick=15,
    claims=[
        counts,
        counts.control(
            statement=r"at four times the bandwidth there form as many clusters, $\sqrt{2 \beta}$",
            quantity="wider",
            truth=0.5,
            truth_margin=0.17,  # 1/3 or 2/3 of three are the whole numbers nearest to a half
        ),
    ],
    figures=[phases],
    labels={
        "clusters": "clusters over $k$",
        "wider": "clusters over $k$, four times the bandwidth",
    },
)
