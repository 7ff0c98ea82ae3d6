"""Normalisations: how the kernel sums of a row become an average."""

from attnflow.normalizations.softmax import SoftmaxOperator, count_layers

__all__ = ["SoftmaxOperator", "count_layers"]
