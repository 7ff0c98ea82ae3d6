"""Orderings: an advantage over seeds is at least what is claimed, and how often one is found where there is none."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from judged_ladders import constant_ladder, make_claim
from scipy.stats import t as student

from attnflow.errors import ConfigError
from attnflow.judge.claims import Claim
from attnflow.judge.kinds.base import Prediction
from attnflow.judge.kinds.ordering import Ordering
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, Verdict, judge, verdict_from_row

NORMAL = np.random.default_rng(3).standard_normal(30)


def ordering(**changes: object) -> Claim:
    return make_claim(**({"kind": "ordering", "quantity": "metric_over_self"} | changes))


def judged(values: object, *, confidence: float = 0.95, deterministic: bool = False, **changes: object) -> Verdict:
    level = Level(size=1.0, values=values, deterministic=deterministic, solver_error=changes.pop("solver_error", None))
    return judge(ordering(**changes), [level], confidence=confidence)


# What is claimed


def test_the_interval_is_that_of_a_mean_over_seeds() -> None:
    values = np.linspace(0.1, 0.3, 10)  # of less than normal kurtosis: the degrees of freedom are those of Student
    verdict = judged(values)
    half_width = student.ppf(0.975, 9) * values.std(ddof=1) / np.sqrt(10)
    assert verdict.measured == pytest.approx(values.mean(), abs=1e-15)
    assert (verdict.low, verdict.high) == pytest.approx((values.mean() - half_width, values.mean() + half_width))
    assert verdict.reason == "mean of 10 seeds, 10 of them ahead"


@pytest.mark.parametrize(
    ("margin", "verdict"), [(None, "supported"), (0.9, "supported"), (0.8, "inconclusive"), (0.7, "refuted")]
)
def test_a_margin_of_one_less_m_claims_at_least_m(margin: float | None, verdict: str) -> None:
    values = 0.2 + 0.05 * NORMAL[:10]  # mean .2 within .04
    found = judged(values, margin=margin)
    assert found.verdict == verdict == verdict_from_row(found.row())


def test_the_least_that_is_claimed_is_enough() -> None:
    row = {"predicted": 1.0, "margin": 0.95, "measured": 0.1}
    assert verdict_from_row(row | {"low": 0.05, "high": 1.0}) == "supported"
    assert verdict_from_row(row | {"low": 0.0499, "high": 1.0}) == "inconclusive"
    assert verdict_from_row(row | {"low": 0.0, "high": 0.0499}) == "refuted"


def test_an_advantage_is_claimed_and_measured_in_words() -> None:
    verdict = judged(0.2 + 0.05 * NORMAL[:10], margin=0.95)
    assert verdict.predicted_in_words == "at least 0.05"
    assert verdict.measured_in_words == f"{verdict.measured:.3f} [{verdict.low:.3f}, {verdict.high:.3f}]"
    assert verdict.predicted_shortly == ">= 0.05"
    assert judged([0.1, 0.2]).predicted_in_words == "at least 0"
    exact = judged([0.1, 0.2], predicted=0.25, margin=0.125)
    assert (exact.predicted_in_words, exact.predicted_shortly) == ("0.25 ± 0.12", "0.25")


def test_what_lies_outside_of_all_advantages_is_invalid_and_says_so() -> None:
    verdict = judged([0.5, 1.5, -1.0000001, 1.0])
    assert (verdict.verdict, verdict.reason) == ("invalid", "2 of 4 values lie outside [-1, 1]: no advantages")
    assert judged([np.nan, 0.5]).reason == "1 of 2 values are NaN or Inf at bandwidth = 1"


def test_an_interval_ends_where_advantages_do() -> None:
    verdict = judged([1.0, 1.0, 0.2, 1.0], confidence=FAMILY_CONFIDENCE)
    assert (verdict.low, verdict.high) == (-1.0, 1.0)
    assert verdict.verdict == "inconclusive"


def test_seeds_that_are_all_equal_give_no_interval() -> None:
    verdict = judged([0.1] * 10)
    assert (verdict.verdict, verdict.measured, verdict.low, verdict.high) == ("inconclusive", 0.1, None, None)
    assert verdict.reason == "mean of 10 seeds, 10 of them ahead; all are equal, which gives no interval"


def test_one_level_is_read_and_more_than_one_seed() -> None:
    level = Level(size=1.0, values=[0.1, 0.2])
    assert judge(ordering(), [level, level]).reason == "2 levels: an ordering is read at one"
    assert judged([0.1]).reason == "one seed gives no interval"


def test_what_involves_no_randomness_is_known_to_its_solver_error() -> None:
    verdict = judged([0.1], deterministic=True, solver_error=0.01)
    assert (verdict.measured, verdict.low, verdict.high) == pytest.approx((0.1, 0.09, 0.11))
    assert (verdict.verdict, verdict.reason) == ("supported", "deterministic")


def test_a_solver_error_widens_the_interval_over_seeds() -> None:
    values = 0.2 + 0.05 * NORMAL[:10]
    plain, wider = judged(values), judged(values, solver_error=0.03)
    assert (wider.low, wider.high) == pytest.approx((plain.low - 0.03, plain.high + 0.03))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"predicted": 1.5}, r"^`predicted` of an ordering must be an advantage in \[-1, 1\], got 1\.5"),
        ({"margin": 2.0}, r"^`margin` of an ordering must leave something of \[-1, 1\] out, got 2 about 1"),
        ({"margin": 0.0}, "^`margin` must be positive"),
        ({"statistic": "rms"}, "^`statistic` must be one of 'mean', 'median', got 'rms'"),
        ({"kind": "exponent", "statistic": "median"}, "^`statistic` applies to constants and orderings only"),
    ],
)
def test_an_ordering_that_claims_nothing_or_the_impossible_is_refused(changes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ordering(**changes)


# Medians


@pytest.mark.parametrize(("seeds", "left_out"), [(15, 0), (18, 0), (19, 1), (30, 4)])
def test_the_median_lies_between_those_seeds_beyond_which_few_lie_by_chance(seeds: int, left_out: int) -> None:
    values = np.arange(1.0, seeds + 1) / 100
    verdict = judged(values[::-1], statistic="median", confidence=FAMILY_CONFIDENCE)
    assert (verdict.low, verdict.high) == (values[left_out], values[-1 - left_out])
    assert verdict.measured == pytest.approx(np.median(values))
    assert verdict.reason == f"median of {seeds} seeds, {seeds} of them ahead"
    beyond = sum(comb(seeds, k) for k in range(left_out + 1)) / 2**seeds  # so many tosses or fewer show heads
    assert beyond <= (1 - FAMILY_CONFIDENCE) / 2 < beyond + comb(seeds, left_out + 1) / 2**seeds


def test_too_few_seeds_give_no_interval_of_a_median() -> None:
    verdict = judged(np.arange(1, 15) / 100, statistic="median", confidence=FAMILY_CONFIDENCE)
    assert (verdict.verdict, verdict.measured, verdict.low) == ("inconclusive", np.median(np.arange(1, 15) / 100), None)
    assert verdict.reason == "median of 14 seeds, 14 of them ahead; too few for an interval"
    assert judged([0.1] * 15, statistic="median", confidence=FAMILY_CONFIDENCE).low == 0.1


# Controls


def test_a_control_is_refuted_where_nothing_is_ahead_by_as_much_as_is_claimed() -> None:
    control = ordering(margin=0.8).control(statement="s", quantity="shuffled", truth=0.0, truth_margin=0.1)
    assert control.margin == 0.8
    found = judge(control, [Level(size=1.0, values=0.03 * NORMAL)], confidence=0.95)
    assert (found.verdict, found.gap, found.truth_in_words) == ("refuted", "supported", "0 ± 0.1")
    ahead = judge(control, [Level(size=1.0, values=0.4 + 0.03 * NORMAL)], confidence=0.95)
    assert (ahead.verdict, ahead.gap) == ("supported", "refuted")


@pytest.mark.parametrize("margin", [None, 0.95, 0.9])
def test_a_control_must_claim_more_than_its_truth_may_be(margin: float | None) -> None:
    with pytest.raises(ConfigError, match="must be apart from `predicted`"):
        ordering(margin=margin).control(statement="s", quantity="shuffled", truth=0.0, truth_margin=0.1)


# Coverage


def accuracies(rng: np.random.Generator, shape: tuple[int, int], *, collapse: float, good: float = 0.97) -> np.ndarray:
    """Accuracies on 200 tokens that are about `good`, but 1/2 in some of the seeds."""
    collapsed = rng.random(shape) < collapse
    drawn = np.where(collapsed, 0.5 + 0.02 * rng.standard_normal(shape), good + 0.012 * rng.standard_normal(shape))
    return np.round(200 * drawn.clip(0, 1)) / 200


def found_ahead(values: np.ndarray, *, confidence: float = 0.95, statistic: str = "mean") -> tuple[float, float]:
    """In which shares of the runs, one in a row, one side or the other is found ahead, though none is."""
    read, claim = Ordering().read, Prediction(predicted=1.0, margin=1.0, statistic=statistic)
    found = [read(claim, [Level(size=1.0, values=row)], confidence=confidence) for row in values]
    ahead = [reading.low is not None and reading.low > 0 for reading in found]
    behind = [reading.high is not None and reading.high < 0 for reading in found]
    return float(np.mean(ahead)), float(np.mean(behind))


@pytest.mark.parametrize("seeds", [10, 30])
@pytest.mark.parametrize("collapse", [0.1, 0.4])
def test_where_both_sides_collapse_alike_none_is_found_ahead_more_often_than_declared(seeds, collapse) -> None:
    rng = np.random.default_rng(seeds)
    runs = (1500, seeds)
    ahead, behind = found_ahead(accuracies(rng, runs, collapse=collapse) - accuracies(rng, runs, collapse=collapse))
    assert ahead + behind < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)  # three standard errors of the count
    assert abs(ahead - behind) < 0.02


@pytest.mark.parametrize(("seeds", "unseen"), [(10, 0.35), (30, 0.042)])
def test_a_collapse_that_no_seed_shows_cannot_be_known(seeds: int, unseen: float) -> None:
    # It happens in a tenth of the seeds, 0.9^10 and 0.9^30 of the runs do not show it, and the means are equal.
    rng = np.random.default_rng(seeds)
    runs = (800, seeds)
    ours, theirs = accuracies(rng, runs, collapse=0.1), accuracies(rng, runs, collapse=0.0, good=0.97 - 0.047)
    ahead, _ = found_ahead(ours - theirs, confidence=1 - 0.05 / 40)
    assert abs(ahead - unseen) < 0.05  # three standard errors of .017


@pytest.mark.parametrize("seeds", [10, 30])
def test_of_medians_none_is_found_ahead_more_often_than_declared_whatever_the_law(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    skewed = rng.exponential(size=(1500, seeds)) ** 3 / 1000
    ahead, behind = found_ahead((skewed - np.log(2) ** 3 / 1000).clip(-1, 1), statistic="median")
    assert ahead + behind < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1500)
    # one collapse in ten, which leaves the means equal, moves no median: in the typical seed one side is ahead by .05
    ours, theirs = accuracies(rng, (300, seeds), collapse=0.1), accuracies(rng, (300, seeds), collapse=0.0, good=0.92)
    assert found_ahead(ours - theirs, statistic="median")[0] > 0.7


# Constants of accuracies


def test_accuracies_that_coincide_are_no_seed_used_twice() -> None:
    claim = make_claim(kind="constant", predicted=0.97, margin=0.05)
    rng = np.random.default_rng(0)
    for count in (200, 360, 49_999):
        values = np.round(count * (0.97 + 0.01 * rng.standard_normal(10)).clip(0, 1)) / count
        values[3] = values[4]
        assert judge(claim, [Level(size=1.0, values=values)]).verdict == "supported"
        differences = values - 0.5 * np.round(values)
        assert judge(claim, [Level(size=1.0, values=differences)]).reason == "value of one level, 10 seeds"
    continuous = 0.97 + 0.01 * rng.standard_normal(10)
    continuous[3] = continuous[4]
    found = judge(claim, [Level(size=1.0, values=continuous)])
    assert found.reason == "two seeds have identical values at every level: a seed was used twice"


def test_outcomes_of_which_there_are_fewer_than_pairs_of_seeds_coincide_by_chance() -> None:
    outcomes = np.random.default_rng(0).integers(0, 2, size=(8, 64)).astype(float)  # 256 columns, 2016 pairs of seeds
    assert len(np.unique(outcomes, axis=1).T) < 64
    levels = [Level(size=float(2**k), values=row) for k, row in enumerate(outcomes)]
    found = judge(make_claim(kind="constant", predicted=0.5, margin=0.4), levels)
    assert "used twice" not in str(found.reason)


def test_shares_that_coincide_at_every_one_of_several_levels_are_a_seed_used_twice() -> None:
    ladder = [Level(size=level.size, values=np.round(200 * level.values) / 200) for level in constant_ladder(1.0)]
    twice = [Level(size=level.size, values=level.values[[0, 1, 1, 2]]) for level in ladder]
    assert judge(make_claim(kind="constant", predicted=1.0), twice).reason.endswith("a seed was used twice")


def test_a_constant_that_every_seed_has_gives_no_interval() -> None:
    found = judge(make_claim(kind="constant", predicted=1.0), [Level(size=1.0, values=[1.0] * 10)])
    assert (found.verdict, found.measured, found.low) == ("inconclusive", 1.0, None)
    assert found.reason == "all 10 seeds give the same: no interval; an identity claims what every seed has"
    identity = make_claim(kind="identity", predicted=1.0, margin=0.05)
    assert judge(identity, [Level(size=1.0, values=[1.0] * 10)]).verdict == "supported"
