"""Intervals: by the jackknife over seeds for random levels, by residual and shift for deterministic ones.

The levels of a ladder share their randomness (samples are prefixes of one draw), so an interval cannot come from the
scatter about the fitted line: it comes from the jackknife, which deletes one seed from all levels at once
[Tukey1958, Efron1982].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.special import bdtr, stdtrit

from attnflow._checks import check_positive
from attnflow.errors import ConfigError

# What is fitted at one level, as a function of the mean over seeds of the (squared) values.
Statistic = Callable[[np.ndarray], np.ndarray]


def seed_interval(values: np.ndarray, *, statistic: str, weights: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the weighted sum over levels of the mean or RMS over seeds, and the half-width of its interval.

        sum_l w_l m_l,   m_l = mean_s v_ls   or   (mean_s v_ls^2)^(1/2)

    Args:
        values: v, shape (levels, seeds).
        statistic: "mean" or "rms".
        weights: w, shape (levels,).
        confidence: level of the interval, in (0, 1).

    Example:
        >>> import numpy as np
        >>> from attnflow.judge.intervals import seed_interval
        >>> estimate, _ = seed_interval(np.array([[3.0, 4.0]]), statistic="rms", weights=np.ones(1), confidence=0.95)
        >>> print(f"{estimate**2:.1f}")
        12.5
    """
    if statistic == "rms":
        return jackknife(values**2, np.sqrt, weights=weights, confidence=confidence)
    return jackknife(values, np.asarray, weights=weights, confidence=confidence)


def median_interval(values: np.ndarray, *, confidence: float) -> tuple[float, float] | None:
    """Return an interval of the median of independent draws, whatever their law; None if there are too few of them.

    It goes from the k-th smallest to the k-th largest, where fewer than k of n draws lie on one side of the median with
    probability P(Bin(n, 1/2) < k) <= (1 - confidence) / 2 at most [Thompson1936].

    Args:
        values: shape (n,).
        confidence: level of the interval, in (0, 1).

    Example:
        >>> import numpy as np
        >>> from attnflow.judge.intervals import median_interval
        >>> median_interval(np.arange(10.0), confidence=0.95), median_interval(np.arange(5.0), confidence=0.95)
        ((1.0, 8.0), None)
    """
    n = len(values)
    tails = bdtr(np.arange(n), n, 0.5)
    k = int(np.count_nonzero(tails <= (1 - confidence) / 2))
    if k == 0:
        return None
    ordered = np.sort(values)
    return float(ordered[k - 1]), float(ordered[n - k])


def least_seeds(confidence: float) -> int:
    """Return from how many draws on a median has an interval: 2 P(Bin(n, 1/2) < 1) = 2^(1 - n) <= 1 - confidence.

    Example:
        >>> from attnflow.judge.intervals import least_seeds
        >>> least_seeds(0.95), least_seeds(1 - 0.05 / 420)
        (6, 15)
    """
    return 1 + math.ceil(-math.log2(1 - confidence))


def jackknife(
    values: np.ndarray, statistic: Statistic, *, weights: np.ndarray, confidence: float
) -> tuple[float, float]:
    """Return the estimate sum_l w_l statistic(mean_s v_ls) and the half-width of its jackknife interval.

    With theta the estimate and theta_s the estimate without seed s, the pseudo-values P_s = S theta - (S-1) theta_s
    act like independent draws [Tukey1958]; the squared standard error is their variance over S. Student's t assumes
    that they are normal. Squares of few modes are not: with one mode and 6 to 10 seeds S-1 degrees of freedom cover
    .92 to .94 at a nominal .95, the degrees of freedom of [Hinkley1977], from the excess kurtosis g of the P_s,

        nu = (S - 1) / (1 + g (S - 1) / (2 S)),   g >= 0,

    cover .94 to .96.

    Args:
        values: v, shape (levels, seeds).
        statistic: of the means over seeds, shape (levels,) to (levels,); it is also given the means without one seed.
        weights: w, shape (levels,).
        confidence: level of the interval, in (0, 1).

    Example:
        >>> import numpy as np
        >>> from attnflow.judge.intervals import jackknife
        >>> draws = np.arange(10.0)[None]
        >>> estimate, half_width = jackknife(draws, np.asarray, weights=np.ones(1), confidence=0.95)
        >>> print(f"{estimate:.1f} {half_width:.3f}")  # of a mean, Student's interval
        4.5 2.166
    """
    seeds = values.shape[1]
    estimate = float(weights @ statistic(values.mean(axis=1)))
    pseudo_values = seeds * estimate - (seeds - 1) * (weights @ statistic(_means_without_one(values)))
    centred = pseudo_values - pseudo_values.mean()
    variance = float(centred @ centred) / (seeds - 1)
    freedom = (seeds - 1) / (1.0 + max(_excess_kurtosis(centred), 0.0) * (seeds - 1) / (2 * seeds))
    return estimate, _quantile(freedom, confidence) * float(np.sqrt(variance / seeds))


def _means_without_one(values: np.ndarray) -> np.ndarray:
    """Return the mean over all seeds but s, for each s, from sums: the total less a dominant seed would cancel."""
    nothing = np.zeros((len(values), 1))
    before = np.cumsum(np.hstack([nothing, values[:, :-1]]), axis=1)
    after = np.cumsum(np.hstack([nothing, values[:, :0:-1]]), axis=1)[:, ::-1]
    return (before + after) / (values.shape[1] - 1)


def _excess_kurtosis(centred: np.ndarray) -> float:
    """Return the unbiased-moment estimate of Fisher's g2; zero where it is not defined."""
    n = len(centred)
    second = float(np.mean(centred**2))
    if n < 4 or second == 0.0:
        return 0.0
    biased = float(np.mean((centred / np.sqrt(second)) ** 4)) - 3.0
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * biased + 6.0)


def extrapolation_error(columns: np.ndarray, levels: np.ndarray, *, coefficient: int, confidence: float) -> float:
    """Return the half-width of the interval of a coefficient that is fitted to deterministic levels.

    It is Student's t times the standard error that the residual gives, plus the shift of the coefficient when the
    coarsest level is left out.

    Args:
        columns: what is fitted, shape (levels, coefficients).
        levels: the values to which it is fitted, shape (levels,).
        coefficient: the index of the one that is asked for.
        confidence: level of the interval, in (0, 1).

    Example:
        >>> import numpy as np
        >>> from attnflow.judge.intervals import extrapolation_error
        >>> h = np.array([0.8, 0.4, 0.2, 0.1])
        >>> columns = np.stack([np.ones(4), h], axis=1)
        >>> extrapolation_error(columns, 1 + 3 * h, coefficient=0, confidence=0.95) < 1e-12
        True
    """
    solve = np.linalg.pinv(columns)
    freedom = columns.shape[0] - columns.shape[1]
    residual = np.linalg.norm(levels - columns @ (solve @ levels)) / np.sqrt(freedom)
    shift = solve[coefficient] @ levels - np.linalg.pinv(columns[1:])[coefficient] @ levels[1:]
    return float(_quantile(freedom, confidence) * residual * np.linalg.norm(solve[coefficient]) + abs(shift))


def _quantile(freedom: float, confidence: float) -> float:
    """Return the two-sided Student t quantile."""
    if check_positive(confidence, "confidence") >= 1.0:
        raise ConfigError(f"`confidence` must lie between 0 and 1, got {confidence!r}. Pass 0.95 or 0.999.")
    return float(stdtrit(freedom, 0.5 + 0.5 * confidence))
