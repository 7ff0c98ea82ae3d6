"""The largest eigenvalues of a reversible attention over many points: block Lanczos, without a matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg

from attnflow.errors import ConvergenceError, ResourceError

BLOCK = 3  # vectors at once, and copies of an eigenvalue that are sure to be found; with the totals, four columns
BASIS_BYTES = 2**30
BEST_RESIDUAL = 4e-13  # orthogonality in float64 leaves 1e-13
MOST_VECTORS = 20_000  # at 0.2 s each they take an hour for 10^5 points
ALIKE = 10.0  # residuals, within which eigenvalues may be copies of one

Averages = Callable[[np.ndarray], np.ndarray]


def largest_eigenpairs(
    averages: Averages, law: np.ndarray, *, k: int, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues of A, falling, and eigenvectors (N, k), orthonormal in L2(law).

    A is self-adjoint in L2(law), so an eigenvalue lies within the residual |A u - theta u| of every theta. From b
    random vectors a Krylov space holds min(b, m) copies of an eigenvalue of multiplicity m: where b of those found are
    equal there may be more, and the search starts again from other random vectors, with all that was found kept, until
    nothing changes.

    Args:
        averages: A, from (N, b) to (N, b).
        law: the stationary law (N,), of mass 1.
        k: how many.
        tolerance: of the residuals.

    Raises:
        ResourceError: if the basis of so many eigenvectors takes more than a gigabyte.
        ConvergenceError: if the residuals do not fall below the tolerance.
    """
    space = _Krylov(averages, law, k=k, tolerance=max(tolerance, BEST_RESIDUAL))
    found = space.search(k)
    while _may_hide_copies(found, ALIKE * space.tolerance):
        before, found = found, space.search(k + 1)[:k]  # the next one is the largest of what had been missed
        if np.abs(found - before).max() <= ALIKE * space.tolerance:
            break
    return found, space.basis[:, :k].copy()


def _may_hide_copies(eigenvalues: np.ndarray, alike: float) -> bool:
    """Whether as many are equal as one search finds, so that others, which come after them, may be none of the k."""
    spans = eigenvalues[: 1 - BLOCK] - eigenvalues[BLOCK - 1 :]
    return bool((spans[eigenvalues[BLOCK - 1 :] - eigenvalues[-1] > alike] <= alike).any())


class _Krylov:
    """An orthonormal basis (N, m) that grows by A, and the matrix (m, m) of A in it."""

    def __init__(self, averages: Averages, law: np.ndarray, *, k: int, tolerance: float) -> None:
        size = min(BASIS_BYTES // (8 * len(law)), len(law) - BLOCK)
        needed = 2 * (k + 3 * BLOCK)
        if needed > size:
            raise ResourceError(
                f"`k` = {k} eigenvectors of {len(law)} points need a basis of {needed} vectors, "
                f"{8e-9 * needed * len(law):.2g} GB; at most {size} are kept. Ask for at most `k` = "
                f"{max(0, size // 2 - 3 * BLOCK)}, or take fewer points."
            )
        self.tolerance = tolerance
        self._averages, self._law = averages, law
        self._random = np.random.default_rng(0)
        self.basis = np.empty((len(law), size), order="F")
        self._matrix = np.zeros((size, size))
        self._used = 0

    def search(self, wanted: int) -> np.ndarray:
        """Return the largest eigenvalues (wanted,) of A, falling, and keep their vectors as the first of the basis."""
        block = self._random.standard_normal((len(self._law), BLOCK))
        block, _ = self._orthonormal(block, self._project(block, self._used))
        due = self._used + wanted + BLOCK
        for _ in range(MOST_VECTORS // BLOCK):
            block, coupling = self._grow(block)
            is_full = self._used + BLOCK > self.basis.shape[1]
            if self._used >= due or is_full:
                values, vectors = scipy.linalg.eigh(self._matrix[: self._used, : self._used])
                values, vectors = values[::-1], vectors[:, ::-1]
                residuals = np.linalg.norm(coupling @ vectors[-BLOCK:, :wanted], axis=0)
                is_done = residuals.max() <= self.tolerance
                if is_done or is_full:
                    self._keep(values, vectors, wanted if is_done else min(2 * wanted, self._used // 2))
                if is_done:
                    return values[:wanted]
                due = self._used + max(BLOCK, self._used // 20)
        raise ConvergenceError(
            f"{wanted} eigenvalues do not settle: after {MOST_VECTORS} vectors a residual is {residuals.max():.2g}, "
            f"not {self.tolerance:.2g}. Ask for more or fewer, so that the last is apart from the next, or take a "
            "larger `rtol`."
        )

    def _grow(self, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take in b vectors; return the next ones, and the part of A of these (b, b) that lies along those."""
        old, new = self._used, self._used + BLOCK
        self.basis[:, old:new] = block
        images = self._averages(block)
        columns = self._project(images, new)
        self._matrix[:new, old:new] = columns
        self._matrix[old:new, :new] = columns.T
        self._used = new
        return self._orthonormal(images, columns)

    def _keep(self, values: np.ndarray, vectors: np.ndarray, count: int) -> None:
        """Replace the basis by the Ritz vectors of the largest eigenvalues."""
        for rows in np.array_split(np.arange(len(self._law)), 64):  # in place
            self.basis[rows, :count] = self.basis[rows, : self._used] @ vectors[:, :count]
        self._matrix[:] = 0.0
        self._matrix[range(count), range(count)] = values[:count]
        self._used = count

    def _project(self, block: np.ndarray, count: int) -> np.ndarray:
        return self.basis[:, :count].T @ (self._law[:, None] * block)

    def _orthonormal(self, block: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return vectors Q (N, b), orthonormal and orthogonal to the basis, and R with block = basis `along` + Q R.

        Twice, as the first time leaves the rounding of what is taken away. Where nothing is left of a vector a random
        one takes its place.
        """
        total = np.eye(BLOCK)
        for again in (False, True):
            if again:
                along = self._project(block, self._used)
            block = block - self.basis[:, : self._used] @ along
            upper = np.zeros((BLOCK, BLOCK))
            for j in range(BLOCK):
                upper[:j, j] = block[:, :j].T @ (self._law * block[:, j])
                block[:, j] -= block[:, :j] @ upper[:j, j]
                norm = np.sqrt(block[:, j] @ (self._law * block[:, j]))
                if norm > np.finfo(float).eps:
                    upper[j, j] = norm
                else:
                    block[:, j], norm = self._random.standard_normal(len(block)), 1.0
                block[:, j] /= norm
            total = upper @ total
        return block, total
