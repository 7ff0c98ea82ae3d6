"""How values and results are told in a line: their fields, an array of many numbers as its shape and range."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

TOLD_SINGLY = 6  # numbers of an array; of more the shape and the range are told
LONGEST = 90  # characters of a sequence; of a longer one the first entry and the count are told


def briefly(self: Any) -> str:
    """Return the name and the fields of a value or a named tuple; for use as its `__repr__`.

    Fields that the constructor derives are left out, see `derived`; of a class without declared fields those are told
    that do not begin with an underscore.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.Gaussian(mean=[0.0, 0.5, 1.0], covariance=np.eye(3))
        Gaussian(mean=[0, 0.5, 1], covariance=array (3, 3) from 0 to 1)
    """
    return _told(self, in_brief)


def to_four_digits(self: Any) -> str:
    """Return the name and the fields of what was measured, like `briefly`, but numbers to four digits."""
    return _told(self, lambda content: f"{content:.4g}" if isinstance(content, float) else in_brief(content))


def _told(self: Any, words: Callable[[Any], str]) -> str:
    names = getattr(self, "_fields", None)
    if names is None and dataclasses.is_dataclass(self):
        names = [field.name for field in dataclasses.fields(self) if field.repr]
    if names is None:
        names = [name for name in vars(self) if not name.startswith("_")]
    return f"{type(self).__name__}({', '.join(f'{name}={words(getattr(self, name))}' for name in names)})"


def in_brief(content: Any) -> str:
    """Return the words for what a field holds: its repr, unless it is an array, a function or a long sequence.

    Example:
        >>> from attnflow._words import in_brief
        >>> in_brief([0.5, None]), in_brief(len), in_brief(range)
        ('[0.5, None]', 'len', 'range')
    """
    if hasattr(content, "shape") and hasattr(content, "dtype"):
        return _array(content)
    if isinstance(content, list | tuple) and not hasattr(content, "_fields"):
        return _sequence(content)
    while isinstance(content, functools.partial):  # those of JAX too
        content = content.func
    return getattr(content, "__name__", None) or repr(content)


def _sequence(content: list | tuple) -> str:
    words = [in_brief(part) for part in content]
    told = f"{', '.join(words)}{',' * (len(words) == 1 and isinstance(content, tuple))}"
    if len(told) > LONGEST and len(words) > 1:
        told = f"{words[0]}, ...: {len(words)}"
    return f"[{told}]" if isinstance(content, list) else f"({told})"


def _array(content: Any) -> str:
    try:
        numbers = np.asarray(content)
    except TypeError:  # one that JAX traces, or keys of randomness: nobody knows its numbers
        numbers = np.empty(0, dtype=object)
    if numbers.dtype.kind not in "biuf" or numbers.shape != content.shape:
        return f"{content.dtype} {tuple(content.shape)}"
    if not numbers.shape:
        return repr(numbers.item())
    if not numbers.size:
        return f"array {numbers.shape}"
    if numbers.size <= TOLD_SINGLY:
        return str(_rounded(numbers.tolist())).replace("'", "")
    low, high = f"{numbers.min():.3g}", f"{numbers.max():.3g}"
    return f"array {numbers.shape} of {low}" if low == high else f"array {numbers.shape} from {low} to {high}"


def _rounded(numbers: Any) -> Any:
    """Return nested lists of numbers as such of words, to six digits."""
    return [_rounded(part) for part in numbers] if isinstance(numbers, list) else f"{numbers:.6g}"
