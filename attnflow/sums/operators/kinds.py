"""Which operator a family of normalisations has."""

from __future__ import annotations

from typing import Any

from attnflow.attention import Attention
from attnflow.measures import DiscreteMeasure
from attnflow.sums.operators.base import RowOperator
from attnflow.sums.operators.softmax import SoftmaxOperator
from attnflow.sums.operators.threshold import ThresholdOperator
from attnflow.sums.operators.unnormalized import SigmoidOperator, UnnormalizedOperator

# By what a normalisation does with its rows.
OPERATORS: dict[str, type[RowOperator]] = {
    "divided": SoftmaxOperator,
    "undivided": UnnormalizedOperator,
    "sigmoid": SigmoidOperator,
    "threshold": ThresholdOperator,
}


def operator_of(attention: Attention, measure: DiscreteMeasure, **options: Any) -> RowOperator:
    """Return one layer of an attention over a measure; options as of `RowOperator`."""
    return OPERATORS[attention.normalization.rows](attention, measure, **options)
