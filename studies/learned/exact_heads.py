"""Which kinds of learned heads are one another, exactly?

    e^{<q, k>} = e^{-|q - k|^2/2} e^{|q|^2/2} e^{|k|^2/2}:

dot products are distances with a weight e^{|k|^2/2} of keys, for the norm of the query cancels in its row [S]. The
weights of `SelfAttention` times values are compared with attention of the cost |Qx - Ky|^2 and the potential |Ky|^2/2
of keys; the control leaves the potential out. Heads of `StructuredKernels` whose common factor of frequencies is taken
away are those of `ImplicitKernel`, number by number; the control leaves a factor in that was moved from one.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial

import attnflow as af

SIZES: dict[str, Any] = {"heads": 2, "features": 4, "frequencies": 16}


def half_norm(matrix: jax.Array, y: jax.Array) -> jax.Array:
    """Return |K y|^2 / 2."""
    return jnp.sum((matrix @ y) ** 2) / 2


@af.per_seed
def measure(case: dict, key: jax.Array) -> dict[str, float]:
    """Return the largest differences of averages, and of weights."""
    of_tokens, of_dots, of_kernels = jax.random.split(key, 3)
    tokens = np.asarray(jax.random.normal(of_tokens, (case["tokens"], 3), float)) + np.array([0.3, 0.0, 0.1])
    dots = af.learn.SelfAttention(3, heads=2, features=4, key=of_dots)
    expected = np.asarray(dots.weights(tokens, tokens))[1] @ tokens
    matrices = (dots.queries.weight[1], dots.keys.weight[1])
    cost, potential = af.QueryKeyDistance(*matrices), af.KeyWeights(Partial(half_norm, matrices[1]))
    both = [af.Attention(cost, bandwidth=1.0, normalization=potential), af.Attention(cost, bandwidth=1.0)]
    with_norms, without = (af.EmpiricalAttention(each, tokens).layer(tokens) for each in both)
    structured = af.learn.StructuredKernels(3, **SIZES, shared=4, key=of_kernels)
    structured = eqx.tree_at(lambda each: each.factor.outer, structured, jnp.full((4, 4), 0.5))
    apart = eqx.tree_at(lambda each: each.factor, structured, None)
    kernels = af.learn.ImplicitKernel(3, **SIZES, key=of_kernels).weights(tokens, tokens)
    return {
        "with_norms": np.abs(with_norms - expected).max(),
        "without_norms": np.abs(without - expected).max(),
        "apart": np.abs(apart.weights(tokens, tokens) - kernels).max(),
        "together": np.abs(structured.weights(tokens, tokens) - kernels).max(),
    }


norms = af.Claim(
    id="S-norm-learned", source="S", kind="identity", quantity="with_norms", size="tokens",
    statement=r"$e^{\langle q, k\rangle}$ is the Gaussian kernel times norms of keys, for heads that are learned",
    hypotheses="40 tokens in three dimensions", predicted=0.0, margin=1e-6, measures=("empirical",),
)  # fmt: skip
heads = af.Claim(
    id="S-structured-apart", source="S", kind="identity", quantity="apart", size="tokens",
    statement="structured heads without their common factor are independent ones",
    hypotheses="40 tokens in three dimensions", predicted=0.0, margin=0.0, measures=(),
)  # fmt: skip
study = af.Study(
    name="exact_heads",
    measure=measure,
    ladder=[{"tokens": 40}],
    quick=1,
    seeds=4,
    claims=[
        norms,
        norms.control(statement="it is the Gaussian kernel alone", quantity="without_norms", truth=0.7,
                      truth_margin=0.6),
        heads,
        heads.control(statement="they are so with it too", quantity="together", truth=0.2, truth_margin=0.19),
    ],
    labels={
        "with_norms": "largest difference of averages from those with norms",
        "without_norms": "largest difference of averages from those of the kernel alone",
        "apart": "largest difference of weights, independent heads",
        "together": "largest difference of weights, structured heads",
    },
)  # fmt: skip
