"""How long do independent tokens take to gather?

Tokens on the circle that attend to all others alike, V = I, are drawn to their mean: of waves about uniform tokens only
Z = mean of e^{i theta} grows, at the rate lambda = 1/2. Of N independent uniform tokens N |Z_0|^2 is exponentially
distributed, so that G = -log N |Z_0|^2 has Gumbel's law, and as long as few other tokens matter |Z|^2 / (1 - |Z|^2)
grows like e^{2 lambda t} [OA]. So |Z| = delta is reached at

    T = ( log N + log delta^2 / (1 - delta^2) + G ) / (2 lambda),   E G = .5772,

up to terms that vanish with 1/N. Tokens at the quantiles of one density have one Z_0, and no log N.

Where all attend alike, the circles of a flat torus are moved each by its own mean: tokens on T^m are m independent
draws at once, eleven for each seed. Measured by midpoint steps of 1/4, which are exact to .02, for delta = 1/2 with 16
and 64 tokens: the mean of T over the draws of a seed, its margin a third of log 4, by which both differ. The control
takes tokens near the quantiles, at (i - u_i) / N with u_i uniform in [0, 1], of a Poisson kernel with |Z_0| = .02, in
place of uniform ones: in truth T is log (|Z_0|^-2 - 1) / (delta^-2 - 1), as |Z_0| is off by .004 only.
"""

import math

import jax
import numpy as np

import attnflow as af

REACHED = 0.5  # delta
RADIUS = 0.02  # |Z_0| of the control
TIMES = np.arange(0.0, 15.0)
COUNTS = (16, 64)
DRAWS = 11  # of one seed
MARGIN = math.log(4) / 3


def times_of(phases: np.ndarray) -> np.ndarray:
    """Return when |Z| = delta (S,) for tokens that begin at phases (N, S)."""
    torus = af.FlatTorus(phases.shape[1])
    flow = af.TokenFlow(af.Attention(0.0 * af.DotProduct(), bandwidth=1.0), manifold=torus, rtol=1e-6)
    found = flow.evolve(torus.from_angles(phases), times=TIMES, integrator=af.Midpoint(0.25))
    places = found.points.reshape(len(TIMES), len(phases), -1, 2) @ np.array([1, 1j])
    squares = np.abs(np.mean(places / np.abs(places), axis=1)) ** 2
    odds = np.log(squares / (1 - squares))  # it rises by 2 lambda in a unit of time
    return np.array([np.interp(logit(REACHED), each, TIMES) for each in odds.T])


def logit(radius: float) -> float:
    """Return log r^2 / (1 - r^2)."""
    return math.log(radius**2 / (1 - radius**2))


def quantiles(levels: np.ndarray) -> np.ndarray:
    """Return the angles below which a Poisson kernel has these masses, counted from -pi."""
    return 2 * np.arctan((1 - RADIUS) / (1 + RADIUS) * np.tan(np.pi * (levels - 0.5)))


def angles(key: jax.Array) -> np.ndarray:
    """Return uniform angles in [0, 2 pi), (64, 11)."""
    points = af.Uniform(af.Circle()).sample(max(COUNTS) * DRAWS, key=key)
    return np.mod(np.arctan2(points[:, 1], points[:, 0]), 2 * np.pi).reshape(-1, DRAWS)


def measure(case: dict, keys: list[jax.Array]) -> dict[str, np.ndarray]:
    """Return the times for independent tokens, and for tokens at quantiles."""
    count = case["tokens"]
    drawn = np.concatenate([angles(key)[:count] for key in keys], axis=1)
    row = {f"of-{count}": times_of(drawn).reshape(len(keys), DRAWS).mean(axis=1)}
    if count == max(COUNTS):
        at = quantiles((np.arange(count)[:, None] + drawn / (2 * np.pi)) / count)
        row["quantiles"] = times_of(at).reshape(len(keys), DRAWS).mean(axis=1)
    return row


def claim_of(count: int) -> af.Claim:
    """Return the claim about so many tokens."""
    predicted = math.log(count) + logit(REACHED) + np.euler_gamma
    return af.Claim(
        id=f"gumbel/{count}", source="derived", kind="constant", quantity=f"of-{count}", size="tokens",
        predicted=predicted, margin=MARGIN,
        statement=r"$|Z| = \delta$ is reached after $(\log N + \log \delta^2/(1 - \delta^2) + \gamma) / 2\lambda$ "
        "on average",
        hypotheses=rf"circle, constant kernel, $V = I$, $\lambda = 1/2$, $\delta = 1/2$; {count} independent uniform "
        "tokens",
        measures=("tokens",),
    )  # fmt: skip


study = af.Study(
    name="gumbel",
    measure=measure,
    ladder=[{"tokens": count} for count in COUNTS],
    quick=len(COUNTS),
    claims=af.covered(
        [
            *map(claim_of, COUNTS),
            claim_of(64).control(
                statement=(
                    r"tokens at quantiles of a Poisson kernel with $|Z| = .02$ reach it then, "
                    r"with the same $\log N$"
                ),
                quantity="quantiles",
                truth=logit(REACHED) - logit(RADIUS),
                truth_margin=0.1,
            ),
        ],
        by="gumbel-control/64",
    ),
    seeds=192,
    quick_seeds=64,
    labels={
        "of-16": "time for 16 independent tokens",
        "of-64": "time for 64 independent tokens",
        "quantiles": "time for 64 tokens at quantiles",
    },
)
