"""One layer of attention over a discrete measure: keys weighed, every row of the kernel divided by its sum."""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_traced
from attnflow.attention import Attention
from attnflow.errors import ConfigError, DataError, PrecisionError
from attnflow.measures import DiscreteMeasure
from attnflow.pseudometrics.base import check_cost, check_pairs
from attnflow.sums.kernel_sums.base import RowSums
from attnflow.sums.kernel_sums.pairs import all_costs
from attnflow.sums.kernel_sums.rounding import logit_sizes
from attnflow.sums.operators import spectra
from attnflow.sums.operators.keys import key_potential
from attnflow.sums.operators.spectra import Eigenfunctions, Eigenpairs
from attnflow.sums.operators.traced import TracedAverages
from attnflow.sums.planning.masked import AnySum, planned_sum
from attnflow.trajectories import Spectrum

CONSTANT_KERNEL = 1e-3  # relative spread of the kernel under which a warning is due
NO_DIGIT = 1e-2  # an average that is less certain than this is refused
TIGHTEST = 1e-12  # tolerance of one of many layers; rounding is below it


class SoftmaxOperator:
    """A v(x) = sum_j w_j e^{u_j} k(x, y_j) v_j / sum_j w_j e^{u_j} k(x, y_j), for values v at the points y_j.

    k = exp(logit), and u are the log key weights of the attention's normalisation on this measure.

    Args:
        attention: the cost, the bandwidth and the normalisation.
        measure: the points y_j (N, D) and their masses w_j.
        include_self: whether the row of y_i keeps j = i, where the operator acts on its own points.
        dtype: of the arithmetic.
        method: how the kernel is summed, "auto" or a name.
        rtol: tolerance of the averages on max |error| / max |values|.
        promise: errors above this are never returned without a word; None where the caller looks after them.
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
        promise: float | None = None,
        devices: Sequence[jax.Device] | None = None,
    ) -> None:
        check_cost(attention.pseudometric, measure.ambient_dim)
        check_pairs(attention.pseudometric, measure.points)
        self.attention = attention.replace(normalization="softmax")  # once the keys have their weights
        self.measure = measure
        self.include_self = include_self
        self.worst_error = 0.0  # of any average so far: a bound relative to the largest value
        self.last_error = 0.0  # of the last answer, all its layers together
        self._method = method
        self._rtol = rtol
        self._promise = promise
        self._devices = devices
        self._given = attention, measure, include_self, dtype, method, rtol, promise, devices
        self._dtype = np.dtype(dtype)
        self._averages = TracedAverages(self._kernel_sum, method=method, spread=devices is not None, dtype=self._dtype)
        self._traced = is_traced(attention, measure.points, measure.masses)
        self._planned: AnySum | None = None
        self._tighter: dict[float, AnySum] = {}
        (self._weigh_traced_keys if self._traced else self._weigh_keys)(attention)

    @np.errstate(under="ignore")
    def _weigh_keys(self, attention: Attention) -> None:
        log_scale = np.log(self.measure.masses.max())  # averages do not depend on it; sums could underflow
        with np.errstate(divide="ignore"):
            log_masses = np.log(self.measure.masses) - log_scale
        exchanged = attention.exchanged().replace(normalization="softmax")
        nothing = np.empty((len(self.measure), 0))

        def log_totals(log_weights: Any) -> tuple[np.ndarray, float]:
            if attention.mask is not None:
                raise ConfigError(
                    f"{type(attention.normalization).__name__} weighs keys by how much they are attended, and under "
                    f"`mask` = {attention.mask!r} that is no density. Use softmax or KeyWeights."
                )
            total = self._kernel_sum(
                exchanged, self.measure.points, log_masses + np.asarray(log_weights), rtol=self._rtol / 8
            )
            sums = total(nothing, exclude_self=not self.include_self)
            # A large logit is itself rounded, which an average does not feel.
            logits = logit_sizes(exchanged, self.measure.points, self.measure.points, np.abs(sums.shift))
            rounding = (self.measure.ambient_dim + 4) * np.finfo(np.float64).eps * float(logits.max())
            return log_scale + sums.shift + np.log(sums.total), _largest_error(sums) + rounding

        potential = key_potential(attention.normalization, self.measure.points, log_totals)
        # Weights that are off by e^{+-error} move an average by twice that, relative to the largest value.
        self._key_error = 2 * potential.error
        self._peak = np.max(potential.values)
        self._masses = self.measure.masses * np.exp(potential.values - self._peak)
        self._log_weights = log_masses + potential.values
        largest = self._log_weights.max()
        self._log_weights = self._log_weights - largest
        self._log_scale = log_scale + largest
        if self._key_error:
            self._rtol /= 2
        self._planned = self._kernel_sum(self.attention, self.measure.points, self._log_weights)

    def _weigh_traced_keys(self, attention: Attention) -> None:
        exchanged = attention.exchanged().replace(normalization="softmax")
        keys, nothing = self.measure.points, np.empty((len(self.measure), 0))

        def log_totals(log_weights: Any) -> tuple[jax.Array, float]:
            masses = self.measure.masses * jnp.exp(log_weights)
            found = self._averages(exchanged, keys, masses, nothing, exclude_self=not self.include_self)
            return found.log_normalizer, 0.0

        potential = key_potential(attention.normalization, keys, log_totals).values
        self._peak = jnp.max(potential)
        self._masses = self.measure.masses * jnp.exp(potential - self._peak)

    def __reduce__(self) -> tuple:
        """Pickle what it was made from: plans and compiled sums are made anew."""
        attention, measure, include_self, dtype, method, rtol, promise, devices = self._given
        options: dict[str, Any] = dict(
            include_self=include_self, dtype=dtype, method=method, rtol=rtol, promise=promise, devices=devices
        )
        return functools.partial(SoftmaxOperator, **options), (attention, measure), {"worst_error": self.worst_error}

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        """Return A v at points (Q, D), by default its own: (N,) -> (Q,), (N, c) -> (Q, c).

        Args:
            values: v at the own points.
            at: other points.
            magnified: by what the result is going to be multiplied: then too its error is to be what was asked for.

        Raises:
            PrecisionError: if logits are so large that their rounding leaves no digit of an average.
        """
        if self._traced or is_traced(values, at):
            average = self._traced_sums(values.reshape(len(values), -1), at).average
            return average.reshape(len(average), *values.shape[1:])
        average, error = self._average(self._planned_for(1, magnified=magnified), values, at)
        self._keep_promise(magnified * error)
        return average

    def _average(self, planned: AnySum, values: np.ndarray, at: np.ndarray | None) -> tuple[np.ndarray, float]:
        """Return A v and a bound on its error relative to the largest value."""
        sums = planned(values.reshape(len(values), -1), at, exclude_self=self._excludes(at))
        error = _largest_error(sums) + self._key_error
        self.worst_error = max(self.worst_error, error)
        self._warn_if_constant(sums, at)
        return (sums.weighted / sums.total[:, None]).reshape(len(sums.total), *values.shape[1:]), error

    def _keep_promise(self, error: float, layers: int = 1) -> None:
        """Warn of an error above what is promised; raise PrecisionError where no digit is left."""
        self.last_error = layers * error
        if self._promise is None or self.last_error <= self._promise:
            return
        what = f"the errors of {layers} layers add up to" if layers > 1 else "the result is uncertain by"
        words = (
            f"{what} {self.last_error:.2g} of the largest value, above `rtol` = {self._promise:g}: at bandwidth "
            f"{self.attention.bandwidth:g} logits are so large, or sums so long, that their rounding is felt."
        )
        if not self.last_error < NO_DIGIT:
            raise PrecisionError(f"{words} Pass a larger `bandwidth`.")
        warnings.warn(f"{words} Pass a larger `bandwidth`, or rtol={2 * self.last_error:.1g}.", RuntimeWarning, 4)

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
        """Return 1 / sum_j a_j^2 for the rows a of A, shape (Q,); sum k^2 is a kernel sum as well."""
        nothing = np.empty((len(self.measure), 0))
        sums = self._known(at)(nothing, at, exclude_self=self._excludes(at))
        if (2 * self._log_weights[self._log_weights > -np.inf] < np.log(np.finfo(np.float64).tiny)).any():
            raise DataError(
                "an effective sample size squares the masses, and the least is under 1e-150 of the largest. Give "
                "points of no account the mass 0."
            )
        double = self._kernel_sum(self.attention.squared(), self.measure.points, 2 * self._log_weights)
        squares = double(nothing, at, exclude_self=self._excludes(at))
        self._keep_promise(max(_largest_error(sums), _largest_error(squares)) + self._key_error)
        # Equal shifts cancel exactly; in logarithms, because one of the two sums may have been shifted alone.
        return np.exp(2 * np.log(sums.total) - np.log(squares.total) + (2 * sums.shift - squares.shift))

    def iterate(
        self, values: np.ndarray, *, counts: Sequence[int], at: np.ndarray | None, at_zero: np.ndarray | None
    ) -> np.ndarray:
        """Return A^n v for several n, the points frozen, in one sweep over the layers: (len(counts), Q, ...).

        Args:
            values: v at the own points, shape (N,) or (N, c).
            counts: the numbers of layers n, in any order.
            at: where to record, shape (Q, D); None for the own points. Its row n is one layer on A^(n-1) v.
            at_zero: the values to record for n = 0, where that is asked.
        """
        last, asked, worst = max(counts), set(counts), 0.0
        recorded = {} if at_zero is None else {0: at_zero}
        planned = self._planned_for(last)
        with planned.expecting(last):
            held = planned.held(exclude_self=self._excludes(None))

            def layer(at: np.ndarray | None) -> np.ndarray:
                nonlocal worst
                if held is None or at is not None or not n:
                    result, error = self._average(planned, values, at)
                else:
                    result, error = held[0] @ values, held[1] + self._key_error
                worst = max(worst, error)
                return result

            for n in range(last):
                if n + 1 in asked:
                    recorded[n + 1] = layer(at)
                if n + 1 < last:
                    values = recorded[n + 1] if at is None and n + 1 in asked else layer(None)
        self._keep_promise(worst, layers=max(1, last))
        return np.stack([recorded[n] for n in counts])

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

    def _traced_sums(self, values: np.ndarray, at: np.ndarray | None) -> Any:
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

    def _excludes(self, at: np.ndarray | None) -> bool:
        return at is None and not self.include_self

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
        weights = np.exp(self._log_weights)
        # Where all logits are equal, shifted by the largest log w_j + logit or not: the largest weight is 1.
        constant = weights.sum() - (weights if self._excludes(at) else 0.0)
        constant = constant * np.exp(self._common_logit(sums)) if alike else constant
        if alike and (np.abs(sums.total - constant) < CONSTANT_KERNEL * constant).all():
            warnings.warn(
                f"the kernel is constant on these points to {CONSTANT_KERNEL:g}: attention returns the mean of the "
                f"values. All points coincide, or the bandwidth {self.attention.bandwidth:g} is too large.",
                RuntimeWarning,
                stacklevel=6,  # errstate wraps this function
            )


def _largest_error(sums: RowSums) -> float:
    return float(np.nan_to_num(sums.error, nan=np.inf).max())
