"""From which inverse temperature on do tokens on the circle always meet in one point?

Tokens that attend with e^{beta <x, y>}, V = I, rows not divided, climb an energy: each ends at rest, and from almost
every start at a place of rest that is stable. One point is stable. If nothing else is, tokens meet from almost every
start. That they do, however many they are, is proved for 0 < beta <= 1 [CRMB] and stated from -.16 on; below beta =
-2/3 they need not, because three equal clusters leave the corners of a triangle at the rate

    (1/2 + 3 beta / 4) e^{-beta / 2},

negative there, and a cluster does not part, -e^beta / 3 - (2/3) f'(2 pi / 3) < 0. In between it is open.

Measured: every place of rest of n = 3, ..., 9 tokens at eleven beta in between (`critical_points` says how they are
found, and why none is missed), of each the largest rate at which tokens leave it: eigenvalues of central differences,
of step 1e-5, of the velocities of the tokens themselves. Claimed is that for no n anything but one point is stable. It
is a guess, and its support would be no proof: not for n > 9, nor between the eleven.

Quantities: `stable`, for how many n something is; `counted`, the largest Euler characteristic, which is zero on every
torus of clusters if no place of rest is missing; `triangle`, the smallest of the largest rates for n = 3, 6, 9 over the
rate of the triangle, as far as beta = -.4: what loses its stability first; `moves`, the largest velocity of tokens at
rest. `stay`: the share of starts, on a grid for three tokens, a sequence for nine, that do not end in one point; the
full run only, as tokens pass saddles slowly.

The controls: n = 3, 6, 9 at beta = -.9, -.8, -.7, where the triangle is stable; the count without the one point, in
truth an odd one, since what is left has the sign of one point and its opposite; the share at beta = -.9, where a fine
grid and another integrator give .0403.
"""

import functools
from typing import Any

import critical_points
import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

THRESHOLD = -2 / 3
INSIDE = (-0.5, -0.62, -0.65, -0.58, -0.54, -0.45, -0.4, -0.35, -0.3, -0.24, -0.18)
BELOW = (-0.9, -0.8, -0.7)
COUNTS = range(3, 10)
FEWER, MORE = 600, 4000  # starts of Newton's method for each partition, in the quick run and otherwise
NEAR = -0.4  # up to where the triangle is what loses its stability first
DIFFERENCE = 1e-5
UNTIL = (25.0, 100.0, 300.0, 800.0)
GRID, SEQUENCE = 16, 96
STAYS = 0.0403  # at beta = -.9: 590 of 121^2 starts, fourth-order Runge-Kutta steps of .05 until t = 200
SHARE = 0.02  # tolerance of a share: of 256 points of a grid the boundary of what stays leaves four or five in doubt


def flow(beta: float) -> af.TokenFlow:
    """Return tokens that attend with e^{beta <x, y>}, beta < 0."""
    attention = af.Attention(-1.0 * af.DotProduct(), bandwidth=-1 / beta, normalization="unnormalized")
    return af.TokenFlow(attention, manifold=af.Circle())


def on_circle(angles: np.ndarray) -> np.ndarray:
    """Return points (N, 2)."""
    return np.column_stack([np.cos(angles), np.sin(angles)])


def speeds(angles: np.ndarray, beta: float) -> np.ndarray:
    """Return the angular velocities of tokens, (N,)."""
    return np.einsum("nd,nd->n", flow(beta).velocity(on_circle(angles)), on_circle(angles + np.pi / 2))


def leaving(angles: np.ndarray, beta: float) -> float:
    """Return the largest rate at which tokens leave a place of rest, turning all of them left out."""
    steps = DIFFERENCE * np.eye(len(angles))
    slopes = np.stack([speeds(angles + step, beta) - speeds(angles - step, beta) for step in steps], axis=1)
    slopes /= 2 * DIFFERENCE
    others = np.linalg.svd(np.ones((1, len(angles))))[2][1:]  # an orthonormal basis of what does not turn
    return float(np.linalg.eigvalsh(others @ (slopes + slopes.T) @ others.T / 2)[-1])


@functools.cache
def rates(count: int, beta: float, starts: int) -> tuple[float, ...]:
    """Return the largest rate of every place of rest of so many tokens, one point left out."""
    return tuple(leaving(shape.tokens, beta) for shape in critical_points.shapes(count, beta, starts=starts))


