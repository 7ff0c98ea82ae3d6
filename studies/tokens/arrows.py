"""Do layers with V = -I undo what layers with V = I have done?

Time has two arrows here. Attention moves a token towards grad log mu / beta, so that on the circle the law of tokens
obeys, with V = -beta I and V = beta I, up to order 1/beta [Sk]

    d_t mu = Lap mu    and    d_t mu = -Lap mu,

the heat equation and the one that runs it backwards, which few laws survive for long: tokens gather in clusters. As
long as beta is finite both are flows, and one is the other run backwards, for its velocity is the negative one. A
network takes steps. With phi_h the flow of one of them, n of its steps are

    S_h = phi_h + C h^{p+1} + O(h^{p+2}),    S_{-h} S_h = id + (1 + (-1)^{p+1}) C h^{p+1} + O(h^{p+2}),

where p is the order: of an odd order the errors of the two ways add up, of an even one they cancel, and what is left is
one order more. From n = t/h steps there and n steps back tokens return up to an error of order 1/n for layers, which
are Euler's steps, and of order n^-3 for midpoint steps, although those are of order n^-2 on the way there.

Measured at beta = 8, V = -I there and V = I back, t = 1.6, for N = 96 tokens near the quantiles of a density without
symmetry: the root mean square of the distance from where they started. The control claims for one way what holds for
both: the distance of midpoint steps from the flow, at t, is of order n^-2 in truth.

The figure: beta = 30, N = 96 tokens at the quantiles of mu_0 ~ exp(.6 cos x + .3 sin 2x) with V = -beta I, beside the
heat equation; and of its solution at t = .15 with V = beta I, beside the same backwards, which ends in mu_0 at .15.
From there on it has no solution, for the moments of mu_0 do not fall like e^{-k^2 t} for any t > 0.
"""

import functools
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

BETA, TIME, COUNT = 8.0, 1.6, 96
SHARP, HEATED = 30.0, 0.15  # of the figure
GRID = 2 * np.pi * np.arange(4096) / 4096
INTEGRATORS: dict[str, Any] = {"layers": af.Layer, "midpoint": af.Midpoint}


def flow(value: float, beta: float = BETA) -> af.TokenFlow:
    """Return tokens on the circle."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta), value=value, manifold=af.Circle())


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return points (N, 2)."""
    return np.column_stack([np.cos(angles), np.sin(angles)])


def start() -> np.ndarray:
    """Return tokens near the quantiles of a density without symmetry."""
    even = 2 * np.pi * (np.arange(COUNT) + 0.5) / COUNT
    return on_circle(even - 0.4 * np.sin(even - 0.3) - 0.05 * np.sin(2 * even + 1))


@functools.cache
def exact() -> af.TokenTrajectory:
    """Return where the flow takes the tokens with V = -I."""
    return flow(-1.0).evolve(start(), times=TIME, integrator=af.Adaptive(rtol=1e-11))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return the root mean square distance of tokens."""
    return float(np.sqrt(np.mean(np.sum((one - other) ** 2, axis=1))))


def heat(time: float) -> np.ndarray:
    """Return the solution of the heat equation on the grid, from exp(.6 cos x + .3 sin 2x) over its integral."""
    density = np.exp(0.6 * np.cos(GRID) + 0.3 * np.sin(2 * GRID))
    waves = np.fft.rfft(density / (2 * np.pi * density.mean()))
    return np.fft.irfft(waves * np.exp(-time * np.arange(len(waves)) ** 2), len(GRID))


def quantiles(density: np.ndarray) -> np.ndarray:
    """Return angles between which a density on the grid has equal masses."""
    masses = np.cumsum((density + np.roll(density, -1)) / 2) * GRID[1]
    at = (np.arange(COUNT) + 0.5) / COUNT
    return np.interp(at, np.append(0.0, masses / masses[-1]), np.append(GRID, 2 * np.pi))


def off(angles: np.ndarray, density: np.ndarray) -> float:
    """Return the largest distance of the law of tokens, as their spacing tells it, from a density on the grid."""
    gaps = np.mod(np.diff(angles, append=angles[:1]), 2 * np.pi)
    middles = np.mod(angles + gaps / 2, 2 * np.pi)
    return float(np.abs(1 / (len(angles) * gaps) - np.interp(middles, GRID, density, period=2 * np.pi)).max())


def picture() -> dict[str, np.ndarray]:
    """Return the angles of tokens with both signs of V, and how far their laws are from the heat equation."""
    times = np.linspace(0.0, 0.18, 25)
    found: dict[str, np.ndarray] = {"times": times}
    for name, value, first in (("heat", -SHARP, heat(0.0)), ("clusters", SHARP, heat(HEATED))):
        moved = flow(value, SHARP).evolve(on_circle(quantiles(first)), times=times).points
        angles = np.arctan2(moved[..., 1], moved[..., 0])
        laws = [heat(time if value < 0 else max(HEATED - time, 0.0)) for time in times]
        found |= {name: angles, f"{name}_error": np.array([off(*pair) for pair in zip(angles, laws, strict=True)])}
    return found


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return how far tokens are from their start when they are back, or what the figure shows."""
    if "layers" not in case:
        return picture()
    first, step = start(), TIME / case["layers"]
    row: dict[str, float] = {}
    for name, integrator in INTEGRATORS.items():
        there = flow(-1.0).evolve(first, times=TIME, integrator=integrator(step)).points[0]
        turned = on_circle(np.arctan2(there[:, 1], there[:, 0]))
        back = flow(1.0).evolve(turned, times=TIME, integrator=integrator(step)).points[0]
        row |= {f"{name}.return": apart(back, first), f"{name}.there": apart(there, exact().points[0])}
    return row | {"midpoint.there.solver_error": exact().solver_error}


