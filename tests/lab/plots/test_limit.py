"""The figure of a constant shows its levels, the judge's limit, the margin, and controls near and far."""

from dataclasses import replace

import numpy as np
import pytest
from toy_ladder import RANDOM, SIZES, axes, claim, dots, ends, judged, legend_of, named

from attnflow.lab import plots

VALUES = 1 + 0.5 * SIZES[:, None] + 0.05 * RANDOM
CONSTANT = claim(kind="constant")


def test_a_constant_shows_its_means_its_limit_and_its_interval():
    judgement = judged(CONSTANT, VALUES)
    ax = plots.limit(axes(), judgement)
    np.testing.assert_allclose(dots(ax)[0].get_ydata(), VALUES.mean(axis=1), rtol=1e-14)
    verdict = judgement.verdict
    assert ends(ax) == [pytest.approx([verdict.low, verdict.measured, verdict.high])]
    fitted = named(ax, "corrected fit")
    np.testing.assert_array_equal(fitted.get_ydata(), judgement.fit.curve(fitted.get_xdata()))


def test_a_constant_of_one_level_is_drawn_without_a_fit_and_without_a_limit_on_the_axis():
    ax = plots.limit(axes(), judged(CONSTANT, VALUES[:1]))
    assert dots(ax)[0].get_ydata() == pytest.approx([VALUES[0].mean()])
    assert ends(ax) == []
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0.4"]


def test_a_control_nearby_is_drawn_pale_with_its_limit():
    control = judged(CONSTANT.control(statement="no", quantity="other"), VALUES + 1)
    ax = plots.limit(axes(), judged(CONSTANT, VALUES), controls=[control])
    own, pale = dots(ax)
    np.testing.assert_allclose(pale.get_ydata(), 1 + VALUES.mean(axis=1), rtol=1e-14)
    assert (own.get_marker(), pale.get_marker()) == ("o", "D")
    assert ends(ax)[1][1] == control.verdict.measured
    low, high = ax.get_ylim()
    assert low < VALUES.mean(axis=1).min() < control.verdict.measured < high


def test_the_interval_of_a_control_nearby_is_not_cut():
    control = judged(CONSTANT.control(statement="no", quantity="other"), VALUES + 1 + 0.5 * RANDOM)
    ax = plots.limit(axes(), judged(CONSTANT, VALUES), controls=[control])
    bars = np.array([bar[:, 1] for bar in ax.containers[2].lines[2][0].get_segments()])
    assert bars.max() > 2.8  # half a unit above the highest mean
    low, high = ax.get_ylim()
    assert low < bars.min()
    assert bars.max() < high


def test_a_control_far_away_stands_at_the_edge_and_the_legend_says_where_it_is():
    control = judged(CONSTANT.control(statement="no", quantity="other"), VALUES - 90)
    alone = plots.limit(axes(), judged(CONSTANT, VALUES))
    ax = plots.limit(axes(), judged(CONSTANT, VALUES), controls=[control])
    assert ax.get_ylim() == pytest.approx(alone.get_ylim())  # the claim is as legible as without its control
    edge = dots(ax)[1]
    assert edge.get_marker() == "v"
    assert set(edge.get_ydata()) == {ax.get_ylim()[0]}
    assert "control: other, beyond the axis at −89" in legend_of(ax)


def test_a_control_with_another_number_shows_its_line_alone():
    control = judged(replace(CONSTANT, id="no", control_of=CONSTANT.id, predicted=1.5), VALUES)
    ax = plots.limit(axes(), judged(CONSTANT, VALUES), controls=[control])
    assert len(dots(ax)) == len(ends(ax)) == 1
    assert named(ax, "control predicts 1.5").get_ydata()[0] == 1.5
    assert ax.get_ylim()[1] > 1.5
