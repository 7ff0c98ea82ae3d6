"""Many layers on few points: held as a matrix they are what they are when each is summed."""

import numpy as np
import pytest

import attnflow as af
from attnflow.sums.planning import planner

POINTS = np.random.default_rng(3).gamma(2.0, size=(90, 3))
VALUES = np.random.default_rng(4).standard_normal((90, 2))
WEIGHTS = np.where(np.arange(90) % 7 == 2, 0.0, np.random.default_rng(5).gamma(1.0, size=90))
COSTS = {
    "distance": (af.SquaredDistance(), POINTS),
    "product": (af.DotProduct(), POINTS),
    "product of ten": (af.DotProduct(), np.random.default_rng(6).standard_normal((90, 10))),
    "custom": (af.CustomPseudoMetric(lambda x, y: (x[0] - 2 * y[0]) ** 2 + (x[1] * y[2]) ** 2), POINTS),
}


def evolve(cost, points, *, include_self=True, **options):
    attention = af.Attention(cost, 4.0, normalization=af.AlphaNormalization(0.5))
    layers = af.EmpiricalAttention(attention, af.DiscreteMeasure(points, WEIGHTS), include_self=include_self, **options)
    return layers.evolve(VALUES, times=[0.0, 4.0 * 30, 4.0 * 31, 4.0 * 80])


@pytest.mark.parametrize("include_self", [True, False])
@pytest.mark.parametrize("name", COSTS)
def test_layers_that_are_held_equal_those_that_are_summed(name, include_self, monkeypatch):
    held = evolve(*COSTS[name], include_self=include_self)
    monkeypatch.setattr(planner, "HELD_POINTS", 0)
    summed = evolve(*COSTS[name], include_self=include_self)
    assert np.abs(held.values - summed.values).max() > 0  # two ways were taken
    # Each declares some 1e-14 a layer, eighty times.
    assert np.abs(held.values - summed.values).max() <= held.solver_error + summed.solver_error
    assert held.solver_error < 1e-10


def test_what_cannot_be_held_is_summed():
    attention = af.Attention(af.SquaredDistance(), 0.1)
    sums = planner.PlannedSum(attention, points=POINTS, log_weights=np.zeros(90), dtype=np.dtype(np.float64), rtol=1e-8)
    assert sums.held(exclude_self=False) is None  # one layer
    with sums.expecting(planner.HELD_LAYERS):
        held = sums.held(exclude_self=False)
    # Rows of 90 terms: rounding is below 1e-14.
    np.testing.assert_allclose(held.weighted.sum(axis=1), held.total, rtol=1e-14)
    assert held.error.max() < 1e-13
    for options in (dict(dtype=np.dtype(np.float32), rtol=1e-4), dict(dtype=np.dtype(np.float64), rtol=1e-16)):
        other = planner.PlannedSum(attention, points=POINTS, log_weights=np.zeros(90), **options)
        with other.expecting(planner.HELD_LAYERS):
            assert other.held(exclude_self=False) is None


def test_a_layer_that_is_held_leaves_a_token_out():
    sums = planner.PlannedSum(
        af.Attention(af.SquaredDistance(), 0.5), points=POINTS, log_weights=np.zeros(90),
        dtype=np.dtype(np.float64), rtol=1e-8,
    )  # fmt: skip
    with sums.expecting(planner.HELD_LAYERS):
        held = sums.held(exclude_self=True)
    assert not np.diag(held.weighted).any()


def test_a_matrix_of_several_blocks_of_rows_is_that_of_the_sums():
    rng = np.random.default_rng(8)
    points, values = rng.gamma(2.0, size=(700, 2)), rng.standard_normal((700, 2))  # blocks of 512 rows
    weights = np.where(np.arange(700) % 5 == 1, 0.0, rng.gamma(1.0, size=700))
    attention = af.Attention(af.SquaredDistance(), 0.3)
    with np.errstate(divide="ignore"):
        given = dict(points=points, log_weights=np.log(weights), dtype=np.dtype(np.float64), rtol=1e-8)
    sums = planner.PlannedSum(attention, **given)
    with sums.expecting(planner.HELD_LAYERS):
        held = sums.held(exclude_self=True)
    matrix = held.weighted / held.total[:, None]
    summed = sums(values, exclude_self=True)
    averages = summed.weighted / summed.total[:, None]
    # Both declare what rounding does to them, relative to the largest value.
    assert np.abs(matrix @ values - averages).max() <= (held.error + summed.error).max() * np.abs(values).max()
    assert held.error.max() < 1e-12
    assert not matrix[:, weights == 0].any()


def test_rows_of_a_matrix_that_see_only_distant_keys_are_shifted():
    points = np.concatenate([np.linspace(0, 1, 40), [9.0, 9.5]])[:, None]  # without itself the last row sums to e^-1250
    sums = planner.PlannedSum(
        af.Attention(af.SquaredDistance(), 1e-4), points=points, log_weights=np.zeros(42),
        dtype=np.dtype(np.float64), rtol=1e-8,
    )  # fmt: skip
    with sums.expecting(planner.HELD_LAYERS):
        held = sums.held(exclude_self=True)
    # All of the weight of the last two is on each other, and what underflows is zero.
    np.testing.assert_array_equal(held.weighted[40:] / held.total[40:, None], np.eye(42)[[41, 40]])
    np.testing.assert_allclose(held.shift[40:], -1250, rtol=1e-12)
    assert not held.shift[:40].any()
