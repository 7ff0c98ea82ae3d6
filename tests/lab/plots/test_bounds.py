"""Errors beside their bounds: what breaks a bound is seen and counted."""

import numpy as np
import pytest
from toy_ladder import axes

from attnflow.errors import ConfigError, DataError
from attnflow.lab import plots

STEPS = 0.1 / 2.0 ** np.arange(5)
ERRORS = {"layer": 1.3 * STEPS, "midpoint": 0.2 * STEPS**2}
ORDERS = {"layer": 1.0, "midpoint": 2.0}


def test_a_fan_shows_all_pairs_under_its_edge():
    before, after = np.array([0.1, 0.4, 0.2]), np.array([0.15, 0.1, 0.35])
    ax = plots.fan(axes(), before=before, after=after, bound=2.0)
    edge, steepest, dots = ax.lines
    assert edge.get_ydata()[1] == 2.0 * edge.get_xdata()[1]
    assert steepest.get_ydata()[1] == pytest.approx(1.75 * steepest.get_xdata()[1])
    np.testing.assert_array_equal(dots.get_data(), (before, after))


def test_pairs_beyond_the_edge_are_crosses_that_the_legend_counts():
    ax = plots.fan(axes(), before=[0.1, 0.2, 0.3], after=[0.3, 0.1, 0.7], bound=2.0)
    inside, crosses = ax.lines[2:]
    assert inside.get_xdata().tolist() == [0.2]
    assert crosses.get_data()[1].tolist() == [0.3, 0.7]
    assert ax.get_legend().get_texts()[-1].get_text() == "2 beyond the bound"
    assert ax.get_ylim()[1] >= 0.7


def test_a_depth_ladder_has_the_errors_and_their_declared_orders_above_the_modelling_error():
    ax = plots.depth_ladder(axes(), steps=STEPS, errors=ERRORS, orders=ORDERS, modelling_error=1e-3)
    for k, (name, found) in enumerate(ERRORS.items()):
        dots, line = ax.lines[2 * k : 2 * k + 2]
        np.testing.assert_array_equal(dots.get_data(), (STEPS, found))
        np.testing.assert_allclose(line.get_ydata()[::-1], found, rtol=1e-12)  # these errors have exactly that order
        assert dots.get_label() == f"{name}, order {ORDERS[name]:g}"
    (hatched,) = ax.patches
    assert hatched.get_y() + hatched.get_height() == pytest.approx(1e-3)
    markers = {line.get_marker() for line in ax.lines[::2]}
    assert len(markers) == 2  # told apart without colours


def test_a_declared_order_that_errors_do_not_have_is_a_line_beside_them():
    ax = plots.depth_ladder(axes(), steps=STEPS, errors={"layer": STEPS}, orders={"layer": 2.0})
    dots, line = ax.lines
    assert line.get_ydata()[-1] == pytest.approx(dots.get_ydata()[0] * 16)
    assert not ax.patches


@pytest.mark.parametrize(
    ("draw", "error", "words"),
    [
        (lambda: plots.fan(axes(), before=[0.0], after=[1.0], bound=1.0), DataError, "`before` must hold positive"),
        (lambda: plots.fan(axes(), before=[1.0], after=[1.0, 2.0], bound=1.0), DataError, "must have one shape"),
        (lambda: plots.fan(axes(), before=[1.0], after=[1.0], bound=0.0), ConfigError, "`bound` must be positive"),
        (
            lambda: plots.depth_ladder(axes(), steps=STEPS, errors=ERRORS, orders={"layer": 1.0}),
            DataError,
            "`orders` must name layer, midpoint",
        ),
        (
            lambda: plots.depth_ladder(axes(), steps=STEPS, errors={"layer": STEPS[1:]}, orders={"layer": 1.0}),
            DataError,
            r"`errors\['layer'\]` must have shape",
        ),
        (
            lambda: plots.depth_ladder(axes(), steps=-STEPS, errors=ERRORS, orders=ORDERS),
            DataError,
            "`steps` must be positive",
        ),
    ],
)
def test_what_does_not_fit_together_is_refused(draw, error, words):
    with pytest.raises(error, match=words):
        draw()
