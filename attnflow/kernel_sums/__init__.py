"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j, streamed: no N x N array."""

from attnflow.kernel_sums.dense import DenseSum, RowSums, kernel_logits

__all__ = ["DenseSum", "RowSums", "kernel_logits"]
