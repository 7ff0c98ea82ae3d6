"""What a reversible attention leaves invariant: its stationary law, and its eigenpairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from attnflow._checks import check_integer
from attnflow._tracing import is_traced
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DegenerateKernelError
from attnflow.masks.base import Lists, Mask
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.pseudometrics.plain import DotProduct, SquaredDistance
from attnflow.sums.kernel_sums.blocks import slices
from attnflow.sums.kernel_sums.pairs import BLOCK, cost_matrix
from attnflow.sums.kernel_sums.rounding import logit_sizes
from attnflow.sums.operators.factored import largest_of_matrix
from attnflow.sums.operators.lanczos import largest_eigenpairs
from attnflow.sums.planning.masked import AnySum

MAX_DENSE_POINTS = 4096  # of a matrix: it takes 128 MB, its eigenvectors about ten seconds
EXPECTED_SUMS = 32  # of three vectors; ten eigenvalues on a sphere take 30 at bandwidth .05 and 70 at .01
RESIDUAL = 0.25  # of the tolerance of a spectrum; the rest is left to the sums
MIN_EXTENDED_EIGENVALUE = 1e-6  # u = A u / lambda multiplies rounding by 1 / lambda
ROWS = 64  # of a matrix at once: of some thousand columns they stay in a core's cache
SYMMETRIC = 1e-10  # relative and absolute: what two logits of a symmetric cost may differ by


class Eigenpairs(NamedTuple):
    """The k largest eigenvalues of A, falling, their eigenvectors, and what rounding may do to the eigenvalues.

    Args:
        eigenvalues: shape (k,).
        vectors: shape (N, k), of unit norm in the stationary law; zero at points without mass.
        rounding: a bound on the absolute error of the eigenvalues.
    """

    eigenvalues: np.ndarray
    vectors: np.ndarray
    rounding: float


@dataclass(frozen=True, eq=False)
class Eigenfunctions:
    """Eigenfunctions u = A u / lambda of one layer: a map from points (Q, D) to values (Q, k).

    Args:
        layer: A, from values at the own points, and queries or None, to values there, and by what they are going to be
            magnified.
        measure: the own points.
        include_self: whether they attend to themselves; if not, the functions are known at the own points alone.
        pairs: what is extended.
    """

    layer: Callable[..., np.ndarray]
    measure: DiscreteMeasure
    include_self: bool
    pairs: Eigenpairs

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Return the eigenfunctions at points (Q, D), shape (Q, k).

        Raises:
            ConfigError: if an eigenvalue of A is under 1e-6, or tokens leave themselves out and other points are asked.
        """
        at: Any = as_measure(points, "points", ambient_dim=self.measure.ambient_dim).points
        if not self.include_self:
            if is_traced(at) or not np.array_equal(at, self.measure.points):
                raise ConfigError(
                    "`points` must be the own points: with `include_self=False` an eigenfunction has no extension to "
                    "others, which have no self-term to leave out. Pass the points of the attention."
                )
            at = None
        eigenvalues = self.pairs.eigenvalues
        if (np.abs(eigenvalues) < MIN_EXTENDED_EIGENVALUE).any():
            raise ConfigError(
                f"an eigenfunction of A with eigenvalue {np.abs(eigenvalues).min():.1e} cannot be extended to "
                "other points. Ask for fewer."
            )
        return self.layer(self.pairs.vectors, at, magnified=1 / np.abs(eigenvalues).min()) / eigenvalues


@np.errstate(under="ignore")
def stationary_law(log_weights: np.ndarray, log_degrees: np.ndarray) -> np.ndarray:
    """Return pi_i ~ v_i d_i (N,), of mass 1, for key weights v_j and degrees d_i = sum_j v_j k_ij of a symmetric k."""
    logs = log_degrees + log_weights
    law = np.exp(logs - logs.max())
    return law / law.sum()


