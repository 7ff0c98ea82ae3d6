"""What a reversible attention leaves invariant: its stationary law, and its eigenpairs from a dense matrix."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.linalg
import scipy.special

from attnflow._checks import check_integer
from attnflow.attention import Attention
from attnflow.errors import ConfigError, ResourceError
from attnflow.sums.kernel_sums.dense import kernel_logits
from attnflow.trajectories import Spectrum

MAX_DENSE_POINTS = 4096  # of a spectrum: the matrix takes 128 MB, its eigenvectors about ten seconds
MIN_EXTENDED_EIGENVALUE = 1e-6  # u = A u / lambda multiplies rounding by 1 / lambda


def stationary_law(log_weights: np.ndarray, log_degrees: np.ndarray) -> np.ndarray:
    """Return pi_i ~ v_i d_i (N,), of mass 1, for key weights v_j and degrees d_i = sum_j v_j k_ij of a symmetric k."""
    logs = log_degrees + log_weights
    law = np.exp(logs - logs.max())
    return law / law.sum()


def eigenpairs(
    attention: Attention, points: np.ndarray, log_weights: np.ndarray, *, k: int, include_self: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return the k largest eigenvalues of A, falling, and eigenvectors (N, k) with unit norm in the stationary law.

    With d_i = sum_j v_j k_ij and S = (v/d)^(1/2) k (v/d)^(1/2) symmetric, A (dv)^(-1/2) s = lambda (dv)^(-1/2) s.

    Raises:
        ConfigError: if k is not between 1 and the number of points, or the cost is not symmetric.
        ResourceError: if there are more than 4096 points.
    """
    check_integer(k, "k", minimum=1)
    if k > len(points):
        raise ConfigError(f"`k` must be at most the number of points, {len(points)}, got {k}.")
    if len(points) > MAX_DENSE_POINTS:
        raise ResourceError(
            f"a spectrum of {len(points)} points needs a matrix of {8e-9 * len(points) ** 2:.1f} GB; "
            f"at most {MAX_DENSE_POINTS} points are allowed. Use fewer points or a larger bandwidth."
        )
    check_symmetric(attention, points, "the spectrum")
    matrix = kernel_logits(attention, points)
    if not include_self:
        np.fill_diagonal(matrix, -np.inf)
    blocks = np.array_split(matrix, len(matrix) // 256 + 1)
    log_degrees = np.concatenate([scipy.special.logsumexp(rows + log_weights, axis=1) for rows in blocks])
    half = (log_weights - log_degrees) / 2
    matrix += half[:, None]
    matrix += half
    np.exp(matrix, out=matrix)
    n = len(matrix)
    eigenvalues, vectors = scipy.linalg.eigh(matrix, subset_by_index=[n - k, n - 1], overwrite_a=True)
    law = stationary_law(log_weights, log_degrees)
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = np.where(law[:, None] > 0, vectors / np.sqrt(law)[:, None], 0.0)[:, ::-1]
    return eigenvalues[::-1], vectors * np.where(vectors[np.argmax(np.abs(vectors), axis=0), range(k)] < 0, -1, 1)


def extended_spectrum(
    layer: Callable[[np.ndarray, np.ndarray], np.ndarray], eigenvalues: np.ndarray, vectors: np.ndarray, *,
    bandwidth: float, error: float,
) -> Spectrum:  # fmt: skip
    """Return the spectrum of (I - A) / eps from eigenpairs of A; one layer extends u = A u / lambda to other points.

    Args:
        layer: (values at the own points, points) -> values there, A.
        eigenvalues: of A, shape (k,).
        vectors: eigenvectors, shape (N, k).
        bandwidth: eps.
        error: of the eigenvalues of A.
    """

    def eigenfunctions(points: np.ndarray) -> np.ndarray:
        if (np.abs(eigenvalues) < MIN_EXTENDED_EIGENVALUE).any():
            raise ConfigError(
                f"an eigenfunction of A with eigenvalue {np.abs(eigenvalues).min():.1e} cannot be extended to "
                "other points. Ask for fewer."
            )
        return layer(vectors, points) / eigenvalues

    return Spectrum((1 - eigenvalues) / bandwidth, eigenfunctions, error / bandwidth)


def check_symmetric(attention: Attention, points: np.ndarray, what: str) -> None:
    """Raise ConfigError unless the cost is symmetric between some of the points."""
    few = points[np.linspace(0, len(points) - 1, 32).astype(int)]
    logits = kernel_logits(attention, few)
    if not np.allclose(logits, logits.T, rtol=1e-10, atol=1e-10):
        raise ConfigError(f"{what} needs a symmetric cost, D(x, y) = D(y, x). Use SquaredDistance() or DotProduct().")
