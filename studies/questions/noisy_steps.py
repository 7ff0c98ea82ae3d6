"""Which steps of noisy tokens on the sphere are Brownian motion?

Brownian motion of the strength sqrt(2 kappa) on S^2 forgets where it began like E <x_t, x_0> = e^{-2 kappa t}. A step
of length h along a great circle, by the part w tangent at x of a Gaussian vector, has E cos |w|, |w|^2 being 2 kappa h
chi^2_2: its rate is too large by the factor

    -log E <x_h, x_0> / (2 kappa h) = 1 + kappa h / 3 + O((kappa h)^2).

Heun's step in the sense of Stratonovich takes the mean of the parts tangent at both ends, which for a Gaussian vector
w + z x leads to x + w - (|w|^2 x + z w) / 2 + ..., and puts that back on the sphere by division. Its factor is

    1 - (9/2) kappa h + O((kappa h)^2),

nine halves in place of a third, and of the other sign: so `noisy_order_tokens` walks along great circles, and gives
steps the spread that takes the third away.

Both steps are taken at the nodes of a Gauss-Hermite rule in place of random numbers, 24 for each component, and so are
exact but for rounding: nothing is drawn. The control says of Heun's steps what holds for the others.
"""

import jax
import numpy as np
from matplotlib.figure import Figure
from noisy_order_tokens import along, tangent

import attnflow as af
from attnflow.lab import plots

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
SPREAD = np.stack(np.meshgrid(NODES, NODES, NODES, indexing="ij"), axis=-1).reshape(-1, 3)
SHARES = np.einsum("i,j,k->ijk", *[WEIGHTS / WEIGHTS.sum()] * 3).ravel()
START = np.tile([0.0, 0.0, 1.0], (len(SPREAD), 1))


def circles(points: np.ndarray, product: float) -> np.ndarray:
    """Return points after a step along great circles, kappa h being given."""
    return along(points, tangent(points, np.sqrt(2 * product) * SPREAD))


def heun(points: np.ndarray, product: float) -> np.ndarray:
    """Return points after a step of Heun, put back on the sphere by division."""
    kick = np.sqrt(2 * product) * SPREAD
    here = tangent(points, kick)
    there = points + here
    there /= np.linalg.norm(there, axis=1, keepdims=True)
    moved = points + (here + tangent(there, kick)) / 2
    return moved / np.linalg.norm(moved, axis=1, keepdims=True)


def excess(ends: np.ndarray, product: float) -> float:
    """Return (rate / 2 kappa - 1) / (kappa h) of steps from the pole."""
    return float(-np.log(SHARES @ ends[:, 2]) / (2 * product) - 1) / product


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return by how much steps of one kappa h forget too fast, over kappa h."""
    product = case["product"]
    return {"circles": excess(circles(START, product), product), "heun": excess(heun(START, product), product)}


def rates(records: list) -> Figure:
    """Draw the rate of both steps over that of Brownian motion, and their leading orders."""
    rows = sorted((case["product"], a["circles"][0], a["heun"][0]) for case, a in records)
    product, *excesses = np.array(rows).T
    drawn = plots.figure(width=4.2, height=3.0)
    axes = drawn.subplots()
    fine = np.linspace(0, product[-1], 50)
    words = {"along great circles": 1 / 3, "Heun, divided": -9 / 2}
    for place, ((label, slope), found) in enumerate(zip(words.items(), excesses, strict=True)):
        axes.plot(product, 1 + found * product, "os"[place], markersize=3.5, color=f"C{place}", label=label)
        axes.plot(fine, 1 + slope * fine, linewidth=0.9, color=f"C{place}")
    axes.axhline(1, color="0.4", linewidth=0.8, linestyle="--", label="Brownian motion")
    axes.set(xlabel=r"$\kappa h$", ylabel=r"rate of forgetting over $2\kappa$")
    axes.legend(fontsize=7)
    return drawn


great = af.Claim(
    id="noisy-steps/great-circles", source="derived", kind="constant", quantity="circles", size="product",
    statement=r"steps along great circles forget at the rate $2\kappa (1 + \kappa h / 3)$: its excess over "
    r"$\kappa h$ tends to $1/3$",
    hypotheses=r"$S^2$, no drift, one step of length $h$", predicted=1 / 3, margin=0.01, measures=(),
)  # fmt: skip
study = af.Study(
    name="noisy_steps",
    measure=measure,
    ladder=[{"product": 0.005 * 2.0**-k} for k in range(8)],
    quick=8,
    claims=[
        great,
        great.control(
            statement="so do Heun's steps in the sense of Stratonovich, projected at both ends and divided",
            quantity="heun",
            truth=-4.5,
            truth_margin=0.05,
        ),
    ],
    figures=[rates],
    labels={
        "product": r"$\kappa h$",
        "circles": r"excess of the rate over $\kappa h$",
        "heun": r"excess of the rate over $\kappa h$, Heun's steps",
    },
)
