"""The matrix of all costs."""

import jax.numpy as jnp
import numpy as np
import pytest
from witnesses import direct

import attnflow as af
from attnflow.errors import DataError
from attnflow.sums.kernel_sums.pairs import BLOCK, cost_matrix


def test_the_matrix_of_costs_crosses_its_blocks():
    keys = np.random.default_rng(0).gamma(2.0, size=(BLOCK + 37, 3))
    queries = np.random.default_rng(1).gamma(2.0, size=(BLOCK + 1, 3))
    expected = -2 * direct.product_logits(queries, keys, bandwidth=1.0)
    np.testing.assert_allclose(cost_matrix(af.DotProduct(), queries, keys), expected, rtol=1e-14, atol=1e-12)


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_a_cost_that_is_no_number_names_its_pair(bad):
    cost = af.CustomPseudoMetric(lambda x, y: jnp.where((x[0] > 0.5) & (y[0] > 1.5), bad, x[0]))
    with pytest.raises(DataError, match=r"1 pairs, the first of query \[1.0\] and key \[2.0\]"):
        cost_matrix(cost, np.arange(2.0)[:, None], np.arange(3.0)[:, None])


def test_a_masked_pair_has_an_infinite_cost():
    cost = af.CustomPseudoMetric(lambda x, y: jnp.where(x[0] < y[0], jnp.inf, 1.0))
    np.testing.assert_array_equal(cost_matrix(cost, np.arange(2.0)[:, None], np.arange(2.0)[:, None])[0], [1, np.inf])
