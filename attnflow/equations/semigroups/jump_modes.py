"""The slowest modes of a process of jumps."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from scipy.sparse import csc_array, csr_array, diags_array
from scipy.sparse.linalg import eigs, eigsh

_DENSE = 600  # cells up to which all eigenvalues are found
_SHIFT = 1e-8  # below 0, relative to the fastest rate: there eigenvalues are sought


def balanced_modes(matrix: csr_array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest eigenvalues of -Q in detailed balance, by the symmetric matrix sqrt(q_ij q_ji)."""
    diagonal = diags_array(matrix.diagonal())
    jumps = csr_array(matrix - diagonal)
    symmetric = csc_array(-diagonal - jumps.multiply(jumps.T).sqrt())
    if matrix.shape[0] <= _DENSE:
        return scipy.linalg.eigh(symmetric.toarray(), subset_by_index=(0, count - 1))
    shift = -_SHIFT * float(symmetric.diagonal().max())
    start = np.random.default_rng(0).normal(size=matrix.shape[0])
    values, vectors = eigsh(symmetric, count, sigma=shift, v0=start)
    order = np.argsort(values)
    return values[order], vectors[:, order]


def general_modes(matrix: csr_array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the eigenvalues of -Q with the smallest real parts, and eigenvectors, complex."""
    if matrix.shape[0] <= _DENSE:
        values, vectors = scipy.linalg.eig(-matrix.toarray())
    else:
        start = np.random.default_rng(0).normal(size=matrix.shape[0])
        shift = _SHIFT * float(matrix.diagonal().min())
        values, vectors = eigs(csc_array(-matrix), count, sigma=shift, v0=start)
    order = np.argsort(values.real, kind="stable")[:count]
    return values[order], vectors[:, order]
