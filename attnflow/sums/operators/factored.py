"""The largest eigenvalues of a symmetric matrix; of a positive one whose rows are nearly alike by few of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg

LEAST_ROWS = 128  # a matrix of fewer has its eigenvectors in a millisecond
MOST = 1 / 4  # of the rows: a factor of so many takes a quarter of the time of the whole
HOPELESS = 1 / 8  # of the trace: where more is left after a quarter of the columns, decay is too slow


class MatrixPairs(NamedTuple):
    """The k largest eigenvalues of a matrix, rising, orthonormal eigenvectors (n, k), and a bound on what is left out.

    Args:
        eigenvalues: shape (k,).
        vectors: shape (n, k).
        error: by which all eigenvalues may be too small, besides rounding.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    error: float


def largest_of_matrix(matrix: np.ndarray, *, k: int, is_positive: bool) -> MatrixPairs:
    """Return the k largest eigenvalues of a symmetric matrix (n, n), which is overwritten.

    A positive one is L L^T + R with R positive, L (n, r) its Cholesky factor with pivots [HPS]; with
    L = Q T, Q orthonormal, eigenvectors are Q times those of T T^T. Eigenvalues differ by |R| <= tr R at most, which is
    rounding of n additions.

    Args:
        matrix: symmetric.
        k: how many.
        is_positive: whether no eigenvalue is negative, but for rounding.
    """
    n = len(matrix)
    if is_positive and n >= LEAST_ROWS:
        factor, left = _factor(matrix, most=int(MOST * n), tolerance=n * np.finfo(np.float64).eps / 4)
        if factor is not None and factor.shape[1] >= k:
            basis, triangle = scipy.linalg.qr(factor, mode="economic", overwrite_a=True, check_finite=False)
            values, inner = _largest(triangle @ triangle.T, k)
            return MatrixPairs(values, basis @ inner, left)
    return MatrixPairs(*_largest(matrix, k), 0.0)


def _largest(matrix: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(matrix)
    return scipy.linalg.eigh(matrix, subset_by_index=[n - k, n - 1], overwrite_a=True)


def _factor(matrix: np.ndarray, *, most: int, tolerance: float) -> tuple[np.ndarray | None, float]:
    """Return L (n, r) and the trace of what it leaves, or None where more than `most` columns are needed."""
    left = matrix.diagonal().copy()  # of the matrix without what the rows at hand hold
    whole = left.sum()
    rows = np.empty((most, len(matrix)))
    for r in range(most):
        pivot = int(np.argmax(left))
        rows[r] = (matrix[pivot] - rows[:r, pivot] @ rows[:r]) / np.sqrt(left[pivot])
        left -= rows[r] ** 2
        trace = float(np.maximum(left, 0.0).sum())
        if trace <= tolerance:
            return rows[: r + 1].T, trace
        if r == most // 4 and trace > HOPELESS * whole:
            break
    return None, trace
