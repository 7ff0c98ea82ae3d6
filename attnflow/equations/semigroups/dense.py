"""The semigroup e^{tA} of a matrix at many times, its slowest modes and its stationary law."""

from __future__ import annotations

import functools
import math
from contextlib import AbstractContextManager
from fractions import Fraction
from typing import NamedTuple

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController

from attnflow.errors import ConfigError

_KEPT = 8  # exponentials kept for the next initial value
_CLUSTER = 1e-6  # relative distance below which eigenvalues are treated together
_REAL = 1e-6  # imaginary parts below this, relative to the largest eigenvalue asked, are rounding
_SMALL = 4.25  # |A| up to which the Pade approximant of degree 13 is exact to round-off [AMH]
_PADE = (
    *[64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0],
    *[10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0, 1.0],
)
_LAST = 10  # squarings, which magnify rounding relative to the fastest mode by 2^10, to about 1e-13
_SAME_TIME = 4 * np.finfo(float).eps  # relative distance of two times that were meant to be the same
_RUNG = 3  # squarings between two times of a ladder, which are then apart by a factor of 8


class Ladder(NamedTuple):
    """The maps e^{tA} at t = step / 8^j, falling."""

    times: list[float]
    exponentials: list[np.ndarray]


class Semigroup:
    """The maps e^{tA}, t >= 0, by scaling and squaring [AMH].

    What is squared first is F = e^{tA} - 1, by F <- 2 F + F^2: there the rounding of a slow mode is relative to its own
    rate, where that of e^{tA} is relative to the fastest. (Rates of 1e-6 among 1e3: 1e-9 instead of 4e-8 at t = 1e6.)
    The last ten squarings are those of e^{tA}, where fast modes that have decayed keep their digits.

    Args:
        matrix: A, shape (K, K).

    Example:
        >>> import numpy as np
        >>> decay = Semigroup(np.array([[-1.0]]))
        >>> bool(np.allclose(decay.propagate(np.ones((1, 1)), times=np.array([0.0, 1.0]))[:, 0, 0], [1, np.exp(-1)]))
        True
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.matrix = matrix
        self._exponentials: dict[float, np.ndarray] = {}
        self._ladder: Ladder | None = None

    def propagate(self, initial: np.ndarray, *, times: np.ndarray, adjoint: bool = False) -> np.ndarray:
        """Return e^{tA} u, or e^{tA'} u, at each time.

        Args:
            initial: u, shape (K, c).
            times: t >= 0 in any order, shape (T,).
            adjoint: transpose A.

        Returns:
            Shape (T, K, c).
        """
        steps, place = steps_between(times)
        states = []
        state = initial
        for step in steps:
            if step > 0:
                exponential = self._exponential(step)
                state = (exponential.T if adjoint else exponential) @ state
            states.append(state)
        return np.stack(states)[place]

    def follow(
        self, initial: np.ndarray, *, watched: int, times: np.ndarray, adjoint: bool = False
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `propagate` does of all columns, and what `ladder` does of the first ones."""
        states = self.propagate(initial, times=times, adjoint=adjoint)
        return states, *self.ladder(initial[:, :watched], times=times, adjoint=adjoint)

    def ladder(self, initial: np.ndarray, *, times: np.ndarray, adjoint: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return times (L,), falling, and e^{tA} u (L, K, c) at them, or e^{tA'} u.

        They reach from the longest step between the times asked down to the fastest scale of A.
        """
        step = max(steps_between(times)[0])
        if step == 0:
            return np.zeros(0), np.zeros((0, *initial.shape))
        if self._ladder is None or self._ladder.times[0] != step:
            self._ladder = _climb(self.matrix, step)
        states = [(exponential.T if adjoint else exponential) @ initial for exponential in self._ladder.exponentials]
        return np.array(self._ladder.times), np.stack(states)

    def _exponential(self, step: float) -> np.ndarray:
        if step not in self._exponentials:
            ladder = _climb(self.matrix, step)
            self._exponentials[step] = ladder.exponentials[0]
            if self._ladder is None or step > self._ladder.times[0] or len(self._exponentials) == 1:
                self._ladder = ladder
            if len(self._exponentials) > _KEPT:
                del self._exponentials[next(iter(self._exponentials))]
        return self._exponentials[step]


def steps_between(times: np.ndarray) -> tuple[list[float], np.ndarray]:
    """Return the steps from one distinct time to the next, beginning at 0, and the place of each time among them.

    A step that equals an earlier one but for the rounding of its time is that one, so that equally spaced times share
    one exponential. No time is reached with more than its own rounding, however late the last one is.
    """
    distinct, place = np.unique(times, return_inverse=True)
    steps: list[float] = []
    reached = Fraction(0)  # exact, so that what rounding leaves is not accumulated
    for time in distinct.tolist():
        step = float(Fraction(time) - reached)
        steps.append(next((old for old in steps if abs(step - old) <= _SAME_TIME * time), step))
        reached += Fraction(steps[-1])
    return steps, place


def _climb(matrix: np.ndarray, step: float) -> Ladder:
    """Return e^{tA} at t = step, and at some of the times from which it is squared."""
    squarings = max(0, math.ceil(math.log2(max(step * float(np.linalg.norm(matrix, 1)) / _SMALL, 1e-300))))
    change = exponential_change(matrix * (step / 2**squarings))
    one = np.eye(len(matrix))
    rungs = []
    for left in range(squarings, _LAST, -1):
        if left % _RUNG == 0:
            rungs.append((step / 2**left, one + change))
        change = 2 * change + change @ change
    exponential = one + change
    for left in range(min(squarings, _LAST), -1, -1):
        if left % _RUNG == 0:
            rungs.append((step / 2**left, exponential))
        if left:
            exponential = exponential @ exponential
    times, exponentials = zip(*reversed(rungs), strict=True)
    return Ladder(list(times), list(exponentials))


def exponential_change(matrix: np.ndarray) -> np.ndarray:
    """Return e^A - 1 for |A|_1 up to about 4, by the Pade approximant of degree 13 [AMH]."""
    b = _PADE
    one = np.eye(len(matrix))
    square = matrix @ matrix
    fourth = square @ square
    sixth = fourth @ square
    odd = matrix @ (
        sixth @ (b[13] * sixth + b[11] * fourth + b[9] * square)
        + b[7] * sixth
        + b[5] * fourth
        + b[3] * square
        + b[1] * one
    )
    even = (
        sixth @ (b[12] * sixth + b[10] * fourth + b[8] * square)
        + b[6] * sixth
        + b[4] * fourth
        + b[2] * square
        + b[0] * one
    )
    return scipy.linalg.solve(even - odd, 2 * odd)


def one_blas_thread() -> AbstractContextManager:
    """Hold BLAS to one thread: on a busy machine two made dense linear algebra up to 80 times slower."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


class Modes(NamedTuple):
    """Eigenvalues of -A.

    Attributes:
        values: (count,).
        vectors: eigenvectors, (K, count).
        conditions: how much an eigenvalue moves per norm of a perturbation of A, (count,).
        rounding: bounds on the rounding of the eigenvalues, (count,).
    """

    values: np.ndarray
    vectors: np.ndarray
    conditions: np.ndarray
    rounding: np.ndarray


def slowest_modes(matrix: np.ndarray, count: int) -> Modes:
    """Return the modes of -A with the smallest real parts, rising.

    They are complex where they are. The first column of A must be zero: it makes the first eigenvalue exactly 0 and its
    eigenvector the first unit vector; they are split off.
    """
    top, block = matrix[0, 1:], -matrix[1:, 1:]
    values, left, vectors = scipy.linalg.eig(block, left=True)
    order = np.argsort(values.real, kind="stable")
    values, left, vectors = values[order], left[:, order], vectors[:, order]
    gaps = np.diff(values.real) > _CLUSTER * np.abs(values[1:])
    starts = np.concatenate([[0], np.flatnonzero(gaps) + 1])
    conditions, rounding = np.zeros(len(values)), np.zeros(len(values))
    for start, end in zip(starts[starts < count - 1], [*starts[1:], len(values)], strict=False):
        cluster = slice(start, end)
        found = _refine_cluster(block, values[cluster], left[:, cluster], vectors[:, cluster])
        values[cluster], conditions[cluster], rounding[cluster] = found
    kept = slice(count - 1)
    upper = -(top @ vectors[:, kept]) / values[kept]
    return Modes(
        np.append(0.0, values[kept]),
        np.hstack([np.eye(len(matrix), 1), np.vstack([upper, vectors[:, kept]])]),
        np.append(0.0, conditions[kept]),
        np.append(0.0, rounding[kept]),
    )


def _refine_cluster(
    block: np.ndarray, values: np.ndarray, left: np.ndarray, right: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Return eigenvalues of a cluster by Rayleigh quotients, their condition and a bound on their rounding.

    With D'R = 1 the eigenvalues are those of D'BR, exact to second order in the errors of R and D; what is left is the
    rounding of B, relative to its entries. (The QR algorithm errs by eps |B|: for p ~ exp(50 cos) by 4e-7 of 148, the
    quotients by 4e-8.)
    """
    if np.abs(values.imag).max() > _REAL * np.abs(values).max():
        pairing = np.abs(np.sum(left.conj() * right, axis=0)).min()
        return values, 1 / pairing, float(np.finfo(float).eps * np.linalg.norm(block) / pairing)
    basis, _ = np.linalg.qr(np.where(values.imag < 0, right.imag, right.real))
    dual = np.where(values.imag < 0, left.imag, left.real).T
    dual = np.linalg.solve(dual @ basis, dual)
    refined = np.sort(np.linalg.eigvals(dual @ (block @ basis)).real)
    condition = float(np.linalg.norm(dual))
    # An entry that is small by cancellation is rounded as its column is on average: on the line most are zero.
    typical = np.linalg.norm(block, axis=0) / np.sqrt(len(block))
    relative = 4 * np.sqrt(np.sum(dual**2 @ block**2 @ basis**2))
    rounding = np.finfo(float).eps * max(relative, condition * np.linalg.norm(typical[:, None] * basis))
    return refined + 1j * values.imag, condition, float(rounding)


def real_modes(values: np.ndarray, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the same modes in real numbers.

    Raises:
        ConfigError: if an eigenvalue is complex by more than rounding, as it can be where L is not reversible.
    """
    worst = values[np.argmax(np.abs(values.imag))]
    if abs(worst.imag) > _REAL * np.abs(values).max():
        raise ConfigError(
            f"L is not reversible: -L has the complex eigenvalue {worst:.6g}. Use evolve instead, or a symmetric "
            "pseudo-metric, whose spectrum is real."
        )
    # Rounding turns a double eigenvalue into a conjugate pair; real and imaginary part span its eigenspace.
    return values.real, np.where(values.imag < 0, vectors.imag, vectors.real)


def stationary_moments(matrix: np.ndarray) -> np.ndarray:
    """Return the moments c (K,) with A'c = 0, c_0 = 1, for A whose first column is zero."""
    with one_blas_thread():
        return np.append(1.0, np.linalg.solve(matrix[1:, 1:].T, -matrix[0, 1:]))
