"""Why an expansion does not hold at a query: told as an error, or as one word in a list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from attnflow.errors import ConfigError

REGULAR = "regular"


class Refusal(NamedTuple):
    """One thing that may be wrong with minimisers: what it is called, with which (Q,), and how to say it of one."""

    kind: str
    wrong: np.ndarray
    words: Callable[[int], str]


def refuse(refusals: Sequence[Refusal]) -> None:
    """Raise ConfigError for the first thing that is wrong with any minimiser."""
    for refusal in refusals:
        if refusal.wrong.any():
            raise ConfigError(refusal.words(int(np.argmax(refusal.wrong))))


def kinds_of(refusals: Sequence[Refusal], count: int) -> np.ndarray:
    """Return what is wrong first with each of the minimisers (Q,), "regular" where nothing is."""
    kinds = np.full(count, REGULAR, dtype=object)
    for refusal in reversed(refusals):
        kinds[refusal.wrong] = refusal.kind
    return kinds.astype(str)
