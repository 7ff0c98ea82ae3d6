"""Derivatives of averages in many dimensions, where logits are products of matrices, against the naive average."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import attnflow as af
from attnflow._compiling import compile_roughly
from attnflow.sums.derivatives.traced import softmax_average
from attnflow.sums.operators import traced
from attnflow.sums.planning.planner import PLANNED_PAIRS

RNG = np.random.default_rng(9)
N, Q, D, C = 70, 66, 9, 3  # neither is a whole number of tiles of 64
KEYS, QUERIES = RNG.gamma(2.0, size=(N, D)), RNG.gamma(2.0, size=(Q, D))
WEIGHTS, VALUES = np.exp(RNG.normal(0, 0.5, N)), RNG.standard_normal((N, C))
FOR_AVERAGE, FOR_NORMALIZER = RNG.standard_normal((Q, C)), RNG.standard_normal(Q)
COSTS = {"distance": af.SquaredDistance(), "product": af.DotProduct()}
ARGUMENTS = range(5)


def streamed(cost, own=None):
    def f(bandwidth, *rest):
        return tuple(softmax_average(af.Attention(cost, bandwidth), *rest, own=own))

    return f


def naive(cost, own=None):
    def f(bandwidth, queries, keys, weights, values):
        costs = jax.vmap(lambda x: jax.vmap(lambda y: cost(x, y))(keys))(queries)
        logits = -costs / (2 * bandwidth) + jnp.log(weights)
        if own is not None:
            logits = jnp.where(own[:, None] == jnp.arange(len(keys)), -jnp.inf, logits)
        return jax.nn.softmax(logits, axis=1) @ values, jax.scipy.special.logsumexp(logits, axis=1)

    return f


def loss(f):
    return lambda *given: (f(*given)[0] ** 2 * FOR_AVERAGE).sum() + (f(*given)[1] * FOR_NORMALIZER).sum()


def point(bandwidth):
    return bandwidth, QUERIES, KEYS, WEIGHTS, VALUES


# At a bandwidth of 10 no logit is large; at .03 those of products reach 1e4 and are shifted.
@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("bandwidth", [10.0, 0.03])
def test_values_and_gradients_in_every_argument_equal_those_of_the_naive_average(cost, bandwidth):
    ours, theirs = streamed(COSTS[cost]), naive(COSTS[cost])
    # Logits are rounded at 1e-16 of |x|^2 / eps, 1e4 at the smaller bandwidth; gradients are larger by 1 / eps.
    off = 1e-12 if bandwidth == 10.0 else 1e-10
    for got, expected in zip(ours(*point(bandwidth)), compile_roughly(theirs)(*point(bandwidth)), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-13, atol=off)
    found = jax.grad(loss(ours), argnums=ARGUMENTS)(*point(bandwidth))
    wanted = compile_roughly(jax.grad(loss(theirs), argnums=ARGUMENTS))(*point(bandwidth))
    for got, expected in zip(found, wanted, strict=True):
        scale = np.abs(expected).max()
        assert scale > 1e-3, "a zero gradient would agree too"
        np.testing.assert_allclose(got, expected, rtol=0, atol=100 * off * scale)


def test_batches_and_second_derivatives_agree_with_the_naive_average():
    ours, theirs = streamed(af.DotProduct()), naive(af.DotProduct())
    moved = (0.3, *(RNG.standard_normal(np.shape(a)) for a in point(10.0)[1:]))

    def second(f):
        def along(s):
            return loss(f)(*(a + s * m for a, m in zip(point(10.0), moved, strict=True)))

        return compile_roughly(jax.jacfwd(jax.grad(along)))(0.1)

    np.testing.assert_allclose(second(ours), second(theirs), rtol=1e-9)  # sums of 5000 terms, twice
    bandwidths = np.array([8.0, 10.0])
    found, wanted = (
        compile_roughly(jax.vmap(lambda b, f=f: f(b, *point(10.0)[1:])[0]))(bandwidths) for f in (ours, theirs)
    )
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cost", COSTS)
def test_a_token_is_left_out_of_its_own_derivative(cost):
    own = jnp.arange(N)
    given = 10.0, KEYS, WEIGHTS, VALUES

    def of(f):
        return lambda b, y, w, v: (f(b, y, y, w, v)[0] ** 2).sum()

    found = jax.grad(of(streamed(COSTS[cost], own)), argnums=(1, 2))(*given)
    wanted = compile_roughly(jax.grad(of(naive(COSTS[cost], own)), argnums=(1, 2)))(*given)
    kept = compile_roughly(jax.grad(of(naive(COSTS[cost])), argnums=(1, 2)))(*given)
    for got, expected, other in zip(found, wanted, kept, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-11)
        assert np.abs(np.asarray(expected) - other).max() > 1e-3  # with itself it would be another


def test_a_layer_of_many_points_and_channels_is_differentiated_without_a_plan(monkeypatch):
    monkeypatch.setattr(traced, "planned_average", lambda *_: pytest.fail("products of channels and coordinates"))
    count = 1 + int(np.sqrt(PLANNED_PAIRS))  # fewer would not even be considered
    points, values = RNG.standard_normal((count, 16)), RNG.standard_normal((count, 16))
    attention = af.Attention(af.SquaredDistance(), 4.0)
    gradient = jax.grad(lambda p: af.EmpiricalAttention(attention, p).layer(values).sum())(points)
    assert np.isfinite(gradient).all()
