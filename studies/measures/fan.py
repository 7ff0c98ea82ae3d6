"""How far does a layer drive two laws apart?

Attention with the logit beta <x, y> maps laws on a ball of radius R to laws, and is Lipschitz there in the distance
W_1 [V], W_1(T mu, T nu) <= ( s + (1 + 2 s) e^{2 s} ) W_1(mu, nu), s = beta R^2. It need not bring laws nearer. Of
Gaussian data N(m, S) the average of y with the weights e^{beta x y} mu(dy) is m + beta S x. With x = m + z a layer is
z -> (1 + beta S) m + beta S z, so that two such laws that differ by a translation are (1 + beta S) times as far apart
after it.

Measured on the line, S = 1, beta = .5, the nodes of Gauss's rule of order 48 for tokens, the law N(.3, 1) and its
translate by a: their distance after a layer over (1 + beta S) a. In the control both are driven by the weights of the
first, as if these were frozen, which leaves beta S / (1 + beta S) = 1/3 of it.

The figure: 300 pairs of laws of 8 tokens on [-1, 1], beta = .1, half of them random and half at either end but for one
token, beside the bound.
"""

from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import attnflow as af
from attnflow.lab import plots

BETA, MEAN = 0.5, 0.3
COUNT, MILD = 8, 0.1  # of the figure


def flow(beta: float) -> af.TokenFlow:
    """Return attention with the logit beta <x, y>."""
    return af.TokenFlow(af.Attention(af.DotProduct(), bandwidth=1 / beta))


def gaussian(mean: float) -> af.DiscreteMeasure:
    """Return N(mean, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(48)
    return af.DiscreteMeasure(mean + nodes[:, None], weights=weights / weights.sum())


def moved(law: af.DiscreteMeasure, by: af.DiscreteMeasure) -> af.DiscreteMeasure:
    """Return where a law goes in the attention over another."""
    return af.DiscreteMeasure(flow(BETA).velocity(by, at=law.points), weights=law.masses)


def random_pair(rng: np.random.Generator) -> np.ndarray:
    """Return two laws of 8 tokens each, (2, 8)."""
    if rng.random() < 0.5:
        return np.sort(
            np.clip(rng.uniform(-1, 1, (2, COUNT)) * rng.random((2, 1)) + rng.uniform(-0.5, 0.5, (2, 1)), -1, 1)
        )
    first = np.where(np.arange(COUNT) < rng.integers(1, COUNT), -1.0, 1.0)
    second = first.copy()
    second[0] += rng.uniform(0.05, 2.0)
    return np.stack([first, np.sort(second)])


def picture() -> dict[str, Any]:
    """Return the distances of pairs before and after a layer: of equal masses on the line, those of the sorted ones."""
    rng = np.random.default_rng(4)
    before = [random_pair(rng) for _ in range(300)]
    after = [np.sort([flow(MILD).velocity(law[:, None])[:, 0] for law in pair]) for pair in before]
    apart = (np.abs(np.diff(laws, axis=1)).mean(axis=(1, 2)) for laws in (before, after))
    found = dict(zip(("before", "after"), apart, strict=True))
    return found | {"bound": af.wasserstein_lipschitz_bound(flow(MILD), radius=1.0)}


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, Any]:
    """Return by how much a layer stretches a translation over what is predicted, or what the figure shows."""
    if "translation" not in case:
        return picture()
    first, second = gaussian(MEAN), gaussian(MEAN + case["translation"])
    scale = (1 + BETA) * case["translation"]
    after = {"own": moved(second, by=second), "frozen": moved(second, by=first)}
    return {name: af.wasserstein(moved(first, by=first), law) / scale for name, law in after.items()}


def fan(records: list) -> Figure:
    """Draw the distances of pairs after a layer over those before it."""
    (arrays,) = ({n: a[0] for n, a in arrays.items()} for case, arrays in records if "translation" not in case)
    drawn = plots.figure(width=4.2, height=3.5)
    plots.fan(
        drawn.subplots(), before=arrays["before"], after=arrays["after"],
        bound=float(arrays["bound"]),
    )  # fmt: skip
    return drawn


stretch = af.Claim(
    id="stretch/line", source="derived", kind="identity", quantity="own", size="translation", predicted=1.0,
    margin=1e-8,
    statement=r"in a layer the distance $W_1$ of two Gaussian laws that differ by a translation grows by $1 + \beta S$",
    hypotheses=r"line, $N(m, S)$ with $S = 1$, softmax with $\beta = 1/2$, $V = I$, no residual connection",
    measures=("tokens",),
)  # fmt: skip
study = af.Study(
    name="fan",
    measure=measure,
    ladder=[*({"translation": a} for a in (0.8, 0.4, 0.2, 0.1)), {"picture": "fan"}],
    quick=5,
    claims=[
        stretch,
        stretch.control(
            statement=r"in a layer with the weights of the first the distance $W_1$ of two Gaussian laws that differ "
            r"by a translation grows by $1 + \beta S$",
            quantity="frozen",
            truth=BETA / (1 + BETA),
            truth_margin=1e-8,
        ),
    ],
    figures=[fan],
    labels={
        "own": r"distance after a layer over $(1 + \beta S) a$",
        "frozen": r"distance after a layer over $(1 + \beta S) a$, weights frozen",
    },
)
