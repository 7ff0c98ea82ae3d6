"""Kernel sums through features, kappa(x - y) = Phi(x) . Phi(y): two thin products of matrices."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError, DegenerateKernelError
from attnflow.features.random_features import RandomFeatures
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import slices

NUMBERS = 2**22  # of features at once


class FeatureSum(KernelSum):
    """The sums sum_j w_j kappa(x_i - y_j) [1, v_j], kappa(z) = (1/R) sum_r cos <w_r, z> / sqrt eps, in time N R.

    Phases <w_r, x> are off by (D + 2) u of their size, sums of n terms by n u of those of absolute values, which are
    the mass W of the keys: with both together `off`, an average is off by W off / |T| (1 + W / |T|), T its total.

    Args:
        attention: the features and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype, rtol: sums are in double precision, and have the error that they have.
        method: "auto" or "dense".
        devices: None.

    Raises:
        ConfigError: if another method is asked, or devices.
    """

    method = "features"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float,
        method: str = "auto", devices: Sequence[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        if method not in ("auto", "dense") or devices is not None:
            what = f'`method` = "{method}"' if devices is None else "`devices`"
            raise ConfigError(f"{what} cannot sum RandomFeatures. Drop it.")
        features = attention.pseudometric
        assert isinstance(features, RandomFeatures)
        self.points = points
        self._weights = np.exp(log_weights)
        self._center = points.mean(axis=0)  # a common shift of phases changes nothing
        self._frequencies = features.frequencies(points.shape[1]) / np.sqrt(attention.bandwidth)
        self._block = max(1, NUMBERS // (2 * len(self._frequencies)))

    @contextlib.contextmanager
    def expecting(self, layers: int) -> Iterator[None]:
        """Do nothing: nothing here is worth more for more layers."""
        yield

    def held(self, *, exclude_self: bool) -> None:
        """Return None: no matrix is formed."""

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        columns = self._weights[:, None] * np.column_stack([np.ones(len(values)), values])
        moments = np.zeros((2 * len(self._frequencies), columns.shape[1]))
        for some in slices(len(self.points), self._block):
            moments += self._features(self.points, some).T @ columns[some]
        blocks = slices(len(rows.points), self._block)
        sums = np.concatenate([self._features(rows.points, some) @ moments for some in blocks])
        if rows.own is not None:
            sums -= columns[rows.own]  # kappa(0) = 1
        return RowSums(np.zeros(len(sums)), sums[:, 0], sums[:, 1:], self._errors(rows, sums[:, 0]))

    def _features(self, points: np.ndarray, some: slice) -> np.ndarray:
        """Return Phi at some points, (n, 2R); those of few own points are kept."""
        if points is self.points and len(points) <= self._block:
            return self._own_features
        return self._features_at(points[some])

    @functools.cached_property
    def _own_features(self) -> np.ndarray:
        return self._features_at(self.points)

    def _features_at(self, points: np.ndarray) -> np.ndarray:
        phases = (points - self._center) @ self._frequencies.T
        return np.hstack([np.cos(phases), np.sin(phases)]) / np.sqrt(len(self._frequencies))

    def _errors(self, rows: Rows, totals: np.ndarray) -> np.ndarray:
        mass = self._weights.sum() - (0.0 if rows.own is None else self._weights[rows.own])
        least = mass / np.sqrt(2 * len(self._frequencies))
        lost = np.flatnonzero(~(totals > least))
        if len(lost):
            row = lost[0]
            number = row if rows.numbers is None else rows.numbers[row]
            share = totals[row] / np.broadcast_to(mass, totals.shape)[row]
            raise DegenerateKernelError(
                f"the kernel of row {number}, query {rows.points[row].tolist()}, and of {len(lost) - 1} more, has the "
                f"total {share:.3g} of the mass of the keys, which is no more than {len(self._frequencies)} features "
                f"are off by, {1 / np.sqrt(2 * len(self._frequencies)):.3g}. Pass more features or a larger bandwidth."
            )
        radius = max(np.abs(part - self._center).max() for part in (self.points, rows.points))
        phases = radius * float(np.abs(self._frequencies).sum(axis=1).max())
        terms = min(self._block, len(self.points)) + len(self.points) // self._block + 2 * len(self._frequencies)
        off = np.finfo(np.float64).eps * (terms + 2 * (self.points.shape[1] + 2) * phases)
        dilution = mass / totals
        return off * dilution * (1 + dilution)
