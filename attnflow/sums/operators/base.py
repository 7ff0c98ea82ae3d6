"""What every family of attentions offers as one layer over a discrete measure, and what it may refuse by name."""

from __future__ import annotations

import contextlib
import functools
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import jax
import numpy as np

from attnflow._checkpoints import NOTHING_KEPT, Checkpoint
from attnflow.errors import ConfigError, PrecisionError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.operators.spectra import Eigenpairs
from attnflow.trajectories import Spectrum

NO_DIGIT = 1e-2  # an average that is less certain than this is refused

# From values at the own points, and queries or None, to values there and a bound on their error.
Layer = Callable[[np.ndarray, np.ndarray | None], tuple[np.ndarray, float]]


class RowOperator(ABC):
    """A v(x) = sum_j a_j(x) v_j for values v at the points y_j of a measure, rows a as a family makes them.

    Args:
        attention: the cost, the bandwidth and the normalisation; or several heads.
        measure: the points y_j (N, D) and their masses w_j.
        include_self: whether the row of y_i keeps j = i, where the operator acts on its own points.
        dtype: of the arithmetic.
        method: how the kernel is summed, "auto" or a name.
        rtol: tolerance on max |error| / max |values|.
        promise: errors above this are never returned without a word; None where the caller looks after them.
        devices: over which dense sums are spread.

    Attributes:
        worst_error: of any row sum so far: a bound relative to the largest value.
        last_error: of the last answer, all its layers together.
    """

    def __init__(
        self, attention: Any, measure: DiscreteMeasure, *, include_self: bool = True, dtype: str = "float64",
        method: str = "auto", rtol: float, promise: float | None = None, devices: Sequence[jax.Device] | None = None,
    ) -> None:  # fmt: skip
        self.attention = attention
        self.measure = measure
        self.include_self = include_self
        self.worst_error = self.last_error = 0.0
        self._largest_row = np.float64(1.0)  # by which a layer may multiply values and errors; of averages, by one
        self._method = method
        self._rtol = rtol
        self._promise = promise
        self._devices = devices
        self._dtype = np.dtype(dtype)
        self._name = type(attention.heads[0].normalization).__name__ if len(attention.heads) == 1 else "MultiHead"
        self._given = attention, measure, include_self, dtype, method, rtol, promise, devices

    def __reduce__(self) -> tuple:
        """Pickle what it was made from: plans and compiled sums are made anew."""
        attention, measure, include_self, dtype, method, rtol, promise, devices = self._given
        options: dict[str, Any] = dict(
            include_self=include_self, dtype=dtype, method=method, rtol=rtol, promise=promise, devices=devices
        )
        return functools.partial(type(self), **options), (attention, measure), {"worst_error": self.worst_error}

    @abstractmethod
    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        """Return A v at points (Q, D), by default its own: (N,) -> (Q,), (N, c) -> (Q, c).

        Args:
            values: v at the own points.
            at: other points.
            magnified: by what the result is going to be multiplied: then too its error is to be what was asked for.

        Raises:
            PrecisionError: if logits are so large that their rounding leaves no digit.
        """

    @property
    @abstractmethod
    def method(self) -> str:
        """How a layer on the own points is summed."""

    @abstractmethod
    def repeated(self, layers: int) -> contextlib.AbstractContextManager[Layer]:
        """Return, for the time of a `with` block, one layer that is going to be asked for so many times."""

    def iterate(
        self, values: np.ndarray, *, counts: Sequence[int], at: np.ndarray | None, at_zero: np.ndarray | None,
        kept: Checkpoint = NOTHING_KEPT,
    ) -> np.ndarray:  # fmt: skip
        """Return A^n v for several n, the points frozen, in one sweep over the layers: (len(counts), Q, ...).

        Args:
            values: v at the own points, shape (N,) or (N, c).
            counts: the numbers of layers n, in any order.
            at: where to record, shape (Q, D); None for the own points. Its row n is one layer on A^(n-1) v.
            at_zero: the values to record for n = 0, where that is asked.
            kept: where the layers so far are kept, and where they are found again.
        """
        last, asked, worst = max(counts), set(counts), 0.0
        recorded = {} if at_zero is None else {0: at_zero}
        first, state = 0, kept.load()
        if state:
            first, values, worst = int(state["layers"]), state["values"], float(state["worst"])
            recorded = {int(n): state[f"recorded.{n}"] for n in state["recorded"]}

        def reached() -> dict[str, np.ndarray]:
            arrays = {f"recorded.{n}": array for n, array in recorded.items()}
            return {
                "layers": np.array(n + 1), "values": values, "worst": np.array(worst),
                "recorded": np.array(list(recorded), dtype=int), **arrays,
            }  # fmt: skip

        with self.repeated(last) as layer:
            for n in range(first, last):
                if n + 1 in asked:
                    recorded[n + 1], error = layer(values, at)
                    worst = max(worst, error)
                if n + 1 < last:
                    values, error = (recorded[n + 1], worst) if at is None and n + 1 in asked else layer(values, None)
                    worst = max(worst, error)
                kept.keep(reached)
        self._keep_promise(worst, layers=max(1, last))
        return np.stack([recorded[n] for n in counts])

    def log_normalizer(self, at: np.ndarray | None = None) -> np.ndarray:
        """Return log sum_j w_j e^{u_j} k(x, y_j), shape (Q,)."""
        self._refuse("normaliser")

    def effective_sample_size(self, at: np.ndarray | None = None) -> np.ndarray:
        """Return (sum_j a_j)^2 / sum_j a_j^2 for the rows a of A, shape (Q,)."""
        self._refuse("effective sample size")

    def stationary(self) -> np.ndarray:
        """Return the stationary law on the own points, (N,)."""
        self._refuse("stationary law that is known")

    def eigenpairs(self, k: int) -> Eigenpairs:
        """Return the k largest eigenvalues of A, falling, and eigenvectors (N, k); see `spectra.eigenpairs`."""
        self._refuse("spectrum that is known to be real")

    def spectrum(self, pairs: Eigenpairs, *, error: float = 0.0) -> Spectrum:
        """Return the spectrum of (I - A) / eps from eigenpairs of A; `error` of its eigenvalues comes on top."""
        self._refuse("spectrum that is known to be real")

    _reason = ""  # why what is refused is: a clause
    _remedy = "Use softmax for that"

    def _refuse(self, what: str) -> NoReturn:
        raise ConfigError(f"{self._name} has no {what}: {self._reason}. {self._remedy}.")

    def _keep_promise(self, error: float, layers: int = 1) -> None:
        """Warn of an error above what is promised; raise PrecisionError where no digit is left."""
        relative = layers * error / self._largest_row
        with np.errstate(over="ignore"):
            self.last_error = float(relative * self._largest_row**layers)
        if not self.last_error < np.inf:
            raise PrecisionError(
                f"rows sum to {self._largest_row:.3g}, and after {layers} layers values and errors are beyond 1e308. "
                "Use fewer layers or a larger `bandwidth`."
            )
        if self._promise is None or relative <= self._promise:
            return
        what = f"the errors of {layers} layers add up to" if layers > 1 else "the result is uncertain by"
        words = (
            f"{what} {relative:.2g} of the largest value, above `rtol` = {self._promise:g}: at bandwidth "
            f"{self._given[0].bandwidth:g} logits are so large, or sums so long, that their rounding is felt."
        )
        if not relative < NO_DIGIT:
            raise PrecisionError(f"{words} Pass a larger `bandwidth`.")
        warnings.warn(f"{words} Pass a larger `bandwidth`, or rtol={2 * relative:.1g}.", RuntimeWarning, 4)

    def _excludes(self, at: np.ndarray | None) -> bool:
        return at is None and not self.include_self
