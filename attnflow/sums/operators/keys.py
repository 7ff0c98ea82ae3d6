"""The keys of a measure as a normalisation sees them, and the weights that it gives them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from attnflow._lifting import evaluate
from attnflow._tracing import is_traced
from attnflow.errors import DataError
from attnflow.normalizations.base import Keys, Normalization

# log sum_j w_j e^{u_j} k(y_i, y_j) at all keys for given u, and a bound on its error.
LogTotals = Callable[[Any], tuple[Any, float]]


class KeyPotential(NamedTuple):
    """The log key weights u of a measure, one number or (N,), and a bound on their error."""

    values: Any
    error: float


class MeasureKeys(Keys):
    """All keys of a measure at once.

    Args:
        points: y_i, shape (N, D).
        log_totals: the kernel sums.
        shifts: what is added to the first log totals, in place of summing them again, see `key_potential`.
    """

    def __init__(self, points: np.ndarray, log_totals: LogTotals, shifts: tuple = ()) -> None:
        self._points = points
        self._log_totals = log_totals
        self._shifts = list(shifts)
        self.asked: list[tuple[Any, float]] = []

    def log_total(self, log_weights: Any) -> Any:
        if len(self.asked) < len(self._shifts):
            self.asked.append((self._shifts[len(self.asked)], 0.0))
        else:
            self.asked.append(self._log_totals(log_weights))
        return self.asked[-1][0]

    def evaluate(self, potential: Callable) -> Any:
        return evaluate(potential, self._points, name="log_weight")


def key_potential(normalization: Normalization, points: np.ndarray, log_totals: LogTotals) -> KeyPotential:
    """Return the log key weights of a normalisation on a measure, with a bound on their error.

    A bound on the error of the log totals is carried through the normalisation by a second evaluation, with the totals
    moved by their bound, to and fro along the keys.

    Raises:
        DataError: if they are no numbers, or not one for each key.
    """
    keys = MeasureKeys(points, log_totals)
    values = _checked(normalization, keys, points)
    if is_traced(values) or not keys.asked:
        return KeyPotential(values, 0.0)
    signs = np.where(np.arange(len(points)) % 2, 1.0, -1.0)
    moved = MeasureKeys(points, log_totals, tuple(total + signs * error for total, error in keys.asked))
    return KeyPotential(values, float(np.abs(_checked(normalization, moved, points) - values).max()))


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
