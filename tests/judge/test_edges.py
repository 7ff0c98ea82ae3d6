"""The judge on its edges: exactly at a margin, at a share, at a count; and what a row tells, word by word."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_ladders import BANDWIDTHS, deterministic_ladder, make_claim, noise_claim, random_ladder

from attnflow.errors import AttnflowError, ConfigError
from attnflow.judge.claims import KINDS
from attnflow.judge.levels import Level
from attnflow.judge.rates import MINIMUM_LEVELS, fit_rate
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, MINIMUM_NEIGHBOURS, judge, verdict_from_row
from attnflow.judge.words import interval, number


def identity(*values: float, margin: float = 0.25, **changes: object):
    return judge(make_claim(kind="identity", predicted=1.0, margin=margin, **changes), [Level(size=1.0, values=values)])


# Edges


def test_the_numbers_that_rule_verdicts_are_these() -> None:
    assert abs(FAMILY_CONFIDENCE - (1 - 0.05 / 420)) < 1e-15
    assert (MINIMUM_LEVELS, MINIMUM_NEIGHBOURS) == (4, 2.0)
    assert {name for name, kind in KINDS.items() if kind.is_ladder} == {"exponent", "constant"}
    assert [name for name, kind in KINDS.items() if kind.takes_logarithms] == ["exponent"]


def test_an_interval_that_touches_the_edge_of_a_margin_is_inside_it() -> None:
    row = {"predicted": 1.0, "margin": 0.25, "measured": 1.0}
    assert verdict_from_row(row | {"low": 0.75, "high": 1.25}) == "supported"
    assert verdict_from_row(row | {"low": 1.25, "high": 2.0}) == "inconclusive"
    assert verdict_from_row(row | {"low": 0.5, "high": 0.75}) == "inconclusive"
    assert verdict_from_row(row | {"low": 1.2500001, "high": 2.0}) == "refuted"


@pytest.mark.parametrize("ends", [{"low": None, "high": 1.1}, {"low": 0.9, "high": None}])
def test_an_interval_with_one_end_is_none(ends: dict) -> None:
    assert verdict_from_row({"predicted": 1.0, "margin": 0.5, "measured": 1.0} | ends) == "inconclusive"
    assert interval(1.01, **ends, margin=0.05) == "1.01"


def test_a_truth_as_far_as_both_margins_is_no_gap() -> None:
    claim = make_claim(kind="identity", predicted=1.0, margin=0.25)
    with pytest.raises(ConfigError, match="apart from `predicted`"):
        claim.control(statement="s", quantity="other", truth=1.5, truth_margin=0.25)
    assert claim.control(statement="s", quantity="other", truth=1.5625, truth_margin=0.25).truth == 1.5625


def test_the_gap_of_a_control_is_judged_by_its_own_margin() -> None:
    claim = make_claim(kind="identity", predicted=0.0, margin=0.1)
    control = claim.control(statement="s", quantity="other", truth=0.5, truth_margin=0.2)
    assert judge(control, [Level(size=1.0, values=[0.65])]).gap == "supported"
    assert judge(control, [Level(size=1.0, values=[0.75])]).gap == "refuted"


def test_a_solver_error_of_exactly_a_tenth_is_too_much() -> None:
    levels = [Level(size=h, values=[h], deterministic=True, solver_error=0.1) for h in 2.0 ** np.arange(7, -1, -1)]
    verdict = judge(make_claim(), levels)
    assert verdict.verdict == "invalid"
    assert verdict.reason == "solver error 0.1 is not under 10 % of the smallest measured error 1"


def test_an_identity_may_have_no_tolerance_at_all() -> None:
    assert identity(1.0, 1.0, margin=0.0).verdict == "supported"
    assert identity(1.0, np.nextafter(1.0, 2.0), margin=0.0).verdict == "refuted"


@pytest.mark.parametrize("side", [-1, 1])
def test_a_level_is_dropped_where_the_root_mean_square_of_its_seeds_is_under_the_floor(side: int) -> None:
    ladder = random_ladder()
    rms = np.array([np.sqrt(np.mean(level.values**2)) for level in ladder])
    floor = rms * (1 - 1e-9)
    floor[[3, 6]] = rms[[3, 6]] * (1 + side * 1e-9)
    verdict = judge(noise_claim(floor=floor.tolist()), ladder)
    assert verdict.dropped == (2 if side > 0 else 0)


def test_every_life_may_be_measured() -> None:
    lives = ("empirical", "population", "limit", "expansion", "tokens", "mean_field", "closure")
    assert make_claim(measures=lives).measures == lives


# Words


@pytest.mark.parametrize(
    ("changes", "sort"),
    [
        ({}, ""),
        ({"derivation": True}, "derivation"),
        ({"control": True}, "control"),
        ({"control": True, "gap": "supported"}, "control"),
        ({"control": True, "gap": "refuted"}, "control, gap missed"),
        ({"control": True, "gap": "inconclusive", "derivation": True}, "control, derivation, gap inconclusive"),
    ],
)
def test_a_row_says_of_what_sort_it_is(changes: dict, sort: str) -> None:
    assert replace(judge(make_claim(), deterministic_ladder()), **changes).sort == sort


def test_what_a_control_is_in_truth_is_told_with_its_own_margin() -> None:
    control = make_claim().control(statement="s", quantity="other", truth=0.5, truth_margin=0.125)
    verdict = judge(control, deterministic_ladder())
    assert (verdict.predicted_in_words, verdict.truth_in_words) == ("1 ± 0.05", "0.5 ± 0.12")
    assert replace(verdict, truth=None).truth_in_words == replace(verdict, truth_margin=None).truth_in_words == ""


def test_a_row_is_named_as_its_claim_is() -> None:
    verdict = judge(make_claim(id="bias/torus", source="Si", control_of="bias"), deterministic_ladder())
    assert (verdict.id, verdict.source, verdict.kind, verdict.control_of) == ("bias/torus", "Si", "exponent", "bias")


def test_a_prediction_and_a_truth_are_kept_as_numbers() -> None:
    flag = make_claim(kind="flag", predicted=True)
    control = flag.control(statement="s", quantity="other", truth=False)
    assert [type(x) for x in (flag.predicted, control.predicted, control.truth)] == [float] * 3
    assert type(make_claim(predicted=np.float32(0.5)).predicted) is float


def test_what_is_wrong_with_measurements_is_said_with_the_place() -> None:
    ladder = deterministic_ladder()
    ladder[5] = Level(size=0.0125, values=[np.nan], deterministic=True)
    assert judge(make_claim(), ladder).reason == "1 of 1 values are NaN or Inf at bandwidth = 0.0125"
    many = [Level(size=0.5, values=[1.0, np.inf, 2.0, np.nan, 3.0])]
    reason = "2 of 5 values are NaN or Inf at bandwidth = 0.5"
    assert judge(make_claim(kind="identity", margin=1.0), many).reason == reason
    assert judge(make_claim(), []).reason == "nothing was measured"
    mixed = random_ladder(seeds=2)
    mixed[2] = Level(size=mixed[2].size, values=mixed[2].values[[0, 0]], deterministic=True)
    assert judge(noise_claim(), mixed).reason == "some levels are deterministic and some are not"
    alone = [Level(size=level.size, values=level.values[:1]) for level in random_ladder()]
    assert judge(noise_claim(), alone).reason == "one seed gives no interval"
    twice = [Level(size=level.size, values=level.values[[0, 1, 1]]) for level in random_ladder()]
    reason = "two seeds have identical values at every level: a seed was used twice"
    assert judge(noise_claim(), twice).reason == reason


def test_an_error_of_zero_has_no_logarithm_and_says_so() -> None:
    ladder = random_ladder()
    ladder[7] = Level(size=ladder[7].size, values=np.append(ladder[7].values[1:], 0.0))
    assert judge(noise_claim(), ladder).reason == "an error is zero or negative: no logarithm"


def test_too_few_levels_are_told_as_such() -> None:
    assert judge(make_claim(), deterministic_ladder(levels=3)).reason == "3 usable levels, an exponent needs 4"
    floor = [0.0] * 5 + [1.0] * 3
    reason = "3 levels are under the floor, at most 2 may be"
    assert judge(make_claim(floor=floor), deterministic_ladder()).reason == reason


def test_a_slope_whose_correction_is_still_large_says_so_and_no_other_does() -> None:
    assert judge(make_claim(), deterministic_ladder()).reason == "slope of 8 levels, deterministic"
    errors = BANDWIDTHS * np.exp(6 * BANDWIDTHS)  # 6 times .025, at the fifth of eight levels, is above a tenth
    reason = "slope of 8 levels, deterministic; the correction is still above 10 % on the finer half"
    assert judge(make_claim(), deterministic_ladder(errors)).reason == reason


def test_an_identity_counts_its_values() -> None:
    assert identity(1.0).reason == "the worst of 1 value"
    assert identity(1.0, 1.1).reason == "the worst of 2 values"
    assert identity(1.0, 1.5, 2.0).reason == "2 of 3 values off"


def test_a_gap_that_is_missed_is_told_after_how_the_number_was_measured() -> None:
    control = make_claim(kind="identity", predicted=0.0, margin=0.1).control(
        statement="s", quantity="other", truth=0.5, truth_margin=0.2
    )
    reason = judge(control, [Level(size=1.0, values=[3.0])]).reason
    assert reason == "1 of 1 value off; in truth it should be 0.5 within 0.2: another gap"


def test_a_measured_exponent_is_told_with_its_interval_to_a_hundredth_of_its_margin() -> None:
    errors = BANDWIDTHS * (1 + 0.02 * np.cos(3 * np.arange(8)))
    verdict = judge(make_claim(), deterministic_ladder(errors))
    ends = f"[{verdict.low:.4f}, {verdict.high:.4f}]"
    assert verdict.measured_in_words == f"{verdict.measured:.4f} {ends}".replace("-", "−")
    assert verdict.low < verdict.measured < verdict.high


@pytest.mark.parametrize(
    ("value", "margin", "text"),
    [(123456.7, 300.0, "123457"), (0.12345678, 3e-4, "0.123457"), (0.12345678, 3e-5, "0.1235"),
     (123456.7, 3000.0, "1.235·10⁵"), (123456.7, None, "1.235·10⁵"), (5.0, 0.0, "5")],
)  # fmt: skip
def test_digits_that_a_margin_asks_for_are_spelled_up_to_six_decimals(value, margin, text) -> None:
    assert number(value, margin=margin) == text


def test_a_narrow_interval_is_given_by_one_digit_of_its_half_width() -> None:
    assert interval(1.0, low=1 - 2.34e-9, high=1 + 2.34e-9, margin=0.05) == "1.0000 ± 2·10⁻⁹"


# Names in error messages


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "exponnent"}, "^`kind` must be one of"),
        ({"measures": ["emprical"]}, "^`measures` must be one of"),
        ({"statistic": "median", "kind": "constant"}, "^`statistic` must be one of"),
        ({"correction_power": -1.0}, "^`correction_power` must be"),
        ({"floor": float("nan")}, "^`floor` holds"),
        ({"predicted": "one"}, "^`predicted` must be"),
        ({"margin": "wide"}, "^`margin` must be"),
        ({"kind": "identity", "margin": "wide"}, "^`margin` must be"),
        ({"kind": "identity", "margin": None}, "^`margin` of an identity must be stated"),
    ],
)
def test_a_claim_that_is_refused_is_told_which_field(changes: dict, message: str) -> None:
    with pytest.raises(AttnflowError, match=message):
        make_claim(**changes)


def test_a_field_that_no_control_has_is_told_as_a_change() -> None:
    with pytest.raises(ConfigError, match=r"^`changes` must be one of"):
        make_claim().control(statement="s", quantty="other")


def test_a_limit_that_is_fitted_remembers_the_size_of_its_correction_in_rising_sizes() -> None:
    # h is one over the size: with any other multiple the curve is the same, and the correction is not.
    counts = np.array([10.0, 20.0, 40.0, 80.0, 160.0])
    fit = fit_rate(counts, counts**-0.5 * np.exp(3.0 / counts**2), correction_power=2.0)
    assert fit.correction == pytest.approx(3.0, rel=1e-9)
    assert fit.constant == pytest.approx(0.0, abs=1e-10)
    assert fit.curve(25.0) == pytest.approx(0.2 * np.exp(3.0 / 625), rel=1e-10)
