"""How fast do layers without a residual connection collapse?

One layer x <- A_mu x over tokens of a Gaussian law with variance s, on the line and at the bandwidth one, takes it to

    softmax of -(x - y)^2/2     s ( s/(1 + s) )^2,
    Sinkhorn                    C^2/s,  C = ( (1 + 4 s^2)^{1/2} - 1 ) / 2.

Both are s^3 once s is small, so that log |log s| grows by log 3 per layer: the digits of what tells tokens apart are
tripled by every layer. With a residual connection, x <- (x + A_mu x)/2, a layer takes s to s/4: a geometric decay.

Measured with 24 tokens that carry the weights of a Gauss-Hermite rule, which a layer maps linearly, so that they stand
for a Gaussian law again: the variance after a layer against the one before, with the exponent 3, and in the control,
with the residual connection, 1.
"""

import functools
from typing import Any

import jax
import numpy as np

import attnflow as af

NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(24)
NORMALIZATIONS: dict[str, Any] = {"softmax": "softmax", "sinkhorn": af.Sinkhorn(rtol=1e-14)}


@functools.cache
def flow(name: str) -> af.TokenFlow:
    """Return tokens that move by A x - x: a layer of time one is x <- A x, one of time 1/2 is x <- (x + A x)/2."""
    attention = af.Attention(af.SquaredDistance(), bandwidth=1.0, normalization=NORMALIZATIONS[name])
    return af.TokenFlow(attention, centred=True)


def variance(name: str, *, start: float, step: float) -> float:
    """Return the variance after one layer."""
    tokens = af.DiscreteMeasure(start**0.5 * NODES[:, None], WEIGHTS)
    moved = flow(name).evolve(tokens, times=step, integrator=af.Layer(step))
    return float(moved.points[0, :, 0] ** 2 @ tokens.masses / tokens.mass)


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return variances after a layer without and with a residual connection."""
    return {
        f"{name}.{kind}": variance(name, start=case["variance"], step=step)
        for name in NORMALIZATIONS
        for kind, step in (("bare", 1.0), ("residual", 0.5))
    }


def claims_of(name: str, words: str) -> list[af.Claim]:
    """Return the claim about one layer, and its control."""
    bare = af.Claim(
        id=f"collapse-3/{name}", source="derived", kind="exponent", quantity=f"{name}.bare", size="variance",
        predicted=3.0,
        statement=rf"a layer $x \leftarrow A x$ {words} takes the variance $s$ to one of order $s^3$: "
        r"$\log|\log s|$ grows by $\log 3$",
        hypotheses="line; Gaussian data, by 24 tokens with the weights of a Gauss-Hermite rule",
        measures=("tokens",),
    )  # fmt: skip
    residual = bare.control(
        statement=rf"a layer $x \leftarrow (x + A x) / 2$ {words} takes the variance $s$ to one of order $s^3$",
        quantity=f"{name}.residual",
        truth=1.0,
    )
    return [bare, residual]


LABELS = {"bare": "variance after a layer", "residual": "variance after a layer with a residual"}
study = af.Study(
    name="collapse",
    measure=measure,
    ladder=[{"variance": 0.25 * 2**-k} for k in range(8)],
    quick=8,
    claims=[*claims_of("softmax", "of softmax"), *claims_of("sinkhorn", "with Sinkhorn's weights")],
    labels={f"{name}.{quantity}": label for name in NORMALIZATIONS for quantity, label in LABELS.items()},
)
