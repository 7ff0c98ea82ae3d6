"""Verdicts: which measurements support, refute, leave open or do not qualify, and that rows speak for themselves."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_ladders import constant_ladder, deterministic_ladder, make_claim, noise_claim, random_ladder

from attnflow.errors import ConfigError
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import Verdict, examine, exit_code, judge, verdict_from_row

# Exponents


def test_a_true_exponent_is_supported() -> None:
    assert judge(make_claim(), deterministic_ladder()).verdict == "supported"
    # 100 seeds of a norm over 20 modes: the half-width at .999 is .026, its centre is off by .007 (one sigma), the
    # margin .05: more than three sigma.
    verdicts = [judge(noise_claim(), random_ladder(seed)).verdict for seed in range(20)]
    assert verdicts.count("supported") >= 19
    assert "refuted" not in verdicts


@pytest.mark.parametrize("sign", [-1, 1])
def test_an_exponent_off_by_a_tenth_is_refuted(sign: int) -> None:
    assert judge(make_claim(predicted=1.0 + 0.1 * sign), deterministic_ladder()).verdict == "refuted"
    verdicts = [judge(noise_claim(-0.5 + 0.1 * sign), random_ladder(seed)).verdict for seed in range(20)]
    assert verdicts.count("refuted") >= 19  # as above: disjoint by three sigma
    assert "supported" not in verdicts


def test_too_few_seeds_are_inconclusive_and_not_a_verdict() -> None:
    verdict = judge(noise_claim(), random_ladder(1, seeds=6, modes=1))
    assert verdict.verdict == "inconclusive"
    assert verdict.high - verdict.low > 0.1


def test_a_short_ladder_is_invalid() -> None:
    for levels in (0, 1, 3):
        assert judge(make_claim(), deterministic_ladder(levels=levels)).verdict == "invalid"
        assert judge(noise_claim(), random_ladder(levels=levels)).verdict == "invalid"


@pytest.mark.parametrize("predicted", [-0.5, 2.0])
@pytest.mark.parametrize("levels", [4, 5, 7])
def test_a_random_ladder_of_four_to_seven_levels_is_at_best_inconclusive(levels: int, predicted: float) -> None:
    verdict = judge(noise_claim(predicted), random_ladder(levels=levels))
    assert verdict.verdict == "inconclusive"
    assert verdict.low is None
    assert verdict.measured is not None
    assert "of the 8" in verdict.reason


@pytest.mark.parametrize("predicted", [1.0, 2.0])
def test_a_deterministic_ladder_needs_six_levels(predicted: float) -> None:
    claim = make_claim(predicted=predicted)
    for levels in (4, 5):
        assert judge(claim, deterministic_ladder(levels=levels)).verdict == "inconclusive"
    assert judge(claim, deterministic_ladder(levels=6)).verdict == ("supported" if predicted == 1.0 else "refuted")


def test_levels_under_the_floor_are_counted_and_more_than_two_are_invalid() -> None:
    for dropped, expected in ((0, "supported"), (2, "supported"), (3, "invalid")):
        floor = [0.0] * (8 - dropped) + [1.0] * dropped
        verdict = judge(make_claim(floor=floor), deterministic_ladder())
        assert (verdict.verdict, verdict.dropped, verdict.levels) == (expected, dropped, 8)


def test_dropped_levels_do_not_count_as_usable() -> None:
    verdict = judge(noise_claim(floor=[0.0] * 7 + [10.0]), random_ladder())
    assert (verdict.verdict, verdict.dropped) == ("inconclusive", 1)


def test_floors_of_a_full_ladder_serve_its_quick_prefix() -> None:
    claim = make_claim(floor=[0.0] * 6 + [1.0, 1.0])
    verdict = judge(claim, deterministic_ladder(levels=6))
    assert (verdict.verdict, verdict.dropped) == ("supported", 0)
    assert judge(make_claim(floor=[0.0] * 5), deterministic_ladder()).verdict == "invalid"


# What does not qualify


def test_a_failed_level_is_invalid_with_its_reason() -> None:
    ladder = deterministic_ladder()
    ladder[3] = Level(size=0.05, values=np.empty(0), failed="out of memory")
    verdict = judge(make_claim(), ladder)
    assert verdict.verdict == "invalid"
    assert "out of memory" in verdict.reason


@pytest.mark.parametrize("kind", ["exponent", "constant", "identity", "flag"])
def test_nan_is_invalid_for_every_kind(kind: str) -> None:
    ladder = deterministic_ladder()
    ladder[5] = replace(ladder[5], values=np.array([np.nan]))
    verdict = judge(make_claim(kind=kind, margin={"identity": 1.0}.get(kind)), ladder)
    assert verdict.verdict == "invalid"
    assert "NaN" in verdict.reason


def test_fewer_than_two_effective_neighbours_are_invalid_whatever_the_error() -> None:
    for ess, expected in ((1.9, "invalid"), (2.0, "supported"), (float("nan"), "invalid")):
        assert judge(make_claim(), deterministic_ladder(ess=ess)).verdict == expected


def test_a_solver_error_of_a_tenth_of_the_smallest_error_is_invalid() -> None:
    smallest = 0.4 * 2.0**-7
    for share, expected in ((0.05, "supported"), (0.11, "invalid"), (float("inf"), "invalid")):
        assert judge(make_claim(), deterministic_ladder(solver_error=share * smallest)).verdict == expected


def test_the_solver_error_is_compared_with_the_levels_that_are_used() -> None:
    claim = make_claim(floor=[0.0] * 6 + [1.0, 1.0])
    # The smallest used error is .4 / 2^5 = .0125; .001 is under a tenth of it but not of the two that are dropped.
    assert judge(claim, deterministic_ladder(solver_error=0.001)).verdict == "supported"
    assert judge(make_claim(), deterministic_ladder(solver_error=0.001)).verdict == "invalid"
    ladder = deterministic_ladder()
    ladder[7] = replace(ladder[7], solver_error=1.0)
    assert judge(claim, ladder).verdict == "supported"


def test_a_reused_seed_is_invalid() -> None:
    ladder = [replace(level, values=level.values[[0, 1, 2, 3, 1, 5, 6, 7]]) for level in random_ladder()]
    verdict = judge(noise_claim(), ladder)
    assert verdict.verdict == "invalid"
    assert "used twice" in verdict.reason
    # Equal at one level only is a coincidence, not a seed.
    ladder = random_ladder()
    ladder[0] = replace(ladder[0], values=ladder[0].values[[0, 0, *range(2, 100)]])
    assert judge(noise_claim(), ladder).verdict != "invalid"


@pytest.mark.parametrize("defect", ["one seed", "ragged", "mixed", "not deterministic", "zero", "table"])
def test_measurements_that_do_not_fit_together_are_invalid(defect: str) -> None:
    ladder = random_ladder()
    if defect == "one seed":
        ladder = [replace(level, values=level.values[:1]) for level in ladder]
    elif defect == "ragged":
        ladder[2] = replace(ladder[2], values=ladder[2].values[:50])
    elif defect == "mixed":
        ladder[2] = replace(ladder[2], values=ladder[2].values[:1], deterministic=True)
    elif defect == "not deterministic":
        ladder = [replace(level, deterministic=True) for level in ladder]
    elif defect == "zero":
        ladder[7] = replace(ladder[7], values=np.zeros(100))
    else:
        ladder[0] = replace(ladder[0], values=ladder[0].values[:, None])
    assert judge(noise_claim(), ladder).verdict == "invalid"


def test_a_ladder_with_duplicate_sizes_is_refused() -> None:
    ladder = deterministic_ladder()
    with pytest.raises(ConfigError, match="monotone"):
        judge(make_claim(), [*ladder[:4], *ladder[3:]])


# Constants, identities, flags


def test_a_constant_is_extrapolated_to_the_limit() -> None:
    claim = make_claim(kind="constant", size="N", predicted=2.5)
    assert claim.margin == pytest.approx(0.125)
    verdict = judge(claim, constant_ladder(2.5))
    assert verdict.verdict == "supported"
    # The coarsest value is off by .47: without extrapolation this would not be within the margin.
    assert verdict.measured == pytest.approx(2.5, abs=0.02)  # .02 / sqrt(40) = .003 is one standard error
    assert judge(claim, constant_ladder(2.9)).verdict == "refuted"


def test_a_constant_of_one_level_is_a_mean_over_seeds() -> None:
    claim = make_claim(kind="constant", predicted=2.5)
    values = 2.5 + 0.05 * np.random.default_rng(3).standard_normal(30)
    verdict = judge(claim, [Level(size=1.0, values=values)])
    assert verdict.verdict == "supported"
    assert verdict.measured == pytest.approx(values.mean(), rel=1e-14)
    rms = judge(replace(claim, statistic="rms"), [Level(size=1.0, values=values)])
    assert rms.measured == pytest.approx(np.sqrt(np.mean(values**2)), rel=1e-14)
    assert judge(claim, [Level(size=1.0, values=values[:1])]).verdict == "invalid"


@pytest.mark.parametrize(("solver_error", "expected"), [(0.0, "supported"), (0.12, "inconclusive")])
def test_a_deterministic_constant_is_known_up_to_the_solver_error(solver_error: float, expected: str) -> None:
    level = Level(size=1.0, values=np.array([2.52]), deterministic=True, solver_error=solver_error)
    verdict = judge(make_claim(kind="constant", predicted=2.5), [level])
    assert verdict.verdict == expected
    assert (verdict.low, verdict.high) == (2.52 - solver_error, 2.52 + solver_error)


def test_a_constant_of_two_or_three_levels_is_invalid() -> None:
    for levels in (2, 3):
        claim = make_claim(kind="constant", size="N", predicted=2.5)
        assert judge(claim, constant_ladder(2.5, levels=levels)).verdict == "invalid"


def test_an_identity_is_judged_by_its_worst_value() -> None:
    claim = make_claim(kind="identity", predicted=3.0, margin=1e-9)
    values = np.array([3.0, 3.0 + 4e-10, 3.0 - 8e-10])
    assert judge(claim, [Level(size=1.0, values=values)]).measured == values[2]
    assert judge(claim, [Level(size=1.0, values=values)]).verdict == "supported"
    verdict = judge(claim, [Level(size=2.0, values=values), Level(size=1.0, values=values + 3e-9)])
    assert verdict.verdict == "refuted"
    assert verdict.low == verdict.high == verdict.measured == values[1] + 3e-9


def test_a_flag_is_supported_when_every_value_is_true() -> None:
    claim = make_claim(kind="flag", predicted=True)
    assert (claim.predicted, claim.margin) == (1.0, 0.0)
    assert judge(claim, [Level(size=1.0, values=[True, True])]).verdict == "supported"
    verdict = judge(claim, [Level(size=1.0, values=[True, True]), Level(size=0.5, values=[True, False])])
    assert verdict.verdict == "refuted"
    assert "1 of 4" in verdict.reason


# Rows and the exit code


def test_a_row_has_the_agreed_fields_and_is_json() -> None:
    verdict = judge(make_claim(control_of="RZ3/circle"), deterministic_ladder())
    row = json.loads(json.dumps(verdict.row(), allow_nan=False))
    assert list(row) == [
        "id", "source", "kind", "control", "control_of", "verdict", "predicted", "measured", "low", "high", "margin",
        "levels", "dropped", "seconds", "reason", "measures", "derivation", "truth", "truth_margin", "gap",
        "missing", "remark",
    ]  # fmt: skip
    assert (row["control"], row["control_of"], row["seconds"], row["levels"]) == (True, "RZ3/circle", 4.0, 8)
    assert [field.name for field in fields(Verdict)] == list(row)


def test_an_invalid_row_has_null_numbers() -> None:
    row = json.loads(json.dumps(judge(make_claim(), []).row(), allow_nan=False))
    assert row["verdict"] == "invalid"
    assert row["measured"] is row["low"] is row["high"] is None


@settings(max_examples=60, deadline=None)
@given(
    rate=st.sampled_from([0.9, 0.96, 1.0, 1.04, 1.1]),
    noise=st.sampled_from([0.0, 0.01, 0.1, 1.0]),
    seeds=st.integers(1, 12),
    levels=st.integers(1, 9),
    kind=st.sampled_from(["exponent", "constant", "identity", "flag"]),
    floor=st.sampled_from([None, 0.005, 0.02]),
    seed=st.integers(0, 2**32 - 1),
)
def test_every_verdict_follows_from_its_own_row(
    rate: float, noise: float, seeds: int, levels: int, kind: str, floor: float | None, seed: int
) -> None:
    generator = np.random.default_rng(seed)
    sizes = 0.4 * 2.0 ** -np.arange(levels)
    scale = sizes**rate if kind == "exponent" else np.full(levels, rate)
    values = scale[:, None] * np.exp(noise * generator.standard_normal((levels, seeds)))
    ladder = [Level(size=h, values=v, deterministic=seeds == 1) for h, v in zip(sizes, values, strict=True)]
    claim = make_claim(
        kind=kind, margin=0.05 if kind == "identity" else None, floor=floor if kind == "exponent" else None
    )
    row = json.loads(json.dumps(judge(claim, ladder).row(), allow_nan=False))
    assert row["verdict"] == verdict_from_row(row)
    if row["low"] is not None:  # told a second time, without the code under test
        inside = abs(row["low"] - 1.0) <= row["margin"] and abs(row["high"] - 1.0) <= row["margin"]
        disjoint = row["low"] > 1.0 + row["margin"] or row["high"] < 1.0 - row["margin"]
        assert row["verdict"] == ("supported" if inside else "refuted" if disjoint else "inconclusive")
        assert row["low"] <= row["measured"] <= row["high"]


def verdict(outcome: str, *, control: bool = False) -> Verdict:
    claim = make_claim(id="x", control_of="y" if control else None)
    return replace(judge(claim, deterministic_ladder()), verdict=outcome)


@pytest.mark.parametrize(
    ("outcome", "as_claim", "as_control"),
    [("supported", 0, 1), ("inconclusive", 0, 1), ("refuted", 1, 0), ("invalid", 1, 1)],
)
def test_claims_must_stand_and_controls_must_fall(outcome: str, as_claim: int, as_control: int) -> None:
    good = [verdict("supported"), verdict("refuted", control=True)]
    assert exit_code(good) == 0
    assert exit_code([*good, verdict(outcome)]) == as_claim
    assert exit_code([*good, verdict(outcome, control=True)]) == as_control


# The gap of a control


def controlled(measured: float, *, error: float = 0.0, truth: float | None = 0.5, **changes: object) -> Verdict:
    claim = make_claim(kind="identity", predicted=0.0, margin=0.1, **changes)
    margin = None if truth is None else 0.2
    control = claim.control(statement="s", quantity="other", truth=truth, truth_margin=margin)
    return judge(control, [Level(size=1.0, values=[measured], solver_error=error)])


@pytest.mark.parametrize(
    ("measured", "error", "outcome", "gap", "code"),
    [
        (0.6, 0.0, "refuted", "supported", 0),
        (0.68, 0.1, "refuted", "inconclusive", 0),
        (0.9, 0.0, "refuted", "refuted", 1),  # false, but not for the reason that was given
        (-0.5, 0.0, "refuted", "refuted", 1),
        (0.05, 0.0, "supported", "refuted", 1),
    ],
)
def test_a_control_must_be_refuted_by_the_gap_that_was_predicted(measured, error, outcome, gap, code) -> None:
    verdict = controlled(measured, error=error)
    assert (verdict.verdict, verdict.gap, exit_code([verdict])) == (outcome, gap, code)
    assert ("in truth it should be 0.5 within 0.2" in verdict.reason) == (gap == "refuted")
    row = json.loads(json.dumps(verdict.row(), allow_nan=False))
    assert verdict_from_row(row) == outcome
    assert verdict_from_row(row | {"predicted": row["truth"], "margin": row["truth_margin"]}) == gap


def test_a_control_without_a_truth_has_no_gap_and_one_without_a_number_neither() -> None:
    assert (controlled(7.0, truth=None).gap, exit_code([controlled(7.0, truth=None)])) == (None, 0)
    invalid = controlled(float("nan"))
    assert (invalid.verdict, invalid.gap, exit_code([invalid])) == ("invalid", None, 1)


def test_the_gap_is_judged_by_the_same_interval_whatever_the_kind() -> None:
    claim = noise_claim()
    control = claim.control(statement="s", quantity="other", predicted=-1.0, truth=-0.5)
    right, wrong = judge(control, random_ladder()), judge(replace(control, truth=0.5), random_ladder())
    assert (right.verdict, right.gap) == ("refuted", "supported")
    assert (wrong.verdict, wrong.gap) == ("refuted", "refuted")
    assert (right.low, right.high) == (judge(claim, random_ladder()).low, judge(claim, random_ladder()).high)


def test_a_row_says_which_lives_it_measures_and_whether_it_is_a_derivation() -> None:
    for measures, derivation in ((None, False), ((), True), (("empirical", "limit"), False)):
        row = judge(make_claim(measures=measures), deterministic_ladder()).row()
        assert (row["measures"], row["derivation"]) == (measures, derivation)


# Fits and words


def test_a_judgement_keeps_the_fit_that_its_verdict_was_read_off() -> None:
    for claim, ladder in ((make_claim(), deterministic_ladder()), (noise_claim(), random_ladder())):
        judgement = examine(claim, ladder)
        assert judgement.verdict == judge(claim, ladder)
        assert (judgement.claim, judgement.levels) == (claim, tuple(ladder))
        fit = judgement.fit
        assert (fit.rate, fit.low, fit.high) == tuple(
            getattr(judgement.verdict, x) for x in ("measured", "low", "high")
        )
    constant = examine(make_claim(kind="constant", size="N", predicted=2.5), constant_ladder(2.5))
    assert constant.fit.limit == constant.verdict.measured


def test_a_ladder_that_is_too_short_for_an_interval_has_a_fit_all_the_same() -> None:
    judgement = examine(make_claim(), deterministic_ladder(levels=5))
    assert judgement.verdict.low is None
    assert judgement.fit.rate == judgement.verdict.measured


def test_the_fit_leaves_out_the_levels_under_the_floor() -> None:
    fit = examine(make_claim(floor=[0.0] * 6 + [1.0, 1.0]), deterministic_ladder()).fit
    assert fit.dropped == (6, 7)


def test_what_has_no_ladder_or_does_not_qualify_has_no_fit() -> None:
    one = [Level(size=1.0, values=[1.0], deterministic=True)]
    for claim in (make_claim(kind="identity", margin=1.0), make_claim(kind="flag"), make_claim(kind="constant")):
        assert examine(claim, one).verdict.verdict == "supported"
        assert examine(claim, one).fit is None
    assert examine(make_claim(), deterministic_ladder(ess=1.0)).fit is None
    assert examine(make_claim(), []).fit is None


def test_another_confidence_reaches_the_fit() -> None:
    narrow, wide = (examine(noise_claim(), random_ladder(), confidence=c).fit for c in (0.9, 0.999))
    assert narrow.high - narrow.low < wide.high - wide.low


@pytest.mark.parametrize(
    ("claim", "level", "predicted", "measured"),
    [
        (make_claim(kind="flag", predicted=True), 1.0, "true", "true"),
        (make_claim(kind="flag", predicted=True), 0.0, "true", "false"),
        (make_claim(kind="identity", predicted=0.0, margin=1e-12), 2.5e-14, "0 ± 10⁻¹²", "2.5·10⁻¹⁴"),
        (make_claim(kind="constant", predicted=2.5), 2.52, "2.5 ± 0.12", "2.52"),
        (make_claim(), 1.0, "1 ± 0.05", "–"),
    ],
)
def test_a_verdict_says_in_words_what_was_predicted_and_measured(claim, level, predicted, measured) -> None:
    found = judge(claim, [Level(size=1.0, values=[level], deterministic=True)])
    assert (found.predicted_in_words, found.measured_in_words) == (predicted, measured)
