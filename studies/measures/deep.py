"""Do layers that share their weights settle, and by how much do they magnify a wrong input?

V-deep. Without a residual connection, but with an input b_i for every token, layers x <- V (A_mu id)(x_i) + b_i
contract where |V| times the Lipschitz constant of attention is under one on a ball that they do not leave. They then
have one fixed point, and come nearer to it by the spectral radius of their Jacobian per layer; as inputs vanish that is
the spectral radius of V, because attention tends to the mean. Measured from successive differences in the last layers,
V = [[.6, .5], [0, .3]], four tokens with inputs of size h. In the control V is twice as large: layers leave every
bound, which `fixed_point` must say, and differences grow by 1.2, here from the tenth layer to the eleventh from rest.

V-input. Layers without input, V = I, magnify what is wrong with the law of their tokens at most by the power of the
constant of one layer [V],

    W_1(out) <= ( s + (1 + 2 s) e^{2 s} )^L W_1(in),   s = beta R^2.

Measured on the line, s = 1/16, two clusters at either end of which a grain has moved: by which share the bound is
exceeded after L layers. In the control weights are taken for frozen, and the constant of a layer for one; what that
misses is found by layers written out.
"""

from typing import Any

import jax
import numpy as np

import attnflow as af

VALUE = np.array([[0.6, 0.5], [0.0, 0.3]])
INPUTS = np.array([[1.0, 0.2], [-0.4, 0.5], [0.3, -0.9], [0.2, 0.4]])
UNBOUNDED = 11  # layers, after which tokens of an unstable V are still small
SMALL = 1 / 16  # s
WEIGHTS = np.array([0.38, 0.60, 0.02])
RIGHT, OFF = (np.array([[-1.0, 0.0], [1.0, 0.0], [grain, 0.0]]) for grain in (-1.0, -0.9))
DEPTHS = range(1, 7)


def settling(size: float) -> tuple[float, float]:
    """Return by what successive differences shrink in the end, and by what they grow where V is twice as large."""
    attention = af.Attention(af.DotProduct(), bandwidth=1.0)
    inputs, rest = size * INPUTS, np.zeros((4, 2))
    settled = af.fixed_point(af.TokenFlow(attention, value=VALUE), rest, inputs=inputs, rtol=1e-12)
    unstable = af.TokenFlow(attention, value=2 * VALUE)
    try:
        af.fixed_point(unstable, rest, inputs=inputs)
    except af.AttnflowError:
        states = [rest]
        for _ in range(UNBOUNDED):
            states.append(unstable.velocity(states[-1]) + inputs)
        last, previous = (np.abs(states[-k] - states[-k - 1]).max() for k in (1, 2))
        return settled.rate, last / previous
    raise RuntimeError("layers with a spectral radius of 1.2 have settled")


def frozen_excess() -> float:
    """Return the largest W_1(out) / W_1(in) - 1 over the depths, from layers of two measures written out."""
    worst, (one, other) = 0.0, (RIGHT[:, 0], OFF[:, 0])
    before = WEIGHTS[2] * abs(one[2] - other[2])
    for _ in DEPTHS:
        kernels = [np.exp(SMALL * np.outer(x, x)) * WEIGHTS for x in (one, other)]
        one, other = (k @ x / k.sum(axis=1) for k, x in zip(kernels, (one, other), strict=True))
        # On the line W_1 is the area between the distribution functions.
        places = np.sort(np.concatenate([one, other]))
        apart = [abs(np.sum(WEIGHTS * (one <= y)) - np.sum(WEIGHTS * (other <= y))) for y in places[:-1]]
        worst = max(worst, float(apart @ np.diff(places)) / before - 1)
    return worst


def on_line(points: np.ndarray) -> af.DiscreteMeasure:
    """Return the clusters and the grain on the line that they lie on in the plane."""
    return af.DiscreteMeasure(points[:, :1], WEIGHTS)


def magnified(layers: int) -> float:
    """Return W_1(out) / W_1(in) of so many layers."""
    flow = af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / SMALL), value=np.eye(2))
    ends: list[Any] = []
    for points in (RIGHT, OFF):
        for _ in range(layers):
            points = flow.velocity(af.DiscreteMeasure(points, WEIGHTS))
        ends.append(points)
    after, before = (af.wasserstein(*map(on_line, pair)) for pair in (ends, (RIGHT, OFF)))
    return float(after / before)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return rates for inputs of a size, or how much more than allowed an error has grown after some layers."""
    if "size" in case:
        rate, growth = settling(case["size"])
        return {"rate": rate, "growth": growth}
    ratio, layers = magnified(case["layers"]), case["layers"]
    constant = SMALL + (1 + 2 * SMALL) * np.exp(2 * SMALL)
    return {"excess": max(ratio / constant**layers - 1, 0.0), "excess_over_frozen": max(ratio - 1, 0.0)}


settles = af.Claim(
    id="V-deep/plane", source="V", kind="constant", quantity="rate", size="size", predicted=0.6, correction_power=2.0,
    statement="per layer tokens come nearer to the fixed point by the spectral radius .6",
    hypotheses=r"softmax of $\langle x, y\rangle$, shared weights without a residual connection, four tokens with "
    r"inputs that vanish; in the claim $V$ has the eigenvalues $0.6$ and $0.3$",
    measures=("tokens",),
)  # fmt: skip
forgets = af.Claim(
    id="V-input/line", source="V", kind="identity", quantity="excess", size="layers", predicted=0.0, margin=1e-12,
    statement=r"$L$ layers magnify $W_1$ at most by $(s + (1 + 2 s) e^{2 s})^L$, $s = \beta R^2$",
    hypotheses=r"softmax of $\beta x y$ on $[-R, R]$, $V = I$, $s = 1/16$, two clusters and a grain",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="deep",
    measure=measure,
    ladder=[*({"size": 0.04 * 2 ** (-k / 2)} for k in range(8)), *({"layers": n} for n in DEPTHS)],
    quick=8 + len(DEPTHS),
    claims=[
        settles,
        settles.control(
            statement="with twice the value matrix, too, differences shrink by .6 per layer",
            quantity="growth",
            truth=1.2,
        ),
        forgets,
        forgets.control(
            statement=r"layers do not magnify $W_1$, as with frozen weights",
            quantity="excess_over_frozen",
            truth=frozen_excess(),
            truth_margin=1e-9,
        ),
    ],
    labels={
        "size": "size $h$ of the inputs",
        "rate": "ratio of successive differences",
        "growth": "ratio of successive differences, twice $V$",
        "excess": "growth of $W_1$ over its bound, less one",
        "excess_over_frozen": "growth of $W_1$, less one",
    },
)
