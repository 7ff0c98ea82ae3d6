"""Times of trajectories: whole numbers of layers, rounded and never truncated, tolerated to a hair, and told as run."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import attnflow as af
from attnflow._checks import check_times
from attnflow.errors import ConfigError, DataError
from attnflow.trajectories import count_layers

CIRCLE = af.Circle()
AT = np.array([[1.0, 0.0], [0.6, 0.8], [-0.8, 0.6]])
CLOUD = CIRCLE.sample_uniform(40, np.random.default_rng(3))
EPS = 0.07  # .35 / .07 is 4.999999999999999


def f(x):
    return x[0] - 0.5 * x[1]


def lives():
    attention = af.Attention(af.SquaredDistance(), bandwidth=EPS)
    return [af.EmpiricalAttention(attention, CLOUD), af.PopulationAttention(attention, af.Uniform(CIRCLE))]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(bandwidth=st.floats(1e-4, 10.0), counts=st.lists(st.integers(0, 100_000), min_size=1, max_size=5))
def test_n_layers_are_counted_as_n_whatever_rounding_makes_of_their_time(bandwidth, counts):
    times = [n * bandwidth for n in counts]
    nearby = [np.nextafter(t, np.inf) for t in times] + [np.nextafter(t, 0.0) for t in times]
    assert count_layers(times, bandwidth).tolist() == counts
    assert count_layers(nearby, bandwidth).tolist() == counts * 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(bandwidth=st.floats(0.01, 2.0), n=st.integers(1, 5000), side=st.sampled_from([-1, 1]))
def test_times_are_tolerated_to_a_billionth_of_themselves_or_of_one_and_no_further(bandwidth, n, side):
    t = n * bandwidth
    hair = side * 1e-9 * max(1.0, t)
    assert count_layers(t + 0.9 * hair, bandwidth).tolist() == [n]
    if abs(hair) < 0.4 * bandwidth:
        with pytest.raises(ConfigError, match="whole numbers of layers"):
            count_layers([0.0, t + 1.2 * hair], bandwidth)


@pytest.mark.parametrize(("asked", "nearest"), [(0.3, "0.28 and 0.35"), (0.01, "0 and 0.07"), (0.6999, "0.63 and 0.7")])
def test_a_time_between_two_layers_is_told_both(asked, nearest):
    with pytest.raises(ConfigError, match=rf"got {asked} with bandwidth 0.07. The two nearest are {nearest}\."):
        count_layers([0.0, 0.35, asked], EPS)


@pytest.mark.parametrize("life", lives(), ids=["empirical", "population"])
def test_a_trajectory_tells_the_times_that_were_run_and_not_those_that_were_asked_for(life):
    asked = np.array([0.35 + 6e-10, 0.0, 0.7 - 4e-10, 0.07])
    flow = life.evolve(f, times=asked, at=AT)
    np.testing.assert_array_equal(flow.times, np.array([5, 0, 10, 1]) * EPS)
    assert not np.array_equal(flow.times, asked)
    layers, values = [f(AT.T)], life.evolve(f, times=[n * EPS for n in range(11)], at=AT).values
    np.testing.assert_allclose(flow.values, values[[5, 0, 10, 1]], rtol=0, atol=1e-12)
    np.testing.assert_allclose(values[0], layers[0], rtol=0, atol=1e-15)
    one = life.evolve(f, times=0.35, at=AT)  # a scalar is a list of one
    assert (one.times.tolist(), one.values.shape) == ([5 * EPS], (1, 3))


def test_the_limit_takes_any_time_as_it_is():
    attention = af.Attention(af.SquaredDistance(), bandwidth=EPS)
    asked = [0.3 + 1e-10, 0.0, 1 / 3]
    flow = af.DriftDiffusion(attention, af.Uniform(CIRCLE)).evolve(f, times=asked, at=AT)
    assert flow.times.tolist() == asked
    decayed = np.exp(-np.array(asked) / 2)[:, None] * f(AT.T)  # both are waves of length one
    np.testing.assert_allclose(flow.values, decayed, rtol=0, atol=1e-8)


@pytest.mark.parametrize(
    ("times", "error", "message"),
    [
        (-1e-300, ConfigError, "must not be negative"),
        ([0.1, -0.1], ConfigError, r"must not be negative, got -0\.1"),
        ([], ConfigError, r"got shape \(0,\)"),
        ([[0.1]], ConfigError, r"got shape \(1, 1\)"),
        ([0.1, np.nan], DataError, r"NaN or Inf, the first at \[1\]"),
        (np.inf, DataError, "NaN or Inf"),
        ("soon", DataError, "must be an array of real numbers"),
        (1j, DataError, "must be an array of real numbers"),
    ],
)
def test_what_is_no_time_is_refused(times, error, message):
    with pytest.raises(error, match=message):
        check_times(times)


def test_times_are_taken_in_the_order_given_as_float64():
    times = check_times([3, 0, 2, 2])
    assert (times.tolist(), times.dtype) == ([3.0, 0.0, 2.0, 2.0], np.float64)
