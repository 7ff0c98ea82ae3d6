"""Softmax attention over a discrete measure: every row of the kernel divided by its sum."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg
import scipy.special

from attnflow._checks import check_integer
from attnflow._tracing import is_known, is_traced, primal
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError, ResourceError
from attnflow.measures import DiscreteMeasure, as_measure
from attnflow.pseudometrics.base import check_cost
from attnflow.pseudometrics.plain import SquaredDistance
from attnflow.sums.derivatives.planned import Summation, planned_average
from attnflow.sums.derivatives.traced import in_units, softmax_average
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.kernel_sums.dense import kernel_logits
from attnflow.sums.planning.planner import PLANNED_PAIRS, PlannedSum
from attnflow.trajectories import Spectrum

MAX_DENSE_POINTS = 4096  # of a spectrum: the matrix takes 128 MB, its eigenvectors about ten seconds
CONSTANT_KERNEL = 1e-3  # relative spread of the kernel under which a warning is due
MIN_EXTENDED_EIGENVALUE = 1e-6  # u = A u / lambda multiplies rounding by 1 / lambda


class SoftmaxOperator:
    """A v(x) = sum_j w_j k(x, y_j) v_j / sum_j w_j k(x, y_j), k = exp(-D / 2eps), for values v at the points y_j.

    Args:
        attention: the cost and the bandwidth.
        measure: the points y_j (N, D) and their masses w_j.
        include_self: whether the row of y_i keeps j = i, where the operator acts on its own points.
        dtype: of the arithmetic.
        method: how the kernel is summed, "auto" or a name.
        rtol: tolerance of the averages on max |error| / max |values|.
        devices: over which dense sums are spread.
    """

    def __init__(
        self,
        attention: Attention,
        measure: DiscreteMeasure,
        *,
        include_self: bool = True,
        dtype: str = "float64",
        method: str = "auto",
        rtol: float,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        check_cost(attention.pseudometric, measure.ambient_dim)
        self.attention = attention
        self.measure = measure
        self.include_self = include_self
        self.worst_error = 0.0  # of any average so far: a bound relative to the largest value
        self._method = method
        self._rtol = rtol
        self._devices = devices
        self._dtype = np.dtype(dtype)
        self._traced = is_traced(attention, measure.points, measure.masses)
        self._planned = None
        if not self._traced:
            self._log_scale = np.log(measure.masses.max())  # averages do not depend on it; sums could underflow
            with np.errstate(divide="ignore"):
                self._log_weights = np.log(measure.masses) - self._log_scale
            self._planned = self._kernel_sum(attention, measure.points, self._log_weights)

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None) -> np.ndarray:
        """A v at points (Q, D), by default its own: (N,) -> (Q,), (N, c) -> (Q, c)."""
        if self._traced or is_traced(values, at):
            average = self._traced_sums(values.reshape(len(values), -1), at).average
            return average.reshape(len(average), *values.shape[1:])
        sums = self._known()(values.reshape(len(values), -1), at, exclude_self=self._excludes(at))
        self.worst_error = max(self.worst_error, float(sums.error.max()))
        self._warn_if_constant(sums, at)
        return (sums.weighted / sums.total[:, None]).reshape(len(sums.total), *values.shape[1:])

    @property
    def method(self) -> str:
        """How a layer on the own points is summed."""
        return self._known().method

    def log_normalizer(self, at: np.ndarray | None = None) -> np.ndarray:
        """log sum_j w_j k(x, y_j), shape (Q,)."""
        nothing = np.empty((len(self.measure), 0))
        if self._traced or is_traced(at):
            return self._traced_sums(nothing, at).log_normalizer
        sums = self._known()(nothing, at, exclude_self=self._excludes(at))
        return sums.shift + np.log(sums.total) + self._log_scale

    def effective_sample_size(self, at: np.ndarray | None = None) -> np.ndarray:
        """1 / sum_j a_j^2 for the rows a of A, shape (Q,); sum k^2 is the kernel sum at half the bandwidth."""
        nothing = np.empty((len(self.measure), 0))
        sums = self._known(at)(nothing, at, exclude_self=self._excludes(at))
        if (2 * self._log_weights[self._log_weights > -np.inf] < np.log(np.finfo(np.float64).tiny)).any():
            raise DataError(
                "an effective sample size squares the masses, and the least is under 1e-150 of the largest. Give "
                "points of no account the mass 0."
            )
        half = Attention(self.attention.pseudometric, bandwidth=self.attention.bandwidth / 2)
        double = self._kernel_sum(half, self.measure.points, 2 * self._log_weights)
        squares = double(nothing, at, exclude_self=self._excludes(at))
        # Equal shifts cancel exactly; in logarithms, because one of the two sums may have been shifted alone.
        return np.exp(2 * np.log(sums.total) - np.log(squares.total) + (2 * sums.shift - squares.shift))

    def iterate(
        self, values: np.ndarray, *, counts: Sequence[int], at: np.ndarray | None, at_zero: np.ndarray | None
    ) -> np.ndarray:
        """A^n v for several n, the points frozen, in one sweep over the layers: (len(counts), Q, ...).

        Args:
            values: v at the own points, shape (N,) or (N, c).
            counts: the numbers of layers n, in any order.
            at: where to record, shape (Q, D); None for the own points. Its row n is one layer on A^(n-1) v.
            at_zero: the values to record for n = 0, where that is asked.
        """
        last = max(counts)
        recorded = {} if at_zero is None else {0: at_zero}
        with self._known().expecting(last):
            for n in range(1, last + 1):
                if n in counts:
                    recorded[n] = self(values, at)
                if n < last:
                    values = recorded[n] if at is None and n in counts else self(values)
        return np.stack([recorded[n] for n in counts])

    def stationary(self) -> np.ndarray:
        """The stationary law pi_i ~ w_i sum_j w_j k(y_i, y_j) of A on its own points, for a symmetric cost."""
        self._known()
        self._check_symmetric("the stationary law")
        return self._law(self.log_normalizer())

    def eigenpairs(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """The k largest eigenvalues of A, falling, and eigenvectors (N, k) with unit norm in the stationary law.

        With d_i = sum_j w_j k_ij and S = (w/d)^(1/2) k (w/d)^(1/2) symmetric, A (dw)^(-1/2) s = lambda (dw)^(-1/2) s.
        """
        check_integer(k, "k", minimum=1)
        if k > len(self.measure):
            raise ConfigError(f"`k` must be at most the number of points, {len(self.measure)}, got {k}.")
        if len(self.measure) > MAX_DENSE_POINTS:
            raise ResourceError(
                f"a spectrum of {len(self.measure)} points needs a matrix of {8e-9 * len(self.measure) ** 2:.1f} GB; "
                f"at most {MAX_DENSE_POINTS} points are allowed. Use fewer points or a larger bandwidth."
            )
        self._known()
        self._check_symmetric("the spectrum")
        matrix = kernel_logits(self.attention, self.measure.points)
        if not self.include_self:
            np.fill_diagonal(matrix, -np.inf)
        blocks = np.array_split(matrix, len(matrix) // 256 + 1)
        log_degrees = np.concatenate([scipy.special.logsumexp(rows + self._log_weights, axis=1) for rows in blocks])
        half = (self._log_weights - log_degrees) / 2
        matrix += half[:, None]
        matrix += half
        np.exp(matrix, out=matrix)
        n = len(matrix)
        eigenvalues, vectors = scipy.linalg.eigh(matrix, subset_by_index=[n - k, n - 1], overwrite_a=True)
        law = self._law(log_degrees)
        with np.errstate(divide="ignore", invalid="ignore"):
            vectors = np.where(law[:, None] > 0, vectors / np.sqrt(law)[:, None], 0.0)[:, ::-1]
        return eigenvalues[::-1], vectors * np.where(vectors[np.argmax(np.abs(vectors), axis=0), range(k)] < 0, -1, 1)

    def spectrum(self, eigenvalues: np.ndarray, vectors: np.ndarray, *, error: float) -> Spectrum:
        """The spectrum of (I - A) / eps from eigenpairs of A; `error` is that of the eigenvalues of A."""
        eps = self.attention.bandwidth

        def eigenfunctions(points: np.ndarray) -> np.ndarray:
            if (np.abs(eigenvalues) < MIN_EXTENDED_EIGENVALUE).any():
                raise ConfigError(
                    f"an eigenfunction of A with eigenvalue {np.abs(eigenvalues).min():.1e} cannot be extended to "
                    "other points. Ask for fewer."
                )
            return (
                self(vectors, as_measure(points, "points", ambient_dim=self.measure.ambient_dim).points) / eigenvalues
            )

        return Spectrum((1 - eigenvalues) / eps, eigenfunctions, error / eps)

    def _traced_sums(self, values: np.ndarray, at: np.ndarray | None) -> Any:
        """Averages and log-normalisers that JAX can differentiate; sums over all pairs can be compiled and batched."""
        keys, masses, eps = self.measure.points, self.measure.masses, self.attention.bandwidth
        queries, scale = keys if at is None else at, primal(masses).max()
        given = queries, keys, masses / scale, values  # averages do not depend on the scale
        if self._plans_pairs(len(queries) * len(keys), known=is_known(self.attention, given)):
            over = functools.partial(self._kernel_sum, Attention(SquaredDistance(), bandwidth=1.0))
            back = functools.partial(over, method="auto")
            how = Summation(over, back, own=at is None, exclude_self=self._excludes(at))
            outputs = planned_average(how, *in_units(eps, *given[:2]), *given[2:])
        else:
            own = jnp.arange(len(keys), dtype=jnp.int32) if self._excludes(at) else None
            outputs = softmax_average(self.attention, *given, own=own, dtype=self._dtype)
        return outputs._replace(log_normalizer=outputs.log_normalizer + jnp.log(scale))

    def _plans_pairs(self, pairs: int, *, known: bool) -> bool:
        """Whether a traced sum over so many pairs is planned; otherwise it is written in JAX."""
        squared = type(self.attention.pseudometric) is SquaredDistance
        if self._method not in ("auto", "dense"):
            if not (known and squared):
                what = "under jit or vmap" if squared else "for this cost"
                raise ConfigError(f'`method` = "{self._method}" cannot be traced {what}. Pass method="dense".')
            return True
        return known and squared and (self._devices is not None or (self._method == "auto" and pairs >= PLANNED_PAIRS))

    def _law(self, log_degrees: np.ndarray) -> np.ndarray:
        """w_i d_i, of mass 1."""
        logs = log_degrees + self._log_weights
        law = np.exp(logs - logs.max())
        return law / law.sum()

    def _known(self, at: np.ndarray | None = None) -> PlannedSum:
        """The sums, where JAX traces neither what they are over nor the queries."""
        if self._planned is None or is_traced(at):
            raise ConfigError("under jit or grad only `layer`, `generator` and `log_normalizer` can be asked for.")
        return self._planned

    def _kernel_sum(
        self, attention: Attention, points: np.ndarray, log_weights: np.ndarray, method: str | None = None
    ) -> PlannedSum:
        return PlannedSum(
            attention, points=points, log_weights=log_weights, dtype=self._dtype, rtol=self._rtol,
            method=method or self._method,
            devices=self._devices,
        )  # fmt: skip

    def _excludes(self, at: np.ndarray | None) -> bool:
        return at is None and not self.include_self

    def _check_symmetric(self, what: str) -> None:
        few = self.measure.points[np.linspace(0, len(self.measure) - 1, 32).astype(int)]
        logits = kernel_logits(self.attention, few)
        if not np.allclose(logits, logits.T, rtol=1e-10, atol=1e-10):
            raise ConfigError(
                f"{what} needs a symmetric cost, D(x, y) = D(y, x). Use SquaredDistance() or DotProduct()."
            )

    def _warn_if_constant(self, sums: RowSums, at: np.ndarray | None) -> None:
        if self.attention.pseudometric.vanishes_on_diagonal:
            alike = not sums.shift.any()  # a nonnegative cost is shifted only in rows that see nothing at hand
        else:
            alike = at is None and np.ptp(sums.shift) < CONSTANT_KERNEL
        weights = np.exp(self._log_weights)
        # Where all logits are equal, shifted by the largest log w_j + logit or not: the largest weight is 1.
        constant = weights.sum() - (weights if self._excludes(at) else 0.0)
        if alike and (np.abs(sums.total / constant - 1) < CONSTANT_KERNEL).all():
            warnings.warn(
                f"the kernel is constant on these points to {CONSTANT_KERNEL:g}: attention returns the mean of the "
                f"values. All points coincide, or the bandwidth {self.attention.bandwidth:g} is too large.",
                RuntimeWarning,
                stacklevel=4,
            )
