"""What an undecided row lacks, and that it is decided once it has it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from judged_ladders import BANDWIDTHS, constant_ladder, deterministic_ladder, make_claim, noise_claim, random_ladder

from attnflow.judge.claims import KINDS
from attnflow.judge.intervals import median_interval
from attnflow.judge.kinds.base import Reading
from attnflow.judge.levels import Level
from attnflow.judge.missing import narrowing
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, judge, verdict_from_row

ROUGH = BANDWIDTHS * np.exp(0.1 * np.sin(40 * BANDWIDTHS))


@pytest.mark.parametrize("measured", [1.0, 1.03, 0.96, 1.08, 0.9])
def test_an_interval_as_narrow_as_is_needed_decides_and_one_a_little_wider_does_not(measured: float) -> None:
    numbers = {"predicted": 1.0, "margin": 0.05}
    found = narrowing(measured, low=measured - 0.2, high=measured + 0.2, **numbers)
    assert found is not None
    now, needed = found
    assert now == pytest.approx(0.2)

    def verdict(half: float) -> str:
        return verdict_from_row(numbers | {"measured": measured, "low": measured - half, "high": measured + half})

    assert verdict(needed * 1.001) == "inconclusive"
    assert verdict(needed * 0.999) == ("refuted" if abs(measured - 1.0) > 0.05 else "supported")


def test_a_decided_row_lacks_nothing() -> None:
    assert narrowing(1.0, low=0.99, high=1.01, predicted=1.0, margin=0.05) is None
    assert narrowing(2.0, low=1.9, high=2.1, predicted=1.0, margin=0.05) is None
    assert judge(make_claim(), deterministic_ladder()).missing is None
    assert judge(make_claim(predicted=2.0), deterministic_ladder()).missing is None
    assert judge(make_claim(), []).missing is None


def test_so_many_times_the_seeds_decide_an_exponent() -> None:
    few = judge(noise_claim(), random_ladder(seeds=24))
    assert few.verdict == "inconclusive"
    assert few.missing is not None
    assert few.missing.endswith("times the seeds")
    # Twice as many as that: where the estimate lies is itself known to an interval only.
    more = round(24 * 2 * float(few.missing.split()[1]))
    assert judge(noise_claim(), random_ladder(seeds=more)).verdict == "supported"


def test_seeds_go_by_the_square_of_the_interval_and_do_nothing_about_solver_errors() -> None:
    levels = [Level(size=1.0, values=np.arange(9.0))]
    reading = Reading("", measured=1.0, low=0.9, high=1.1)

    def missing(reading: Reading) -> str | None:
        return KINDS["constant"].say_missing(reading, levels, size="N", predicted=1.0, margin=0.05)

    assert missing(reading) == "about 4 times the seeds"
    assert missing(replace(reading, solver_error=0.02)) == "about 7.2 times the seeds"  # (.08 / .03)^2
    assert missing(replace(reading, solver_error=0.075)) == "solver errors smaller by about 1.5 times"
    assert missing(replace(reading, measured=1.0499, low=0.95, high=1.15)) == "over 100 times the seeds"


def test_on_the_edge_of_the_margin_nothing_is_near_enough() -> None:
    reading = Reading("", measured=1.25, low=1.0, high=1.5)
    levels = [Level(size=1.0, values=np.arange(9.0))]
    missing = KINDS["constant"].say_missing(reading, levels, size="N", predicted=1.0, margin=0.25)
    assert missing == "over 100 times the seeds"


def test_a_deterministic_ladder_needs_finer_levels_or_another_correction() -> None:
    verdict = judge(make_claim(margin=0.2), deterministic_ladder(ROUGH))
    assert verdict.verdict == "inconclusive"
    assert verdict.missing is not None
    assert verdict.missing.endswith(" times narrower: smaller bandwidth, or another correction")
    rising = [replace(level, size=1 / level.size) for level in deterministic_ladder(ROUGH)]
    missing = judge(make_claim(margin=0.2, predicted=-1.0, size="points"), rising).missing
    assert missing == verdict.missing.replace("smaller bandwidth", "more points")


def test_too_few_levels_are_counted_and_those_under_the_floor_are_told() -> None:
    assert judge(make_claim(), deterministic_ladder(levels=4)).missing == "2 more levels"
    missing = judge(make_claim(floor=0.02), deterministic_ladder(levels=6)).missing
    assert missing == "1 more level: only 5 are resolved, 1 under the floor"


def test_what_seeds_that_are_all_equal_lack_is_told() -> None:
    claim = make_claim(kind="constant", size="N", predicted=1.0)
    assert judge(claim, [Level(size=1.0, values=[1.0, 1.0])]).missing == "a claim of kind identity"
    ordering = make_claim(kind="ordering", size="N", predicted=1.0)
    missing = judge(ordering, [Level(size=1.0, values=[0.5, 0.5])]).missing
    assert missing == "seeds that differ, or a claim of the median"


def test_a_median_of_too_few_seeds_says_how_many_are_enough() -> None:
    claim = make_claim(kind="ordering", size="N", predicted=1.0, statistic="median")
    missing = judge(claim, [Level(size=1.0, values=np.linspace(0.1, 0.2, 9))]).missing
    assert missing == "15 seeds in all"
    assert median_interval(np.arange(15.0), confidence=FAMILY_CONFIDENCE) is not None
    assert median_interval(np.arange(14.0), confidence=FAMILY_CONFIDENCE) is None


def test_solver_errors_that_leave_an_identity_or_a_flag_open_are_told() -> None:
    level = Level(size=1.0, values=[1.0], deterministic=True, solver_error=0.5)
    claim = make_claim(kind="identity", predicted=1.0, margin=0.25)
    assert judge(claim, [level]).missing == "solver errors smaller by about 2 times"
    assert judge(make_claim(kind="flag", predicted=True), [level]).missing == "solver errors under a half"
    assert judge(make_claim(kind="flag", predicted=True), [replace(level, solver_error=0.1)]).missing is None


def test_the_gap_of_a_control_lacks_what_its_own_margin_asks_for() -> None:
    claim = make_claim(kind="constant", size="N", predicted=0.0, margin=0.1)
    control = claim.control(statement="s", quantity="other", truth=1.0, truth_margin=0.001)
    verdict = judge(control, constant_ladder(1.0))
    assert (verdict.verdict, verdict.gap) == ("refuted", "inconclusive")
    assert verdict.missing is not None
    assert verdict.missing.startswith("for its gap ")


def test_a_supported_row_whose_interval_excludes_the_exact_value_says_so() -> None:
    ladder = deterministic_ladder(BANDWIDTHS**1.02)
    verdict = judge(make_claim(), ladder)
    assert verdict.verdict == "supported"
    assert verdict.remark == "supported within 0.05; the interval excludes 1 exactly"
    assert judge(make_claim(predicted=1.02), ladder).remark is None  # not by round-off
    assert judge(make_claim(predicted=1.1), ladder).remark is None  # refuted
    assert judge(make_claim(), deterministic_ladder()).remark is None


def test_an_identity_off_by_less_than_its_tolerance_makes_no_remark() -> None:
    claim = make_claim(kind="identity", predicted=1.0, margin=1e-3)
    assert judge(claim, [Level(size=1.0, values=[1 + 1e-6])]).remark is None
