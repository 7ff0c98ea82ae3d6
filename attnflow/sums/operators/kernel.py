"""One layer by kernel sums over weighed keys; what becomes of the sums of a row is left to the family."""

from __future__ import annotations

import contextlib
import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_traced
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError, PrecisionError
from attnflow.measures import DiscreteMeasure
from attnflow.normalizations.softmax import Softmax
from attnflow.pseudometrics.scrutiny import check_cost, check_pairs
from attnflow.sums.derivatives.traced import Outputs
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.operators.base import Layer, RowOperator
from attnflow.sums.operators.keys import Totals, key_potential, traced_key_potential
from attnflow.sums.operators.totals import MeasureTotals, largest_error
from attnflow.sums.operators.traced import TracedAverages
from attnflow.sums.planning.masked import AnySum, planned_sum

TIGHTEST = 1e-12  # tolerance of one of many layers; rounding is below it
SHARE = 8  # of the tolerance, to which log totals at the keys are summed


class KernelOperator(RowOperator):
    """Rows made from sums sum_j w_j e^{u_j} k(x, y_j) [1, v_j], for values v at the points y_j.

    k = exp(logit), and u are the log key weights of the attention's normalisation on this measure.
    """

    def __init__(self, attention: Attention, measure: DiscreteMeasure, **options: Any) -> None:
        super().__init__(attention, measure, **options)
        check_cost(attention.pseudometric, measure.ambient_dim)
        check_pairs(attention.pseudometric, measure.points)
        is_plain = type(attention.normalization) is Softmax
        self.attention = attention if is_plain else attention.replace(normalization="softmax")  # of weighed keys
        self._averages = TracedAverages(
            self._kernel_sum, method=self._method, spread=self._devices is not None, dtype=self._dtype
        )
        self._traced = is_traced(attention, measure.points, measure.masses)
        self._planned: AnySum | None = None
        self._tighter: dict[float, AnySum] = {}
        (self._weigh_traced_keys if self._traced else self._weigh_keys)(attention)

    @np.errstate(under="ignore")
    def _weigh_keys(self, attention: Attention) -> None:
        def totals_of(kernel: Attention) -> MeasureTotals:
            return MeasureTotals(
                kernel, self.measure, self._kernel_sum, exclude_self=not self.include_self, rtol=self._rtol / SHARE,
                dtype=self._dtype,
            )  # fmt: skip

        columns = totals_of(attention.exchanged())
        rows = None if attention.pseudometric.is_symmetric else totals_of(attention)
        totals = Totals(columns, rows, columns.again, rows and rows.again, rtol=self._rtol)
        potential = key_potential(attention.normalization, self.measure.points, totals)
        self.key_potential: Any = potential.values  # u, one number or (N,)
        # Weights that are off by e^{+-error} move an average by twice that, relative to the largest value.
        self._key_error = 2 * potential.error
        self._peak = np.max(potential.values)
        self._masses = self.measure.masses * np.exp(potential.values - self._peak)
        log_scale = np.log(self.measure.masses.max())  # averages do not depend on it; sums could underflow
        with np.errstate(divide="ignore"):
            self._log_weights = np.log(self.measure.masses) - log_scale + potential.values
        largest = self._log_weights.max()
        self._log_weights = self._log_weights - largest
        self._log_scale = log_scale + largest
        if self._key_error:
            self._rtol /= 2
        self._planned = self._kernel_sum(self.attention, self.measure.points, self._log_weights)

    def _weigh_traced_keys(self, attention: Attention) -> None:
        keys, nothing = self.measure.points, np.empty((len(self.measure), 0))

        def totals_of(kernel: Attention) -> Any:
            plain = kernel.replace(normalization="softmax")

            def log_totals(log_weights: Any) -> tuple[jax.Array, float]:
                masses = self.measure.masses * jnp.exp(log_weights)
                found = self._averages(plain, keys, masses, nothing, exclude_self=not self.include_self)
                return found.log_normalizer, 0.0

            return log_totals

        rows = None if attention.pseudometric.is_symmetric else totals_of(attention)
        totals = Totals(totals_of(attention.exchanged()), rows, rtol=self._rtol)
        self.key_potential = potential = traced_key_potential(attention.normalization, keys, totals)
        self._peak = jnp.max(potential)
        self._masses = self.measure.masses * jnp.exp(potential - self._peak)

    @abstractmethod
    def _of_sums(self, sums: RowSums, at: np.ndarray | None) -> tuple[np.ndarray, float]:
        """Return A v (Q, c) from the sums of the rows, and a bound on its error relative to the largest value."""

    @abstractmethod
    def _of_traced(self, found: Outputs) -> Any:
        """Return A v (Q, c) from what JAX traces."""

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        if self._traced or is_traced(values, at):
            found = self._of_traced(self._traced_sums(values.reshape(len(values), -1), at))
            return found.reshape(len(found), *values.shape[1:])
        result, error = self._summed(self._planned_for(1, magnified=magnified), values, at)
        self._keep_promise(magnified * error)
        return result

    def _summed(
        self, planned: Callable[..., RowSums], values: np.ndarray, at: np.ndarray | None
    ) -> tuple[np.ndarray, float]:
        """Return A v and a bound on its error relative to the largest value."""
        sums = planned(values.reshape(len(values), -1), at, exclude_self=self._excludes(at))
        result, error = self._of_sums(sums, at)
        self.worst_error = max(self.worst_error, error)
        return result.reshape(len(sums.total), *values.shape[1:]), error

    @property
    def method(self) -> str:
        """How a layer on the own points is summed."""
        return self._known().method

    def log_normalizer(self, at: np.ndarray | None = None) -> np.ndarray:
        """Return log sum_j w_j e^{u_j} k(x, y_j), shape (Q,)."""
        nothing = np.empty((len(self.measure), 0))
        if self._traced or is_traced(at):
            return self._traced_sums(nothing, at).log_normalizer + self._peak
        sums = self._known()(nothing, at, exclude_self=self._excludes(at))
        logs = sums.shift + np.log(sums.total) + self._log_scale
        if not np.isfinite(logs).all():
            raise PrecisionError(
                f"the normaliser of query {np.argmax(~np.isfinite(logs))} has a logarithm beyond 1e308 at bandwidth "
                f"{self.attention.bandwidth:g}. Pass a larger `bandwidth`."
            )
        return logs

    @np.errstate(under="ignore")
    def effective_sample_size(self, at: np.ndarray | None = None) -> np.ndarray:
        """Return (sum_j a_j)^2 / sum_j a_j^2 for the rows a, shape (Q,); sum k^2 is a kernel sum as well."""
        nothing = np.empty((len(self.measure), 0))
        sums = self._known(at)(nothing, at, exclude_self=self._excludes(at))
        if (2 * self._log_weights[self._log_weights > -np.inf] < np.log(np.finfo(np.float64).tiny)).any():
            raise DataError(
                "an effective sample size squares the masses, and the least is under 1e-150 of the largest. Give "
                "points of no account the mass 0."
            )
        double = self._kernel_sum(self.attention.squared(), self.measure.points, 2 * self._log_weights)
        squares = double(nothing, at, exclude_self=self._excludes(at))
        self._keep_promise(max(largest_error(sums), largest_error(squares)) + self._key_error)
        # Equal shifts cancel exactly; in logarithms, because one of the two sums may have been shifted alone.
        return np.exp(2 * np.log(sums.total) - np.log(squares.total) + (2 * sums.shift - squares.shift))

    @contextlib.contextmanager
    def repeated(self, layers: int) -> Iterator[Layer]:
        """Return one layer by sums that are planned, or tight enough, for so many."""
        planned = self._planned_for(layers)
        with planned.expecting(layers):
            yield lambda values, at: self._summed(planned, values, at)

    def _planned_for(self, layers: int, *, magnified: float = 1.0) -> AnySum:
        """Return sums whose errors, added up over so many layers and magnified, meet the tolerance of one.

        As far as rounding does: sums over all pairs have no other error. Averages do not amplify, so layers add up.
        """
        planned = self._known()
        tolerance = max(self._rtol / 10 ** math.ceil(math.log10(max(1, layers * magnified))), min(TIGHTEST, self._rtol))
        with planned.expecting(layers):
            if tolerance == self._rtol or planned.method in ("dense", "masked", "features"):
                return planned
        if tolerance not in self._tighter:
            self._tighter[tolerance] = self._kernel_sum(
                self.attention, self.measure.points, self._log_weights, rtol=tolerance
            )
        return self._tighter[tolerance]

    def _traced_sums(self, values: np.ndarray, at: np.ndarray | None) -> Outputs:
        keys, excludes = self.measure.points, self._excludes(at)
        return self._averages(self.attention, keys, self._masses, values, at=at, exclude_self=excludes)

    def _known(self, at: np.ndarray | None = None) -> AnySum:
        """Return the sums, where JAX traces neither what they are over nor the queries."""
        if self._planned is None or is_traced(at):
            raise ConfigError("under jit or grad only `layer`, `generator` and `log_normalizer` can be asked for.")
        return self._planned

    def _kernel_sum(
        self,
        attention: Attention,
        points: np.ndarray,
        log_weights: np.ndarray,
        method: str | None = None,
        rtol: float | None = None,
    ) -> AnySum:
        return planned_sum(
            attention, points=points, log_weights=log_weights, dtype=self._dtype, rtol=rtol or self._rtol,
            method=method or self._method,
            devices=self._devices,
        )  # fmt: skip
