"""Exponents and limits of ladders whose truth is known; which ladders are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from attnflow.errors import ConfigError, DataError
from attnflow.judge.rates import fit_limit, fit_rate

BANDWIDTHS = 0.4 * 2.0 ** -np.arange(8.0)
COUNTS = 100.0 * 2.0 ** np.arange(8)


def random_errors(seed: int, *, seeds: int = 20, rate: float = -0.5) -> np.ndarray:
    generator = np.random.default_rng(seed)
    shared = generator.standard_normal((1, seeds)) + 0.5 * generator.standard_normal((len(COUNTS), seeds))
    return np.abs(shared) * COUNTS[:, None] ** rate


@settings(max_examples=50, deadline=None)
@given(
    rate=st.floats(-2, 2),
    correction=st.floats(-1, 1),
    power=st.sampled_from([0.5, 1.0, 2.0]),
    rising=st.booleans(),
)
def test_the_model_itself_is_recovered_exactly(rate: float, correction: float, power: float, rising: bool) -> None:
    sizes = COUNTS if rising else BANDWIDTHS
    h = 1 / sizes if rising else sizes
    fit = fit_rate(sizes, 3.0 * sizes**rate * np.exp(correction * h**power), correction_power=power)
    # Three unknowns solved by a pseudo-inverse of condition below 1e3; 1e-10 leaves five digits of slack. The
    # correction is divided by h_0^q >= 1e-4.
    assert fit.rate == pytest.approx(rate, abs=1e-10)
    assert fit.high - fit.low < 1e-9
    assert fit.correction == pytest.approx(correction, abs=1e-6)
    # Between the levels and a factor of two beyond: the errors of c, r and d, bounded above, times log h <= 10 and h^q.
    between = np.geomspace(sizes[0] * (0.5 if rising else 2), sizes[-1], 40)
    hs = 1 / between if rising else between
    np.testing.assert_allclose(fit.curve(between), 3.0 * between**rate * np.exp(correction * hs**power), rtol=1e-8)


@pytest.mark.parametrize("sizes", [BANDWIDTHS, COUNTS], ids=["falling", "rising"])
def test_the_curve_passes_between_noisy_levels_as_least_squares_do(sizes: np.ndarray) -> None:
    errors = np.abs(random_errors(3)) * (1 + 0.1 * np.arange(8))[:, None]
    fit = fit_rate(sizes, errors)
    residual = np.log(np.sqrt(np.mean(errors**2, axis=1))) - np.log(fit.curve(sizes))
    h = np.minimum(sizes, 1 / sizes) if sizes[0] > 1 else sizes
    for column in (np.ones(8), np.log(h), h):
        assert abs(residual @ column) < 1e-12 * np.abs(column).max() * 8  # residuals are orthogonal to what was fitted
    limit = fit_limit(sizes, errors)
    assert abs((errors.mean(axis=1) - limit.curve(sizes)).sum()) < 1e-12


def test_the_curve_of_a_limit_is_the_model_at_any_size_and_tends_to_the_limit() -> None:
    fit = fit_limit(COUNTS, 2.0 - 30.0 / COUNTS**0.5, correction_power=0.5)
    np.testing.assert_allclose(fit.curve([[64.0, 400.0]]), [[2.0 - 3.75, 0.5]], rtol=0, atol=1e-12)
    assert fit.curve(1e30) == pytest.approx(fit.limit, rel=1e-12)
    falling = fit_limit(BANDWIDTHS, 2.0 - 1.5 * BANDWIDTHS**2, correction_power=2)
    assert falling.curve(1.0) == pytest.approx(0.5, abs=1e-12)


@pytest.mark.parametrize("fit", [fit_rate(COUNTS, 1 / COUNTS), fit_limit(COUNTS, 1 / COUNTS)], ids=["rate", "limit"])
def test_a_curve_has_no_value_at_a_size_of_zero(fit) -> None:
    with pytest.raises(ConfigError, match="`sizes` must be positive, got 0"):
        fit.curve([1.0, 0.0])


def test_the_rate_is_signed_in_the_size() -> None:
    assert fit_rate(COUNTS, COUNTS**-0.5).rate == pytest.approx(-0.5)
    assert fit_rate(BANDWIDTHS, BANDWIDTHS**-0.75).rate == pytest.approx(-0.75)
    assert fit_rate(BANDWIDTHS, BANDWIDTHS).rate == pytest.approx(1.0)
    fit = fit_rate(COUNTS, random_errors(0))
    assert fit.low < fit.rate < fit.high < 0


def test_a_deterministic_interval_covers_what_the_model_leaves_out() -> None:
    # A second-order term is not in the model: the interval must still contain 1, and not by being wide.
    errors = BANDWIDTHS * np.exp(0.5 * BANDWIDTHS - 0.3 * BANDWIDTHS**2)
    fit = fit_rate(BANDWIDTHS, errors)
    assert fit.low < 1.0 < fit.high
    assert 1e-4 < fit.high - fit.low < 0.05
    bare = np.polyfit(np.log(BANDWIDTHS), np.log(errors), 1)[0]
    assert abs(bare - 1.0) > fit.high - fit.low


def test_the_shift_without_the_coarsest_level_widens_a_deterministic_interval() -> None:
    # With 4 levels one degree of freedom is left, so that dropping one shows the shift alone.
    sizes = BANDWIDTHS[:4]
    errors = sizes * np.exp([0.02, -0.01, 0.03, -0.02])
    without = np.stack([np.ones(3), np.log(sizes[1:]), sizes[1:]], axis=1)
    shifted = np.linalg.solve(without, np.log(errors[1:]))[1]
    fit = fit_rate(sizes, errors, confidence=0.01)  # the Student part is then negligible
    assert fit.low <= shifted + 1e-3
    assert fit.high >= shifted - 1e-3


def test_the_jackknife_of_a_mean_is_its_student_interval() -> None:
    # Witness: on a ladder of equal levels the pseudo-values are the draws themselves; their excess kurtosis is
    # negative, so that the degrees of freedom stay S - 1.
    draws = np.array([-1.5, -0.9, -0.3, 0.2, 0.8, 1.7]) + 4.0
    fit = fit_limit(COUNTS[:4], np.tile(draws, (4, 1)))
    half_width = 2.5705818 * draws.std(ddof=1) / np.sqrt(6)  # t quantile .975 with 5 degrees of freedom, from tables
    assert fit.limit == pytest.approx(draws.mean(), rel=1e-12)
    assert fit.high - fit.limit == pytest.approx(half_width, rel=1e-6)


def test_the_jackknife_leaves_out_one_seed_of_all_levels_at_once() -> None:
    errors = random_errors(6, seeds=7)
    columns = np.stack([np.ones(8), -np.log(COUNTS), 1 / COUNTS], axis=1)

    def slope(some: np.ndarray) -> float:
        return -np.linalg.lstsq(columns, 0.5 * np.log(np.mean(some**2, axis=1)), rcond=None)[0][1]

    fit = fit_rate(COUNTS, errors)
    pseudo = np.array([7 * slope(errors) - 6 * slope(np.delete(errors, s, axis=1)) for s in range(7)])
    freedom = 6 / (1 + max(stats.kurtosis(pseudo, bias=False), 0) * 6 / 14)
    half_width = stats.t.ppf(0.975, freedom) * pseudo.std(ddof=1) / np.sqrt(7)
    assert fit.rate == pytest.approx(slope(errors), abs=1e-10)
    assert (fit.high - fit.low) / 2 == pytest.approx(half_width, rel=1e-8)  # lstsq against pinv, condition 1e3


def test_one_outlying_seed_lowers_the_degrees_of_freedom() -> None:
    draws = np.array([-1.0, -0.6, -0.2, 0.2, 0.6, 30.0])
    fit = fit_limit(COUNTS[:4], np.tile(draws, (4, 1)))
    assert fit.high - fit.limit > 1.5 * 2.5705818 * draws.std(ddof=1) / np.sqrt(6)


def test_permuting_seeds_and_scaling_errors_change_nothing() -> None:
    errors = random_errors(3)
    fit = fit_rate(COUNTS, errors)
    for other in (errors[:, ::-1], errors * 1e-150, errors * 1e150):
        again = fit_rate(COUNTS, other)
        # Rounding of logarithms near 345, times a pseudo-inverse of order one.
        assert (again.rate, again.low, again.high) == pytest.approx((fit.rate, fit.low, fit.high), abs=1e-11)


def test_a_seed_that_dominates_does_not_break_the_interval() -> None:
    errors = random_errors(4)
    errors[:, 0] *= 1e12  # its square swallows all the others in floating point
    fit = fit_rate(COUNTS, errors)
    assert np.isfinite([fit.low, fit.high]).all()


def test_the_interval_grows_with_the_confidence() -> None:
    errors = random_errors(5)
    widths = [(f := fit_rate(COUNTS, errors, confidence=c)).high - f.low for c in (0.5, 0.95, 0.999)]
    assert widths[0] < widths[1] < widths[2]


def test_levels_under_the_declared_floor_are_dropped_and_listed() -> None:
    errors = BANDWIDTHS + np.where(BANDWIDTHS < 0.01, 0.02, 0.0)  # the two finest levels stand on a plateau
    assert fit_rate(BANDWIDTHS, errors).dropped == ()  # never detected
    floors = np.where(BANDWIDTHS < 0.01, 0.1, 0.0)
    fit = fit_rate(BANDWIDTHS, errors, floor=floors)
    assert fit.dropped == (6, 7)
    assert fit.rate == pytest.approx(1.0, abs=1e-10)  # the plateau is gone
    assert len(fit.local_slopes) == 5
    assert fit_rate(BANDWIDTHS, BANDWIDTHS, floor=0.007).dropped == (6, 7)


def test_zero_errors_under_a_declared_floor_are_round_off() -> None:
    errors = np.where(BANDWIDTHS < 0.01, 0.0, BANDWIDTHS)
    assert fit_rate(BANDWIDTHS, errors, floor=1e-3).dropped == (6, 7)
    with pytest.raises(DataError, match="floor"):
        fit_rate(BANDWIDTHS, errors)


def test_local_slopes_are_those_of_neighbouring_levels() -> None:
    slopes = fit_rate([1, 2, 4, 8], [1.0, 0.5, 0.5, 0.125]).local_slopes
    np.testing.assert_allclose(slopes, [-1, 0, -2], rtol=0, atol=1e-14)


def test_a_large_correction_on_the_finer_half_is_not_asymptotic() -> None:
    # Finest half of 8 levels: h <= .025; |d| h < .1 means |d| < 4.
    assert fit_rate(BANDWIDTHS, BANDWIDTHS * np.exp(3.9 * BANDWIDTHS)).asymptotic
    assert not fit_rate(BANDWIDTHS, BANDWIDTHS * np.exp(-4.1 * BANDWIDTHS)).asymptotic


@pytest.mark.parametrize("fit", [fit_rate, fit_limit])
@pytest.mark.parametrize(
    "sizes", [[1, 2, 3, 3], [4, 2, 3, 1], [1, 2, 2, 4, 8], [0, 1, 2, 3], [-1, -2, -3, -4], [[1, 2]]]
)
def test_sizes_that_are_not_a_ladder_are_refused(fit, sizes: list) -> None:
    with pytest.raises(ConfigError, match="sizes"):
        fit(sizes, np.ones(len(sizes)))


@pytest.mark.parametrize("fit", [fit_rate, fit_limit])
def test_a_short_ladder_has_no_fit(fit) -> None:
    with pytest.raises(ConfigError, match="at least 4 levels, got 3"):
        fit(COUNTS[:3], COUNTS[:3] ** -0.5)


def test_a_ladder_that_the_floor_makes_short_has_no_rate() -> None:
    with pytest.raises(ConfigError, match="3 more are under the floor"):
        fit_rate(BANDWIDTHS[:6], BANDWIDTHS[:6], floor=0.06)


@pytest.mark.parametrize("fit", [fit_rate, fit_limit])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(fit, bad: float) -> None:
    values = np.array([1.0, 0.5, bad, 0.1])
    with pytest.raises(DataError, match="NaN or Inf"):
        fit(COUNTS[:4], values)


def test_negative_errors_and_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="positive"):
        fit_rate(COUNTS[:4], [1.0, -0.5, 0.2, 0.1])
    with pytest.raises(DataError, match="5 levels"):
        fit_rate(COUNTS[:5], np.ones(4))
    with pytest.raises(DataError, match="at least 2 seeds"):
        fit_rate(COUNTS[:5], np.ones((5, 1)))


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95, float("nan")])
def test_a_confidence_outside_zero_and_one_is_refused(confidence: float) -> None:
    with pytest.raises(ConfigError, match="confidence"):
        fit_rate(COUNTS, random_errors(0), confidence=confidence)


def test_other_bad_options_are_refused() -> None:
    with pytest.raises(ConfigError, match="correction_power"):
        fit_rate(COUNTS, COUNTS**-0.5, correction_power=0)
    with pytest.raises(ConfigError, match="floor"):
        fit_rate(COUNTS, COUNTS**-0.5, floor=[1e-3, 1e-4])
    with pytest.raises(ConfigError, match="Did you mean 'mean'"):
        fit_limit(COUNTS, random_errors(0), statistic="means")


def test_a_limit_is_extrapolated_and_not_read_off_the_finest_level() -> None:
    fit = fit_limit(BANDWIDTHS[:5], 2.0 - 1.5 * BANDWIDTHS[:5])
    assert (fit.limit, fit.correction) == pytest.approx((2.0, -1.5), abs=1e-12)
    curved = fit_limit(BANDWIDTHS, 2.0 - 1.5 * BANDWIDTHS + 0.2 * BANDWIDTHS**2)
    assert curved.low < 2.0 < curved.high
    assert curved.high - curved.low < 0.05


def test_the_rms_and_the_mean_over_seeds_have_different_limits() -> None:
    generator = np.random.default_rng(8)
    values = generator.standard_normal((1, 4000)) * (1 + 10 / COUNTS[:, None])
    # 4000 draws: standard errors .016 and .011, times about 1.3 for the extrapolation; five of them.
    assert fit_limit(COUNTS, values, statistic="mean").limit == pytest.approx(0.0, abs=0.1)
    assert fit_limit(COUNTS, values, statistic="rms").limit == pytest.approx(1.0, abs=0.07)
