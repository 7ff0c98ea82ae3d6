"""A cost taken apart into single numbers is the cost as it is written: values, derivatives and layers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

import attnflow as af
from attnflow.pseudometrics.scalars import by_coordinate

RNG = np.random.default_rng(5)
DIM = 4
M = RNG.normal(size=(DIM, DIM))
WIDE = RNG.normal(size=(7, DIM))
W = RNG.uniform(0.5, 2, DIM)
X, Y = RNG.normal(size=(6, DIM)), RNG.normal(size=(5, DIM))


def network(x):
    return jax.nn.relu(WIDE @ jnp.tanh(M @ x))


@jax.custom_jvp
def root(square):
    return jnp.sqrt(square)


root.defjvps(lambda change, found, square: jnp.where(square > 0, change / (2 * found), 0.0))

APART = {
    "difference": lambda x, y: jnp.sum((x - y) ** 2),
    "quadratic form": lambda x, y: (x - y) @ M @ (x - y),
    "norm": lambda x, y: jnp.linalg.norm(x - y) ** 2,
    "cosine": lambda x, y: 2 - 2 * x @ y,
    "map of the query": lambda x, y: jnp.sum(M @ x * y),
    "map of the key": lambda x, y: jnp.sum(x * (M @ y)),
    "weights": lambda x, y: jnp.sum(W * jnp.square(x - y)),
    "coordinates": lambda x, y: jnp.cos(x[0] - y[1]) + sum(x[i] * y[i] ** 2 for i in range(DIM)),
    "both maps": lambda x, y: (M @ x) @ (WIDE.T @ (WIDE @ y)),
    "network": lambda x, y: jnp.sum((network(x) - network(y)) ** 2),
    "shapes": lambda x, y: jnp.sum(jnp.outer(x, y)[1:, ::2].T * 2) + jnp.trace(jnp.outer(x, y)) + jnp.diff(x - y)[-1],
    "parts": lambda x, y: jnp.concatenate([x, y])[3] * jnp.stack([x[0] + y[1], y[0]])[0] + jnp.roll(x - y, 1)[0],
    "pieces": lambda x, y: jnp.sum(jnp.split(x - y, 2)[1]) * jnp.std(x - y),
    "folds": lambda x, y: jnp.max(x - y) * jnp.min(x * y) + jnp.prod(x - y) + jax.scipy.special.logsumexp(x * y),
    "cases": lambda x, y: jnp.where(x[0] > y[0], jnp.inf, jnp.mean(jnp.abs(x - y[::-1]))),
    "clipped": lambda x, y: jnp.arccos(jnp.clip(x @ y, -0.9, 0.9)) + jnp.sum(jnp.clip(x - y, -1, 1)),
    "tensors": lambda x, y: jnp.einsum("i,ij,j,kj->", x - y, M, y, WIDE) + jnp.sum((jnp.outer(x, y) @ M) ** 2),
    "batches": lambda x, y: jnp.sum(jnp.einsum("ij,ij->i", jnp.outer(x, y), M * x)),
    "no points": lambda x, y: 1.5,
    "one point": lambda x, y: jnp.sort(x)[0] + jnp.cumsum(x)[1],
    "own derivative": lambda x, y: root(jnp.sum((x - y) ** 2)),
    "loop": lambda x, y: jax.lax.fori_loop(0, 3, lambda _, s: 0.5 * s + 1.0, x @ y),
    "integers": lambda x, y: jnp.sum((x > y) & (x > 0)) + jnp.sum((x - y).astype(jnp.int32)),
}
WHOLE = {
    "sorted": lambda x, y: jnp.sort(x - y)[0],
    "sums so far": lambda x, y: jnp.cumsum(x - y)[2],
    "entries by position": lambda x, y: (x - y)[jnp.argmax(x * y)],
    "activation of a pair": lambda x, y: jnp.sum(jax.nn.relu(x - y)),
    "solved": lambda x, y: (x - y) @ jnp.linalg.solve(M, x - y),
    "many operations": lambda x, y: jnp.sum(jnp.outer(x - y, x - y) @ jnp.ones((DIM, 40)) ** 2),
}
EVERY = APART | WHOLE


@functools.cache
def computed(*, apart):
    """Of every cost its values between all pairs, and the gradients by both points."""

    def value_and_slopes(cost, x, y):
        taken = by_coordinate(cost, dim=DIM, dtype=np.float64)
        found, slopes = jax.value_and_grad(
            lambda x, y: jnp.asarray(taken(tuple(x), tuple(y)) if apart else cost(x, y), float), (0, 1)
        )(x, y)
        return jnp.concatenate([found[None], *slopes])

    def of_pair(x, y):
        return {name: value_and_slopes(cost, x, y) for name, cost in EVERY.items()}

    pairs = jax.vmap(jax.vmap(of_pair, (None, 0)), (0, None))
    return jax.jit(pairs, compiler_options={"xla_backend_optimization_level": 0})(X, Y)


@pytest.mark.parametrize("name", EVERY)
def test_values_and_derivatives_are_those_of_the_cost_as_it_is_written(name):
    # Sums are taken in another order: some units in the last place of terms up to a thousand.
    np.testing.assert_allclose(computed(apart=True)[name], computed(apart=False)[name], rtol=1e-12, atol=1e-11)


def sizes_per_pair(cost, dim=DIM):
    """How many numbers the steps of a taken-apart cost hold for one pair."""
    pair = jax.vmap(by_coordinate(cost, dim=dim, dtype=np.float64), in_axes=(None, 0))
    queries, keys = ([jax.ShapeDtypeStruct((count,), float)] * dim for count in (13, 11))
    program = jax.make_jaxpr(jax.vmap(pair, in_axes=(0, None)))(queries, keys)
    shapes = [atom.aval.shape for eqn in program.eqns for atom in eqn.outvars]
    return {math.prod(shape) // (11 * 13) for shape in shapes if {11, 13} <= set(shape)}


@pytest.mark.parametrize("name", APART)
def test_no_step_of_a_pair_is_an_array(name):
    assert sizes_per_pair(APART[name]) <= {1}


@pytest.mark.parametrize("name", WHOLE)
def test_what_cannot_be_taken_apart_is_computed_as_it_is_written(name):
    assert max(sizes_per_pair(WHOLE[name])) >= DIM


def test_a_form_of_too_many_coordinates_is_computed_as_it_is_written():
    assert sizes_per_pair(lambda x, y: jnp.sum((x - y) ** 2), dim=150) == {1}
    assert max(sizes_per_pair(lambda x, y: jnp.sum((x - y) ** 2), dim=200)) == 200  # 600 operations
    assert max(sizes_per_pair(lambda x, y: (x - y) @ jnp.ones((40, 40)) @ (x - y), dim=40)) == 40


def test_a_long_product_of_query_and_key_is_one_of_matrices():
    numbers = [jax.ShapeDtypeStruct((11,), float)] * 40
    taken = by_coordinate(lambda x, y: 2 - 2 * x @ y, dim=40, dtype=np.float64)
    program = jax.make_jaxpr(jax.vmap(jax.vmap(taken, (None, 0)), (0, None)))(numbers, numbers)
    products = [eqn for eqn in program.eqns if eqn.primitive.name == "dot_general"]
    assert [eqn.outvars[0].aval.shape for eqn in products] == [(11, 11)]


def forms(matrix, weights):
    """Natural costs, whether they vanish at x = y and are >= 0, and the same of all pairs in NumPy."""
    m, w = np.asarray(matrix), np.asarray(weights)
    difference = X[:, None] - Y[None]
    return {
        "difference": (lambda x, y: jnp.sum((x - y) ** 2), True, np.sum(difference**2, axis=2)),
        "form": (Partial(lambda m, x, y: (x - y) @ m @ (x - y), matrix), True,
                 np.einsum("qki,ij,qkj->qk", difference, m, difference)),
        "norm": (lambda x, y: jnp.linalg.norm(x - y) ** 2, True, np.linalg.norm(difference, axis=2) ** 2),
        "product": (lambda x, y: 2 - 2 * x @ y, False, 2 - 2 * X @ Y.T),
        "map": (Partial(lambda m, x, y: jnp.sum(m @ x * y), matrix), False, X @ m.T @ Y.T),
        "weights": (Partial(lambda w, x, y: jnp.sum(w * (x - y) ** 2), weights), True, difference**2 @ w),
    }  # fmt: skip


SYMMETRIC = M @ M.T


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", forms(SYMMETRIC, W))
def test_layers_of_natural_costs(name, dtype):
    cost, vanishes, costs = forms(SYMMETRIC, W)[name]
    values = RNG.normal(size=(len(Y), 2))
    weights = np.exp(-(costs - costs.min(axis=1, keepdims=True)) / 1.4)
    expected = weights @ values / weights.sum(axis=1, keepdims=True)
    attention = af.Attention(af.CustomPseudoMetric(cost, vanishes_on_diagonal=vanishes), 0.7)
    life = af.EmpiricalAttention(attention, Y, dtype=dtype, rtol=1e-4)
    # Logits up to 100 are rounded to 1e-14, in float32 to 1e-5.
    np.testing.assert_allclose(life.layer(values, at=X), expected, atol=1e-12 if dtype == "float64" else 2e-5)
