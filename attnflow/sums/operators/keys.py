"""The keys of a measure as a normalisation sees them, and the weights that it gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from attnflow._lifting import evaluate, evaluate_traced
from attnflow._tracing import is_known, is_traced, primal
from attnflow.errors import ConfigError, ConvergenceError, DataError
from attnflow.normalizations.base import Keys, Normalization
from attnflow.sums.derivatives.implicit import traced_fixed_point
from attnflow.sums.operators.fixed_points import fixed_point

# log sum_j w_j e^{u_j} k(y_i, y_j) at all keys for given u, and a bound on its error.
LogTotals = Callable[[Any], tuple[Any, float]]
SHARE = 0.1  # of the tolerance of averages, to which fixed points are found


class KeyPotential(NamedTuple):
    """The log key weights u of a measure, one number or (N,), and a bound on their error."""

    values: Any
    error: float


class Totals(NamedTuple):
    """What a measure answers to a normalisation.

    Args:
        of_columns: the log totals of columns, which for a symmetric cost are those of rows.
        of_rows: those of rows; None for a symmetric cost.
        of_columns_again, of_rows_again: the same for one of many u that settle; None where nothing is saved by that.
        rtol: tolerance of the averages.
    """

    of_columns: LogTotals
    of_rows: LogTotals | None = None
    of_columns_again: LogTotals | None = None
    of_rows_again: LogTotals | None = None
    rtol: float = 1e-8


class MeasureKeys(Keys):
    """All keys of a measure at once.

    Args:
        points: y_i, shape (N, D).
        totals: the kernel sums.
        answers: what is answered first, in place of summing anew, see `key_potential`.
    """

    def __init__(self, points: np.ndarray, totals: Totals, answers: tuple = ()) -> None:
        self._points = points
        self._totals = totals
        self._answers = list(answers)
        self._within: list[float] | None = None  # errors of the totals of an update, while a fixed point is sought
        self.is_symmetric = totals.of_rows is None
        self.asked: list[tuple[Any, float]] = []

    def log_total(self, log_weights: Any) -> Any:
        return self._total(log_weights, self._totals.of_columns, self._totals.of_columns_again)

    def log_row_total(self, log_weights: Any) -> Any:
        if self._totals.of_rows is None:
            return self.log_total(log_weights)
        return self._total(log_weights, self._totals.of_rows, self._totals.of_rows_again)

    def evaluate(self, potential: Callable) -> Any:
        return evaluate(potential, self._points, name="log_weight")

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> Any:
        start, tolerance = np.zeros(len(self._points)), SHARE * self._totals.rtol if rtol is None else rtol
        return self._ask(lambda: self._solve(update, start, rtol=tolerance, max_sweeps=max_sweeps))

    def _total(self, log_weights: Any, first: LogTotals, again: LogTotals | None) -> Any:
        if self._within is None:
            return self._ask(lambda: first(log_weights))
        total, error = (again or first)(log_weights)
        self._within.append(error)
        return total

    def _ask(self, compute: Callable[[], tuple[Any, float]]) -> Any:
        self.asked.append((self._answers[len(self.asked)], 0.0) if len(self.asked) < len(self._answers) else compute())
        return self.asked[-1][0]

    def _solve(self, update: Callable, start: np.ndarray, *, rtol: float, max_sweeps: int) -> tuple[Any, float]:
        def swept(values: np.ndarray) -> tuple[np.ndarray, float]:
            self._within = []
            found = update(values)
            return found, sum(self._within)

        try:
            found = fixed_point(swept, start, rtol=rtol, max_sweeps=max_sweeps)
        finally:
            self._within = None
        return found.values, found.error


class TracedKeys(MeasureKeys):
    """All keys of a measure, of which JAX traces the points, the masses or the attention."""

    def evaluate(self, potential: Callable) -> Any:
        return evaluate_traced(potential, self._points, name="log_weight")

    def _solve(self, update: Callable, start: np.ndarray, *, rtol: float, max_sweeps: int) -> tuple[Any, float]:
        if not self.is_symmetric:
            raise ConfigError(
                "key weights as the fixed point of an asymmetric cost cannot be traced by JAX: a constant is left "
                "open. Set `is_symmetric=True` if D(x, y) = D(y, x), or leave out jit and grad."
            )
        self._within = []
        try:
            found = traced_fixed_point(update, jnp.asarray(start), rtol=rtol, max_sweeps=max_sweeps)
        finally:
            self._within = None
        if is_known(found) and not np.isfinite(primal(found)).all():
            raise ConvergenceError(
                f"the key weights do not settle to {rtol:.2g} in {max_sweeps} sweeps. Pass a larger `bandwidth` or "
                "`max_sweeps`."
            )
        return found, 0.0


def key_potential(normalization: Normalization, points: np.ndarray, totals: Totals) -> KeyPotential:
    """Return the log key weights of a normalisation on a measure, with a bound on their error.

    A bound on the error of what was answered is carried through the normalisation by a second evaluation, with the
    answers moved by their bound, to and fro along the keys.

    Raises:
        ConvergenceError: if they are a fixed point that is not found.
        DataError: if they are no numbers, or not one for each key.
    """
    keys = MeasureKeys(points, totals)
    values = _checked(normalization, keys, points)
    if not keys.asked:
        return KeyPotential(values, 0.0)
    signs = np.where(np.arange(len(points)) % 2, 1.0, -1.0)
    moved = MeasureKeys(points, totals, tuple(answer + signs * error for answer, error in keys.asked))
    return KeyPotential(values, float(np.abs(_checked(normalization, moved, points) - values).max()))


def traced_key_potential(normalization: Normalization, points: Any, totals: Totals) -> Any:
    """Return the log key weights, one number or (N,), where JAX traces."""
    return _checked(normalization, TracedKeys(points, totals), points)


def _checked(normalization: Normalization, keys: Keys, points: np.ndarray) -> Any:
    values = normalization.log_key_weights(keys)
    name = type(normalization).__name__
    if jnp.shape(values) not in ((), (len(points),)):
        raise DataError(
            f"`log_key_weights` of {name} must return one number, or one for each of the {len(points)} keys, got shape "
            f"{jnp.shape(values)}."
        )
    if is_traced(values):
        return values
    array = np.asarray(values, dtype=np.float64)
    if not np.isfinite(array).all():
        raise DataError(f"`log_key_weights` of {name} is NaN or Inf at {np.count_nonzero(~np.isfinite(array))} keys.")
    return array
