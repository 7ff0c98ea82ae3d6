"""Rows whose logits are so large that their rounding would be felt: summed from differences of costs, with care."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from attnflow.attention import Attention
from attnflow.errors import DegenerateKernelError
from attnflow.pseudometrics.plain import DotProduct
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import slices, threads
from attnflow.sums.kernel_sums.pairs import PLAIN, all_costs
from attnflow.sums.kernel_sums.rounding import product_sizes

PAIRS = 2**20  # at once
TERMS = 1024  # added one after another
ROUNDED_UP = 1.01  # what is said to work is said in three digits


class Pairs(NamedTuple):
    """Costs, infinite for what has no part, bounds on their rounding, and log w of the keys, (Q, K) each."""

    costs: np.ndarray
    roundings: np.ndarray
    logs: np.ndarray


class LargeLogitSum(KernelSum):
    """The sums sum_j w_j exp(logit_ij - s_i) [1, v_j] from logit_ij - s_i = -(D_ij - D_ip) / 2eps, p the nearest key.

    Equal costs stay equal, however large, and the limit of a small bandwidth is the mean over the nearest keys. The two
    plain costs are taken in extended precision, 64 bits where the processor has them; another is rounded as it comes.
    Of a profile that is no exponential logits are taken as they are, and h((D - |dD|) / eps) - h((D + |dD|) / eps) is
    what each weight may be off by.

    With |dD_j| the rounding of a cost and b_j = (|dD_j| + |dD_p|) / 2eps, the averages are off by 2 S / (1 - S) max |v|
    at most, S = sum_j p_j (e^{b_j} - 1). Costs that come out equal to the last digit count as equal: b = 0. It takes
    some twenty times as long as the dense sum, for the few rows that need it.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
    """

    method = "dense"

    def __init__(self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray) -> None:
        self.attention = attention
        self.points = points
        self._massive = np.flatnonzero(log_weights > -np.inf)
        self._keys = points[self._massive]
        self._logs = log_weights[self._massive]

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        columns = np.column_stack([np.ones(len(self._massive)), values[self._massive]])
        parts = list(slices(len(rows.points), max(1, PAIRS // len(self._keys))))
        done = threads().map(lambda part: self._block(columns, rows.take(part)), parts)
        return RowSums(*map(np.concatenate, zip(*done, strict=True)))

    @np.errstate(under="ignore", over="ignore")
    def _block(self, columns: np.ndarray, rows: Rows) -> RowSums:
        shift, kernel, error = self._weights(self._pairs(rows), rows)
        sums = sum(kernel[:, some] @ columns[some] for some in slices(len(self._keys), TERMS))
        return RowSums(shift, sums[:, 0], sums[:, 1:], error)

    def _weights(self, pairs: Pairs, rows: Rows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return shifts (Q,), kernels less by them (Q, K), and what averages with them may be off by, (Q,)."""
        least = pairs.costs.min(axis=1)
        if np.isinf(least).any():
            raise DegenerateKernelError(
                f"{np.count_nonzero(np.isinf(least))} rows, the first at query "
                f"{rows.points[np.argmax(least)].tolist()}, have no key with mass at a finite cost: their average is "
                "0/0. Give more points a positive weight."
            )
        if self.attention.profile.is_exponential:
            shift, kernel, moved = self._exponentials(pairs)
        else:
            self._check_reach(rows, least)
            shift, kernel, moved = self._profile(pairs)
        share, count = moved.sum(axis=1) / kernel.sum(axis=1), kernel.shape[1]
        terms = min(count, TERMS) + count // TERMS + np.log(count) + 8
        error = np.where(share < 0.5, 2 * share / (1 - np.minimum(share, 0.5)), 2.0)
        return shift.astype(np.float64), kernel, error + np.finfo(np.float64).eps * terms

    def _exponentials(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return shifts, kernels and what these may be off by, (Q, K), from differences of costs."""
        costs, roundings, logs = pairs
        row, least = np.arange(len(costs)), costs.min(axis=1, keepdims=True)
        nearest = np.argmax(self._logits(costs - least) + logs, axis=1)
        at_nearest, log_nearest = costs[row, nearest, None], logs[row, nearest, None]
        logits = self._logits(costs - at_nearest) + (logs - log_nearest)
        kernel = np.exp(logits.astype(np.float64))
        off = -self._logits(roundings + roundings[row, nearest, None])
        off[costs == at_nearest] = 0.0
        moved = kernel * np.expm1(np.minimum(off, 1.0).astype(np.float64))
        far = off > 1
        moved[far] = np.exp(np.minimum(logits[far] + off[far], 1.0).astype(np.float64))
        return (self._logits(at_nearest) + log_nearest)[:, 0], kernel, moved

    def _profile(self, pairs: Pairs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the same of a profile that falls, from its logits."""
        costs, roundings, logs = pairs
        logits = self._logits(costs) + logs
        shift = logits.max(axis=1, keepdims=True)
        kernel, nearer, further = (
            np.exp((each - shift).astype(np.float64))
            for each in (
                logits,
                self._logits(np.maximum(costs - roundings, 0.0)) + logs,
                self._logits(costs + roundings) + logs,
            )
        )
        sizes = np.where(np.isfinite(logits), np.abs(logits), 0.0).astype(np.float64) + np.abs(shift).astype(np.float64)
        return shift[:, 0], kernel, nearer - further + 4 * np.finfo(np.float64).eps * sizes * kernel

    def _check_reach(self, rows: Rows, least: np.ndarray) -> None:
        """Raise DegenerateKernelError, naming the row, where every key is beyond the edge of the profile."""
        alone = np.flatnonzero(~(least < self.attention.profile.edge * self.attention.bandwidth))
        if len(alone):
            row = alone[np.argmax(least[alone])]
            number = row if rows.numbers is None else rows.numbers[row]
            edge = self.attention.profile.edge
            raise DegenerateKernelError(
                f"row {number}, query {rows.points[row].tolist()}, and {len(alone) - 1} more have no neighbour: the "
                f"nearest key of this row has the cost {float(least[row]):.4g}, and {self.attention.profile!r} gives "
                f"no weight from {edge * self.attention.bandwidth:.4g} on. The smallest workable bandwidth is "
                f"{ROUNDED_UP * float(least[row]) / edge:.3g}."
            )

    def _logits(self, costs: np.ndarray) -> np.ndarray:
        return self.attention.profile.logit(costs, bandwidth=np.longdouble(self.attention.bandwidth))

    def _pairs(self, rows: Rows) -> Pairs:
        """Return the costs of all pairs, infinite for the self-term."""
        metric = self.attention.pseudometric
        if isinstance(metric, PLAIN):
            x, y = rows.points.astype(np.longdouble), self._keys.astype(np.longdouble)
            costs = all_costs(metric, x, y)
            # The terms of a product may cancel.
            sizes = np.abs(all_costs(metric, abs(x), abs(y))) if isinstance(metric, DotProduct) else costs
        else:
            costs = all_costs(metric, rows.points, self._keys).astype(np.longdouble)
            sizes = np.fmax(np.abs(costs), self._terms(rows))
        roundings = self._roundings(sizes)
        if rows.own is not None:
            costs = np.where(rows.own[:, None] == self._massive, np.inf, costs)
        return Pairs(costs, roundings, np.broadcast_to(self._logs, costs.shape))

    def _terms(self, rows: Rows) -> np.ndarray:
        """Return the size of the terms of a cost that may cancel, (Q, 1); NaN for another cost."""
        return 2 * self.attention.bandwidth * product_sizes(self.attention, rows.points, self._keys)[:, None]

    def _roundings(self, sizes: np.ndarray) -> np.ndarray:
        """Return bounds on the rounding of costs whose terms are of these sizes."""
        plain = isinstance(self.attention.pseudometric, PLAIN)
        unit = float(np.finfo(np.longdouble if plain else np.float64).eps)
        return (self.points.shape[1] + 4) / 2 * unit * np.where(np.isinf(sizes), 0.0, sizes)
