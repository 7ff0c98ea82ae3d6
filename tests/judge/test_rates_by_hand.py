"""Intervals told a second time by textbook formulas, and what a refused ladder is told, word by word."""

from __future__ import annotations

import re

import numpy as np
import pytest
from scipy import stats

from attnflow.errors import ConfigError, DataError
from attnflow.judge.intervals import jackknife
from attnflow.judge.levels import Level, seeds_in_words
from attnflow.judge.rates import fit_limit, fit_rate

H = 0.4 * 2.0 ** -np.arange(7.0)
ROUGH = 1.0 + 0.01 * np.array([1.0, -2.0, 0.5, 1.5, -1.0, 2.0, -0.7])


def half_width(columns: np.ndarray, values: np.ndarray, *, of: int, confidence: float) -> float:
    """Student's interval of a coefficient of a linear regression, and its shift without the first row."""
    found, squares, *_ = np.linalg.lstsq(columns, values, rcond=None)
    freedom = len(values) - columns.shape[1]
    error = np.sqrt(squares[0] / freedom * np.linalg.inv(columns.T @ columns)[of, of])
    shift = found[of] - np.linalg.lstsq(columns[1:], values[1:], rcond=None)[0][of]
    return float(stats.t.ppf(0.5 + confidence / 2, freedom) * error + abs(shift))


@pytest.mark.parametrize("confidence", [0.9, 0.999])
@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_deterministic_intervals_are_those_of_a_regression_and_a_shift(power, confidence):
    columns = np.stack([np.ones(7), H**power], axis=1)
    limit = fit_limit(H, 2.0 * ROUGH + H**power, correction_power=power, confidence=confidence)
    told = half_width(columns, 2.0 * ROUGH + H**power, of=0, confidence=confidence)
    assert limit.high - limit.limit == pytest.approx(told, rel=1e-9)  # round-off times a condition under 1e3
    assert limit.limit - limit.low == pytest.approx(told, rel=1e-9)
    assert np.array(limit.weights) @ (2.0 * ROUGH + H**power) == pytest.approx(limit.limit, rel=1e-12)
    columns = np.stack([np.ones(7), np.log(H), H**power], axis=1)
    rate = fit_rate(H, H * ROUGH, correction_power=power, confidence=confidence)
    told = half_width(columns, np.log(H * ROUGH), of=1, confidence=confidence)
    assert (rate.high - rate.low) / 2 == pytest.approx(told, rel=1e-9)


@pytest.mark.parametrize("seeds", [2, 3, 4, 5, 9])
def test_the_jackknife_of_a_mean_is_students_interval_with_degrees_of_freedom_by_kurtosis(seeds):
    draws = np.random.default_rng(seeds).standard_normal(seeds) ** 5
    excess = max(stats.kurtosis(draws, bias=False), 0.0) if seeds > 3 else 0.0  # not defined for fewer
    freedom = (seeds - 1) / (1 + excess * (seeds - 1) / (2 * seeds))
    told = stats.t.ppf(0.975, freedom) * stats.sem(draws)
    estimate, width = jackknife(draws[None], np.asarray, weights=np.ones(1), confidence=0.95)
    assert (estimate, width) == (pytest.approx(draws.mean()), pytest.approx(told, rel=1e-10))


def test_equal_draws_leave_no_interval():
    assert jackknife(np.full((1, 6), 2.0), np.asarray, weights=np.ones(1), confidence=0.95) == (2.0, 0.0)


def test_the_correction_of_a_random_limit_is_that_of_its_statistic():
    draws = np.random.default_rng(4).standard_normal(50)
    rms = np.sqrt(np.mean(draws**2))
    values = (2.0 + 3.0 * H)[:, None] * draws
    assert fit_limit(H, values, statistic="rms").correction == pytest.approx(3.0 * rms, rel=1e-10)
    assert fit_limit(H, values, statistic="mean").correction == pytest.approx(3.0 * draws.mean(), rel=1e-8)


