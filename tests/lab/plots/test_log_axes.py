"""A logarithmic axis is seen to be one, and a fit that misses its points says by how much."""

import numpy as np
import pytest
from toy_ladder import SIZES, axes, claim, errors, judged, named

from attnflow.judge.levels import Level
from attnflow.judge.verdicts import examine
from attnflow.lab import plots
from attnflow.lab.plots.log_axes import ENOUGH, log_axis


@pytest.mark.parametrize(("low", "high"), [(2e-3, 7e-3), (0.04, 0.16), (1e-4, 8e-3), (1e-9, 1.0), (0.99, 1.01)])
def test_a_logarithmic_axis_has_enough_labels_at_round_numbers_and_a_mark_at_every_digit(low, high):
    ax = axes()
    ax.set(yscale="log", ylim=(low, high))
    log_axis(ax.yaxis)
    ax.figure.draw_without_rendering()
    bottom, top = ax.get_ylim()
    labelled = [at for at in ax.yaxis.get_majorticklocs() if bottom <= at <= top]
    assert len(labelled) >= ENOUGH
    mantissas = np.array([at / 10 ** np.floor(np.log10(at) + 1e-9) for at in labelled])
    np.testing.assert_allclose(mantissas, np.round(mantissas, 1), rtol=1e-9)
    if top / bottom < 100:
        marked = {f"{at:.3e}" for at in [*labelled, *ax.yaxis.get_minorticklocs()]}
        decades = 10.0 ** np.arange(np.floor(np.log10(bottom)), np.ceil(np.log10(top)))
        everywhere = [d * p for p in decades for d in range(1, 10) if bottom < d * p < top]
        assert {f"{at:.3e}" for at in everywhere} <= marked


def test_sizes_are_labelled_at_round_numbers_within_the_ladder_and_the_limit_beyond_it():
    ax = axes()
    plots.ladder(ax, judged(claim(), errors()))
    labels = [text.get_text() for text in ax.get_xticklabels()]
    ticks = ax.get_xticks()
    assert labels[-1] == "0"
    assert labels[:-1] == ["0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2"]
    assert SIZES[-1] <= ticks[0]
    assert ticks[-2] <= SIZES[0]
    assert ticks[-1] < SIZES[-1]


def test_a_fit_that_misses_its_points_says_by_how_much_and_one_that_does_not_is_silent():
    def drawn(values, kind):
        a_claim = claim(kind=kind, margin=0.05)
        levels = [Level(size=h, values=np.array([v]), deterministic=True) for h, v in zip(SIZES, values, strict=True)]
        return named(
            (plots.ladder if kind == "exponent" else plots.limit)(axes(), examine(a_claim, levels)), "corrected"
        )

    assert "off" not in drawn(1 + SIZES, "constant").get_label()
    assert "off" not in drawn(SIZES * (1 + SIZES), "exponent").get_label()
    slow = drawn(1 + 1 / np.log(1 / SIZES + 2), "constant")  # a logarithm, which no power follows
    missed = float(slow.get_label().split("off a level by ")[1].replace("−", "-"))
    curve = np.interp(np.log(SIZES), np.log(slow.get_xdata()[::-1]), slow.get_ydata()[::-1])
    assert missed == pytest.approx(np.abs(curve - (1 + 1 / np.log(1 / SIZES + 2))).max(), rel=0.5)  # one digit is shown
    kinked = drawn(SIZES * np.where(np.arange(len(SIZES)) % 2, 1.6, 1.0), "exponent")
    assert kinked.get_label().endswith("%")


def test_one_level_alone_is_labelled_by_its_own_size():
    ax = axes()
    level = Level(size=1234.0, values=np.array([1.0]), deterministic=True)
    plots.limit(ax, examine(claim(kind="constant", margin=0.05), [level]))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["1\u2009234"]


def test_sizes_of_either_sign_have_a_plain_axis():
    ax = axes()
    levels = [Level(size=size, values=np.array([1e-9]), deterministic=True) for size in (-0.6, -0.3, 0.0, 0.3)]
    plots.distances(ax, examine(claim(kind="identity", predicted=0.0, margin=1e-6), levels))
    assert ax.get_xscale() == "linear"
    low, high = ax.get_xlim()
    assert low < -0.6
    assert high > 0.3
