"""How many layers does a limit deserve?

With V = -beta I the law of tokens on the circle obeys the heat equation d_t mu = Lap mu up to a modelling error of
order 1/beta [Sk], if their flow is followed exactly. A network follows it in n steps of length t/n, with an error of
order 1/n. So layers in proportion to beta are enough for an error of order 1/beta; more of them, or steps of a higher
order, are spent on an equation that is not the one wanted.

Measured at t = .15 with N = 96 tokens at the quantiles of p ~ exp(.6 cos x + .3 sin 2x): the root of the sum of squares
of the differences of the moments e^{ikx}, k = 1 to 4, from those of the heat equation, which are e^{-k^2 t} times what
they were; after beta/2 layers, and in the control after 8.

The figure: beta = 48, the distance of the moments after n steps from those of the flow, over that of the flow from the
heat equation.
"""

import functools
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

COUNT, TIME, SHARP = 96, 0.15, 48
GRID = np.linspace(0, 2 * np.pi, 8193)
MODES = np.arange(1, 5)
INTEGRATORS: dict[str, Any] = {"layer": af.Layer, "post-norm": af.LayerNormStep, "midpoint": af.Midpoint}


def flow(beta: float) -> af.TokenFlow:
    """Return tokens on the circle with V = -beta I."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta), value=-beta, manifold=af.Circle())


def quantiles() -> np.ndarray:
    """Return tokens between which p has equal masses."""
    density = np.exp(0.6 * np.cos(GRID) + 0.3 * np.sin(2 * GRID))
    masses = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    angles = np.interp((np.arange(COUNT) + 0.5) / COUNT, masses / masses[-1], GRID)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def moments(points: np.ndarray) -> np.ndarray:
    """Return the means of e^{ikx} over tokens (N, 2)."""
    return np.mean((points[:, 0] + 1j * points[:, 1]) ** MODES[:, None], axis=1)


def after(beta: float, integrator: Any) -> np.ndarray:
    """Return the moments at the end."""
    return moments(flow(beta).evolve(quantiles(), times=TIME, integrator=integrator).points[0])


@functools.cache
def exact() -> np.ndarray:
    """Return the moments at the end of the flow of the figure."""
    return after(SHARP, af.Adaptive(rtol=1e-8))


def apart(one: np.ndarray, other: np.ndarray) -> float:
    """Return the distance of moments."""
    return float(np.linalg.norm(one - other))


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return how far layers are from the heat equation, or one step length of the figure."""
    first = moments(quantiles())
    heat, half = (first * np.exp(-factor * MODES**2 * TIME) for factor in (1.0, 0.5))
    if "steps" in case:
        row = {name: apart(after(SHARP, kind(TIME / case["steps"])), exact()) for name, kind in INTEGRATORS.items()}
        return row | {"modelling": apart(exact(), heat)}
    beta = case["inverse_temperature"]
    found = after(beta, af.Layer(TIME / (beta // 2)))
    return {"heat": apart(found, heat), "half": apart(found, half)}


def steps(records: list) -> Figure:
    """Draw the errors of steps over that of the model."""
    rows = {TIME / case["steps"]: arrays for case, arrays in records if "steps" in case}
    drawn = plots.figure(width=5.2, height=2.9)
    drawn.suptitle(r"moments of tokens on the circle, $V = -\beta I$, $\beta = 48$", fontsize=8, x=0.01, ha="left")
    (modelling,) = {float(arrays["modelling"][0]) for arrays in rows.values()}
    plots.depth_ladder(
        drawn.subplots(), steps=list(rows), orders={name: kind(0.1).order for name, kind in INTEGRATORS.items()},
        errors={name: np.array([arrays[name][0] for arrays in rows.values()]) for name in INTEGRATORS},
        modelling_error=modelling,
    )  # fmt: skip
    return drawn


enough = af.Claim(
    id="steps/circle", source="Sk", kind="exponent", quantity="heat", size="inverse_temperature",
    predicted=-1.0,
    statement=r"after $\beta / 2$ layers the moments of tokens are those of $\partial_t \mu = \Delta \mu$ up to an "
    r"error of order $\beta^{-1}$",
    hypotheses=r"circle, $V = -\beta I$, softmax, quantile tokens of a smooth $p > 0$, $t = 0.15$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="steps",
    measure=measure,
    ladder=[
        *({"inverse_temperature": beta} for beta in (12, 16, 24, 32, 40, 48, 64, 80)),
        *({"steps": n} for n in (8, 16, 32, 64)),
        *({"steps": n} for n in (12, 24, 48, 96, 128)),
    ],
    quick=12,
    claims=[
        enough,
        enough.control(
            statement=r"after $\beta / 2$ layers the moments of tokens are those of $\partial_t \mu = \Delta \mu / 2$ "
            r"up to an error of order $\beta^{-1}$",
            quantity="half",
            truth=0.0,
        ),
    ],
    figures=[steps],
    labels={
        "heat": "distance of moments from the heat equation",
        "half": "distance of moments from half the diffusivity",
    },
)
