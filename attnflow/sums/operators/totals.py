"""Log totals of a measure for one set of key weights after another: what a normalisation asks for."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.kernel_sums.rounding import logit_sizes
from attnflow.sums.planning.masked import AnySum

NEAR = 1.0  # log key weights that have moved by less are summed as values over the same weighed points
EXPECTED_SWEEPS = 16  # of a fixed point
# Tolerance of a sweep, below which rounding would have every row summed once more, with care.
TIGHTEST = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-4}


class MeasureTotals:
    """log sum_j w_j e^{u_j} k(y_i, y_j) at the points y_i of a measure, for any u, with a bound on the error.

    Args:
        attention: the kernel k, and the normalisation that asks.
        measure: y_j and w_j.
        kernel_sum: makes a planned sum from an attention, points, log weights and a tolerance.
        exclude_self: whether j = i is left out.
        rtol: tolerance.
        dtype: of the sums.
    """

    def __init__(
        self, attention: Attention, measure: DiscreteMeasure, kernel_sum: Callable[..., AnySum], *,
        exclude_self: bool, rtol: float, dtype: np.dtype,
    ) -> None:  # fmt: skip
        self._given = attention
        self._asked_by = attention.normalization
        self._measure = measure
        self._kernel_sum = kernel_sum
        self._exclude_self = exclude_self
        self._rtol = rtol
        self._tightest = TIGHTEST[dtype]
        self._held: tuple[AnySum, np.ndarray] | None = None

    @functools.cached_property
    def _attention(self) -> Attention:
        return self._given.replace(normalization="softmax")

    @functools.cached_property
    def _log_scale(self) -> float:
        return float(np.log(self._measure.masses.max()))  # sums could underflow

    @functools.cached_property
    def _log_masses(self) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self._measure.masses) - self._log_scale

    @np.errstate(under="ignore")
    def __call__(self, log_weights: Any) -> tuple[np.ndarray, float]:
        """Return the log totals (N,) for log key weights u, one number or (N,)."""
        sums = self._sum(self._log_masses + np.asarray(log_weights), self._rtol)(
            np.empty((len(self._measure), 0)), exclude_self=self._exclude_self
        )
        return self._log_scale + sums.shift + np.log(sums.total), largest_error(sums) + self._rounding(sums)

    @np.errstate(under="ignore")
    def again(self, log_weights: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the same for one of many u that settle, (N,): points are sorted and planned for once."""
        if self._held is None or not np.abs(log_weights - self._held[1]).max() <= NEAR:
            self._held = self._sum(self._log_masses + log_weights, max(self._rtol / 8, self._tightest)), log_weights
        planned, known = self._held
        changes = np.exp(log_weights - known)
        with planned.expecting(EXPECTED_SWEEPS):
            sums = planned(changes[:, None], exclude_self=self._exclude_self)
        averages = sums.weighted[:, 0] / sums.total
        error = float(changes.max() / averages.min()) * largest_error(sums)  # of averages, relative to the largest
        logs = self._log_scale + sums.shift + np.log(sums.weighted[:, 0])
        return logs, 2 * error + self._rounding(sums)  # that of the total on top

    def _sum(self, log_weights: np.ndarray, rtol: float) -> AnySum:
        if self._attention.mask is not None:
            raise ConfigError(
                f"{self._asked_by!r} weighs keys by how much they are attended, and under `mask` = "
                f"{self._attention.mask!r} that is no density. Use softmax or KeyWeights."
            )
        return self._kernel_sum(self._attention, self._measure.points, log_weights, rtol=rtol)

    def _rounding(self, sums: RowSums) -> float:
        """Return the error of log totals by rounded logits, which an average does not feel where they are alike."""
        points = self._measure.points
        logits = logit_sizes(self._attention, points, points, np.abs(sums.shift))
        return (points.shape[1] + 4) * np.finfo(np.float64).eps * float(logits.max())


def largest_error(sums: RowSums) -> float:
    """Return the largest error of an average, infinite where it is not known."""
    return float(np.nan_to_num(sums.error, nan=np.inf).max())
