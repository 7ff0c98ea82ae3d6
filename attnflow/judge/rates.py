"""Exponents and limits of a ladder of measurements, each with an honest interval.

A ladder has levels, coarse to fine, with the small quantity h: the size itself if sizes fall (a bandwidth), 1/size if
they rise (a number of points).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from attnflow._checks import check_choice, check_finite, check_positive
from attnflow._drawing import drawing
from attnflow._html import Table, in_html
from attnflow.errors import ConfigError, DataError
from attnflow.judge.intervals import extrapolation_error, jackknife, seed_interval

MINIMUM_LEVELS = 4
SMALL_CORRECTION = 0.1


@dataclass(frozen=True, eq=False)
class RateFit:
    """A fitted exponent: log error = c + r log h + d h^q, and rate = d log error / d log size, signed.

    Args:
        rate, low, high: the exponent and its interval.
        local_slopes: d log error / d log size between neighbouring levels, uncorrected; one fewer than the used levels.
        correction: the fitted d.
        dropped: indices of the levels under the declared floor.
        asymptotic: whether |d| h^q < 0.1 over the finest half of the used levels.
        constant: the fitted c.
        correction_power: the power q.
        orientation: d log h / d log size: 1 if sizes fall, -1 if they rise.
        sizes, errors: what was fitted, as it was given, the dropped levels included.
        confidence: level of the interval.
    """

    rate: float
    low: float
    high: float
    local_slopes: np.ndarray
    correction: float
    dropped: tuple[int, ...]
    asymptotic: bool
    constant: float
    correction_power: float
    orientation: int
    sizes: np.ndarray
    errors: np.ndarray
    confidence: float

    def __repr__(self) -> str:
        dropped = f", {len(self.dropped)} of them dropped" if self.dropped else ""
        level = "asymptotic" if self.asymptotic else "not yet asymptotic"
        return (
            f"RateFit({self.rate:.6g} in [{self.low:.6g}, {self.high:.6g}] at {100 * self.confidence:g} %, "
            f"{len(self.sizes)} levels{dropped}, {level})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "rate": f"{self.rate:.4g} in [{self.low:.4g}, {self.high:.4g}] at {100 * self.confidence:g} %",
            "asymptotic": "yes" if self.asymptotic else "not yet: the correction is above a tenth",
            "correction": self.correction,
        }
        kept = np.ones(len(self.sizes), dtype=bool)
        kept[list(self.dropped)] = False
        slopes = iter(["", *map(float, self.local_slopes)])
        errors = _root_mean_square(self.errors)
        rows = [
            (f"{size:g}", float(error), next(slopes) if is_kept else "under the floor")
            for size, error, is_kept in zip(self.sizes, errors, kept, strict=True)
        ]
        return in_html(self, facts, table=Table(["size", "error", "local slope"], rows), draw=self.plot)

    def plot(self, ax: Any = None, predicted: float | None = None) -> Any:
        """Draw the levels, the fit with its interval, and a predicted slope beside it, on logarithmic axes.

        The slope and its interval, shaded, and the predicted slope go through the finest level of the fit.

        Args:
            ax: axes of matplotlib; new ones in a figure of their own, `.figure`, unless given.
            predicted: d log error / d log size; none is drawn unless given.

        Returns:
            The axes.

        Example:
            >>> import attnflow as af
            >>> fit = af.fit_rate([8, 16, 32, 64], [8**-2, 16**-2, 32**-2, 64**-2])
            >>> ax = fit.plot(predicted=-2)
            >>> ax.get_xscale(), ax.get_yscale()
            ('log', 'log')
        """
        return drawing("fits").rate_fit(self, ax, predicted=predicted)

    def curve(self, sizes: object) -> np.ndarray:
        """Return the fitted errors e = exp(c + r log h + d h^q) at any sizes.

        Args:
            sizes: positive numbers, of any shape.

        Raises:
            ConfigError: if a size is not positive.

        Example:
            >>> import attnflow as af
            >>> fit = af.fit_rate([8, 16, 32, 64], [8**-2, 16**-2, 32**-2, 64**-2])
            >>> fit.curve([10, 100]).round(8).tolist()
            [0.01, 0.0001]
        """
        h = _small_quantity(sizes, orientation=self.orientation)
        slope = self.orientation * self.rate
        return np.exp(self.constant + slope * np.log(h) + self.correction * h**self.correction_power)


@dataclass(frozen=True)
class LimitFit:
    """A fitted limit: value = L + d h^q.

    Args:
        limit, low, high: the limit L and its interval.
        correction: the fitted d.
        correction_power: the power q.
        orientation: d log h / d log size: 1 if sizes fall, -1 if they rise.
        weights: w of the levels, L = sum_l w_l value_l; they sum to one, and some are negative.
        sizes, values: what was fitted, as it was given.
        confidence: level of the interval.
        statistic: the summary over seeds that has the limit.
    """

    limit: float
    low: float
    high: float
    correction: float
    correction_power: float
    orientation: int
    weights: tuple[float, ...]
    sizes: np.ndarray = field(compare=False)
    values: np.ndarray = field(compare=False)
    confidence: float
    statistic: str

    def __repr__(self) -> str:
        return (
            f"LimitFit({self.limit:.6g} in [{self.low:.6g}, {self.high:.6g}] at {100 * self.confidence:g} %, "
            f"{len(self.sizes)} levels)"
        )

    def _repr_html_(self) -> str:
        facts = {
            "limit": f"{self.limit:.6g} in [{self.low:.6g}, {self.high:.6g}] at {100 * self.confidence:g} %",
            "correction": self.correction,
            "levels": len(self.sizes),
        }
        return in_html(self, facts, draw=self.plot)

    def plot(self, ax: Any = None, predicted: float | None = None) -> Any:
        """Draw the levels, the fit, its limit with the interval, and a predicted limit beside it.

        Args:
            ax: axes of matplotlib; new ones in a figure of their own, `.figure`, unless given.
            predicted: the limit; none is drawn unless given.

        Returns:
            The axes.
        """
        return drawing("fits").limit_fit(self, ax, predicted=predicted)

    def curve(self, sizes: object) -> np.ndarray:
        """Return the fitted values L + d h^q at any sizes.

        Args:
            sizes: positive numbers, of any shape.

        Raises:
            ConfigError: if a size is not positive.

        Example:
            >>> import attnflow as af
            >>> fit = af.fit_limit([100, 200, 400, 800], [1.5, 1.25, 1.125, 1.0625])
            >>> fit.curve([50, 1600]).round(6).tolist()
            [2.0, 1.03125]
        """
        h = _small_quantity(sizes, orientation=self.orientation)
        return self.limit + self.correction * h**self.correction_power


def fit_rate(
    sizes: object,
    errors: object,
    *,
    confidence: float = 0.95,
    correction_power: float = 1.0,
    floor: object = None,
) -> RateFit:
    """Fit the exponent of a ladder of errors with one correction term.

        log e = c + r log h + d h^q,   h = size if sizes fall, 1/size if they rise;   rate = d log e / d log size

    The correction is always fitted: without it the interval excludes true exponents. Of random errors the root mean
    square over seeds is fitted, and the interval is the jackknife over seeds [Tukey1958, Efron1982] with a Student t
    whose degrees of freedom allow for the kurtosis of the pseudo-values [Hinkley1977]. Of deterministic errors the
    half-width is the Student t interval of the residual plus the shift of the rate when the coarsest level is left out.

    Args:
        sizes: strictly monotone, coarse to fine, shape (levels,).
        errors: positive, shape (levels,) if deterministic, (levels, seeds) if random.
        confidence: level of the interval, in (0, 1).
        correction_power: q > 0.
        floor: levels whose root mean square is under this number (or numbers, one per level) are dropped and listed.
            It is declared, never detected.

    Returns:
        A RateFit.

    Raises:
        ConfigError: if sizes are not strictly monotone and positive, or fewer than 4 levels are left.
        DataError: if errors are not positive and finite, do not fit the sizes, or have one seed only.

    Example:
        >>> import attnflow as af
        >>> fit = af.fit_rate([0.4, 0.2, 0.1, 0.05, 0.025], [0.41, 0.202, 0.1004, 0.0501, 0.02502])
        >>> print(f"{fit.rate:.2f}")
        1.00
    """
    size, measured = _check_ladder(sizes, errors, "errors")
    if (measured < 0).any():
        raise DataError(f"`errors` must be positive, got {measured.min():.3g}. Pass norms or absolute values.")
    rms = _root_mean_square(measured)
    given: dict[str, Any] = {"sizes": size, "errors": measured, "confidence": confidence}
    used = rms >= _check_floor(floor, size)
    dropped = tuple(map(int, np.flatnonzero(~used)))
    size, measured, rms = size[used], measured[used], rms[used]
    _check_levels(len(size), len(dropped))
    if (measured == 0).any():
        raise DataError("`errors` must be positive, got 0.0. Declare the `floor` under which an error is round-off.")

    orientation = _orientation(size)
    h = _small_quantity(size, orientation=orientation)
    ratio, power = h / h[0], check_positive(correction_power, "correction_power")
    columns = np.stack([np.ones_like(ratio), np.log(ratio), ratio**power], axis=1)
    solve = np.linalg.pinv(columns)
    level, slope, d = map(float, solve @ np.log(rms))
    if measured.ndim == 1:
        half_width = extrapolation_error(columns, np.log(rms), coefficient=1, confidence=confidence)
    else:
        # Errors relative to the level's own size: the slope of their RMS is zero, its uncertainty is the same.
        relative = (measured / rms[:, None]) ** 2
        _, half_width = jackknife(relative, _half_log, weights=solve[1], confidence=confidence)
    finest = ratio[len(ratio) // 2 :]
    return RateFit(
        rate=orientation * slope,
        low=orientation * slope - half_width,
        high=orientation * slope + half_width,
        local_slopes=np.diff(np.log(rms)) / np.diff(np.log(size)),
        correction=d / float(h[0]) ** power,
        dropped=dropped,
        asymptotic=bool((abs(d) * finest**power < SMALL_CORRECTION).all()),
        constant=level - slope * float(np.log(h[0])),
        correction_power=power,
        orientation=orientation,
        **given,
    )


def fit_limit(
    sizes: object,
    values: object,
    *,
    confidence: float = 0.95,
    correction_power: float = 1.0,
    statistic: str = "mean",
) -> LimitFit:
    """Extrapolate a ladder of values to h -> 0 with one correction term.

        value = L + d h^q,   h = size if sizes fall, 1/size if they rise

    The interval is made as in `fit_rate`.

    Args:
        sizes: strictly monotone, coarse to fine, shape (levels,).
        values: shape (levels,) if deterministic, (levels, seeds) if random.
        confidence: level of the interval, in (0, 1).
        correction_power: q > 0.
        statistic: which summary over seeds has the limit, "mean" or "rms"; deterministic values are taken as they are.

    Returns:
        A LimitFit.

    Raises:
        ConfigError: if sizes are not strictly monotone and positive, or there are fewer than 4 levels.
        DataError: if values are not finite, do not fit the sizes, or have one seed only.

    Example:
        >>> import attnflow as af
        >>> fit = af.fit_limit([100, 200, 400, 800], [1.5, 1.25, 1.125, 1.0625])
        >>> print(f"{fit.limit:.3f} {fit.correction:.1f}")
        1.000 50.0
    """
    size, measured = _check_ladder(sizes, values, "values")
    check_choice(statistic, "statistic", ("mean", "rms"))
    _check_levels(len(size), 0)
    orientation = _orientation(size)
    h = _small_quantity(size, orientation=orientation)
    power = check_positive(correction_power, "correction_power")
    columns = np.stack([np.ones_like(h), (h / h[0]) ** power], axis=1)
    solve = np.linalg.pinv(columns)
    if measured.ndim == 1:
        limit, d = map(float, solve @ measured)
        half_width = extrapolation_error(columns, measured, coefficient=0, confidence=confidence)
    else:
        limit, half_width = seed_interval(measured, statistic=statistic, weights=solve[0], confidence=confidence)
        d, _ = seed_interval(measured, statistic=statistic, weights=solve[1], confidence=confidence)
    return LimitFit(
        limit=limit, low=limit - half_width, high=limit + half_width, correction=d / float(h[0]) ** power,
        correction_power=power, orientation=orientation, weights=tuple(map(float, solve[0])), sizes=size,
        values=measured, confidence=confidence, statistic=statistic,
    )  # fmt: skip


def _half_log(mean_square: np.ndarray) -> np.ndarray:
    return 0.5 * np.log(mean_square)


def _root_mean_square(values: np.ndarray) -> np.ndarray:
    """Return the root mean square over seeds of each level, scaled so that squares neither overflow nor underflow."""
    if values.ndim == 1:
        return np.abs(values)
    scale = np.abs(values).max(axis=1)
    return scale * np.sqrt(np.mean((values / np.where(scale > 0, scale, 1.0)[:, None]) ** 2, axis=1))


def _orientation(size: np.ndarray) -> int:
    """Return d log h / d log size: -1 if sizes rise, 1 if they fall."""
    return -1 if size[-1] > size[0] else 1


def _small_quantity(sizes: object, *, orientation: int) -> np.ndarray:
    """Return h: the size itself, or 1/size where sizes rise."""
    size = check_finite(sizes, "sizes")
    if (size <= 0).any():
        raise ConfigError(f"`sizes` must be positive, got {size.min():.6g}. Leave such sizes out.")
    return size if orientation == 1 else 1.0 / size


def _check_ladder(sizes: object, values: object, name: str) -> tuple[np.ndarray, np.ndarray]:
    size, measured = check_finite(sizes, "sizes"), check_finite(values, name)
    if size.ndim != 1 or (size <= 0).any():
        raise ConfigError(f"`sizes` must be positive numbers, shape (levels,), got {sizes!r}.")
    steps = np.diff(size)
    if not ((steps > 0).all() or (steps < 0).all()):
        raise ConfigError(
            f"`sizes` must be strictly monotone, coarse to fine, got {size.tolist()}. "
            "Sort them and remove repeated ones."
        )
    if measured.ndim not in (1, 2) or len(measured) != len(size):
        raise DataError(
            f"`{name}` must have shape (levels,) or (levels, seeds) with {len(size)} levels, got {measured.shape}."
        )
    if measured.ndim == 2 and measured.shape[1] < 2:
        raise DataError(
            f"`{name}` must have at least 2 seeds, got {measured.shape[1]}. "
            f"Pass shape (levels,) if they are deterministic."
        )
    return size, measured


def _check_levels(count: int, dropped: int) -> None:
    if count < MINIMUM_LEVELS:
        under = f" ({dropped} more are under the floor)" if dropped else ""
        raise ConfigError(f"`sizes` must leave at least {MINIMUM_LEVELS} levels, got {count}{under}. Add levels.")


def _check_floor(floor: object, size: np.ndarray) -> np.ndarray:
    if floor is None:
        return np.zeros_like(size)
    array = check_finite(floor, "floor")
    if array.shape not in ((), size.shape) or (array < 0).any():
        raise ConfigError(f"`floor` must be one nonnegative number or one per level, got {floor!r}.")
    return np.broadcast_to(array, size.shape)
