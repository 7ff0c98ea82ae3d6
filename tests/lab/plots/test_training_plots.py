"""Training drawn: every seed is there, bands are quartiles, dots are the numbers, shares have the right intervals."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from scipy.stats import binom
from toy_ladder import axes

from attnflow.errors import DataError
from attnflow.lab import plots
from attnflow.lab.plots.training import PLACES, share_interval

DRAWN = np.random.default_rng(3)
LOSSES = {"self": np.exp(DRAWN.normal(size=(7, 90))), "metric": np.exp(DRAWN.normal(size=(4, 90)) - 2)}


def test_loss_bands_show_the_median_the_quartiles_and_every_seed():
    ax = plots.loss_bands(axes(), losses=LOSSES)
    assert len(ax.lines) == 1 + 7 + 1 + 4
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.median(LOSSES["self"], axis=0))
    for line, seed in zip(ax.lines[9:], LOSSES["metric"], strict=True):
        np.testing.assert_array_equal(line.get_ydata(), seed)
    corners = ax.collections[1].get_paths()[0].vertices
    for quantile in (0.25, 0.75):
        assert np.isin(np.quantile(LOSSES["metric"], quantile, axis=0), corners[:, 1]).all()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["self", "metric"]
    assert ax.get_yscale() == "log"


def test_a_long_training_is_drawn_by_the_means_of_its_stretches():
    steps = np.arange(1000)
    ax = plots.loss_bands(axes(), losses={"linear": 1.0 + steps[None] * [[1.0], [2.0]]})
    at, values = ax.lines[1].get_data()
    assert len(at) == PLACES
    np.testing.assert_allclose(values, 1 + at, rtol=1e-13)  # means of a line lie on it; sums of five are exact to 1e-15


def test_every_seed_has_a_dot_at_its_number_and_equal_ones_do_not_hide_each_other():
    numbers = np.array([0.5, 0.9, 0.9, 0.9, 0.95])
    ax = plots.dots_and_violins(axes(), values={"metric": [0.97, 0.98], "self": numbers}, reference=0.5)
    dots, tick = ax.lines[2], ax.lines[3]
    np.testing.assert_array_equal(dots.get_xdata(), numbers)
    assert len({tuple(dot) for dot in dots.get_xydata()}) == 5
    assert tick.get_xdata()[0] == 0.9
    assert all(0.5 < height < 1.55 for height in dots.get_ydata())  # in its own row, the second
    assert ax.lines[4].get_xdata()[0] == 0.5
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first method is on top


def test_a_violin_is_as_wide_as_the_numbers_are_dense_and_equal_numbers_have_none():
    numbers = np.array([0.0, 0.01, 0.02, 1.0])
    ax = plots.dots_and_violins(axes(), values={"most on the left": numbers, "all equal": [0.5, 0.5, 0.5]})
    (violin,) = ax.collections
    outline = violin.get_paths()[0].vertices
    assert outline[np.argmin(outline[:, 1]), 0] < 0.1
    assert (outline[:, 0].min(), outline[:, 0].max()) == (0.0, 1.0)  # never beyond what was measured


def test_parts_of_a_variance_stand_side_by_side_and_add_up():
    ax = plots.variance_parts(axes(), parts={"self": (0.03, 0.0, 0.01), "metric": (0.0, 0.0, 0.02)}, label="accuracy")
    ends = [piece.get_x() + piece.get_width() for piece in ax.patches]  # first parts of both, then second, then third
    np.testing.assert_allclose(ends, [0.03, 0.0, 0.03, 0.0, 0.04, 0.02], atol=1e-15)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["self", "metric"]


@pytest.mark.parametrize("parts", [(0.1, 0.2), (0.1, -0.2, 0.0), (0.1, np.nan, 0.0)])
def test_parts_that_are_no_variances_are_refused(parts):
    with pytest.raises(DataError, match="parts"):
        plots.variance_parts(axes(), parts={"self": parts}, label="accuracy")


def test_collapses_are_counted_with_intervals_that_hold_what_they_say():
    flags = np.array([[0, 0, 0, 0, 0], [1, 0, 1, 0, 0], [1, 1, 1, 1, 1]])
    ax = plots.collapse_counts(axes(), blocks=[1, 2, 4], collapsed={"self": flags, "metric": 0 * flags})
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [0, 0.4, 1])
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), [0, 0, 0])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1", "2", "4"]
    low, high = share_interval(np.array([0, 2, 5]), 5)
    # Clopper and Pearson: at the ends a count as extreme has the probability 2.5 %, by the binomial law itself
    assert binom.sf(1, 5, low[1]) == pytest.approx(0.025, rel=1e-9)
    assert binom.cdf(2, 5, high[1]) == pytest.approx(0.025, rel=1e-9)
    assert (low[0], high[2]) == (0, 1)
    assert high[0] == pytest.approx(1 - 0.025 ** (1 / 5), rel=1e-12)


def test_a_spectrum_over_training_fades_with_the_number_of_the_eigenvalue():
    values = DRAWN.uniform(size=(6, 4))
    ax = plots.spectrum_over_training(axes(), steps=np.arange(6) * 100, eigenvalues=values)
    for line, column in zip(ax.lines[:4], values.T, strict=True):
        np.testing.assert_array_equal(line.get_data(), (np.arange(6) * 100, column))
    greens = [int(to_hex(line.get_color())[3:5], 16) for line in ax.lines[:4]]
    assert greens == sorted(greens)
    assert greens[0] < greens[-1]


def test_what_cannot_be_drawn_is_named():
    with pytest.raises(DataError, match=r"`losses` of 'self' must be positive"):
        plots.loss_bands(axes(), losses={"self": np.array([[1.0, 0.0]])})
    with pytest.raises(DataError, match=r"`losses` of 'self' must have 2 axes"):
        plots.loss_bands(axes(), losses={"self": np.ones(4)})
    with pytest.raises(DataError, match=r"`values` must hold at least one method"):
        plots.dots_and_violins(axes(), values={})
    with pytest.raises(DataError, match=r"`values` of 'self' must hold numbers of at least one seed, got none"):
        plots.dots_and_violins(axes(), values={"self": []})
    with pytest.raises(DataError, match=r"`collapsed` of 'self' must hold flags \(2, seeds\)"):
        plots.collapse_counts(axes(), blocks=[1, 2], collapsed={"self": np.array([[0.0, 0.5], [1, 1]])})
    with pytest.raises(DataError, match=r"`eigenvalues` must have shape \(T, k\) with T = 3"):
        plots.spectrum_over_training(axes(), steps=[0, 1, 2], eigenvalues=np.ones((2, 5)))
