"""The variance of final accuracies: its parts add up, and each is what it says."""

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow.errors import ConfigError, DataError


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=30))
def test_the_parts_add_up_to_the_variance(runs):
    values, collapsed = zip(*runs, strict=True)
    split = af.learn.split_variance(values, collapsed)
    assert split.total == pytest.approx(np.var(values), abs=1e-15)
    assert split.frequency + split.collapsed + split.others == pytest.approx(split.total, abs=1e-14)
    assert min(split.frequency, split.collapsed, split.others) >= 0


def test_the_parts_of_two_groups_are_their_closed_forms():
    # p = 2/5, mu_1 = .5, mu_0 = .9: .24 * .16; among the collapsed .01^2, among the others 2/3 .03^2
    split = af.learn.split_variance([0.49, 0.51, 0.87, 0.9, 0.93], [1, 1, 0, 0, 0])
    expected = (0.24 * 0.16, 0.4 * 1e-4, 0.6 * 2 / 3 * 9e-4, 0.4)
    np.testing.assert_allclose(split[1:], expected, rtol=1e-12)


@pytest.mark.parametrize("flag", [True, False])
def test_where_all_or_none_collapse_the_frequency_explains_nothing(flag):
    split = af.learn.split_variance([0.1, 0.3, 0.8], [flag] * 3)
    assert split.frequency == 0
    assert (split.collapsed if flag else split.others) == pytest.approx(split.total, rel=1e-14)


def test_a_run_has_collapsed_if_it_guesses_or_its_tokens_are_one():
    guess = np.log(3)
    losses = [guess, 0.991 * guess, 0.989 * guess, 5.0, 0.1]
    assert af.learn.has_collapsed(losses, classes=3).tolist() == [True, True, False, True, False]
    spreads = [1.0, 1.0, 2e-3, 1.0, 9e-4]
    assert af.learn.has_collapsed(losses, classes=3, spreads=spreads).tolist() == [True, True, False, True, True]


class Halving:
    """A network whose tokens come nearer to their mean by a factor of 3/4 in each of two blocks."""

    def embed(self, tokens, mask=None):
        mean = tokens.mean(axis=0)
        return [mean + 0.75**n * (tokens - mean) for n in range(3)]


def test_the_spread_of_tokens_is_relative_to_that_before_the_first_block():
    tokens = jax.random.normal(jax.random.key(0), (6, 4))
    assert float(af.learn.token_spread(Halving(), tokens)) == pytest.approx(0.75**2, rel=1e-5)  # float32 or better


def test_what_does_not_fit_is_named():
    with pytest.raises(DataError, match=r"`values` and `collapsed` must have one number for each seed"):
        af.learn.split_variance([0.5, 0.6], [True])
    with pytest.raises(DataError, match=r"`spreads` must have the shape \(2,\)"):
        af.learn.has_collapsed([0.5, 0.6], classes=2, spreads=[1.0])
    with pytest.raises(ConfigError, match=r"`classes` must be"):
        af.learn.has_collapsed([0.5], classes=1)
