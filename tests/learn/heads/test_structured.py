"""Structured kernels are independent ones, but for a factor that all heads share."""

import equinox as eqx
import jax
import numpy as np
import pytest
from learned_heads import DIM, KERNEL, QUERIES, TOKENS, heads

import attnflow as af
from attnflow.errors import ConfigError

KEY = jax.random.key(2)


def test_without_the_factor_they_are_independent_kernels_number_by_number():
    independent = af.learn.ImplicitKernel(DIM, **KERNEL, norm=2, key=KEY)
    expected = independent.weights(QUERIES, TOKENS)
    for shared in (0, 4):  # the factor starts at one
        structured = af.learn.StructuredKernels(DIM, **KERNEL, shared=shared, norm=2, key=KEY)
        assert np.array_equal(structured.weights(QUERIES, TOKENS), expected)
        assert af.learn.parameter_count(structured) - af.learn.parameter_count(independent) == shared * (2 * 4 + 1)
    narrower = af.learn.StructuredKernels(DIM, **KERNEL | {"hidden": 1}, shared=4, norm=2, key=KEY)
    assert af.learn.parameter_count(narrower) == af.learn.parameter_count(independent)


def test_all_heads_have_the_same_factor():
    structured = heads("structured kernels")
    apart = eqx.tree_at(lambda each: each.factor, structured, None)
    factors = np.asarray(structured.frequencies() / apart.frequencies())
    assert np.abs(factors - factors[:1]).max() < 1e-12
    assert np.abs(factors - 1).max() > 0.1
    assert np.abs(structured.weights(QUERIES, TOKENS) - apart.weights(QUERIES, TOKENS)).max() > 1e-2


def test_kernels_of_pairs_can_share_a_factor_too():
    structured = af.learn.StructuredKernels(DIM, **KERNEL, shared=2, stationary=False, key=KEY)
    moved = eqx.tree_at(lambda each: each.factor.outer, structured, np.full((4, 2), 0.5))
    ratio = np.asarray(moved.frequencies() / structured.frequencies())
    assert ratio.shape == (2, 2, 5, 4)
    assert np.abs(ratio - ratio[:1, :1]).max() < 1e-12


@pytest.mark.parametrize("shared", [-1, 1.5])
def test_a_width_that_is_none_is_refused(shared):
    with pytest.raises(ConfigError, match="`shared` must be"):
        af.learn.StructuredKernels(DIM, shared=shared, key=KEY)
