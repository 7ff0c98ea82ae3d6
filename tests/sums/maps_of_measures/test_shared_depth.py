"""Where layers that share their weights settle, how fast, and how they fail."""

import numpy as np
import pytest

import attnflow as af
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.sums.maps_of_measures import shared_depth

RNG = np.random.default_rng(8)
VALUE = 0.5 * np.array([[0.8, 0.6], [-0.6, 0.8]])  # a rotation by 37 degrees, halved
INPUTS = 0.2 * RNG.normal(size=(5, 2))
ATTENTION = af.Attention(af.DotProduct(), bandwidth=0.5)
FLOW = af.TokenFlow(ATTENTION, value=VALUE)


@pytest.fixture(scope="module")
def settled():
    return af.fixed_point(FLOW, np.zeros((5, 2)), inputs=INPUTS, rtol=1e-12)


def test_a_layer_leaves_the_fixed_point_where_it_is(settled):
    assert settled.points == pytest.approx(FLOW.velocity(settled.points) + INPUTS, abs=2 * settled.solver_error)
    assert settled.solver_error < 1e-11
    assert np.linalg.norm(settled.points - settled.points.mean(axis=0)) > 0.1  # it is not a single point


def test_it_does_not_depend_on_where_layers_start(settled):
    other = af.fixed_point(FLOW, RNG.normal(size=(5, 2)), inputs=INPUTS, rtol=1e-12)
    assert np.abs(other.points - settled.points).max() <= other.solver_error + settled.solver_error


def test_both_rates_are_that_of_the_jacobian(settled):
    step, columns = 1e-5, []
    for place in range(10):
        move = step * np.eye(10)[place].reshape(5, 2)
        columns.append(
            (FLOW.velocity(settled.points + move) - FLOW.velocity(settled.points - move)).ravel() / (2 * step)
        )
    radius = np.abs(np.linalg.eigvals(np.stack(columns, axis=1))).max()
    assert settled.spectral_radius == pytest.approx(radius, rel=1e-8)  # central differences, 1e-10
    # A pair of complex eigenvalues turns by 37 degrees per layer: the largest coordinate wavers by cos(45 degrees)
    # at most between two layers, to the power of one over the twelve that are averaged.
    assert settled.rate == pytest.approx(radius, rel=0.03)


def test_the_spectral_radius_of_many_tokens_is_found_by_products(settled, monkeypatch):
    monkeypatch.setattr(shared_depth, "held_jacobian", lambda layer: None)
    again = af.fixed_point(FLOW, settled.points, inputs=INPUTS)
    assert again.spectral_radius == pytest.approx(settled.spectral_radius, rel=1e-9)  # both to rounding


def test_without_input_layers_draw_tokens_to_the_origin_at_the_rate_of_the_values():
    tokens = RNG.normal(size=(5, 2))
    ended = af.fixed_point(FLOW, tokens)
    assert np.abs(ended.points).max() <= ended.solver_error < 1e-9 * np.abs(tokens).max()
    assert ended.spectral_radius == pytest.approx(0.5, abs=1e-8)  # that of VALUE: attention is the mean at the origin


def test_one_point_that_a_layer_does_not_move_is_fixed_at_once():
    ended = af.fixed_point(FLOW, np.zeros((3, 2)))
    assert ended.layers == 1
    assert ended.rate == 0.0
    assert (ended.points == 0).all()


def test_a_value_above_one_diverges_by_name_and_layer_with_the_last_tokens_at_hand():
    with pytest.raises(ConvergenceError, match=r"layer \d+ has carried tokens to .* norm is 1\.2") as caught:
        af.fixed_point(af.TokenFlow(ATTENTION, value=1.2), RNG.normal(size=(5, 2)))
    (points,) = caught.value.trajectory.points
    assert f"layer {caught.value.trajectory.times[0] + 1:.0f} has" in str(caught.value)
    assert np.abs(points).max() > 1e5


def test_layers_that_are_too_few_are_named_with_the_rate():
    with pytest.raises(ConvergenceError, match=r"3 layers do not settle .* shrink by"):
        af.fixed_point(FLOW, np.zeros((5, 2)), inputs=INPUTS, layers=3)


@pytest.mark.parametrize("how", [{"centred": True}, {"manifold": af.Circle()}])
def test_flows_that_are_no_layers_without_a_residual_are_refused(how):
    tokens = np.array([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    with pytest.raises(ConfigError, match="in space and not centred"):
        af.fixed_point(af.TokenFlow(ATTENTION, **how), tokens)


def test_inputs_of_another_shape_are_refused():
    with pytest.raises(DataError, match=r"`inputs` must have shape \(5, 2\), one row per token, got \(4, 2\)"):
        af.fixed_point(FLOW, np.zeros((5, 2)), inputs=INPUTS[:4])


def test_tokens_without_mass_are_refused():
    with pytest.raises(DataError, match="without mass"):
        af.fixed_point(af.TokenFlow(ATTENTION, value=0.3), af.DiscreteMeasure(np.eye(2), [1.0, 0.0]))


def test_where_differences_do_not_shrink_a_smaller_value_is_what_helps():
    with pytest.raises(ConvergenceError, match=r"Pass a smaller `value`"):
        af.fixed_point(af.TokenFlow(ATTENTION), np.zeros((2, 2)), inputs=np.ones((2, 2)), layers=30)
