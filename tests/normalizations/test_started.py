"""Key weights that are sought from nearby ones are the same, sooner."""

import numpy as np
import pytest
from instances import NORMALIZATIONS

import attnflow as af
from attnflow.errors import ConvergenceError
from attnflow.normalizations.started import Started, asked_of_keys
from attnflow.sums.operators.kinds import operator_of

POINTS = np.random.default_rng(6).normal(size=(30, 2))
MEASURE = af.DiscreteMeasure(POINTS)


def operator(normalization, cost):
    return operator_of(af.Attention(cost, bandwidth=0.3, normalization=normalization), MEASURE, rtol=1e-10)


@pytest.mark.parametrize(
    "cost", [af.SquaredDistance(), af.QueryKeyDistance(np.eye(2), [[0.9, 0.2], [-0.1, 1.1]])],
    ids=["symmetric", "asymmetric"],
)  # fmt: skip
def test_from_nearby_few_sweeps_find_the_weights_that_few_do_not_find_from_zero(cost):
    known = operator(af.Sinkhorn(), cost)
    few = af.Sinkhorn(max_sweeps=3)
    with pytest.raises(ConvergenceError):
        operator(few, cost)
    again = operator(Started(few, known.key_potential + 1e-9), cost)
    # averages are right to the tolerance whatever constant is left open in the weights
    np.testing.assert_allclose(again(POINTS), known(POINTS), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_a_start_matters_only_where_a_fixed_point_is_sought(name):
    given = NORMALIZATIONS[name][0]
    attention = af.Attention(af.SquaredDistance(), bandwidth=0.3, normalization=given)
    asked = asked_of_keys(attention.normalization)
    assert ("fixed point" in asked) == (name == "sinkhorn")
    assert (not asked) == (name == "softmax")
