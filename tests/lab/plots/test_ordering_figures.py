"""The figure of an ordering shows every seed, what was measured over them, and what is claimed."""

import numpy as np
import pytest
from toy_ladder import RANDOM, axes, claim, dots, ends, judged, legend_of, named

from attnflow.lab import plots

ORDERING = claim(kind="ordering", margin=0.9, id="toy/ahead", quantity="metric_over_self")
VALUES = 0.25 + 0.05 * RANDOM[:1]


def test_every_seed_is_a_dot_and_their_mean_has_its_interval():
    judgement = judged(ORDERING, VALUES)
    ax = plots.ordering(axes(), judgement)
    (own,) = dots(ax)
    np.testing.assert_array_equal(own.get_ydata(), VALUES[0])
    assert len(set(own.get_xdata())) == 24  # side by side
    assert np.abs(own.get_xdata()).max() < 0.5
    verdict = judgement.verdict
    assert ends(ax) == [pytest.approx([verdict.low, verdict.measured, verdict.high])]
    assert f"mean {verdict.measured:.3f}, 99.9881 % interval" in legend_of(ax)
    assert named(ax, "at least 0.1").get_ydata() == [0.1, 0.1]


def test_controls_stand_beside_it_and_one_line_shows_what_several_predict():
    controls = [
        judged(ORDERING.control(id=name, statement="no", quantity=name, margin=0.8), VALUES - offset)
        for name, offset in (("shuffled", 0.25), ("other_seeds", 0.5))
    ]
    ax = plots.ordering(axes(), judged(ORDERING, VALUES), controls=controls)
    places = [line.get_xdata().mean() for line in dots(ax)]
    assert places == pytest.approx([0, 1, 2], abs=0.1)
    assert [label.get_text() for label in ax.get_xticklabels()] == ["claim", "control", "control"]
    assert named(ax, "controls predict at least 0.2").get_ydata()[0] == 0.2
    assert {"control shuffled: shuffled", "control other_seeds: other seeds"} <= set(legend_of(ax))
    low, high = ax.get_ylim()
    assert low < min(control.verdict.low for control in controls)
    assert high > VALUES.max()


def test_without_an_interval_there_is_none_and_without_numbers_nothing():
    same = judged(ORDERING, np.full((1, 10), 0.3))
    assert legend_of(plots.ordering(axes(), same)) == ["at least 0.1", "10 seeds", "mean 0.300"]
    failed = judged(ORDERING, VALUES, failed="no")
    ax = plots.ordering(axes(), failed, labels={"metric_over_self": "ahead"})
    assert ends(ax) == []
    assert ax.get_ylabel() == "ahead"


def test_a_whole_figure_is_made_of_an_ordering():
    figure = plots.claim_figure(judged(ORDERING, VALUES))
    assert figure.axes[0].get_title(loc="left").startswith("Errors are")
