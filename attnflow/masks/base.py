"""What a mask must offer: for every query a range of keys, or a list of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from attnflow._tracing import Traceable


class Ranges(NamedTuple):
    """Of every query i the keys first_i, ..., last_i, by position; none where last_i < first_i."""

    first: np.ndarray
    last: np.ndarray

    def lists(self, rows: np.ndarray) -> Lists:
        """Return the keys of some queries as lists."""
        counts = np.maximum(self.last[rows] - self.first[rows] + 1, 0)
        ends = np.concatenate([[0], np.cumsum(counts)])
        return Lists(ends, np.arange(ends[-1]) - np.repeat(ends[:-1] - self.first[rows], counts))


class Lists(NamedTuple):
    """Of every query i the keys `keys[ends[i]:ends[i + 1]]`, by position; `ends` has one entry more than queries."""

    ends: np.ndarray
    keys: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """How many keys each query has, (Q,)."""
        return np.diff(self.ends)

    def take(self, rows: np.ndarray) -> Lists:
        """Return the lists of some queries."""
        counts = self.counts[rows]
        ends = np.concatenate([[0], np.cumsum(counts)])
        return Lists(ends, self.keys[np.arange(ends[-1]) + np.repeat(self.ends[rows] - ends[:-1], counts)])


class Mask(Traceable, ABC):
    """Which keys of a sample a query attends to: all others have no weight.

    A mask is of samples. Infinitely many keys have neither positions nor k nearest ones, so that a population and a
    limit refuse it.

    Attributes:
        is_symmetric: whether j is a key of i where i is one of j, which a spectrum needs.
        is_by_position: whether positions in the sample decide, so that queries are as many as keys, each at the place
            of one.

    Example:
        >>> import numpy as np, attnflow as af
        >>> from attnflow.masks.base import Ranges
        >>> class Blocks(af.Mask):  # sixteen tokens at a time see one another
        ...     is_symmetric = True
        ...
        ...     def ranges(self, count):
        ...         first = np.arange(count) // 16 * 16
        ...         return Ranges(first, np.minimum(first + 15, count - 1))
        ...
        ...     def lists(self, count, nearest):
        ...         return self.ranges(count).lists(np.arange(count))
        >>> blocks = af.Attention(af.DotProduct(), bandwidth=1.0, mask=Blocks())
    """

    is_symmetric: bool = False
    is_by_position: bool = True

    def ranges(self, count: int) -> Ranges | None:
        """Return the ranges of keys of a sample of so many points, where they are ranges: no pair is then listed."""
        return None

    @abstractmethod
    def lists(self, count: int, nearest: Callable[[int], Lists]) -> Lists:
        """Return the lists of keys of the queries.

        Args:
            count: how many points the sample has.
            nearest: from k to the lists of the k keys of least cost for each query.
        """