def of_triangle(beta: Any) -> Any:
    """Return at which rate three equal clusters leave the corners of a triangle."""
    return (0.5 + 0.75 * beta) * np.exp(-beta / 2)


def characteristic(beta: float, starts: int, *, with_point: bool = True) -> int:
    """Return the largest Euler characteristic, or the smallest without one point, in absolute value."""
    found = []
    for count in COUNTS:
        shapes = critical_points.shapes(count, beta, starts=starts)
        for clusters in critical_points.partitions(count):
            if len(clusters) > 1:
                found.append(abs(critical_points.euler(clusters, shapes, beta=beta, with_point=with_point)))
    return max(found) if with_point else min(found)


def at_rest(case: dict) -> dict[str, Any]:
    """Return what the places of rest at one beta are like."""
    beta, starts = case["beta"], case["starts"]
    of_each = {count: rates(count, beta, starts) for count in COUNTS}
    if beta < THRESHOLD:
        return {"below": sum(min(of_each[count]) < 0 for count in (3, 6, 9))}
    row: dict[str, Any] = {
        "stable": sum(min(each) < 0 for each in of_each.values()),
        "counted": characteristic(beta, starts),
        "without_point": characteristic(beta, starts, with_point=False),
        "least": np.array([min(each) for each in of_each.values()]),
        "moves": max(
            np.abs(speeds(shape.tokens, beta)).max()
            for count in COUNTS
            for shape in critical_points.shapes(count, beta, starts=starts)
        ),
    }
    if beta <= NEAR:
        ratios = np.array([min(of_each[count]) for count in (3, 6, 9)]) / of_triangle(beta)
        row["triangle"] = ratios[np.argmax(np.abs(ratios - 1))]
    return row


def starts_of(count: int) -> np.ndarray:
    """Return the angles of tokens (S, N), a grid for three, an additive sequence for more."""
    if count == 3:
        middles = 2 * np.pi * (np.arange(GRID) + 0.5) / GRID
        return np.stack([np.zeros(GRID**2), *(each.ravel() for each in np.meshgrid(middles, middles))], axis=1)
    root = 2.0
    for _ in range(60):
        root = (1 + root) ** (1 / count)  # of x^N = x + 1
    return 2 * np.pi * np.mod(np.outer(np.arange(1, SEQUENCE + 1), root ** -np.arange(1.0, count)), 1)