def eigenpairs(
    attention: Attention, points: np.ndarray, log_weights: np.ndarray, *, k: int, include_self: bool, rtol: float,
    sums_over: Callable[..., AnySum],
) -> Eigenpairs:  # fmt: skip
    """Return the k largest eigenvalues of A, falling, and eigenvectors (N, k) with unit norm in the stationary law.

    From a matrix of up to 4096 points to rounding; from kernel sums over more points to `rtol`.

    Args:
        attention: the cost and the bandwidth.
        points: y_i, (N, D).
        log_weights: log v_i, (N,); -inf for a point without mass.
        k: how many.
        include_self: whether a point attends to itself.
        rtol: tolerance of the eigenvalues from sums.
        sums_over: from an attention, points, log weights and a tolerance to kernel sums.

    Raises:
        ConfigError: if k is not between 1 and the number of points with mass, or the cost is not symmetric.
        ResourceError: if there are more than 4096 points, and eigenvectors that need more than a gigabyte are asked.
        ConvergenceError: if the eigenvalues from sums do not settle.
        DegenerateKernelError: if a row has no key at a finite cost.
    """
    if attention.pseudometric.is_kernel:
        raise ConfigError("a spectrum needs a kernel that is not negative. Use SquaredDistance() or another profile.")
    check_integer(k, "k", minimum=1)
    massive = np.flatnonzero(log_weights > -np.inf)
    if k > len(massive):
        without = " with mass" if len(massive) < len(points) else ""
        raise ConfigError(f"`k` must be at most the number of points{without}, {len(massive)}, got {k}.")
    keys, logs = points[massive], log_weights[massive]
    if len(massive) <= MAX_DENSE_POINTS:
        pairs = _from_matrix(attention, keys, logs, k=k, include_self=include_self, names=massive, count=len(points))
    else:
        if attention.mask is not None and len(massive) < len(points):
            raise ConfigError("under a mask all points need mass for a spectrum. Leave those without it out.")
        check_symmetric(attention, keys, "the spectrum")
        # An eigenfunction of norm one has values of three or four, by which errors of averages are multiplied.
        planned = sums_over(attention, keys, logs, rtol=rtol / 6)
        pairs = _from_sums(planned, logs, k=k, include_self=include_self, tolerance=RESIDUAL * rtol)
    vectors = np.zeros((len(points), k))
    vectors[massive] = pairs.vectors
    vectors *= np.where(vectors[np.argmax(np.abs(vectors), axis=0), range(k)] < 0, -1, 1)
    return pairs._replace(vectors=vectors)


@np.errstate(under="ignore")
def _from_sums(planned: AnySum, logs: np.ndarray, *, k: int, include_self: bool, tolerance: float) -> Eigenpairs:
    """Return eigenpairs by Lanczos.

    With residuals R of orthonormal U the eigenvalues of A are within |R| of those found. Sums whose rows are off by
    e_i, of the largest value, move A u for u = U c of norm one by |e| max |u| <= |e| max_i |U_i|.
    """
    worst = 0.0

    def averages(vectors: np.ndarray) -> np.ndarray:
        nonlocal worst
        sums = planned(vectors, None, exclude_self=not include_self)
        worst = max(worst, float(np.sqrt(law @ np.nan_to_num(sums.error, nan=np.inf) ** 2)))
        return sums.weighted / sums.total[:, None]

    with planned.expecting(EXPECTED_SUMS):
        degrees = planned(np.empty((len(logs), 0)), None, exclude_self=not include_self)
        law = stationary_law(logs, degrees.shift + np.log(degrees.total))
        eigenvalues, vectors = largest_eigenpairs(averages, law, k=k, tolerance=tolerance)
        residuals = np.sqrt(law)[:, None] * (averages(vectors) - vectors * eigenvalues)
    rows = float(np.linalg.norm(vectors, axis=1).max())
    return Eigenpairs(eigenvalues, vectors, float(np.linalg.norm(residuals, 2)) + worst * rows)


@np.errstate(under="ignore")
def _from_matrix(
    attention: Attention,
    keys: np.ndarray,
    logs: np.ndarray,
    *,
    k: int,
    include_self: bool,
    names: np.ndarray,
    count: int,
) -> Eigenpairs:
    """Return eigenpairs from all pairs; `names` are the numbers of the points for their user, of `count` of them.

    With d_i = sum_j v_j k_ij and S = (v/d)^(1/2) k (v/d)^(1/2) symmetric, A (dv)^(-1/2) s = lambda (dv)^(-1/2) s.
    """
    matrix = _logits(attention, cost_matrix(attention.pseudometric, keys, keys))
    asymmetry = 0.0
    if not _is_plain(attention):
        asymmetry = _check_symmetric(attention, "the spectrum", lambda rows: (matrix[rows], matrix[:, rows].T), keys)
    if attention.mask is not None:
        matrix[~_allowed(attention.mask, names, count)] = -np.inf
    if not include_self:
        np.fill_diagonal(matrix, -np.inf)
    # The largest logit of a row is then that of its own point: the weights of a row are the kernel, up to a factor.
    has_kernel = (
        attention.pseudometric.vanishes_on_diagonal and attention.mask is None and include_self and not logs.any()
    )
    shifts, totals, rounding = *np.empty((2, len(matrix))), asymmetry
    for rows in slices(len(matrix), ROWS):
        block = matrix[rows]
        sizes = _logit_sizes(attention, keys, block, rows)
        weights = block if has_kernel else block + logs
        shifts[rows], totals[rows] = _weigh(weights)
        with np.errstate(invalid="ignore"):
            means = np.einsum("ij,ij->i", weights, sizes) / totals[rows]
        rounding = max(rounding, asymmetry + (keys.shape[1] + 4) * np.finfo(np.float64).eps * float(means.max()))
    with np.errstate(divide="ignore"):
        log_degrees = shifts + np.log(totals)
    if not attention.profile.is_exponential:
        dilution = np.logaddexp.reduce(logs) - log_degrees
        slopes = attention.profile.steepness(dilution)
        rounding += (keys.shape[1] + 4) * np.finfo(np.float64).eps * float(np.nan_to_num(slopes, posinf=0.0).max())
    if np.isneginf(log_degrees).any():
        raise DegenerateKernelError(
            f"point {names[np.argmin(log_degrees)]} has no key with mass at a finite cost: its row is 0/0. "
            "Leave it out."
        )
    half = (logs - log_degrees) / 2
    if has_kernel:
        matrix *= np.exp(shifts + half)[:, None]
        matrix *= np.exp(half)
    else:
        matrix += half[:, None]
        matrix += half
        np.exp(matrix, out=matrix)
    found = largest_of_matrix(matrix, k=k, is_positive=has_kernel and attention.is_gaussian)
    law = stationary_law(logs, log_degrees)
    with np.errstate(divide="ignore", invalid="ignore"):
        vectors = np.where(law[:, None] > 0, found.vectors / np.sqrt(law)[:, None], 0.0)[:, ::-1]
    rounding += found.error + len(matrix) * np.finfo(np.float64).eps
    return Eigenpairs(found.eigenvalues[::-1], vectors, rounding)


