r"""Gaussian data stay Gaussian: the closed equations of their mean and covariance.

If the logit is quadratic, logit(x, y) = x'B y - y'G y/2 + c'y + (a function of x alone), the weights of a query times a
Gaussian law N(m, S) of keys are a Gaussian law of keys, whose covariance T is that of no particular query, and

    A x = m + T (B'x + b)

is affine in x: an affine field keeps a Gaussian law Gaussian. With S = L L' the two normalisations that divide rows by
their sums and nothing else, or by their sums and those of the columns, have [C]

    softmax     T = L (I + L'G L)^{-1} L',          b = c - G m,
    Sinkhorn    T = L phi(L'B'S B L) L',            b = -B'm,        phi(z) = 2 / (1 + (1 + 4 z)^{1/2}).

The first is conditioning on y. In the second the joint law of query and key is Gaussian with both margins N(m, S) and
off-diagonal precision -B, whatever G and c are: its correlation X solves X = K (I - X'X), K = L'B L, which the singular
value decomposition of K makes scalar. Neither needs S to have full rank, nor B an inverse.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._checks import check_finite, check_flag, check_times, check_tolerance, check_value
from attnflow._words import in_brief
from attnflow.attention import Attending, Attention, check_attention
from attnflow.equations.blow_up import Course, integrate
from attnflow.equations.gaussian_trajectory import GaussianTrajectory
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.normalizations.base import Normalization
from attnflow.normalizations.sinkhorn import Sinkhorn
from attnflow.normalizations.softmax import Softmax
from attnflow.precision import require_x64
from attnflow.pseudometrics.base import check_dim

_PROBES = 32  # pairs at which a logit is compared with the quadratic that it is taken for
_QUADRATIC = 1e-9  # by which it may differ, relative to its largest value there; rounding is 1e-14
_SYMMETRIC = 1e-12  # relative to the largest entry, and how far below zero an eigenvalue may round
_RANK = 1e-12  # an eigenvalue of this share of the largest is lost: of 1 and 1e-12 float64 still holds four digits
_CAUTION = 100  # the equation is solved to this fraction of the tolerance, and once more to ten times that


class QuadraticLogit(NamedTuple):
    """The logit x'B y - y'G y/2 + c'y, but for what depends on the query alone.

    Args:
        cross: B, (D, D).
        curvature: G, (D, D), symmetric.
        slope: c, (D,).
    """

    cross: np.ndarray
    curvature: np.ndarray
    slope: np.ndarray


class Rows(NamedTuple):
    """The Gaussian law of a key under the weights of a query x: N(m + T (B'x + b), T), given by T and b."""

    covariance: np.ndarray
    shift: np.ndarray


class GaussianClosure:
    """Tokens of a Gaussian law moved by dx/dt = V A_mu x: the law mu stays Gaussian, and this is its equation [C].

        m' = V (A_mu x at m),    S' = V M S + (V M S)',    M the matrix of the affine map x -> A_mu x

    (with `centred`, V (A_mu x - x), and M - I for M). For dot products m' = V (I + S A/eps) m and S' = V S A S/eps +
    (.)' with A = K'Q; for squared distances and for Sinkhorn see the head of this file. Several heads add: M = sum_h
    W_h' M_h. Of one head with a dot product, a = A/eps > 0 and v > 0 the variance on the line is s0/(1 - 2 a v s0 t):
    it blows up.

    Args:
        attention: an attention with a quadratic logit (DotProduct, QueryKey, SquaredDistance, QueryKeyDistance,
            Mahalanobis and sums of such) normalised by softmax or Sinkhorn, or several heads of that kind.
        value: V, a number or a matrix (D, D); it acts on columns.
        centred: whether tokens move by A x - x.
        rtol: largest error of means and covariances, relative to the largest entry there is.

    Raises:
        ConfigError: if Gaussian laws do not stay Gaussian, saying why, or the tolerance is not between 0 and 1.
        DataError: if the value is neither a number nor a square matrix, or does not fit the attention.
        PrecisionError: if JAX computes in float32.

    Example:
        >>> import attnflow as af
        >>> af.enable_x64()
        >>> closure = af.GaussianClosure(af.Attention(af.DotProduct(), bandwidth=1.0))
        >>> law = closure.evolve(mean=[0.0], covariance=[[1.0]], times=[0.0, 0.25])
        >>> law.covariances[:, 0, 0].round(9), round(law.blow_up_time, 6)  # 1 / (1 - 2 t)
        (array([1., 2.]), 0.5)
    """

    def __init__(self, attention: Attending, value: Any = 1.0, *, centred: bool = False, rtol: float = 1e-10) -> None:
        require_x64()
        self.attention = check_attention(attention, known=True)
        for head in self.attention.heads:
            _check_head(head)
        self.value = check_value(value)
        self.centred = check_flag(centred, "centred")
        self.rtol = check_tolerance(rtol, "rtol")

    def __repr__(self) -> str:
        centred = ", centred=True" if self.centred else ""
        return f"GaussianClosure({self.attention!r}, value={in_brief(self.value)}{centred})"

    def evolve(self, *, mean: Any, covariance: Any, times: Any) -> GaussianTrajectory:
        """Return the mean and the covariance at times t >= 0.

        Args:
            mean: m(0), shape (D,); a number on the line.
            covariance: S(0), shape (D, D), symmetric and without negative eigenvalues; a number on the line.
            times: a number or a list.

        Raises:
            DataError: if mean, covariance, value and attention do not fit together, or the covariance is none.
            ConfigError: if the logit is not quadratic in so many dimensions.
            ConvergenceError: if the solution has ended before the last of the times, or misses its tolerance; its
                `trajectory` holds what there is before.
        """
        start = check_finite(mean, "mean").reshape(-1) if np.ndim(mean) < 2 else check_finite(mean, "mean")
        if start.ndim != 1:
            raise DataError(f"`mean` must have shape (D,), got {start.shape}.")
        factor = _factor(covariance, len(start))
        asked = check_times(times)
        field = self._field(len(start))
        state = np.concatenate([start[None], factor.T])  # the mean and the columns of L, of which all move alike
        if not np.isfinite(field(state)).all():
            raise DataError(
                "`covariance` is too large for this cost, which prefers keys of large norm: the weights of the keys "
                "have no finite sum. Pass a smaller one, or another cost."
            )
        fine, coarse = (
            integrate(field, state, float(asked.max()), rtol=self.rtol / caution, looks_ahead=caution == _CAUTION)
            for caution in (_CAUTION, _CAUTION / 10)
        )
        return self._judged(fine, coarse, asked)

    def _field(self, dim: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return the map from (m, columns of L) (1 + D, D) to their time derivatives."""
        value = check_value(self.value, dim) * (np.eye(dim) if self.value.ndim == 0 else 1.0)
        self.attention.check_mixes(dim)
        heads = self.attention.heads
        mixing = [value @ W.T for W in getattr(self.attention, "output", [np.eye(dim)])]
        known = [(FAMILIES[type(head.normalization)], quadratic_logit(head, dim)) for head in heads]

        def field(state: np.ndarray) -> np.ndarray:
            mean, columns = state[0], state[1:]
            moved = -state @ value.T if self.centred else np.zeros_like(state)
            for matrix, (family, logit) in zip(mixing, known, strict=True):
                rows = family(logit, mean, columns.T)
                attended = state @ logit.cross @ rows.covariance
                attended[0] += mean + rows.covariance @ rows.shift
                moved += attended @ matrix.T
            return moved

        return field

    def _judged(self, fine: Course, coarse: Course, times: np.ndarray) -> GaussianTrajectory:
        """Return the trajectory of the finer of two solutions; raise ConvergenceError if it ends early or is off."""
        kept = times[times <= min(fine.reach, coarse.reach)]
        found, off = self._found(fine, coarse, kept)
        size = max(np.abs(found.means).max(), np.abs(found.covariances).max())
        missed = (off > self.rtol * size)[: kept.size]
        before = kept[kept < kept[missed].min(initial=np.inf)]
        if 0 < before.size < kept.size:  # what is known so well is worth more without the rest
            found = self._found(fine, coarse, before)[0]
        if kept.size < times.size:
            stopped = fine if fine.why else coarse
            end = stopped.reach if np.isinf(stopped.end) else stopped.end
            raise _stopped(
                f"`times` goes up to {times.max():.9g}, but {stopped.why} t = {end:.9g}. Ask for earlier times.", found
            )
        if missed.any():
            raise _stopped(
                f"the error of means and covariances is {off.max():.3g}, more than `rtol` = {self.rtol:g} of the "
                f"largest, {size:.3g}. Ask for times that are further from the blow-up, or pass a larger `rtol`.",
                found,
            )
        return found

    def _found(self, fine: Course, coarse: Course, times: np.ndarray) -> tuple[GaussianTrajectory, np.ndarray]:
        """Return the finer of two solutions at times, time 0 if there are none, and what they differ by at each."""
        at = times if times.size else np.zeros(1)
        (means, covariances), others = (_moments(course(at)) for course in (fine, coarse))
        off = np.maximum(np.abs(means - others[0]).max(axis=1), np.abs(covariances - others[1]).max(axis=(1, 2)))
        rounding = 1e-15 * max(np.abs(means).max(), np.abs(covariances).max())
        found = GaussianTrajectory(
            times=at, means=means, covariances=covariances, blow_up_time=fine.end,
            rank_loss_time=fine.first(_has_lost_rank(fine(np.zeros(1))[0]), up_to=float(at.max())),
            solver_error=float(off.max() + rounding), method=f"Dormand-Prince 8(5,3), rtol {self.rtol / _CAUTION:.1g}",
        )  # fmt: skip
        return found, off


def quadratic_logit(attention: Attention, dim: int) -> QuadraticLogit:
    """Return B, G and c of a quadratic logit, from its values at and between the unit vectors.

    Second differences of a quadratic are its second derivatives, so that nothing is differentiated.

    Raises:
        ConfigError: if the logit is not quadratic in the key.
        DataError: if the cost takes points of another dimension.
    """
    check_dim(attention.pseudometric, dim)
    unit, nowhere = np.eye(dim), np.zeros((dim, dim))
    first, second = np.repeat(unit, dim, axis=0), np.tile(unit, (dim, 1))
    x, y = 2 * np.random.default_rng(0).standard_normal((2, _PROBES, dim))
    queries = np.concatenate([nowhere, first, 0 * first, x])
    keys = np.concatenate([unit, second, first + second, y])
    logits = jax.vmap(attention.logit)(jnp.asarray(np.tile(queries, (2, 1))), jnp.concatenate([keys, 0 * keys]))
    changes = np.subtract(*np.split(np.asarray(logits), 2))  # logit(x, y) - logit(x, 0)
    at_zero, mixed, sums, seen = np.split(changes, np.cumsum([dim, dim * dim, dim * dim]))
    cross = mixed.reshape(dim, dim) - at_zero
    curvature = at_zero[:, None] + at_zero - sums.reshape(dim, dim)
    found = QuadraticLogit(cross, curvature, at_zero + np.diagonal(curvature) / 2)
    said = ((x @ cross - y @ curvature / 2 + found.slope) * y).sum(axis=1)
    if not np.abs(said - seen).max() <= _QUADRATIC * max(1.0, np.abs(seen).max()):  # what is no number is none
        raise ConfigError(
            f"{attention.pseudometric!r} has a logit that is not quadratic in the key, so that its weights times a "
            "Gaussian law are no Gaussian law. Use DotProduct, QueryKey, SquaredDistance, QueryKeyDistance or "
            "Mahalanobis, or let tokens move: TokenFlow."
        )
    return found


def _softmax(logit: QuadraticLogit, mean: np.ndarray, factor: np.ndarray) -> Rows:
    """Return the law of keys weighed by e^{logit}: their precision is S^{-1} + G."""
    precision = np.eye(factor.shape[1]) + factor.T @ logit.curvature @ factor
    sizes, axes = np.linalg.eigh(precision)
    wide = factor @ axes / np.sqrt(np.where(sizes > 0, sizes, np.nan))  # the weights have no finite sum
    return Rows(wide @ wide.T, logit.slope - logit.curvature @ mean)


def _sinkhorn(logit: QuadraticLogit, mean: np.ndarray, factor: np.ndarray) -> Rows:
    """Return the law of keys in the joint law with the margins of the data."""
    sizes, axes = np.linalg.eigh(_square(factor.T @ logit.cross @ factor))
    wide = factor @ axes * np.sqrt(2 / (1 + np.sqrt(1 + 4 * np.maximum(sizes, 0))))
    return Rows(wide @ wide.T, -(mean @ logit.cross))


# How rows are normalised decides which law a key has; any other normalisation has no entry.
FAMILIES: dict[type[Normalization], Callable[[QuadraticLogit, np.ndarray, np.ndarray], Rows]] = {
    Softmax: _softmax,
    Sinkhorn: _sinkhorn,
}


def _check_head(head: Attention) -> None:
    """Raise ConfigError, with the reason, for an attention under which Gaussian laws do not stay Gaussian."""
    if head.rows != "divided":
        raise ConfigError(
            f"{head.normalization!r} does not divide its rows by their sums: the field is no affine function of x, and "
            'a Gaussian law does not stay Gaussian. Use normalization="softmax" or "sinkhorn", or let tokens move: '
            "TokenFlow."
        )
    if head.pseudometric.is_kernel or not head.profile.is_exponential:
        what = repr(head.pseudometric) if head.pseudometric.is_kernel else f"the profile {head.profile!r}"
        raise ConfigError(
            f"{what} has no logit that is quadratic in the key, so that its weights times a Gaussian law are no "
            "Gaussian law. Use the Gaussian profile, or let tokens move: TokenFlow."
        )
    if type(head.normalization) not in FAMILIES:
        raise ConfigError(
            f"{head.normalization!r} weighs keys in a way of which no closed equation is known here. Use "
            'normalization="softmax" or "sinkhorn", or let tokens move: TokenFlow.'
        )
    if head.pseudometric.ambient_dim is not None:
        quadratic_logit(head, head.pseudometric.ambient_dim)


def _factor(covariance: Any, dim: int) -> np.ndarray:
    """Return the symmetric L (D, D) with S = L L'; raise DataError unless S is a covariance."""
    given = np.atleast_2d(check_finite(covariance, "covariance"))
    if given.shape != (dim, dim):
        raise DataError(f"`covariance` must have shape ({dim}, {dim}) for a mean of {dim} numbers, got {given.shape}.")
    size = np.abs(given).max()
    off = np.abs(given - given.T).max()
    if off > _SYMMETRIC * size:
        raise DataError(f"`covariance` must be symmetric, got entries that differ by {off:.3g}. Pass (S + S.T) / 2.")
    variances, axes = np.linalg.eigh((given + given.T) / 2)
    if variances[0] < -_SYMMETRIC * size:
        raise DataError(f"`covariance` must have no negative eigenvalue, got {variances[0]:.6g}.")
    return axes * np.sqrt(np.maximum(variances, 0)) @ axes.T


def _moments(states: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return means (T, D) and covariances (T, D, D) of states (T, 1 + D, D)."""
    columns = states[:, 1:]
    return states[:, 0], np.einsum("tki,tkj->tij", columns, columns)


def _has_lost_rank(start: np.ndarray) -> Callable[[np.ndarray], bool]:
    """Return whether a state has fewer variances than the start that are not lost beside the largest."""

    def rank(state: np.ndarray) -> int:
        variances = np.linalg.svd(state[1:], compute_uv=False) ** 2
        return int((variances > _RANK * variances[0]).sum())

    before = rank(start)
    return lambda state: rank(state) < before


def _square(matrix: np.ndarray) -> np.ndarray:
    return matrix.T @ matrix


def _stopped(words: str, found: GaussianTrajectory) -> ConvergenceError:
    error = ConvergenceError(words)
    error.trajectory = found  # type: ignore[attr-defined]
    return error
