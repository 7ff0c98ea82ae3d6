"""One layer of attention over a discrete measure: keys weighed, every row of the kernel divided by its sum."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from attnflow.errors import ConfigError
from attnflow.sums.derivatives.traced import Outputs
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.kernel_sums.blocks import slices
from attnflow.sums.kernel_sums.pairs import all_costs
from attnflow.sums.operators import spectra
from attnflow.sums.operators.base import Layer
from attnflow.sums.operators.kernel import KernelOperator
from attnflow.sums.operators.spectra import Eigenfunctions, Eigenpairs
from attnflow.sums.operators.totals import largest_error
from attnflow.trajectories import Spectrum

CONSTANT_KERNEL = 1e-3  # relative spread of the kernel under which a warning is due
FEW_COLUMNS, ROWS = 3, 128  # of a product that is taken column by column, and rows of it at once


class SoftmaxOperator(KernelOperator):
    """A v(x) = sum_j w_j e^{u_j} k(x, y_j) v_j / sum_j w_j e^{u_j} k(x, y_j), for values v at the points y_j."""

    def _of_sums(self, sums: RowSums, at: np.ndarray | None) -> tuple[np.ndarray, float]:
        self._warn_if_constant(sums, at)
        return sums.weighted / sums.total[:, None], largest_error(sums) + self._key_error

    def _of_traced(self, found: Outputs) -> Any:
        return found.average

    @contextlib.contextmanager
    def repeated(self, layers: int) -> Iterator[Layer]:
        """Return one layer for so many; of few points by a matrix of all pairs."""
        planned = self._planned_for(layers)
        with planned.expecting(layers):
            held = planned.held(exclude_self=self._excludes(None))
            own = planned if held is None else _by_matrix(held)

            def layer(values: np.ndarray, at: np.ndarray | None) -> tuple[np.ndarray, float]:
                return self._summed(own if at is None else planned, values, at)

            yield layer

    def stationary(self) -> np.ndarray:
        """Return the stationary law pi_i ~ v_i sum_j v_j k(y_i, y_j), v = w e^u, on the own points.

        Raises:
            ConfigError: if the cost is not symmetric.
        """
        self._known()
        self._check_mask("the stationary law")
        massive = self.measure.points[self._log_weights > -np.inf]
        spectra.check_symmetric(self.attention, massive, "the stationary law")
        return spectra.stationary_law(self._log_weights, self.log_normalizer())

    def eigenpairs(self, k: int) -> Eigenpairs:
        """Return the k largest eigenvalues of A, falling, and eigenvectors (N, k); see `spectra.eigenpairs`."""
        self._known()
        self._check_mask("the spectrum")
        return spectra.eigenpairs(
            self.attention, self.measure.points, self._log_weights, k=k, include_self=self.include_self,
            rtol=self._rtol, sums_over=self._kernel_sum,
        )  # fmt: skip

    def spectrum(self, pairs: Eigenpairs, *, error: float = 0.0) -> Spectrum:
        """Return the spectrum of (I - A) / eps from eigenpairs of A; `error` of its eigenvalues comes on top."""
        error += pairs.rounding + self._key_error
        self._keep_promise(error)
        return Spectrum(
            (1 - pairs.eigenvalues) / self.attention.bandwidth,
            Eigenfunctions(self, self.measure, self.include_self, pairs),
            error / self.attention.bandwidth,
        )

    def _check_mask(self, what: str) -> None:
        if self.attention.mask is not None and not self.attention.mask.is_symmetric:
            raise ConfigError(
                f"{what} needs a symmetric mask, and `mask` = {self.attention.mask!r} is none: j may attend to i where "
                "i does not attend to j. Use Window(width) or a symmetric Adjacency."
            )

    def _common_logit(self, sums: RowSums) -> float:
        """Return what all logits are if they are alike and small, and were not shifted; 0 if they were, or vanish."""
        if self.attention.pseudometric.vanishes_on_diagonal or sums.shift.any():
            return 0.0
        first = self.measure.points[:1]
        cost = all_costs(self.attention.pseudometric, first, first)[0, 0]
        return float(self.attention.profile.logit(cost, bandwidth=self.attention.bandwidth))

    @np.errstate(under="ignore")
    def _warn_if_constant(self, sums: RowSums, at: np.ndarray | None) -> None:
        if self.attention.pseudometric.vanishes_on_diagonal:
            alike = not sums.shift.any()  # a nonnegative cost is shifted only in rows that see nothing at hand
        else:
            alike = at is None and np.ptp(sums.shift) < CONSTANT_KERNEL
        if not alike:
            return
        if not self._excludes(at) and np.ptp(sums.total) > 2.1 * CONSTANT_KERNEL * sums.total.max():
            return  # totals within CONSTANT_KERNEL of one number are closer together: most sums end here
        weights = np.exp(self._log_weights)
        # Where all logits are equal, shifted by the largest log w_j + logit or not: the largest weight is 1.
        constant = weights.sum() - (weights if self._excludes(at) else 0.0)
        constant = constant * np.exp(self._common_logit(sums))
        if (np.abs(sums.total - constant) < CONSTANT_KERNEL * constant).all():
            warnings.warn(
                f"the kernel is constant on these points to {CONSTANT_KERNEL:g}: attention returns the mean of the "
                f"values. All points coincide, or the bandwidth {self.attention.bandwidth:g} is too large.",
                RuntimeWarning,
                stacklevel=7,  # errstate wraps this function
            )


def _by_matrix(held: RowSums) -> Callable[..., RowSums]:
    """Return the sums of any values on the own points from those of v = I."""

    def sums(values: np.ndarray, at: None, *, exclude_self: bool) -> RowSums:
        return held._replace(weighted=_product(held.weighted, values))

    return sums


def _product(matrix: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the matrix (N, N) times values (N, c).

    BLAS takes twice as long for two or three columns at once as for one after another over rows that stay in a cache.
    """
    if values.shape[1] > FEW_COLUMNS:
        return matrix @ values
    columns, product = values.T.copy(), np.empty(values.shape)
    for rows in slices(len(matrix), ROWS):
        for column, place in zip(columns, product.T, strict=True):
            place[rows] = matrix[rows] @ column
    return product