def arrows(records: list) -> Figure:
    """Draw the laws of tokens beside the heat equation and what reverses it, over their distance."""
    (arrays,) = (arrays for case, arrays in records if "layers" not in case)
    times = arrays["times"][0]
    drawn = plots.figure(width=6.8, height=4.6)
    panels = drawn.subplots(2, 2, height_ratios=[2.2, 1], sharey="row")
    for column, name, shown, title in (
        (0, "heat", (0, 4, 12, 20), r"$V = -\beta I$: heat"),
        (1, "clusters", (0, 10, 16, 20), r"$V = \beta I$: clusters"),
    ):
        upper, lower = panels[:, column]
        equation = np.stack([heat(times[k] if column == 0 else HEATED - times[k]) for k in shown])
        every = slice(None, None, 16)
        plots.laws(
            upper,
            times=times[list(shown)],
            angles=arrays[name][0][list(shown)],
            equation=(GRID[every], equation[:, every]),
        )
        upper.set_title(title, loc="left", pad=20)
        until = HEATED if column else None
        plots.error_over_time(lower, times=times, errors=arrays[f"{name}_error"][0], until=until, label="largest error")
    for ax in panels[:, 1]:
        ax.set_ylabel("")
    panels[1, 1].legend(loc="upper left")
    return drawn


def returns(name: str, predicted: float, words: str) -> af.Claim:
    """Return by which order tokens return."""
    return af.Claim(
        id=f"arrows/{name}", source="derived", kind="exponent", quantity=f"{name}.return", size="layers",
        predicted=predicted,
        statement=rf"after $n$ {words} with $V = -I$ and $n$ with $V = I$ tokens are back where they started, up to an "
        rf"error of order $n^{{{predicted:g}}}$",
        hypotheses=r"circle, softmax with $\beta = 8$, $n$ steps of the length $t/n$, $t = 1.6$",
        measures=("tokens",),
    )  # fmt: skip


midpoint = returns("midpoint", -3.0, "midpoint steps")
study = af.Study(
    name="arrows",
    measure=measure,
    ladder=[
        *({"layers": n} for n in (4, 6, 8, 12, 16, 24, 32, 48)),
        {"picture": "arrows"},
        *({"layers": n} for n in (64, 96)),
    ],
    quick=9,
    claims=af.covered(
        [
            returns("layers", -1.0, "layers"),
            midpoint,
            midpoint.control(
                statement="after $n$ midpoint steps with $V = -I$ tokens are where the flow takes "
                "them, up to an error of "
                "order $n^{-3}$",
                quantity="midpoint.there",
                truth=-2.0,
            ),
        ],
        by="arrows-control/midpoint",
    ),
    figures=[arrows],
    labels={
        "layers.return": "distance from the start, layers there and back",
        "midpoint.return": "distance from the start, midpoint steps there and back",
        "midpoint.there": "distance from the flow, midpoint steps one way",
    },
)