def staying(count: int, beta: float) -> float:
    """Return the share of starts from which tokens do not end in one point."""
    left = [on_circle(np.append(0.0, each) if count > 3 else each) for each in starts_of(count)]
    total, before = len(left), 0.0
    for time in UNTIL:
        moved = [flow(beta).evolve(x, times=time - before, integrator=af.Layer(0.5)).points[-1] for x in left]
        left, before = [x for x in moved if np.linalg.norm(x.mean(axis=0)) < 1 - 1e-6], time
    return len(left) / total


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return what is at rest, or how many starts stay."""
    if "starts" in case:
        return at_rest(case)
    if case["beta"] < THRESHOLD:
        return {"stay_below": staying(3, case["beta"])}
    return {"stay": staying(3, case["beta"]), "stay_nine": staying(9, case["beta"])}


def least_rates(records: list) -> Figure:
    """Draw the smallest of the largest rates over beta, for each n."""
    rows = sorted((case["beta"], values["least"][0]) for case, values in records if "least" in values)
    betas, least = np.array([beta for beta, _ in rows]), np.stack([each for _, each in rows])
    drawn = plots.figure(width=4.6, height=3.2)
    axes = drawn.subplots()
    fine = np.linspace(-0.75, -0.16, 100)
    axes.axhline(0, color="black", linewidth=0.6)
    axes.axvspan(THRESHOLD, -0.16, color="0.93", linewidth=0)
    axes.plot(fine, of_triangle(fine), color="0.5", linewidth=0.8, label="triangle, theory")
    for column, count in enumerate(COUNTS):
        marker, size = ("o", 9 - 0.7 * count) if count % 3 == 0 else ("x", 3.5)  # rings, as these three are one
        axes.plot(betas, least[:, column], marker, fillstyle="none", markersize=size, label=rf"$n = {count}$")
    axes.set(xlabel=r"$\beta$", ylabel="rate of the least unstable place of rest")
    axes.legend(fontsize=6, ncols=2)
    drawn.suptitle(r"circle, $V = I$, $e^{\beta\langle x, y\rangle}$; shaded: open", fontsize=8, x=0.01, ha="left")
    return drawn


common: dict[str, Any] = dict(kind="identity", source="derived", size="beta", measures=("tokens",))
CIRCLE = r"circle, $V = I$, kernel $e^{\beta\langle x, y\rangle}$, rows not divided, "
stable = af.Claim(
    id="sync-gap/stable", quantity="stable", predicted=0.0, margin=0.0,
    statement="for no number of tokens anything but one point is stable",
    hypotheses=CIRCLE + r"3 to 9 tokens, $-.65 \leq \beta \leq -.18$", **common,
)  # fmt: skip
counted = af.Claim(
    id="sync-gap/complete", quantity="counted", predicted=0.0, margin=0.0,
    statement="the signs of the places of rest found add up to zero on every torus of clusters",
    hypotheses=CIRCLE + r"3 to 9 tokens, $-.65 \leq \beta \leq -.18$", **common,
)  # fmt: skip
triangle = af.Claim(
    id="sync-gap/triangle", quantity="triangle", predicted=1.0, margin=1e-6,
    statement=r"the least unstable is left at the rate $(1/2 + 3\beta/4) e^{-\beta/2}$",
    hypotheses=CIRCLE + r"3, 6 and 9 tokens, $-.65 \leq \beta \leq -.4$", **common,
)  # fmt: skip
stay = af.Claim(
    id="sync-gap/starts", quantity="stay", predicted=0.0, margin=SHARE,
    statement="no start is kept from one point",
    hypotheses=CIRCLE + r"3 tokens, $-.65 \leq \beta \leq -.18$, steps of $1/2$ until $t = 800$", **common,
)  # fmt: skip
study = af.Study(
    name="sync_gap",
    measure=measure,
    ladder=[
        {"beta": INSIDE[0], "starts": FEWER},
        {"beta": BELOW[0], "starts": FEWER},
        *({"beta": beta, "starts": MORE} for beta in INSIDE[1:] + BELOW[1:]),
        *({"beta": beta} for beta in INSIDE + BELOW[:1]),
    ],
    quick=2,
    claims=af.covered([
        stable,
        stable.control(
            statement=r"so it is for 3, 6 and 9 tokens at $-.9 \leq \beta \leq -.7$",
            quantity="below",
            truth=3.0,
            truth_margin=0.0,
        ),
        counted,
        counted.control(
            statement="they add up to zero without the one point",
            quantity="without_point",
            truth=1.0,
            truth_margin=0.0,
        ),
        triangle,
        af.Claim(
            id="sync-gap/at-rest", quantity="moves", predicted=0.0, margin=1e-9,
            statement="tokens do not move at the places of rest found", hypotheses=CIRCLE + "3 to 9 tokens", **common,
        ),
    ], by="sync-gap-control/stable"),
    full_claims=af.covered([
        stay,
        stay.control(
            statement=r"so it is at $\beta = -.9$", quantity="stay_below", truth=STAYS, truth_margin=SHARE / 2,
        ),
        af.Claim(
            id="sync-gap/starts-nine", quantity="stay_nine", predicted=0.0, margin=SHARE,
            statement="no start is kept from one point",
            hypotheses=CIRCLE + r"9 tokens, $-.65 \leq \beta \leq -.18$, steps of $1/2$ until $t = 800$", **common,
        ),
    ], by="sync-gap-control/starts"),
    figures=[least_rates],
    labels={
        "beta": r"inverse temperature $\beta$",
        "stable": "for how many $n$ something else is stable",
        "below": r"for how many of $n = 3, 6, 9$ something else is stable",
        "counted": "largest sum of signs",
        "without_point": "smallest sum of signs without one point",
        "triangle": "rate of the least unstable over that of the triangle",
        "moves": "largest velocity at rest",
        "stay": "share of starts of 3 tokens that stay",
        "stay_below": r"share of starts of 3 tokens that stay, $\beta = -.9$",
        "stay_nine": "share of starts of 9 tokens that stay",
    },
)  # fmt: skip
