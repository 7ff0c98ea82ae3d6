"""What heads of every kind must obey."""

import equinox as eqx
import numpy as np
import pytest
from learned_heads import HEADS, KINDS, MASK, QUERIES, TOKENS, heads

import attnflow as af
from attnflow.errors import ConfigError

ROUND = 1e-13  # six keys in double precision
ROWS, COLUMNS = np.random.default_rng(1).permutation(6), np.random.default_rng(2).permutation(6)
SUBSET = [0, 1, 3]  # of keys


@eqx.filter_jit
def weights_of(kind, queries, tokens, mask):
    """Return the weights; one program for each kind."""
    return kind.weights(queries, tokens, mask)


def situations(kind):
    """Return the weights by name."""
    everywhere, subset = np.ones((6, 6), bool), np.isin(np.arange(6), SUBSET)[None].repeat(6, 0)
    others = TOKENS + 5 * ~subset[:1].T
    asked = {
        "all": (QUERIES, TOKENS, everywhere),
        "permuted": (QUERIES[ROWS], TOKENS[COLUMNS], everywhere),
        "masked": (QUERIES, TOKENS, MASK),
        "subset": (QUERIES, TOKENS, subset),
        "subset of others": (QUERIES, others, subset),
    }
    return {name: np.asarray(weights_of(kind, *arguments)) for name, arguments in asked.items()}


@pytest.fixture(scope="module", params=KINDS)
def case(request):
    """Heads of one kind and their weights."""
    kind = heads(request.param)
    return kind, situations(kind)


def test_rows_of_weights_are_positive_and_sum_to_one(case):
    _, found = case
    for weights in found.values():
        assert (weights >= 0).all()
        assert np.abs(weights.sum(axis=-1) - 1).max() < ROUND
    assert found["all"].shape == (HEADS, 6, 6)
    assert (found["all"] > 0).all()
    assert np.abs(found["all"][0] - found["all"][1]).max() > 1e-3  # two heads are two


def test_weights_follow_tokens_that_are_permuted(case):
    _, found = case
    assert np.abs(found["permuted"] - found["all"][:, ROWS][:, :, COLUMNS]).max() < ROUND


def test_keys_that_are_masked_have_no_weight_and_change_no_other(case):
    _, found = case
    some = MASK.any(axis=1)
    assert (found["masked"][:, some][:, ~MASK[some]] == 0).all()
    assert (found["masked"][:, 0, 0] == 1).all()
    expected = found["all"][:, :, SUBSET] / found["all"][:, :, SUBSET].sum(axis=-1, keepdims=True)
    assert np.abs(found["subset"][:, :, SUBSET] / expected - 1).max() < ROUND
    assert np.abs(found["subset of others"] - found["subset"]).max() < ROUND


def test_a_query_that_may_attend_to_none_attends_to_all_alike(case):
    _, found = case
    assert np.abs(found["masked"][:, 2] - 1 / 6).max() < ROUND


def test_each_head_is_an_attention_of_the_instrument(case):
    kind, found = case
    life = af.EmpiricalAttention(kind.attention(1), TOKENS)
    values = np.column_stack([TOKENS, np.cos(TOKENS[:, 0])])
    expected = found["all"][1] @ values
    # 1e-10: the instrument's declared error is 1e-8, and it sums six keys to rounding.
    assert np.abs(life.layer(values, at=QUERIES) - expected).max() < 1e-10


def test_there_is_no_other_head(case):
    kind, _ = case
    for head in (HEADS, -1, 0.5):
        with pytest.raises(ConfigError, match="`head` must be"):
            kind.attention(head)


def test_mixing_is_the_product_with_the_weights(case):
    kind, weights = case
    values = np.random.default_rng(5).standard_normal((len(weights["masked"]), 6, 3))
    mixed = eqx.filter_jit(lambda kind: kind.mix(QUERIES, TOKENS, values, MASK))(kind)
    np.testing.assert_allclose(mixed, weights["masked"] @ values, rtol=0, atol=100 * ROUND)
