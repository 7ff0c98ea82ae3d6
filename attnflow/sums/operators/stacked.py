"""One layer for each of several heads, every one over keys of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_known, is_traced
from attnflow.attention import Attending
from attnflow.measures import DiscreteMeasure, Measures
from attnflow.sums.operators.base import Layer, RowOperator
from attnflow.sums.operators.kinds import operator_of


class StackedOperator(RowOperator):
    """A_h v_h for values v_h (N, c) at the points of the measure of each head: (H, N, c) -> (H, Q, c).

    Heads are taken one after another, each in the memory of its own layer, also where JAX compiles them.

    Args:
        attention: of all heads.
        measure: the points and masses of each.
        options: as of RowOperator, for each.
    """

    _reason = "every head has keys of its own"
    _remedy = "Make an EmpiricalAttention of the keys of each head"

    def __init__(self, attention: Attending, measure: Measures, **options: Any) -> None:
        super().__init__(attention, measure, **options)  # type: ignore[arg-type]
        self._name = f"attention of {len(measure.parts)} heads"
        self._options = options
        self._each = measure.points, measure.masses
        self._parts: list[RowOperator] = []
        if is_known(attention, self._each):
            self._parts = [operator_of(attention, part, **options) for part in measure.parts]

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        def layer(operator: RowOperator, v: Any, x: Any) -> Any:
            return operator(v, x, magnified=magnified)

        return self._of_each(layer, values, at)

    @property
    def method(self) -> str:
        return ", ".join(dict.fromkeys(part.method for part in self._parts))

    def repeated(self, layers: int) -> contextlib.AbstractContextManager[Layer]:
        self._refuse("evolution as one trajectory")

    def log_normalizer(self, at: np.ndarray | None = None) -> np.ndarray:
        return self._of_each(lambda operator, x: operator.log_normalizer(x), at)

    def effective_sample_size(self, at: np.ndarray | None = None) -> np.ndarray:
        return self._of_each(lambda operator, x: operator.effective_sample_size(x), at)

    def _of_each(self, ask: Callable[..., Any], *given: Any) -> Any:
        """Return what is asked of the operator of each head with its part of what is given, one after another."""
        if not (self._parts and is_known(given)):  # one program for all heads

            def of_one(part: Sequence[Any]) -> Any:
                points, masses, *rest = part
                return ask(operator_of(self.attention, DiscreteMeasure(points, masses), **self._options), *rest)

            return jax.lax.map(of_one, (*self._each, *given))
        parts = (tuple(None if array is None else array[head] for array in given) for head in range(len(self._parts)))
        found = [ask(operator, *part) for operator, part in zip(self._parts, parts, strict=True)]
        self.worst_error = max(operator.worst_error for operator in self._parts)
        return jnp.stack(found) if is_traced(found) else np.stack(found)


def operator_over(attention: Attending, measure: DiscreteMeasure | Measures, **options: Any) -> RowOperator:
    """Return one layer over a measure, or over that of each of several heads; options as of RowOperator."""
    if isinstance(measure, Measures):
        return StackedOperator(attention, measure, **options)
    return operator_of(attention, measure, **options)