@pytest.mark.parametrize("sign", [-1.0, 1.0])
@pytest.mark.parametrize(
    ("power", "d", "asymptotic"), [(0.5, 0.4, True), (0.5, 0.5, False), (2.0, 30.0, True), (2.0, 45.0, False)]
)
def test_a_ladder_is_asymptotic_if_its_correction_is_under_a_tenth_on_the_finer_half(power, d, asymptotic, sign):
    # The finer half begins at .05: .4 .05^.5 = .089 and 30 .05^2 = .075 are under a tenth, .112 and .1125 are not.
    assert fit_rate(H, H * np.exp(sign * d * H**power), correction_power=power).asymptotic == asymptotic


def test_a_level_of_zeros_lies_under_every_floor():
    draws = np.abs(np.random.default_rng(3).standard_normal(20)) + 0.5
    errors = H[:, None] * draws
    errors[6] = 0.0
    fit = fit_rate(H, errors, floor=1e-6)
    assert (fit.dropped, fit.rate) == ((6,), pytest.approx(1.0))


def test_a_level_holds_float64_whatever_it_is_given_and_says_how_many_seeds_it_has():
    random = Level(size=1.0, values=[True, False, True])
    assert (random.values.dtype, random.values.tolist()) == (np.float64, [1.0, 0.0, 1.0])
    assert seeds_in_words([random]) == "3 seeds"
    assert seeds_in_words([Level(size=1.0, values=[1], deterministic=True)]) == "deterministic"


GAP = np.where(np.arange(7) == 2, np.nan, H)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fit_rate(GAP, H), DataError, "`sizes` holds 1 values that are NaN or Inf"),
        (lambda: fit_rate(H, GAP), DataError, "`errors` holds 1 values that are NaN or Inf"),
        (lambda: fit_limit(H, GAP), DataError, "`values` holds 1 values that are NaN or Inf"),
        (lambda: fit_rate(H, H[:3]), DataError, "`errors` must have shape (levels,) or (levels, seeds) with 7 levels"),
        (lambda: fit_limit(H, H[:3]), DataError, "`values` must have shape (levels,) or (levels, seeds) with 7"),
        (lambda: fit_limit(H, H[:, None]), DataError, "`values` must have at least 2 seeds, got 1."),
        (lambda: fit_rate([*H[:6], 0.0], H), ConfigError, "`sizes` must be positive numbers, shape (levels,), got"),
        (lambda: fit_rate(H[[0, 2, 1, 3, 4]], H[:5]), ConfigError, "Sort them and remove repeated ones."),
        (lambda: fit_rate(H, H, correction_power=0.0), ConfigError, "`correction_power` must be positive"),
        (lambda: fit_limit(H, H, correction_power=0.0), ConfigError, "`correction_power` must be positive"),
        (lambda: fit_limit(H, H, statistic="median"), ConfigError, "`statistic` must be one of 'mean', 'rms'"),
        (lambda: fit_rate(H, H, floor=np.nan), DataError, "`floor` holds 1 values that are NaN or Inf"),
        (lambda: fit_rate(H, H, confidence=-1.0), ConfigError, "`confidence` must be positive"),
        (lambda: fit_rate(H, 0 * H), DataError, "got 0.0. Declare the `floor` under which an error is round-off."),
        (lambda: fit_rate(H, H).curve([np.nan]), DataError, "`sizes` holds 1 values that are NaN or Inf"),
        (lambda: fit_limit(H[:3], H[:3]), ConfigError, "leave at least 4 levels, got 3. Add levels."),
        (lambda: fit_rate(H[:3], H[:3]), ConfigError, "leave at least 4 levels, got 3. Add levels."),
        (lambda: fit_rate(H, H, floor=0.06), ConfigError, "got 3 (4 more are under the floor). Add levels."),
    ],
)
def test_a_ladder_that_is_refused_is_told_what_of_it(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()
