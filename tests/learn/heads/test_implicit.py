"""Implicit kernels: the sums that they are written as, where they start, and what they refuse."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learned_heads import DIM, KERNEL, QUERIES, TOKENS, heads

import attnflow as af
from attnflow.errors import ConfigError
from attnflow.learn.heads.implicit import FLOOR

MANY = 20000


def softmax(logits):
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def mapped(kind, head=0):
    """Return q (N, k) and k (M, k) of the test's tokens."""
    scale = kind.queries.weight.shape[1] ** -0.25
    return [scale * tokens @ np.asarray(maps.weight[head]).T
            for tokens, maps in ((QUERIES, kind.queries), (TOKENS, kind.keys))]  # fmt: skip


@pytest.fixture(scope="module", params=[True, False])
def untrained(request):
    """Return heads as they start, with many frequencies."""
    return af.learn.ImplicitKernel(DIM, features=4, frequencies=MANY, stationary=request.param, key=jax.random.key(7))


def test_the_kernel_is_the_sum_of_cosines_that_is_written():
    kind = heads("implicit kernel with norms")
    queries, keys = mapped(kind)
    waves = kind.frequencies()[0, 0] @ (queries[:, None] - keys)[..., None]
    kernel = np.cos(np.asarray(waves)[..., 0]).mean(axis=-1)
    assert (kernel < 0).any()  # and yet weights are positive
    expected = np.log(kernel**2 + FLOOR) + (np.abs(keys) ** 3).sum(axis=1) / 2
    assert np.abs(kind.logits(QUERIES, TOKENS)[0] - expected).max() < 1e-11  # a logarithm of 1e-4 magnifies by 1e2


def test_the_kernel_of_pairs_is_the_sum_of_products_that_is_written():
    kind = heads("implicit kernel of pairs")
    queries, keys = mapped(kind)
    pairs = np.asarray(kind.frequencies()[0])
    kernel = np.zeros((6, 6))
    for one, other in zip(*pairs, strict=True):
        for wave in (np.cos, np.sin):
            of_queries, of_keys = (wave(x @ one) + wave(x @ other) for x in (queries, keys))
            kernel += np.outer(of_queries, of_keys) / (4 * len(pairs[0]))
    expected = np.log(kernel**2 + FLOOR) + (keys**2).sum(axis=1) / 2
    assert np.abs(kind.logits(QUERIES, TOKENS)[0] - expected).max() < 1e-11


def test_kernels_start_as_the_gaussian_one(untrained):
    queries, keys = mapped(untrained)
    gaussian = np.exp(-((queries[:, None] - keys) ** 2).sum(axis=-1) / 2)
    kernel = np.exp(untrained.logits(QUERIES, TOKENS)[0]) - FLOOR
    # kappa is off by sqrt(1/2R) = .005, and 36 entries of kappa^2 by 2 x 3.5 of that.
    assert np.abs(kernel - gaussian).max() < 0.035
    assert np.abs(kernel - gaussian**2).max() > 0.1


def test_with_the_norm_of_keys_they_start_as_scaled_self_attention(untrained):
    plain = heads("scaled dot product")
    plain = eqx.tree_at(lambda each: (each.queries, each.keys), plain, (untrained.queries, untrained.keys))
    expected = np.asarray(plain.weights(QUERIES, TOKENS)[0])
    _, keys = mapped(untrained)
    weights = softmax(untrained.logits(QUERIES, TOKENS)[0] + (keys**2).sum(axis=1) / 2)
    assert np.abs(weights - expected).max() < 0.007  # kappa^2 is off by .035 at most, the largest weight is .2
    assert np.abs(softmax(untrained.logits(QUERIES, TOKENS)[0]) - expected).max() > 0.02  # not without it


def test_keys_that_a_kernel_does_not_see_are_attended_alike():
    kind = af.learn.ImplicitKernel(1, frequencies=1, key=jax.random.key(0))
    one, bits = jnp.ones((1, 1, 1)), jnp.asarray(np.full((1, 1, 1), np.sqrt(2), np.float32).view(np.int32))
    kind = eqx.tree_at(lambda each: (each.queries.weight, each.keys.weight), kind, (one, one))
    kind = eqx.tree_at(lambda each: each.spectra[0].draws, kind, bits)  # kappa(z) = cos z
    keys = np.array([[np.pi / 2], [3 * np.pi / 2], [-np.pi / 2]])

    @jax.jit
    def weights(query):
        return kind.weights(query, keys)[0, 0]

    # Single precision of the frequency is off by 6e-8 x 4.7: kappa^2 is 1e-13 at most, over a floor of 1e-4.
    assert np.abs(weights(np.zeros((1, 1))) - 1 / 3).max() < 1e-9
    slopes = jax.jit(jax.jacobian(weights))(jnp.zeros((1, 1)))
    assert np.abs(slopes).max() < 1e-2  # 0/0 would be nan


def test_what_is_drawn_is_no_parameter_and_the_same_in_both_precisions():
    kind = af.learn.ImplicitKernel(DIM, **KERNEL, stationary=False, key=jax.random.key(3))
    drawn = [spectrum.draws for spectrum in kind.spectra]
    assert not any(map(eqx.is_inexact_array, drawn))
    assert np.array_equal(*drawn)
    single = jax.tree.map(lambda leaf: leaf.astype(np.float32) if eqx.is_inexact_array(leaf) else leaf, kind)
    assert single.frequencies().dtype == np.float32
    assert np.abs(single.frequencies() - kind.frequencies()).max() < 1e-6
    assert np.array_equal(*np.moveaxis(np.asarray(kind.frequencies()), 1, 0))  # pairs start as equals,
    slopes = eqx.filter_jit(eqx.filter_grad(lambda each: each.logits(QUERIES, TOKENS).sum()))(kind)
    first, second = (np.asarray(spectrum.outer) for spectrum in slopes.spectra)
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()  # and do not stay so


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"norm": 0.5}, "`norm` must be at least 1, or None, got 0.5"),
        ({"norm": "two"}, "`norm` must be"),
        ({"frequencies": 0}, "`frequencies` must be"),
        ({"hidden": 2.5}, "`hidden` must be"),
        ({"features": -1}, "`features` must be"),
    ],
)
def test_sizes_and_exponents_that_are_none_are_refused(wrong, message):
    with pytest.raises(ConfigError, match=message):
        af.learn.ImplicitKernel(DIM, **wrong, key=jax.random.key(0))
