"""Rows whose logits are so large that their rounding would be felt: summed from differences of costs, with care."""

from __future__ import annotations

import numpy as np

from attnflow.attention import Attention
from attnflow.errors import DegenerateKernelError
from attnflow.profiles import PROFILES
from attnflow.pseudometrics.plain import DotProduct
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.blocks import slices, threads
from attnflow.sums.kernel_sums.pairs import PLAIN, all_costs
from attnflow.sums.kernel_sums.rounding import product_sizes

PAIRS = 2**20  # at once
TERMS = 1024  # added one after another


class LargeLogitSum(KernelSum):
    """The sums sum_j w_j exp(logit_ij - s_i) [1, v_j] from logit_ij - s_i = -(D_ij - D_ip) / 2eps, p the nearest key.

    Equal costs stay equal, however large, and the limit of a small bandwidth is the mean over the nearest keys. The two
    plain costs are taken in extended precision, 64 bits where the processor has them; another is rounded as it comes.
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
        costs, roundings = self._costs(rows)
        least = costs.min(axis=1, keepdims=True)
        if np.isinf(least).any():
            raise DegenerateKernelError(
                f"{np.count_nonzero(np.isinf(least))} rows, the first at query "
                f"{rows.points[np.argmax(least)].tolist()}, have no key with mass at a finite cost: their average is "
                "0/0. Give more points a positive weight."
            )
        row = np.arange(len(costs))
        nearest = np.argmax(self._logits(costs - least) + self._logs, axis=1)
        at_nearest = costs[row, nearest, None]
        logits = self._logits(costs - at_nearest) + (self._logs - self._logs[nearest][:, None])
        kernel = np.exp(logits.astype(np.float64))
        sums = sum(kernel[:, some] @ columns[some] for some in slices(len(self._keys), TERMS))

        off = -self._logits(roundings + roundings[row, nearest, None])
        off[costs == at_nearest] = 0.0
        moved = kernel * np.expm1(np.minimum(off, 1.0).astype(np.float64))
        far = off > 1
        moved[far] = np.exp(np.minimum(logits[far] + off[far], 1.0).astype(np.float64))
        share = moved.sum(axis=1) / sums[:, 0]
        terms = min(len(self._keys), TERMS) + len(self._keys) // TERMS + np.log(len(self._keys)) + 8
        error = np.where(share < 0.5, 2 * share / (1 - np.minimum(share, 0.5)), 2.0)
        shift = self._logits(at_nearest[:, 0]) + self._logs[nearest]
        return RowSums(shift.astype(np.float64), sums[:, 0], sums[:, 1:], error + np.finfo(np.float64).eps * terms)

    def _logits(self, costs: np.ndarray) -> np.ndarray:
        return PROFILES[self.attention.profile](costs, bandwidth=np.longdouble(self.attention.bandwidth))

    def _costs(self, rows: Rows) -> tuple[np.ndarray, np.ndarray]:
        """Return the costs of all pairs, infinite for the self-term, and bounds on their rounding, (Q, N) each."""
        metric, dim = self.attention.pseudometric, self.points.shape[1]
        if isinstance(metric, PLAIN):
            x, y = rows.points.astype(np.longdouble), self._keys.astype(np.longdouble)
            costs = all_costs(metric, x, y)
            # The terms of a product may cancel.
            sizes = np.abs(all_costs(metric, abs(x), abs(y))) if isinstance(metric, DotProduct) else costs
            unit = float(np.finfo(np.longdouble).eps)
        else:
            costs = all_costs(metric, rows.points, self._keys).astype(np.longdouble)
            sizes, unit = np.abs(costs), float(np.finfo(np.float64).eps)
            terms = 2 * self.attention.bandwidth * product_sizes(self.attention, rows.points, self._keys)
            sizes = np.fmax(sizes, terms[:, None])  # NaN for a cost whose terms do not cancel
        roundings = (dim + 4) / 2 * unit * np.where(np.isinf(sizes), 0.0, sizes)
        if rows.own is not None:
            costs = np.where(rows.own[:, None] == self._massive, np.inf, costs)
        return costs, roundings
