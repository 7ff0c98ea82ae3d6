"""What solver errors do to a verdict, and what a claim states beside its prediction: both reach the interval."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judged_ladders import BANDWIDTHS, COUNTS, deterministic_ladder, make_claim

from attnflow.errors import ConfigError
from attnflow.judge.levels import Level
from attnflow.judge.rates import fit_limit
from attnflow.judge.verdicts import FAMILY_CONFIDENCE, examine, judge

THOUSANDTHS = st.integers(0, 3000).map(lambda n: n / 1000)


def identity(predicted: float = 0.0, margin: float = 1e-3):
    return make_claim(kind="identity", predicted=predicted, margin=margin)


def level(*values: float, solver_error: float | None = None, size: float = 1.0) -> Level:
    return Level(size=size, values=np.array(values), solver_error=solver_error)


# Identities


@pytest.mark.parametrize(
    ("value", "solver_error", "expected"),
    [
        (0.0, 10.0, "inconclusive"), (0.0, 0.9e-3, "supported"), (0.5e-3, 0.6e-3, "inconclusive"),
        (2.0, 1.9, "refuted"), (2.0, 2.1, "inconclusive"), (2.0, None, "refuted"), (0.0, 0.0, "supported"),
    ],
)  # fmt: skip
def test_an_identity_is_known_up_to_its_solver_error(value, solver_error, expected):
    verdict = judge(identity(), [level(value, solver_error=solver_error)])
    error = solver_error or 0.0
    assert (verdict.verdict, verdict.measured) == (expected, value)
    assert (verdict.low, verdict.high) == (value - error, value + error)


def test_a_value_that_is_off_for_certain_decides_even_beside_one_that_nobody_knows():
    unknown, off = level(0.0, 5.0, solver_error=10.0), level(0.0, -0.5, 0.25, size=0.5)
    for levels in ([unknown, off], [off, unknown]):
        verdict = judge(identity(), levels)
        assert (verdict.verdict, verdict.measured, verdict.low, verdict.high) == ("refuted", -0.5, -0.5, -0.5)
        assert verdict.reason == "2 of 5 values off"  # of the 5.0 known up to 10 nobody can say so


def test_without_a_value_off_for_certain_the_one_that_may_be_farthest_off_decides():
    verdict = judge(identity(margin=0.5), [level(0.4), level(0.1, solver_error=0.6, size=0.5)])
    assert (verdict.verdict, verdict.measured, verdict.high) == ("inconclusive", 0.1, pytest.approx(0.7, abs=1e-15))
    assert "known up to the solver error 0.6" in verdict.reason


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    levels=st.lists(
        st.tuples(st.lists(THOUSANDTHS, min_size=1, max_size=4), st.none() | THOUSANDTHS), min_size=1, max_size=4
    ),
    margin=THOUSANDTHS,
)
def test_an_identity_is_supported_if_all_surely_fit_and_refuted_if_one_surely_does_not(levels, margin):
    ladder = [level(*values, solver_error=s, size=i + 1.0) for i, (values, s) in enumerate(levels)]
    verdict = judge(identity(predicted=1.0, margin=margin), ladder)
    # told a second time, in whole thousandths; equality is rounding's to decide, so such cases are left out
    parts = [(abs(round(v * 1000) - 1000), round((s or 0) * 1000)) for values, s in levels for v in values]
    edge = round(margin * 1000)
    if any(edge in (d - s, d + s) for d, s in parts):
        return
    fits, misses = all(d + s < edge for d, s in parts), any(d - s > edge for d, s in parts)
    assert verdict.verdict == ("supported" if fits else "refuted" if misses else "inconclusive")


# Flags


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("solver_error", [0.5, 1.0, 10.0])
def test_a_flag_with_a_solver_error_of_a_half_or_more_decides_nothing(value, solver_error):
    levels = [level(True, size=2.0), level(value, solver_error=solver_error)]
    assert judge(make_claim(kind="flag", predicted=True), levels).verdict == "inconclusive"


def test_a_flag_is_a_truth_value_whatever_small_error_is_declared_for_all_quantities():
    flag = make_claim(kind="flag", predicted=True)
    assert judge(flag, [level(True, True, solver_error=1e-9)]).verdict == "supported"
    assert judge(flag, [level(True, False, solver_error=0.49)]).verdict == "refuted"


def test_a_false_flag_that_is_known_refutes_beside_one_that_is_not():
    levels = [level(True, solver_error=3.0), level(True, False, size=0.5)]
    verdict = judge(make_claim(kind="flag", predicted=True), levels)
    assert (verdict.verdict, verdict.measured) == ("refuted", 0.0)


# Constants


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_the_limit_is_known_up_to_what_extrapolation_makes_of_solver_errors(power):
    h = BANDWIDTHS
    claim = make_claim(kind="constant", predicted=2.0, correction_power=power)
    errors = 1e-3 * np.array([1.0, 3.0, 2.0, 1.0, 4.0, 1.0, 5.0, 9.0])
    weights = np.linalg.pinv(np.stack([np.ones(8), h**power], axis=1))[0]  # least squares, told a second time
    values = 2.0 + 1.5 * h**power + errors * np.sign(weights)  # the worst that may have happened
    known = [
        Level(size=s, values=[v], deterministic=True, solver_error=e) for s, v, e in zip(h, values, errors, strict=True)
    ]
    judgement = examine(claim, known)
    assert np.abs(weights).sum() > 1.1  # extrapolation magnifies
    assert judgement.fit.limit - 2.0 == pytest.approx(np.abs(weights) @ errors, rel=1e-9)
    widened = judgement.verdict.high - judgement.fit.high
    assert widened == pytest.approx(np.abs(weights) @ errors, rel=1e-9)
    assert judgement.verdict.low <= 2.0


@pytest.mark.parametrize("solver_error", [-1e-9, float("nan"), float("inf")])
@pytest.mark.parametrize("kind", ["exponent", "constant", "identity", "flag"])
def test_a_solver_error_that_bounds_nothing_is_invalid(kind, solver_error):
    claim = make_claim(kind=kind, margin={"identity": 1.0}.get(kind))
    verdict = judge(claim, deterministic_ladder(solver_error=solver_error))
    assert verdict.verdict == "invalid"
    assert "no bound" in verdict.reason


# What a claim states beside its prediction


@pytest.mark.parametrize("spread", [0.0, 0.01])
def test_the_correction_power_of_a_constant_is_that_of_the_claim(spread):
    noise = spread * np.random.default_rng(3).standard_normal(40)
    levels = [Level(size=n, values=2.5 - 3.0 / n**0.5 + noise, deterministic=spread == 0.0) for n in COUNTS]
    wrong = "refuted" if spread else "inconclusive"  # what does not fit widens a deterministic interval only
    for power, expected in ((0.5, "supported"), (1.0, wrong)):  # with 1/N the limit comes out near 2.4
        claim = make_claim(kind="constant", size="N", predicted=2.5, margin=0.02, correction_power=power)
        assert judge(claim, levels).verdict == expected


@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_the_correction_power_of_an_exponent_is_that_of_the_claim(spread):
    noise = np.exp(spread * np.random.default_rng(3).standard_normal(40))
    errors = BANDWIDTHS * np.exp(1.5 * BANDWIDTHS**0.5)
    levels = [
        Level(size=h, values=e * noise, deterministic=spread == 0.0) for h, e in zip(BANDWIDTHS, errors, strict=True)
    ]
    wrong = "refuted" if spread else "inconclusive"
    for power, expected in ((0.5, "supported"), (1.0, wrong)):  # with h the slope comes out at 1.1
        claim = make_claim(margin=0.005, correction_power=power)
        assert judge(claim, levels).verdict == expected


def test_the_statistic_of_a_constant_is_that_of_the_claim():
    draws = np.random.default_rng(5).standard_normal(400)
    levels = [Level(size=n, values=(2.0 + 30.0 / n) * draws) for n in COUNTS]
    rms = float(np.sqrt(np.mean(draws**2)))
    fit = fit_limit(COUNTS, np.stack([level.values for level in levels]), statistic="rms")
    assert fit.limit == pytest.approx(2.0 * rms, rel=1e-12)
    for statistic, expected in (("rms", "supported"), ("mean", "refuted")):
        claim = make_claim(kind="constant", size="N", predicted=2.0 * rms, margin=0.6, statistic=statistic)
        assert judge(claim, levels).verdict == expected


def test_random_levels_have_the_interval_of_their_seeds_and_deterministic_ones_do_not():
    draws = 1.0 + 0.3 * np.random.default_rng(8).standard_normal(30)
    claim = make_claim(kind="constant", predicted=1.0, margin=0.05)
    random = judge(claim, [Level(size=1.0, values=draws)])
    assert random.verdict == "inconclusive"  # .3 / sqrt(30) = .055, times 4
    assert random.high - random.low > 0.3
    assert judge(claim, [Level(size=1.0, values=draws[:1], deterministic=True)]).low == draws[0]


def test_the_confidence_of_a_limit_is_that_of_the_row_and_four_levels_are_enough():
    claim = make_claim(kind="constant", size="N", predicted=2.5)
    rough = 2.5 + 3.0 / COUNTS + 0.01 * np.cos(np.arange(8))
    levels = [Level(size=n, values=[v], deterministic=True) for n, v in zip(COUNTS, rough, strict=True)]
    for count, confidence in ((8, 0.9), (8, FAMILY_CONFIDENCE), (4, 0.9)):
        verdict = judge(claim, levels[:count], confidence=confidence)
        fit = fit_limit(COUNTS[:count], rough[:count], confidence=confidence)
        assert (verdict.low, verdict.high) == (fit.low, fit.high)
    assert judge(claim, levels).high == fit_limit(COUNTS, rough, confidence=FAMILY_CONFIDENCE).high


def test_a_flag_that_must_be_false_says_so():
    flag = make_claim(kind="flag", predicted=False)
    verdict = judge(flag, [level(False, False)])
    assert (verdict.verdict, verdict.predicted_in_words, verdict.measured_in_words) == ("supported", "false", "false")
    assert judge(flag, [level(False, True)]).verdict == "refuted"


def test_a_number_that_json_does_not_know_is_null_in_a_row():
    verdict = judge(make_claim(), deterministic_ladder())
    row = dataclasses.replace(verdict, seconds=float("inf"), low=float("nan")).row()
    assert (row["seconds"], row["low"], row["high"]) == (None, None, verdict.high)


def test_a_reading_says_how_its_number_was_measured_or_why_there_is_none():
    constant = make_claim(kind="constant", predicted=2.0)
    one = [Level(size=1.0, values=[2.0], deterministic=True)]
    assert judge(constant, one).reason == "value of one level, deterministic"
    two_seeds = [Level(size=n, values=[2.0, 2.01 + 1 / n]) for n in COUNTS]
    assert judge(constant, two_seeds).reason == "limit of 8 levels, 2 seeds"
    assert judge(constant, two_seeds[:3]).reason == "3 levels: a constant needs one, or 4 to extrapolate"
    floors = judge(make_claim(floor=[0.0] * 3), deterministic_ladder())
    assert floors.reason == "3 floors are declared for 8 levels"


@pytest.mark.parametrize(
    ("changes", "message"), [({"predicted": "yes"}, "`predicted`"), ({"predicted": True, "margin": "none"}, "`margin`")]
)
def test_a_flag_that_is_no_truth_value_is_told_of_which_field(changes, message):
    with pytest.raises(ConfigError, match=message):
        make_claim(kind="flag", **changes)
