"""What every kernel sum takes and gives: rows to be summed, and their sums with the error that is promised."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from typing import NamedTuple

import jax
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import ConfigError


class Rows(NamedTuple):
    """Some of all queries.

    Args:
        points: x_i, (Q, D).
        own: where the self-term is left out, the place (Q,) of each among the keys.
        numbers: which of all queries they are, (Q,); None for all of them in order.
    """

    points: np.ndarray
    own: np.ndarray | None
    numbers: np.ndarray | None = None

    def take(self, rows: slice | np.ndarray) -> Rows:
        numbers = np.arange(*rows.indices(len(self.points))) if isinstance(rows, slice) else rows
        numbers = numbers if self.numbers is None else self.numbers[rows]
        return Rows(self.points[rows], None if self.own is None else self.own[rows], numbers)


class RowSums(NamedTuple):
    """Sums of rows scaled by exp(-shift), so that they neither overflow nor underflow.

    Args:
        shift: s_i, shape (Q,).
        total: sum_j w_j exp(logit_ij - s_i), shape (Q,).
        weighted: sum_j w_j exp(logit_ij - s_i) v_j, shape (Q, c).
        error: a bound on the error of each average weighted / total, relative to max |v|, shape (Q,); infinite for a
            row that the method cannot sum.
    """

    shift: np.ndarray
    total: np.ndarray
    weighted: np.ndarray
    error: np.ndarray

    def put(self, rows: np.ndarray, part: RowSums) -> RowSums:
        """Return these sums with those of some rows replaced."""
        merged = RowSums(*(array.copy() for array in self))
        for whole, piece in zip(merged, part, strict=True):
            whole[rows] = piece
        return merged


class KernelSum(ABC):
    """The sums sum_j w_j exp(logit_ij - s_i) [1, v_j], logit = -D(x_i, y_j) / (2 eps), for any values v.

    Attributes:
        points: the keys y_j, shape (N, D).
    """

    points: np.ndarray

    @property
    @abstractmethod
    def method(self) -> str:
        """The name of the method: "dense", "cutoff", "fourier" or "gpu"."""

    def __call__(self, values: np.ndarray, queries: np.ndarray | None = None, *, exclude_self: bool = False) -> RowSums:
        """Return the sums at the queries.

        Args:
            values: v_j, shape (N, c); c = 0 gives the totals alone.
            queries: x_i, shape (Q, D); None for the points themselves.
            exclude_self: leave out j = i; only where the queries are the points themselves.

        Raises:
            ConfigError: if queries are given and are to leave themselves out.
        """
        if exclude_self and queries is not None:
            raise ConfigError("`exclude_self` has no meaning at given `queries`. Leave one of them out.")
        own = self._own_places if exclude_self else None
        # Of known numbers, also while JAX traces others; distant keys underflow.
        with jax.core.eval_context(), np.errstate(under="ignore"):
            return self.of_rows(values, Rows(self.points if queries is None else queries, own))

    def _check_gaussian(self, attention: Attention) -> None:
        """Raise ConfigError for a kernel of which this method knows nothing."""
        if not attention.is_gaussian:
            name = type(attention.pseudometric).__name__
            raise ConfigError(
                f'`method` = "{self.method}" needs the cost SquaredDistance(), or one that is such of mapped points, '
                f'got {name}. Pass method="dense".'
            )

    @functools.cached_property
    def _own_places(self) -> np.ndarray:
        """One array for all layers: what is prepared for it is kept."""
        return np.arange(len(self.points))

    @abstractmethod
    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        """Return the sums of some rows, each with the place of its self-term among the keys; raise as a call does."""
