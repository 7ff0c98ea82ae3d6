"""Arrays as arguments: what only looks like numbers is not turned into them."""

import datetime
import fractions
import warnings

import numpy as np
import pytest
import scipy.sparse

import attnflow as af
from attnflow._checks import check_finite, check_positive
from attnflow.errors import ConfigError, DataError

POINTS = np.random.default_rng(7).gamma(2.0, size=(30, 2))
ATTENTION = af.Attention(af.SquaredDistance(), bandwidth=0.3)
HIDDEN = np.ma.array(POINTS, mask=POINTS > 5.0)
COUNT = int((POINTS > 5.0).sum())


@pytest.mark.parametrize(
    "ask",
    [
        lambda: af.EmpiricalAttention(ATTENTION, HIDDEN),
        lambda: af.EmpiricalAttention(ATTENTION, list(HIDDEN)),
        lambda: af.DiscreteMeasure(POINTS, weights=np.ma.array(np.ones(30), mask=np.arange(30) == 4)),
        lambda: af.EmpiricalAttention(ATTENTION, POINTS).layer(HIDDEN),
        lambda: af.EmpiricalAttention(ATTENTION, POINTS).layer(POINTS, at=HIDDEN),
        lambda: af.PopulationAttention(ATTENTION, af.Uniform(af.Circle())).layer(lambda x: x[0], at=HIDDEN),
        lambda: af.DriftDiffusion(ATTENTION, af.Uniform(af.Circle())).evolve(lambda x: x[0], times=1.0, at=HIDDEN),
        lambda: af.LaplaceExpansion(ATTENTION, af.Uniform(af.Circle())).generator(lambda x: x[0], at=HIDDEN),
        lambda: af.Gaussian(mean=np.ma.array([0.0, 1.0], mask=[False, True]), covariance=np.eye(2)),
        lambda: af.fit_rate(np.arange(1.0, 6.0), np.ma.array(np.ones(5), mask=[True, False, False, False, False])),
    ],
)
def test_what_a_masked_array_hides_is_never_averaged_in(ask):
    with pytest.raises(DataError, match=r"is a masked array with \d+ hidden values"):
        ask()


def test_hidden_values_are_counted_and_an_array_that_hides_none_is_an_array():
    assert COUNT > 1
    with pytest.raises(DataError, match=rf"with {COUNT} hidden values"):
        check_finite(HIDDEN, "points")
    np.testing.assert_array_equal(check_finite(np.ma.array(POINTS), "points"), POINTS)


NO_NUMBERS = {
    "nothing": None,
    "a word": "x[0]",
    "words that read as numbers": ["1", "2"],
    "a missing value": [1.0, None],
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "dates of Python": [datetime.date(2020, 1, 1)],
    "durations": np.array([1, 2], "m8[s]"),
    "complex numbers": np.ones(2) * 1j,
    "a sparse matrix": scipy.sparse.csr_array(np.eye(2)),
    "a set": {1.0, 2.0},
    "a dict": {"a": 1.0},
    "a ragged list": [1.0, [2.0, 3.0]],
    "records": np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]),
    "a generator": (x for x in [1.0]),
    "a function": abs,
    "an integer too long": [10**400],
}


@pytest.mark.parametrize("bad", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_what_is_no_array_of_numbers_is_refused(bad):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match="`points` must be an array of real numbers, got"):
            check_finite(bad, "points")


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([True, False], [1.0, 0.0]),
        (np.array([1, 2], "u1"), [1.0, 2.0]),
        (np.array([0.5], "f2"), [0.5]),
        ([fractions.Fraction(1, 2), 10**30], [0.5, 1e30]),
        (range(3), [0.0, 1.0, 2.0]),
    ],
)
def test_numbers_of_every_kind_are_taken(given, values):
    np.testing.assert_array_equal(check_finite(given, "points"), values)


@pytest.mark.parametrize(
    "bad",
    [np.complex128(1j), np.array("a"), np.datetime64(3, "D"), np.bool_(True), np.ma.masked, np.array(None), 10**400],
)
def test_a_scalar_that_is_no_number_is_refused(bad):
    with pytest.raises(ConfigError, match="`bandwidth` must be positive and finite"):
        check_positive(bad, "bandwidth")
