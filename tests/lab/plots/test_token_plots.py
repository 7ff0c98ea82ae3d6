"""Tokens drawn: paths, laws and errors are those that were given, and what does not fit together is refused."""

import numpy as np
import pytest
from matplotlib.colors import Normalize
from toy_ladder import axes

from attnflow.errors import DataError
from attnflow.lab import plots
from attnflow.lab.plots.tokens import TURN, WIDTH, smoothed, spacing, wrapped

TIMES = np.array([0.0, 0.3, 0.7, 1.2])


def paths(count=15, drift=0.8):
    """Angles of tokens that drift at unlike speeds, some of them over the end of the turn; they keep their order."""
    start = np.sort(np.random.default_rng(5).uniform(0, TURN, count))
    return start + TIMES[:, None] * (drift + 0.05 * np.sin(start))


def test_braids_are_the_angles_of_the_tokens_with_holes_where_they_cross_the_end_of_the_turn():
    angles = paths()
    _, middle, _ = plots.braids(plots.figure(width=5, height=3), times=TIMES, angles=angles)
    assert len(middle.lines) == angles.shape[1]
    crossings = 0
    for line, angle in zip(middle.lines, angles.T, strict=True):
        times, drawn = line.get_data()
        kept = ~np.isnan(drawn)
        np.testing.assert_array_equal(times[kept], TIMES)
        np.testing.assert_array_equal(drawn[kept], np.mod(angle, TURN))
        crossings += (~kept).sum()
    assert crossings == np.count_nonzero(angles[-1] > TURN) > 0


def test_a_token_that_crosses_the_end_both_ways_has_two_holes():
    times, within = wrapped(np.arange(4.0), np.array([6.2, 6.4, 6.3, 6.1]))
    assert np.isnan(times).tolist() == np.isnan(within).tolist() == [False, True, False, False, True, False]


def test_the_margins_hold_the_laws_at_the_ends():
    angles = paths(40)
    left, _, right = plots.braids(plots.figure(width=5, height=3), times=TIMES, angles=angles)
    for ax, angle in ((left, angles[0]), (right, angles[-1])):
        outline = ax.collections[0].get_paths()[0].vertices
        at = np.linspace(0, TURN, 361)
        np.testing.assert_allclose(outline[:, 0].max(), smoothed(angle, at).max(), rtol=1e-12)
    assert left.xaxis_inverted()
    assert not right.xaxis_inverted()


def test_the_smoothed_law_is_a_sum_of_wrapped_gaussians():
    angles, where = np.array([0.05, 2.0, 6.2]), np.linspace(0, TURN, 91)
    gaps = where[:, None, None] - angles[:, None] - TURN * np.arange(-2, 3)
    density = np.exp(-((gaps / WIDTH) ** 2) / 2).sum(axis=(1, 2)) / (3 * WIDTH * np.sqrt(TURN))
    # Waves beyond 6 / WIDTH are left out, of which the first is e^{-18} of the highest.
    np.testing.assert_allclose(smoothed(angles, where), density, rtol=0, atol=1e-7)


def test_predicted_centres_are_marked_at_the_end_within_the_turn():
    _, middle, _ = plots.braids(plots.figure(width=5, height=3), times=TIMES, angles=paths(), centres=[-0.5, 2.0, 7.0])
    marks = [line for line in middle.lines if line.get_gid() == "centre"]
    np.testing.assert_allclose([line.get_ydata()[0] for line in marks], [TURN - 0.5, 2.0, 7.0 - TURN])
    assert {line.get_xdata()[0] for line in marks} == {TIMES[-1]}


