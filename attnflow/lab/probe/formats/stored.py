"""An array in a file, before it is read: its shape and type are in the file's header, its numbers may not fit here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ml_dtypes
import numpy as np

NUMBERS, WORDS = "biuf", "US"
BFLOAT16 = np.dtype(ml_dtypes.bfloat16)  # of JAX's own package; NumPy knows it once that is imported


@dataclass(frozen=True)
class Stored:
    """An array of which only the header has been read.

    Attributes:
        shape: as the header says.
        load: reads the numbers or the words.
        are_words: whether it holds words, such as the names of tokens.
        refusal: why it is never read, for a message; None for what can be read.
        is_column: whether it is a column of a table, which counts alone only where the caller names it.
    """

    shape: tuple[int, ...]
    load: Callable[[], np.ndarray]
    are_words: bool = False
    refusal: str | None = None
    is_column: bool = False


def stored(shape: tuple[int, ...], dtype: np.dtype, load: Callable[[], np.ndarray]) -> Stored:
    """Return an array of numbers or words as it is described; what is neither is refused."""
    if dtype.hasobject:
        why = "holds Python objects, which only unpickling could load, and a pickle may run any code. Save numbers"
        return Stored(shape, load, refusal=why)
    if dtype.kind not in NUMBERS + WORDS and dtype != BFLOAT16:
        return Stored(shape, load, refusal=f"has the type {dtype}. Save real numbers")
    return Stored(shape, load, are_words=dtype.kind in WORDS)
