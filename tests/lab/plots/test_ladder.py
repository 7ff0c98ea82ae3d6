"""The figure of an exponent shows the numbers of its levels, the judge's own fit, the prediction, and the controls."""

from dataclasses import replace

import numpy as np
import pytest
from toy_ladder import RANDOM, SIZES, axes, claim, dots, ends, errors, judged, legend_of, named

from attnflow.judge.levels import Level
from attnflow.judge.verdicts import examine
from attnflow.lab import plots


def test_a_ladder_shows_the_root_mean_square_of_each_level():
    table = errors()
    ax = plots.ladder(axes(), judged(claim(), table))
    np.testing.assert_allclose(dots(ax)[0].get_ydata(), np.sqrt(np.mean(table**2, axis=1)), rtol=1e-14)
    np.testing.assert_array_equal(dots(ax)[0].get_xdata(), SIZES)


def test_the_curve_is_the_fit_that_the_verdict_was_read_off():
    judgement = judged(claim(), errors())
    fitted = named(plots.ladder(axes(), judgement), "corrected fit")
    np.testing.assert_array_equal(fitted.get_ydata(), judgement.fit.curve(fitted.get_xdata()))
    np.testing.assert_allclose(fitted.get_xdata()[[0, -1]], SIZES[[0, -1]], rtol=1e-12)
    assert f"{judgement.verdict.measured:.4f}" in fitted.get_label()


def test_without_a_fit_there_is_no_curve_and_the_prediction_ends_at_the_finest_level():
    judgement = judged(claim(), errors()[:3])
    assert judgement.fit is None
    ax = plots.ladder(axes(), judgement)
    assert not any("fit" in words for words in legend_of(ax))
    assert named(ax, "predicted").get_ydata()[-1] == pytest.approx(dots(ax)[0].get_ydata()[-1])


def test_the_predicted_line_has_the_predicted_slope_also_for_growing_sizes():
    sizes = 100 * 2 ** np.arange(9)
    levels = [
        Level(size=n, values=n**-0.5 * (1 + 3 / n) * np.exp(0.1 * row)) for n, row in zip(sizes, RANDOM, strict=True)
    ]
    ax = plots.ladder(axes(), examine(claim(predicted=-0.5, size="points"), levels))
    line = named(ax, "predicted")
    assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx(-0.5, rel=1e-12)
    assert ax.get_xlabel() == "number of points $N$"
    # The limit is on the right, so that is where room is left.
    assert ax.get_xlim()[1] / sizes[-1] > sizes[0] / ax.get_xlim()[0] > 1


def test_levels_under_the_floor_are_hollow_and_the_floor_is_hatched():
    judgement = judged(claim(floor=2.2 * SIZES[-1]), errors(0.02))
    assert judgement.verdict.dropped == 2
    ax = plots.ladder(axes(), judgement)
    hollow = next(line for line in dots(ax) if line.get_markerfacecolor() == "white")
    np.testing.assert_array_equal(hollow.get_xdata(), SIZES[-2:])
    assert any(patch.get_hatch() for patch in ax.collections)
    slopes = plots.local_slopes(axes(), judgement)
    assert len(dots(slopes) + [line for line in slopes.lines if line.get_marker() == "o"]) == 1
    assert len(named_slopes(slopes)) == len(SIZES) - 3


def named_slopes(ax):
    """The local slopes of the claim."""
    return next(line for line in ax.lines if line.get_marker() == "o").get_ydata()


def test_a_ladder_of_floors_per_level_drops_those_of_its_level_also_when_another_level_has_failed():
    floors = tuple(np.where(SIZES < 0.01, 1.0, 0.0))
    whole = judged(claim(floor=floors), errors())
    assert whole.verdict.dropped == np.count_nonzero(floors) == 3
    failed = [*whole.levels]
    failed[1] = Level(size=SIZES[1], values=[], failed="bad luck")
    for judgement in (whole, examine(whole.claim, failed)):
        hollow = next(line for line in dots(plots.ladder(axes(), judgement)) if line.get_markerfacecolor() == "white")
        np.testing.assert_array_equal(hollow.get_xdata(), SIZES[-3:])