def test_strands_have_the_colour_of_what_the_tokens_carry_and_are_whole_at_the_end_of_the_turn():
    angles = paths(6, drift=2.0)
    values = np.outer(np.exp(-TIMES), np.cos(angles[0])) + 0.1
    scale = Normalize(-2, 2)
    ax = plots.strands(axes(), times=TIMES, angles=angles, values=values, scale=scale)
    (drawn,) = ax.collections
    segments = np.array(drawn.get_segments())
    colours = np.asarray(drawn.get_array())
    assert drawn.norm is scale
    own = segments[:18].reshape(6, 3, 2, 2)
    np.testing.assert_array_equal(own[:, :, 0, 0], np.tile(TIMES[:-1], (6, 1)))
    np.testing.assert_allclose(np.mod(own[:, :, 1, 1], TURN), np.mod(angles[1:].T, TURN), rtol=1e-12)
    np.testing.assert_allclose(colours[:18].reshape(6, 3), (values[1:] + values[:-1]).T / 2, rtol=1e-14)
    over = own[own[:, :, 1, 1] > TURN]
    assert len(over) > 0
    np.testing.assert_allclose(segments[18:, :, 1], over[:, :, 1] - TURN, rtol=1e-12)


def test_laws_show_what_lies_between_neighbours_over_the_equation():
    # The quantiles of (1 + a cos)/2pi for small a are known to order a^2: theta - a sin theta.
    count, a = 60, 0.01
    grid = TURN * (np.arange(count) + 0.5) / count
    strengths = np.array([a, a / 2])
    angles = grid - strengths[:, None] * np.sin(grid)
    where = np.linspace(0, TURN, 101)
    equation = (1 + strengths[:, None] * np.cos(where)) / TURN
    ax = plots.laws(axes(), times=[0.0, 0.5], angles=angles, equation=(where, equation))
    for k in range(2):
        dashes, dots = ax.lines[2 * k : 2 * k + 2]
        np.testing.assert_array_equal(dashes.get_ydata(), equation[k])
        middle, density = dots.get_data()
        # a^2 in the quantiles, and (gap)^2 / 24 of the wave between neighbours
        np.testing.assert_allclose(density, (1 + strengths[k] * np.cos(middle)) / TURN, rtol=0, atol=3e-5)
    assert {text.get_text() for text in ax.texts} == {"$t = 0$", "$t = 0.5$"}
    assert ax.get_legend().get_texts()[0].get_text() == "$N = 60$ tokens"


def test_the_densities_between_neighbours_hold_all_the_mass():
    angles = paths(20)[-1]
    middle, density = spacing(angles)
    gaps = np.mod(np.diff(angles, append=angles[:1]), TURN)
    np.testing.assert_allclose(density @ gaps, 1.0, rtol=1e-14)
    assert ((middle >= 0) & (middle < TURN)).all()


def test_an_error_over_time_is_logarithmic_and_hatched_where_nothing_is_resolved():
    ax = plots.error_over_time(axes(), times=TIMES, errors=np.array([0.0, 1e-3, 1e-2, 0.1]), until=0.7)
    np.testing.assert_array_equal(ax.lines[0].get_xdata(), TIMES[1:3])  # not of zero, and not where it is hatched
    assert ax.get_yscale() == "log"
    (hatched,) = ax.patches
    assert (hatched.get_x(), hatched.get_x() + hatched.get_width()) == pytest.approx((0.7, 1.2))
    assert not plots.error_over_time(axes(), times=TIMES, errors=np.ones(4)).patches


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (
            lambda: plots.braids(plots.figure(width=4, height=3), times=TIMES, angles=np.ones((3, 5))),
            r"`angles` must have shape \(T, N\) with T = 4",
        ),
        (
            lambda: plots.strands(axes(), times=TIMES, angles=paths(), values=np.ones((4, 3))),
            "`values` must have the shape of `angles`",
        ),
        (
            lambda: plots.laws(axes(), times=TIMES, angles=paths(), equation=(np.ones(5), np.ones((2, 5)))),
            "with T = 4 times",
        ),
        (
            lambda: plots.laws(axes(), times=TIMES, angles=paths()[:, ::-1], equation=(np.ones(5), np.ones((4, 5)))),
            "Sort the tokens",
        ),
        (lambda: plots.error_over_time(axes(), times=TIMES, errors=np.ones(3)), "`errors` must have shape"),
        (lambda: plots.braids(plots.figure(width=4, height=3), times=TIMES, angles=paths() * np.nan), "NaN or Inf"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(draw, words):
    with pytest.raises(DataError, match=words):
        draw()
