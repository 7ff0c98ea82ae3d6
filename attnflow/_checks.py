"""How arguments fail: at the public boundary, with the name in backquotes, the value and one remedy."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import SupportsFloat

import numpy as np

from attnflow.errors import ConfigError, DataError

_LISTED_CHOICES = 20  # more would bury the hint
_NO_NUMBERS = "cmMUST"  # complex, times and words, all of which NumPy would turn into real numbers


def check_positive(value: object, name: str) -> float:
    """Return a finite positive real number, as a float."""
    number = _real(value)
    if number is None or not math.isfinite(number) or number <= 0:
        raise ConfigError(f"`{name}` must be positive and finite, got {value!r}. Pass a number such as 0.05.")
    return number


def check_tolerance(value: object, name: str) -> float:
    """Return a relative tolerance, between 0 and 1."""
    number = _real(value)
    if number is None or not 0 < number < 1:
        raise ConfigError(f"`{name}` must be between 0 and 1, got {value!r}. Pass a number such as 1e-8.")
    return number


def check_real(value: object, name: str) -> float:
    """Return a finite real number, as a float."""
    number = _real(value)
    if number is None or not math.isfinite(number):
        raise ConfigError(f"`{name}` must be a finite number, got {value!r}.")
    return number


def _real(value: object) -> float | None:
    kind = getattr(getattr(value, "dtype", None), "kind", None)
    is_scalar_array = getattr(value, "shape", None) == () and kind is not None and kind not in _NO_NUMBERS + "bO"
    is_masked = isinstance(value, np.ma.MaskedArray)
    if (isinstance(value, Real) and not isinstance(value, bool)) or (is_scalar_array and not is_masked):
        try:
            return float(value)  # type: ignore[arg-type]
        except OverflowError:  # of a long integer
            return math.inf
    return None


def check_integer(value: object, name: str, *, minimum: int) -> int:
    """Return an integer of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < minimum:
        raise ConfigError(f"`{name}` must be an integer of at least {minimum}, got {value!r}.")
    return int(value)


def check_choice(value: object, name: str, choices: Iterable[str]) -> str:
    """Return the value if it is one of the named choices; raise ConfigError with the nearest name otherwise."""
    choices = list(choices)
    if value in choices:
        return str(value)
    near = difflib.get_close_matches(str(value), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    known = ", ".join(map(repr, choices[:_LISTED_CHOICES]))
    if len(choices) > _LISTED_CHOICES:
        known = f"{len(choices)} known names, such as {choices[0]!r}"
    raise ConfigError(f"`{name}` must be one of {known}, got {value!r}.{hint}")


def check_times(times: object) -> np.ndarray:
    """Return one or several finite nonnegative times as a float64 array (T,)."""
    array = np.atleast_1d(check_finite(times, "times"))
    if array.ndim != 1 or array.size == 0:
        raise ConfigError(f"`times` must be a number or a list of numbers, got shape {array.shape}.")
    if array.min() < 0:
        raise ConfigError(
            f"`times` must not be negative, got {array.min():.6g}. A diffusion has no past; tokens go back with -V."
        )
    return array


def check_flag(value: object, name: str) -> bool:
    """Return True or False; nothing else is taken for one of them."""
    if not isinstance(value, bool | np.bool_):
        raise ConfigError(f"`{name}` must be True or False, got {value!r}.")
    return bool(value)


def check_value(value: object, dim: int | None = None) -> np.ndarray:
    """Return V, a number () or a square matrix (D, D), which fits tokens of so many coordinates where they are known.

    Raises:
        DataError: if it has another shape or is not finite.
    """
    array = check_finite(value, "value")
    if array.ndim not in (0, 2) or (array.ndim == 2 and array.shape[0] != array.shape[1]):
        raise DataError(f"`value` must be a number or a square matrix (D, D), got shape {array.shape}.")
    if dim is not None and array.ndim and len(array) != dim:
        raise DataError(f"`value` must have shape ({dim}, {dim}) for tokens of {dim} coordinates, got {array.shape}.")
    return np.array(array)


def check_finite(array: object, name: str) -> np.ndarray:
    """Return a float64 array without NaN or Inf; nothing that only looks like numbers is turned into them."""
    values = _real_array(array, name)
    bad = np.atleast_1d(~np.isfinite(values))
    if bad.any():
        first = [tuple(map(int, index)) if bad.ndim > 1 else int(index[0]) for index in np.argwhere(bad)[:5]]
        raise DataError(
            f"`{name}` holds {int(bad.sum())} values that are NaN or Inf, the first at {first}. "
            "Remove or repair those rows first."
        )
    return values


def _real_array(array: object, name: str) -> np.ndarray:
    hidden = sum(int(np.ma.count_masked(part)) for part in _masked_parts(array))
    if hidden:
        raise DataError(
            f"`{name}` is a masked array with {hidden} hidden values, which would be averaged in. Remove "
            "those rows first, or give them the weight 0."
        )
    try:
        given = np.asarray(array)
        if given.dtype == object:  # fractions, decimals and long integers; None, words and other things
            given = np.array([_number(content) for content in given.ravel()]).reshape(given.shape)
        if given.dtype.kind in _NO_NUMBERS or given.dtype.names:
            raise TypeError(f"{given.dtype} is no type of real numbers")
        return given.astype(np.float64, copy=False)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        if type(error).__module__ == "jax.errors":  # told by its name: these checks serve also where JAX stays out
            raise ConfigError(
                f"`{name}` is a value which JAX is tracing. Only layers of an EmpiricalAttention can be differentiated "
                "or compiled."
            ) from error
        raise DataError(
            f"`{name}` must be an array of real numbers, got {type(array).__name__}: {error}. Pass a NumPy array of "
            "float64."
        ) from error


def _masked_parts(array: object) -> list[np.ma.MaskedArray]:
    """Return the masked arrays that this is or, as a list, holds: NumPy forgets what they hide."""
    parts = array if isinstance(array, list | tuple) else [array]
    return [part for part in parts if isinstance(part, np.ma.MaskedArray)]


def _number(content: object) -> float:
    if not isinstance(content, SupportsFloat) or isinstance(content, str | bytes):
        raise TypeError(f"it holds {content!r}, which is no number")
    return float(content)


def check_points(points: object, name: str, *, ambient_dim: int | None = None) -> np.ndarray:
    """Return points as a finite float64 array (N, D)."""
    return check_rows(check_finite(points, name), name, ambient_dim=ambient_dim)


def check_rows(array: np.ndarray, name: str, *, ambient_dim: int | None = None) -> np.ndarray:
    """Return the array unchanged if its shape is (N, D) and it is not empty; raise DataError otherwise."""
    if array.ndim != 2:
        raise DataError(f"`{name}` must have shape (N, D), got {array.shape}. Reshape it to one row per point.")
    if ambient_dim is not None and array.shape[1] != ambient_dim:
        hint = " Transpose it: rows are points." if array.shape[0] == ambient_dim else ""
        raise DataError(f"`{name}` must have shape (N, {ambient_dim}), got {array.shape}.{hint}")
    if array.size == 0:
        raise DataError(f"`{name}` is empty: shape {array.shape}. Pass at least one point.")
    return array
