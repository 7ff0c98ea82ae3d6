"""The semigroup e^{tA} of an operator that is only applied, by Krylov spaces with a residual check."""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
import scipy.linalg

from attnflow.equations.semigroups.dense import steps_between

_SIZES = (24, 48, 80, 120, 160)  # of Krylov spaces, at which it is seen how far they reach
_RESIDUAL = 2e-15  # of the norm of a column: what its steps leave of d_t u - A u, over the whole way
_INVARIANT = 8 * np.finfo(float).eps  # of an image: what is left of it outside a space by rounding
_RUNG = 8.0  # between two times of a ladder
_HALVINGS = 40  # of a way, at most, to its first step


class Operator(Protocol):
    """A linear map that can be applied to columns (K, c).

    Attributes:
        sizes: bounds on the norms of its columns, (K,).
        norm: the largest of them.
    """

    norm: float
    sizes: np.ndarray

    def apply(self, columns: np.ndarray, *, adjoint: bool) -> np.ndarray:
        """Return A u, or A'u, (K, c)."""


class KrylovSemigroup:
    """The maps e^{tA}, t >= 0, of a large operator [Saad92, Sidje98].

    In the span of u, Au, ..., A^m u the operator is a small matrix H, and V e^{tH} V'u solves d_t v = A v - r with
    r(t) = h |(e^{tH})_{m1}| |u|, h the entry of H below its last. A step is taken as far as the integral of r is no
    more than its share of the tolerance; then a new space is begun.

    Args:
        operator: A.
    """

    def __init__(self, operator: Operator) -> None:
        self.operator = operator

    def propagate(self, initial: np.ndarray, *, times: np.ndarray, adjoint: bool = False) -> np.ndarray:
        """Return e^{tA} u, or e^{tA'} u, at each time, (T, K, c), from u (K, c) and t >= 0 (T,) in any order."""
        distinct, place = np.unique(times, return_inverse=True)
        return self._march(initial, distinct, adjoint=adjoint)[place]

    def follow(
        self, initial: np.ndarray, *, watched: int, times: np.ndarray, adjoint: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the states (T, K, c) at each time, and at others (L,) those of the first columns, (L, K, watched).

        The others fall from the longest step between the times asked, as those of a matrix do with which they are
        compared, down to the fastest scale of A.
        """
        step = max(steps_between(times)[0])
        count = max(1, math.ceil(math.log(max(step * self.operator.norm, 1.0), _RUNG))) if step > 0 else 0
        rungs = step / _RUNG ** np.arange(count)
        states = self.propagate(initial, times=np.concatenate([times, rungs]), adjoint=adjoint)
        return states[: len(times)], rungs, states[len(times) :, :, :watched]

    def _march(self, state: np.ndarray, times: np.ndarray, *, adjoint: bool) -> np.ndarray:
        """Return the states at rising times."""
        states = np.empty((len(times), *state.shape))
        reached, done = 0.0, int(np.searchsorted(times, 0.0, side="right"))
        states[:done] = state
        allowed = _RESIDUAL * np.maximum(np.linalg.norm(state, axis=0), np.finfo(float).tiny)
        while done < len(times):
            space = _Space(self.operator, state, adjoint=adjoint)
            step = space.reach(times[-1] - reached, allowed / times[-1])
            while done < len(times) and times[done] <= reached + step * (1 + 1e-14):
                states[done] = space.at(times[done] - reached)
                done += 1
            if done < len(times):
                state = space.at(step)
                reached += step
        return states


class _Space:
    """The Krylov spaces of several columns, side by side."""

    def __init__(self, operator: Operator, columns: np.ndarray, *, adjoint: bool) -> None:
        self._operator, self._adjoint = operator, adjoint
        self._norms = np.linalg.norm(columns, axis=0)
        first = columns / np.maximum(self._norms, np.finfo(float).tiny)
        count, columns_in_all = columns.shape
        self._vectors = np.empty((columns_in_all, _SIZES[-1] + 1, count))
        self._vectors[:, 0] = first.T
        self._matrix = np.zeros((columns_in_all, _SIZES[-1] + 1, _SIZES[-1]))
        self._size = 0

    def reach(self, time: float, rates: np.ndarray) -> float:
        """Return how far a step may go, up to a time, with an error per time of `rates` (c,)."""
        step = 0.0
        for size in _SIZES:
            self._extend(size)
            step = min(self._reach_of(column, time, rate) for column, rate in enumerate(rates.tolist()))
            if step == time:
                break
        return step

    def at(self, time: float) -> np.ndarray:
        """Return the states (K, c) after a step."""
        states = []
        for column, norm in enumerate(self._norms):
            small = self._matrix[column, : self._size, : self._size]
            factors = scipy.linalg.expm(time * small)[:, 0] * norm
            states.append(factors @ self._vectors[column, : self._size])
        return np.stack(states, axis=1)

    def _extend(self, size: int) -> None:
        for j in range(self._size, size):
            images = self._operator.apply(self._vectors[:, j].T, adjoint=self._adjoint).T
            for column, image in enumerate(images):
                known = self._vectors[column, : j + 1]
                whole = float(np.linalg.norm(image))
                for _ in range(2):  # once is not enough
                    overlaps = known @ image
                    self._matrix[column, : j + 1, j] += overlaps
                    image -= overlaps @ known
                length = float(np.linalg.norm(image))
                is_new = length > _INVARIANT * whole  # if it is rounding alone, the space holds all that follows
                self._matrix[column, j + 1, j] = length if is_new else 0.0
                self._vectors[column, j + 1] = image / length if is_new else 0.0
        self._size = size

    def _reach_of(self, column: int, time: float, rate: float) -> float:
        """Return the longest of time / 2^k at which the residual of one column is small."""
        size, norm = self._size, float(self._norms[column])
        if norm == 0:
            return time
        # The last row integrates the residual.
        small = np.zeros((size + 1, size + 1))
        small[:, :size] = self._matrix[column, : size + 1, :size]
        extent = time * float(np.abs(small).sum(axis=0).max())
        halvings = min(_HALVINGS, math.ceil(math.log2(max(extent, 1.0))))
        exponential = scipy.linalg.expm(small * (time / 2**halvings))
        step = time / 2**halvings
        rest = small[size, size - 1]
        for left in range(halvings, -1, -1):
            residual = norm * max(abs(exponential[size, 0]), time / 2**left * abs(rest * exponential[size - 1, 0]))
            if residual > rate * time / 2**left and left < halvings:
                break
            step = time / 2**left
            exponential = exponential @ exponential
        return step