def _allowed(mask: Mask, names: np.ndarray, count: int) -> np.ndarray:
    """Return which of some points attend to which under a symmetric mask, (n, n)."""

    def nearest(k: int) -> Lists:
        raise ConfigError(f"`mask` = {mask!r} is not symmetric. Use Window(width) or a symmetric Adjacency.")

    lists = mask.lists(count, nearest)
    whole = np.zeros((count, count), bool)
    whole[np.repeat(np.arange(count), lists.counts), lists.keys] = True
    return whole[np.ix_(names, names)]


def check_symmetric(attention: Attention, points: np.ndarray, what: str) -> None:
    """Raise ConfigError unless the cost is symmetric between all points; the plain costs are known to be."""
    if _is_plain(attention):
        return

    def both(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        cost = attention.pseudometric
        there, back = cost_matrix(cost, points[rows], points), cost_matrix(cost, points, points[rows]).T
        return _logits(attention, there), _logits(attention, back)

    _check_symmetric(attention, what, both, points)


def _is_plain(attention: Attention) -> bool:
    """Return whether the cost is symmetric to the last digit."""
    return isinstance(attention.pseudometric, SquaredDistance | DotProduct) or attention.pseudometric.is_kernel


def _check_symmetric(
    attention: Attention, what: str, both: Callable[[slice], tuple[np.ndarray, np.ndarray]], points: np.ndarray
) -> float:
    """Return by how much logits there and back differ at most, within rounding; raise ConfigError where that is more.

    Args:
        attention: for its name.
        what: needs it.
        both: some rows of the logits and of their transpose.
        points: all of them.
    """
    worst = 0.0
    for rows in slices(len(points), BLOCK):
        there, back = both(rows)
        if np.array_equal(there, back):
            continue
        with np.errstate(invalid="ignore"):
            difference = np.where(there == back, 0.0, np.abs(there - back))  # both may be minus infinity
            asymmetric = ~(difference <= SYMMETRIC * (1 + np.abs(back))) | (np.isinf(there) != np.isinf(back))
        if asymmetric.any():
            i, j = np.argwhere(asymmetric)[0]
            raise ConfigError(
                f"{what} needs a symmetric cost, D(x, y) = D(y, x), and the logits of "
                f"{type(attention.pseudometric).__name__} between {points[rows][i].tolist()} and {points[j].tolist()} "
                f"are {there[i, j]:.6g} there and {back[i, j]:.6g} back. Use SquaredDistance() or DotProduct()."
            )
        worst = max(worst, float(np.max(difference, where=np.maximum(there, back) > -700, initial=0.0)))
    return worst


def _logits(attention: Attention, costs: np.ndarray) -> np.ndarray:
    return attention.profile.logit(costs, bandwidth=attention.bandwidth)


def _weigh(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Put e^{logit_ij - s_i} in the place of logits, s_i the largest of a row; return s and the sums of the rows."""
    shift = logits.max(axis=1)
    if shift.any():
        logits -= np.where(np.isneginf(shift), 0.0, shift)[:, None]
    return shift, np.exp(logits, out=logits).sum(axis=1)


def _logit_sizes(attention: Attention, keys: np.ndarray, logits: np.ndarray, rows: slice) -> np.ndarray:
    """Return what the rounding of logits is relative to; the largest mean of (D + 4) u times it over a row of A counts.

    Entries of S move by such parts of themselves, its degrees by their means, and the norm of a nonnegative matrix is
    at most the largest row sum of one that is similar.
    """
    sizes = np.abs(logits)
    sizes[np.isinf(sizes)] = 0.0
    least = sizes.min(axis=1)
    of_products = logit_sizes(attention, keys[rows], keys, least)
    if (of_products > least).any():
        np.maximum(sizes, of_products[:, None], out=sizes)
    return sizes
