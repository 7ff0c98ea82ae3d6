"""What is forgotten by tokens that move, and what by tokens that stand still?

One attention does two things. On frozen tokens of the law p it averages what they carry: many layers of f tend to one
value, and which one the tokens have not forgotten: it is the mean of f over p^2, the stationary law of the limit
1/2 Lap + <grad log p, grad .>. Or it moves the tokens, which keep what they carry. With V = -beta I their law obeys
d_t mu = Lap mu up to order 1/beta [Sk]: tokens spread evenly whatever p was, and the mean of f over them tends to that
over the circle.

Measured with N = 96 tokens at the quantiles of p ~ exp(cos(theta)/2), f = cos theta + sin(2 theta - .4)/2, whose mean
over the circle is zero, until t = 12: the mean of f over tokens that have moved by 10 beta midpoint steps, and in the
control what frozen ones carry after 12 beta layers. That is, up to order 1/beta, the mean over p^2 ~ exp(cos theta),
I_1(1)/I_0(1) - sin(.4)/2 I_2(1)/I_0(1) = .426.

The figure: f on frozen tokens beside f carried by moving ones, beta = 16.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.special import iv

import attnflow as af
from attnflow.lab import plots

COUNT, TIME, SHARP = 96, 12.0, 16.0
GRID = np.linspace(0, 2 * np.pi, 8193)


def attention(beta: float) -> af.Attention:
    """Return softmax attention with logits beta <x, y>."""
    return af.Attention(af.DotProduct(), bandwidth=1 / beta)


def flow(beta: float) -> af.TokenFlow:
    """Return tokens on the circle with V = -beta I."""
    return af.TokenFlow(attention(beta), value=-beta, manifold=af.Circle())


def quantiles() -> np.ndarray:
    """Return tokens between which p has equal masses."""
    density = np.exp(np.cos(GRID) / 2)
    masses = np.append(0.0, np.cumsum(density[1:] + density[:-1]))
    angles = np.interp((np.arange(COUNT) + 0.5) / COUNT, masses / masses[-1], GRID)
    return np.column_stack([np.cos(angles), np.sin(angles)])


def test_function(points: np.ndarray) -> np.ndarray:
    """Return f = cos theta + sin(2 theta - .4)/2 at points (N, 2)."""
    angles = np.arctan2(points[:, 1], points[:, 0])
    return np.cos(angles) + np.sin(2 * angles - 0.4) / 2


def mean_over_square() -> float:
    """Return the mean of f over p^2."""
    return float((iv(1, 1) - np.sin(0.4) / 2 * iv(2, 1)) / iv(0, 1))


def picture() -> dict[str, np.ndarray]:
    """Return what frozen tokens carry and where moving ones are, in the time of 32 layers."""
    start, times = quantiles(), np.arange(33) / SHARP
    frozen = af.EmpiricalAttention(attention(SHARP), start).evolve(test_function(start), times=times)
    moved = flow(SHARP).evolve(start, times=times, integrator=af.Midpoint(1 / SHARP)).points
    angles = np.arctan2(moved[..., 1], moved[..., 0])
    return {"times": times, "values": frozen.values, "angles": angles}


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return the mean of f over tokens that have moved and on frozen ones, or what the figure shows."""
    if "inverse_temperature" not in case:
        return picture()
    beta, start = case["inverse_temperature"], quantiles()
    moved = flow(beta).evolve(start, times=TIME, integrator=af.Midpoint(TIME / (10 * beta)))
    frozen = af.EmpiricalAttention(attention(beta), start).evolve(test_function(start), times=TIME)
    return {"moving": test_function(moved.points[0]).mean(), "frozen": frozen.values[0].mean()}


def moving(records: list) -> Figure:
    """Draw frozen tokens whose values diffuse beside tokens that move with theirs."""
    (arrays,) = ({n: a[0] for n, a in arrays.items()} for case, arrays in records if "picture" in case)
    shown = slice(None, None, 2)
    angles, values, times = arrays["angles"][:, shown], arrays["values"][:, shown], arrays["times"]
    drawn = plots.figure(width=6.4, height=3.0)
    left, right = drawn.subplots(1, 2, sharey=True)
    scale = Normalize(values.min(), values.max())
    still = np.broadcast_to(angles[0], angles.shape)
    plots.strands(left, times=times, angles=still, values=values, scale=scale)
    plots.strands(right, times=times, angles=angles, values=np.broadcast_to(values[0], values.shape), scale=scale)
    left.set_title("frozen tokens: $f$ diffuses")
    right.set_title(r"moving tokens, $V = -\beta I$: they spread")
    right.set_ylabel("")
    bar: Any = drawn.colorbar(ScalarMappable(norm=scale, cmap="cividis"), ax=[left, right], label="$f$", aspect=30)
    bar.outline.set_linewidth(0.4)
    return drawn


forgets = af.Claim(
    id="moving/circle", source="derived", kind="identity", quantity="moving", size="inverse_temperature", predicted=0.0,
    margin=1e-4,  # the slowest wave has decayed by e^{-11}
    statement="the mean of $f$ over tokens that move tends to its mean over the circle, whatever $p$ was",
    hypotheses=r"circle, $V = -\beta I$, softmax, $p \propto e^{\cos(\theta) / 2}$, $\int f = 0$, $t = 12$",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="moving",
    measure=measure,
    ladder=[*({"inverse_temperature": beta} for beta in (8.0, 16.0, 32.0)), {"picture": "moving"}],
    quick=4,
    claims=[
        forgets,
        forgets.control(
            statement="the mean of $f$ on tokens that are frozen tends to its mean over the circle, whatever $p$ is",
            quantity="frozen",
            measures=("empirical",),
            truth=mean_over_square(),
            truth_margin=0.02,  # of order 1/beta
        ),
    ],
    figures=[moving],
    labels={
        "moving": "mean of $f$ over tokens that have moved",
        "frozen": "mean of $f$ on frozen tokens",
    },
)
