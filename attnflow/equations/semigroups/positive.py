r"""The semigroup of a jump process, positive term by term.

A generator of jumps has rates q_ij >= 0 between places and rows that sum to zero. With q above every total rate,

    e^{tQ} = sum_k e^{-qt} (qt)^k / k! (1 + Q/q)^k

has only terms >= 0 [Jensen]: what is positive stays so, constants stay, no relative entropy rises.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from scipy.sparse import coo_array, csr_array

from attnflow.equations.semigroups.rational_krylov import Propagated
from attnflow.errors import ConvergenceError

_MARGIN = 1.05  # of q above the largest total rate: rounding then makes nothing negative
_LEAST = 1e-18  # of the largest Poisson weight: less is left out
_MOST = 2_000_000_000  # products times places: some 20 s
_DENSE = 512  # places up to which a matrix is squared instead, where that is less work


class Jumps:
    """The generator Q of a process that jumps along edges between K places.

    It is kept as rates and differences, Q = W B with (B f)_e = f_head - f_tail: Q 1 = 0 and the mass of Q'r hold in
    floating point, term by term.

    Args:
        size: K.
        tails: where each edge begins, (E,).
        heads: where it ends, (E,).
        forward: rates from tail to head, (E,), at least 0.
        backward: rates from head to tail, (E,), at least 0.

    Example:
        >>> import numpy as np
        >>> tail, head, rate, back = np.array([0]), np.array([1]), np.array([3.0]), np.array([1.0])
        >>> Jumps(2, tails=tail, heads=head, forward=rate, backward=back).matrix.toarray()
        array([[-3.,  3.],
               [ 1., -1.]])
    """

    def __init__(
        self, size: int, *, tails: np.ndarray, heads: np.ndarray, forward: np.ndarray, backward: np.ndarray
    ) -> None:
        edges = np.tile(np.arange(len(tails)), 2)
        ends = np.concatenate([heads, tails])
        starts = np.concatenate([tails, heads])
        signs = np.repeat([1.0, -1.0], len(tails))
        self.differences = coo_array((signs, (edges, ends)), shape=(len(tails), size)).tocsr()
        self.rates = coo_array(
            (signs * np.concatenate([forward, backward]), (starts, edges)), shape=(size, len(tails))
        ).tocsr()

    @property
    def size(self) -> int:
        """K."""
        return self.differences.shape[1]

    @functools.cached_property
    def matrix(self) -> csr_array:
        """Q, (K, K)."""
        return csr_array(self.rates @ self.differences)

    @functools.cached_property
    def fastest(self) -> float:
        """The largest rate at which a place is left."""
        return float(-self.matrix.diagonal().min())

    def propagate(self, initial: np.ndarray, *, times: np.ndarray, adjoint: bool = False) -> Propagated:
        """Return e^{tQ} f, or e^{tQ'} r, at each time, with a bound of its rounding.

        Args:
            initial: f, or the masses r of the places, (K, c).
            times: t >= 0 in any order, (T,).
            adjoint: transpose Q.

        Raises:
            ConvergenceError: if there are too many jumps.
        """
        products = _MARGIN * self.fastest * float(times.max())
        error = 4 * np.finfo(float).eps * (1 + math.sqrt(products)) * float(np.abs(initial).max())
        if self.size <= _DENSE and products > 2 * self.size:
            maps = [_squared(self, time) for time in times]
            return Propagated(np.stack([(each.T if adjoint else each) @ initial for each in maps]), error)
        if products * self.size > _MOST:
            raise ConvergenceError(
                f"some of {self.size} places is left {products:.3g} times, {_MOST / self.size:.3g} are affordable. Use "
                "fewer cells, or shorter times."
            )
        return Propagated(_uniformised(self, initial, times, adjoint=adjoint), error)


def _uniformised(jumps: Jumps, initial: np.ndarray, times: np.ndarray, *, adjoint: bool) -> np.ndarray:
    """Return the states (T, K, c) as sums of (1 + Q/q)^k u in the weights of Poisson."""
    pace = max(_MARGIN * jumps.fastest, 1e-300)
    rates, differences = csr_array(jumps.rates / pace), jumps.differences
    first, second = (csr_array(rates.T), csr_array(differences.T)) if adjoint else (differences, rates)
    tables = [poisson(pace * time) for time in times]
    states = np.zeros((len(times), *initial.shape))
    state = initial.astype(float)
    for k in range(max(start + len(weights) for start, weights in tables)):
        if k:
            state = state + second @ (first @ state)
        for place, (start, weights) in enumerate(tables):
            if start <= k < start + len(weights):
                states[place] += weights[k - start] * state
    return states


def _squared(jumps: Jumps, time: float) -> np.ndarray:
    """Return e^{tQ} as a matrix of probabilities, squared from a time at which a place is left once at most."""
    count = max(0, math.ceil(math.log2(max(_MARGIN * jumps.fastest * time, 1e-300))))
    step = jumps.matrix.toarray() * (time / 2**count)  # of norm 1 at most
    once = np.eye(jumps.size) + step
    probabilities = np.zeros_like(once)
    for weight in poisson(1.0)[1][::-1]:  # e^{step} = sum_k e^{-1} / k! (1 + step)^k
        probabilities = probabilities @ once + weight * np.eye(jumps.size)
    for _ in range(count):
        probabilities = probabilities @ probabilities
        probabilities /= probabilities.sum(axis=1, keepdims=True)  # lest what rows lack doubles each time
    return probabilities


def poisson(mean: float) -> tuple[int, np.ndarray]:
    """Return the first k and the weights of Poisson from there on, less than 1e-18 of the largest left out.

    By ratios from the largest: differences of logarithms would lose digits with the mean.

    Example:
        >>> start, weights = poisson(0.5)
        >>> start, round(float(weights[0]), 6)  # e^{-1/2}
        (0, 0.606531)
    """
    mode = int(mean)
    reach = 10 + int(10 * math.sqrt(mean))  # at 9 deviations a weight is 1e-18 of the largest
    up = np.cumprod(mean / np.arange(mode + 1, mode + reach + 1))
    down = np.cumprod(np.arange(mode, max(mode - reach, 0), -1) / max(mean, 1e-300))
    weights = np.concatenate([down[::-1], [1.0], up])
    kept = np.flatnonzero(weights > _LEAST)
    weights = weights[kept[0] : kept[-1] + 1]
    return mode - len(down) + int(kept[0]), weights / weights.sum()