def test_local_slopes_are_those_between_neighbours_with_the_fitted_one_at_the_limit():
    table = errors()
    judgement = judged(claim(), table)
    ax = plots.local_slopes(axes(), judgement)
    rms = np.sqrt(np.mean(table**2, axis=1))
    np.testing.assert_allclose(named_slopes(ax), np.diff(np.log(rms)) / np.diff(np.log(SIZES)), rtol=1e-12)
    verdict = judgement.verdict
    assert ends(ax) == [pytest.approx([verdict.low, verdict.measured, verdict.high])]


def test_a_control_of_another_quantity_is_drawn_pale_with_its_own_levels_fit_and_prediction():
    judgement = judged(claim(), errors())
    control = judged(judgement.claim.control(statement="no", quantity="other"), 0.3 + errors())
    assert control.verdict.verdict == "refuted"
    ax = plots.ladder(axes(), judgement, controls=[control], labels={"error": "its error", "other": "another error"})
    own, pale = dots(ax)
    np.testing.assert_allclose(pale.get_ydata(), np.sqrt(np.mean((0.3 + errors()) ** 2, axis=1)), rtol=1e-14)
    assert pale.get_color() != own.get_color()
    assert pale.get_marker() != own.get_marker()
    assert ax.get_ylabel() == "its error"
    assert "control: another error" in legend_of(ax)
    line, fitted = named(ax, "control predicts slope 1"), ax.lines[-2]
    np.testing.assert_array_equal(fitted.get_ydata(), control.fit.curve(fitted.get_xdata()))
    assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx(1, rel=1e-12)
    assert line.get_ydata()[-1] == pytest.approx(fitted.get_ydata()[-1])
    slopes = plots.local_slopes(axes(), judgement, controls=[control])
    assert len(ends(slopes)) == 2
    low, high = slopes.get_ylim()
    assert low < control.verdict.measured < judgement.verdict.measured < high


def test_a_control_that_shares_the_quantity_shows_only_what_it_predicts():
    judgement = judged(claim(), errors())
    control = judged(replace(judgement.claim, id="no", control_of=judgement.claim.id, predicted=2.0), errors())
    ax = plots.ladder(axes(), judgement, controls=[control])
    assert len(dots(ax)) == 1
    line = named(ax, "control predicts slope 2")
    assert np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata())) == pytest.approx(2, rel=1e-12)
    slopes = plots.local_slopes(axes(), judgement, controls=[control])
    assert len(ends(slopes)) == 1
    assert slopes.get_ylim()[1] > 2
    assert named(slopes, "control predicts").get_ydata()[0] == 2


def test_several_controls_are_told_apart_by_their_ids_and_markers():
    judgement = judged(claim(), errors())
    first = judged(judgement.claim.control(statement="no", quantity="other"), 0.3 + errors())
    second = judged(judgement.claim.control(statement="no", quantity="third", id="toy-control/third"), 0.5 + errors())
    ax = plots.ladder(axes(), judgement, controls=[first, second])
    assert "control toy-control/error: other" in legend_of(ax)
    assert "control toy-control/third: third" in legend_of(ax)
    assert len({line.get_marker() for line in dots(ax)}) == 3


def test_the_axis_of_sizes_has_the_words_of_the_study_or_those_that_all_share():
    judgement = judged(claim(), errors())
    assert plots.ladder(axes(), judgement).get_xlabel() == r"bandwidth $\varepsilon$"
    assert plots.ladder(axes(), judgement, labels={"bandwidth": "scale"}).get_xlabel() == "scale"
    assert plots.local_slopes(axes(), judgement, labels={"bandwidth": "scale"}).get_xlabel() == "scale"
