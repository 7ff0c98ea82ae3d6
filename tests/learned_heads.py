"""One list of every kind of learned heads; the laws in learn/heads/ and the gradients run over it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import attnflow as af

DIM, HEADS = 3, 2
SIZES = {"heads": HEADS, "features": 4}
KERNEL = SIZES | {"frequencies": 5, "hidden": 3}

# A new kind is one line here: name -> (key -> heads of tokens in three dimensions).
KINDS = {
    "dot product": lambda key: af.learn.SelfAttention(DIM, **SIZES, key=key),
    "scaled dot product": lambda key: af.learn.ScaledSelfAttention(DIM, **SIZES, key=key),
    "L2": lambda key: af.learn.L2Attention(DIM, **SIZES, key=key),
    "metric": lambda key: af.learn.MetricAttention(DIM, **SIZES, hidden=5, key=key),
    "perceptron in a dot product": lambda key: af.learn.MLPDotProduct(DIM, **SIZES, hidden=5, key=key),
    "additive": lambda key: af.learn.AdditiveAttention(DIM, **SIZES, key=key),
    "frozen metric": lambda key: af.learn.FrozenHeads(KINDS["metric"](key)),
    "implicit kernel": lambda key: af.learn.ImplicitKernel(DIM, **KERNEL, key=key),
    "implicit kernel with norms": lambda key: af.learn.ImplicitKernel(DIM, **KERNEL, norm=3, key=key),
    "implicit kernel of pairs": lambda key: af.learn.ImplicitKernel(DIM, **KERNEL, stationary=False, norm=2, key=key),
    "structured kernels": lambda key: af.learn.StructuredKernels(DIM, **KERNEL, shared=3, norm=1, key=key),
}
QUERIES, TOKENS = np.random.default_rng(5).normal(size=(2, 6, DIM))
TOKENS = TOKENS + 0.3  # no symmetry: sums of odd functions would be zero
MASK = np.random.default_rng(6).random((6, 6)) < 0.6
MASK[2], MASK[:, 4] = False, False  # a query that attends to none, a key that no one attends to
MASK[0, 1:] = False  # and one that attends to a single key


def heads(name, seed=1):
    """Heads of one kind with all parameters drawn alike, so that none is at the value where it starts."""
    generator = np.random.default_rng(seed)

    def drawn(leaf):
        numbers = generator.normal(size=leaf.shape)
        if jnp.issubdtype(leaf.dtype, jnp.integer):  # the bits of numbers that are not trained
            return jnp.asarray(numbers.astype(np.float32).view(np.int32))
        return jnp.asarray(0.6 * numbers)

    return jax.tree.map(drawn, eqx.filter_eval_shape(KINDS[name], jax.random.key(seed)))
