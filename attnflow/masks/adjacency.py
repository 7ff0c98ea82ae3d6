"""Graph attention's mask: the neighbours of a vertex."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse

from attnflow._values import freeze, static, value
from attnflow.errors import DataError
from attnflow.masks.base import Lists, Mask


@value
class Adjacency(Mask):
    """The keys j of the query i with a nonzero entry (i, j) of a matrix; only whether it is zero counts.

    Args:
        matrix: (N, N), of scipy.sparse or an array. Give a vertex a loop where it is to attend to itself.

    Raises:
        DataError: if the matrix is not square or not of numbers.

    Example:
        >>> import scipy.sparse, attnflow as af
        >>> ring = scipy.sparse.diags_array([1.0, 1.0, 1.0], offsets=[-1, 0, 1], shape=(100, 100))
        >>> graph = af.Attention(af.DotProduct(), bandwidth=1.0, mask=af.Adjacency(ring))
    """

    matrix: scipy.sparse.csr_array = static()

    def __init__(self, matrix: object) -> None:
        given: Any = matrix if scipy.sparse.issparse(matrix) else np.asarray(matrix)
        shape = given.shape
        if given.dtype.kind not in "biuf" or len(shape) != 2 or shape[0] != shape[1] or not shape[0]:
            raise DataError(
                f"`matrix` must be a square matrix of numbers or truth values, got shape {shape} of {given.dtype}. "
                "Pass one row per query and one column per key."
            )
        entries = scipy.sparse.csr_array(given != 0)
        entries.sum_duplicates()
        entries.eliminate_zeros()
        entries.sort_indices()
        freeze(self, matrix=entries)

    def __repr__(self) -> str:
        return f"Adjacency({self.matrix.nnz} pairs of {self.matrix.shape[0]} points)"

    @property
    def is_symmetric(self) -> bool:  # type: ignore[override]
        different: Any = self.matrix != self.matrix.T
        return different.nnz == 0

    def lists(self, count: int, nearest: Callable[[int], Lists]) -> Lists:
        if self.matrix.shape[0] != count:
            raise DataError(
                f"`mask` = Adjacency has {self.matrix.shape[0]} rows and the sample {count} points. Pass one row and "
                "one column for each point, in their order."
            )
        return Lists(self.matrix.indptr.astype(np.int64), self.matrix.indices.astype(np.int64))
