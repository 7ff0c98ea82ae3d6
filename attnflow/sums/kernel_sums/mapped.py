"""Kernel sums of a cost that is a plainer one of mapped points: every method that serves the plainer one serves it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from attnflow.attention import Attention
from attnflow.sums.kernel_sums.base import KernelSum, Rows, RowSums
from attnflow.sums.kernel_sums.rounding import coordinate_rounding

MOST_SPAN = 600.0  # of log key weights: e^-600 of the largest still has all its digits
RECENT = 4  # sets of queries whose images are kept, by what is prepared for them


class MappedKeys:
    """The keys b(y_j) and the log weights log w_j - c(y_j) / 2eps that a plainer attention sees.

    Args:
        attention: the cost D(x, y) = C(a(x), b(y)) + r(x) + c(y) and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.

    Attributes:
        attention: with the cost C.
        points: b(y_j), shape (N, K).
        log_weights: up to a constant, which sums get back.
        has_potentials: whether r or c is there.
        fits: whether the weights can be told apart in double precision.
    """

    attention: Attention

    def __init__(self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray) -> None:
        found = attention.mapped(points.mean(axis=0))
        assert found is not None
        self.attention, self._mapped = found
        self._own = points
        self._half = 2 * attention.bandwidth
        self.points = self._mapped.of_keys(points)
        potential = self._potential(self._mapped.column, points)
        weights = log_weights - potential
        massive = weights > -np.inf
        self._peak = weights[massive].max()
        self.log_weights = weights - self._peak
        self.has_potentials = self._mapped.has_potentials
        self.fits = bool(self.log_weights[massive].min() > -MOST_SPAN)
        self._largest = float(np.abs(potential).max())  # of what is rounded with a weight
        self._mass = float(np.exp(self.log_weights).sum())
        self._images: list[tuple[np.ndarray, np.ndarray]] = []
        if self._mapped.of_queries is self._mapped.of_keys:
            self._images.append((points, self.points))

    def _potential(self, potential: Callable | None, points: np.ndarray) -> np.ndarray:
        """Return what a potential takes from logits, (n,)."""
        return np.zeros(len(points)) if potential is None else potential(points) / self._half

    def of(self, queries: np.ndarray) -> np.ndarray:
        """Return a(x_i), (Q, K): one array as long as the queries are one, so that plans for it are kept."""
        for known, images in self._images:
            if known is queries:
                return images
        images = self._mapped.of_queries(queries)
        self._images.append((queries, images))
        if len(self._images) > RECENT:
            del self._images[1]
        return images

    def finished(self, sums: RowSums, rows: Rows) -> RowSums:
        """Return sums over mapped points as those of the cost itself, with what mapping and weights add to errors."""
        shift = sums.shift + self._peak - self._potential(self._mapped.row, rows.points)
        dim = rows.points.shape[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            logits = np.maximum(np.log(self._mass) - sums.shift - np.log(sums.total), 0.0)
            roundings = (dim + 4) * (2 * self._largest + logits)
            if self._mapped.cost is None:  # an image is a sum of products, each as large as itself at most
                roundings += (dim + 2) * coordinate_rounding(
                    self.points, self.of(rows.points), center=np.zeros(self.points.shape[1]), logits=logits,
                    bandwidth=self._half / 2,
                )  # fmt: skip
        error = sums.error + np.where(sums.total > 0, np.finfo(np.float64).eps * roundings, np.inf)
        return sums._replace(shift=shift, error=error)


class MappedSum(KernelSum):
    """The sums of a cost by a kernel sum over mapped points.

    Args:
        keys: the mapped points.
        made: a kernel sum over them.
        points: the keys y_j, shape (N, D), as they are given.
    """

    def __init__(self, keys: MappedKeys, made: Any, *, points: np.ndarray) -> None:
        self.points = points
        self._mapped = keys
        self._made = made

    @property
    def method(self) -> str:
        return self._made.method

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        return self._mapped.finished(self._made.of_rows(values, self._images(rows)), rows)

    def matrix(self, rows: Rows) -> RowSums:
        """Return the sums of the values v = I, weighted (Q, N), as `DenseSum`."""
        return self._mapped.finished(self._made.matrix(self._images(rows)), rows)

    def _images(self, rows: Rows) -> Rows:
        return rows._replace(points=self._mapped.of(rows.points))
