"""The semigroup e^{tA} of a matrix at many times, its slowest modes and its stationary law."""

from __future__ import annotations

import functools
import math
from contextlib import AbstractContextManager

import numpy as np
import scipy.linalg
from threadpoolctl import ThreadpoolController

from attnflow.errors import ConfigError

_KEPT = 8  # exponentials kept for the next initial value
_REAL = 1e-6  # imaginary parts below this, relative to the largest eigenvalue asked, are rounding


class Semigroup:
    """The maps e^{tA}, t >= 0, by scaling and squaring [AMH], on one BLAS thread.

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

    def propagate(self, initial: np.ndarray, *, times: np.ndarray, adjoint: bool = False) -> np.ndarray:
        """Return e^{tA} u, or e^{tA'} u, at each time.

        Args:
            initial: u, shape (K, c).
            times: t >= 0 in any order, shape (T,).
            adjoint: transpose A.

        Returns:
            Shape (T, K, c).
        """
        distinct, place = np.unique(times, return_inverse=True)
        states = []
        state, reached = initial, 0.0
        digits = 14 - math.ceil(math.log10(max(distinct[-1], 1e-300)))
        with one_blas_thread():
            for time in distinct.tolist():  # Python's round, unlike NumPy's, takes any number of digits
                # Rounded so that equally spaced times share one exponential; what rounding leaves is not accumulated.
                step = round(time - reached, digits)
                reached += step
                if step > 0:
                    exponential = self._exponential(step)
                    state = (exponential.T if adjoint else exponential) @ state
                states.append(state)
        return np.stack(states)[place]

    def _exponential(self, step: float) -> np.ndarray:
        if step not in self._exponentials:
            self._exponentials[step] = scipy.linalg.expm(step * self.matrix)
            if len(self._exponentials) > _KEPT:
                del self._exponentials[next(iter(self._exponentials))]
        return self._exponentials[step]


def one_blas_thread() -> AbstractContextManager:
    """Hold BLAS to one thread: on a busy machine two made dense linear algebra up to 80 times slower."""
    return _controller().limit(limits=1, user_api="blas")


@functools.cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def slowest_modes(matrix: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return eigenvalues (count,) of -A with the smallest real parts, rising, and eigenvectors (K, count).

    They are complex where they are. The first column of A must be zero: it makes the first eigenvalue exactly 0 and its
    eigenvector the first unit vector; they are split off.
    """
    top, block = matrix[0, 1:], matrix[1:, 1:]
    with one_blas_thread():
        values, vectors = scipy.linalg.eig(-block)
    order = np.argsort(values.real, kind="stable")[: count - 1]
    values, vectors = values[order], vectors[:, order]
    upper = -(top @ vectors) / values
    return np.append(0.0, values), np.hstack([np.eye(len(matrix), 1), np.vstack([upper, vectors])])


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
