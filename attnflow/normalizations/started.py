"""A normalisation whose fixed points are sought from key weights that are known nearby."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attnflow._values import value
from attnflow.normalizations.base import Keys, Normalization


class _Started(Keys):
    """Keys whose fixed points u = start + w are sought from w = 0."""

    def __init__(self, keys: Keys, start: Any) -> None:
        self._keys = keys
        self._start = start
        self.is_symmetric = keys.is_symmetric

    def log_total(self, log_weights: Any) -> Any:
        return self._keys.log_total(log_weights)

    def log_row_total(self, log_weights: Any) -> Any:
        return self._keys.log_row_total(log_weights)

    def evaluate(self, potential: Callable) -> Any:
        return self._keys.evaluate(potential)

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> Any:
        def moved(change: Any) -> Any:
            return update(self._start + change) - self._start

        return self._start + self._keys.fixed_point(moved, rtol=rtol, max_sweeps=max_sweeps)


@value
class Started(Normalization):
    """The weights of another normalisation, its fixed points sought from known ones: those of tokens a moment ago.

    Args:
        normalization: of softmax and others without a fixed point nothing changes.
        start: log key weights nearby, one number or (N,).
    """

    normalization: Normalization
    start: Any

    def __repr__(self) -> str:
        return repr(self.normalization)  # errors speak of what the user has asked for

    @property
    def rows(self) -> str:  # type: ignore[override]
        return self.normalization.rows

    def log_key_weights(self, keys: Keys) -> Any:
        return self.normalization.log_key_weights(_Started(keys, self.start))


class _Single(Keys):
    """One key of which nothing is known, but what is asked of it."""

    def __init__(self) -> None:
        self.asked: set[str] = set()

    def log_total(self, log_weights: Any) -> Any:
        self.asked.add("total")
        return log_weights

    def evaluate(self, potential: Callable) -> Any:
        self.asked.add("value")
        return 0.0

    def fixed_point(self, update: Callable, *, rtol: float | None = None, max_sweeps: int = 1000) -> Any:
        self.asked.add("fixed point")
        return 0.0


def asked_of_keys(normalization: Normalization) -> set[str]:
    """Return what a normalisation asks of keys, of "total", "value" and "fixed point", to which a start matters."""
    key = _Single()
    normalization.log_key_weights(key)
    return key.asked
