"""Which operator a family of attentions has, and that of several heads, which is made of theirs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from attnflow._tracing import is_traced
from attnflow.attention import Attending
from attnflow.errors import ConfigError
from attnflow.measures import DiscreteMeasure
from attnflow.sums.operators.base import Layer, RowOperator
from attnflow.sums.operators.softmax import SoftmaxOperator
from attnflow.sums.operators.threshold import ThresholdOperator
from attnflow.sums.operators.unnormalized import SigmoidOperator, UnnormalizedOperator

BEST_RTOL = {"float64": 1e-12, "float32": 1e-4}  # of a head


class HeadsOperator(RowOperator):
    """A v = sum_h (A_h v) W_h for values v (N, c) at the points of a measure."""

    _reason = "it has several heads, and each has its own"
    _remedy = "Ask each head"

    def __init__(self, attention: Any, measure: DiscreteMeasure, **options: Any) -> None:
        super().__init__(attention, measure, **options)
        self._sizes = np.ones(len(attention.heads))
        self._condition = 1.0
        if not is_traced(attention):
            # (A_h v + error) W_h: what a component gets of the errors of all, at most.
            self._sizes = np.array([np.abs(matrix).sum(axis=0).max() for matrix in attention.output])
            self._largest_row, self._condition = np.float64(self._sizes.sum()), 1.0
            if attention.common_basis is not None:
                self._largest_row = np.abs(attention.common_basis.values).sum(axis=0).max()
                self._condition = attention.common_basis.condition
            self._largest_row = np.maximum(self._largest_row, 1.0)
        rtol = max(
            self._rtol / (self._condition * max(1.0, self._sizes.sum())), min(self._rtol, BEST_RTOL[self._dtype.name])
        )
        self._operators = [
            operator_of(head, measure, **{**options, "rtol": rtol, "promise": None}) for head in attention.heads
        ]

    def __call__(self, values: np.ndarray, at: np.ndarray | None = None, *, magnified: float = 1.0) -> np.ndarray:
        self.attention.check_channels(values.shape)
        if is_traced(self.attention, self.measure.points, self.measure.masses, values, at):
            return sum(  # type: ignore[return-value]
                operator(values, at) @ matrix
                for operator, matrix in zip(self._operators, self.attention.output, strict=True)
            )
        with self.repeated(1) as layer:
            result, error = layer(values, at)
        self._keep_promise(magnified * error)
        return result

    @property
    def operators(self) -> list[RowOperator]:
        """Those of the heads."""
        return self._operators

    @property
    def method(self) -> str:
        return ", ".join(dict.fromkeys(operator.method for operator in self._operators))

    @contextlib.contextmanager
    def repeated(self, layers: int) -> Iterator[Layer]:
        """Return one layer of all heads: their errors add up, and may grow where components are mixed."""
        grows = self._condition if layers > 1 else 1.0
        with contextlib.ExitStack() as stack:
            parts = [stack.enter_context(operator.repeated(layers)) for operator in self._operators]

            def layer(values: np.ndarray, at: np.ndarray | None) -> tuple[np.ndarray, float]:
                self.attention.check_channels(values.shape)
                found = [part(values, at) for part in parts]
                result = sum(each @ matrix for (each, _), matrix in zip(found, self.attention.output, strict=True))
                error = float(self._sizes @ [error for _, error in found])
                self.worst_error = max(self.worst_error, error)
                return np.asarray(result), grows * error

            yield layer


# By what a normalisation does with its rows.
OPERATORS: dict[str, type[RowOperator]] = {
    "divided": SoftmaxOperator,
    "undivided": UnnormalizedOperator,
    "sigmoid": SigmoidOperator,
    "threshold": ThresholdOperator,
    "heads": HeadsOperator,
}


def operator_of(attention: Attending, measure: DiscreteMeasure, **options: Any) -> RowOperator:
    """Return one layer of an attention, or of several heads, over a measure; options as of `RowOperator`."""
    if attention.rows not in OPERATORS:
        name = type(attention.heads[0].normalization).__name__
        raise ConfigError(f"`rows` of {name} must be one of {', '.join(map(repr, OPERATORS))}, got {attention.rows!r}.")
    return OPERATORS[attention.rows](attention, measure, **options)
