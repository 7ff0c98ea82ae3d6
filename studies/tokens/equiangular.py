"""How do equiangular tokens come together?

Of n tokens on a sphere all at one angle, <x_i, x_j> = rho, symmetry keeps them so, and with V = I the flow of softmax
and of unnormalised attention of beta <x, y> is one equation for rho [G]:

    softmax        rho' = 2 e^{beta rho} (1 - rho) ((n-1) rho + 1) / (e^beta + (n-1) e^{beta rho})
    unnormalised   rho' = (2/n) e^{beta rho} (1 - rho) ((n-1) rho + 1).

rho = -1/(n-1), a simplex, is at rest; orthogonal tokens, rho = 0, are where n random ones in many dimensions start. The
control lays the equation of unnormalised attention to softmax.

Measured: four tokens in R^6, beta = 2, from rho = 0 and an orthogonal frame turned at random, after t = 1/2: rho of
the pair that is farthest off, against the equation by SciPy.
"""

import functools

import numpy as np
from scipy.integrate import solve_ivp

import attnflow as af

COUNT, DIM, BETA, TIME = 4, 6, 2.0, 0.5


@functools.cache
def flow(normalization: str) -> af.TokenFlow:
    """Return the flow on S^5."""
    attention = af.Attention(af.DotProduct(), bandwidth=1 / BETA, normalization=normalization)
    return af.TokenFlow(attention, manifold=af.Sphere(DIM - 1))


@functools.cache
def cosine(normalization: str) -> float:
    """Return rho after the time, from the equation."""

    def speed(_: float, rho: np.ndarray) -> np.ndarray:
        kernel = np.exp(BETA * rho)
        total = np.exp(BETA) + (COUNT - 1) * kernel if normalization == "softmax" else COUNT
        return 2 * kernel * (1 - rho) * ((COUNT - 1) * rho + 1) / total

    return float(solve_ivp(speed, (0, TIME), [0.0], method="DOP853", rtol=1e-12, atol=1e-12).y[0, -1])


@af.per_seed
def measure(case: dict, key: object) -> dict[str, float]:
    """Return what the cosines of one frame are off by."""
    rng = np.random.default_rng(case["frame"])
    frame = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0][:COUNT]
    row: dict[str, float] = {}
    for normalization in ("softmax", "unnormalized"):
        moved = flow(normalization).evolve(frame, TIME, integrator=af.Adaptive(rtol=1e-9)).points[0]
        pairs = (moved @ moved.T)[np.triu_indices(COUNT, 1)]
        worst = pairs[np.argmax(np.abs(pairs - cosine(normalization)))]
        row[normalization] = float(worst - cosine(normalization))
        if normalization == "softmax":
            row["swapped"] = float(worst - cosine("unnormalized"))
    return row


def equation(name: str, words: str) -> af.Claim:
    """Return the claim about one normalisation."""
    return af.Claim(
        id=f"G-equi/{name}", source="G",
        statement=rf"equiangular tokens under {words} have the cosine $\rho$ of their equation, to $10^{{-8}}$",
        kind="identity", quantity=name, size="frame", predicted=0.0, margin=1e-8,
        hypotheses=rf"four tokens on $S^5$, $V = I$, $\beta = 2$, from $\rho = 0$, $t = {TIME:g}$",
        measures=("tokens",),
    )  # fmt: skip


softmax = equation("softmax", "softmax")
study = af.Study(
    name="equiangular",
    measure=measure,
    ladder=[{"frame": number} for number in range(1, 9)],
    quick=6,
    claims=af.covered(
        [
            softmax,
            softmax.control(
                statement=(
                    r"equiangular tokens under softmax have the cosine of the unnormalised "
                    r"equation, to $10^{-8}$"
                ),
                quantity="swapped",
                truth=cosine("softmax") - cosine("unnormalized"),
                truth_margin=1e-8,
            ),
            equation("unnormalized", "unnormalised attention"),
        ],
        by="G-equi-control/softmax",
    ),
    labels={
        "softmax": r"$\rho$ less that of its equation, softmax",
        "swapped": r"$\rho$ of softmax less that of the other equation",
        "unnormalized": r"$\rho$ less that of its equation, unnormalised",
    },
)
