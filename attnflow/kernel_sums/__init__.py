"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j, over all pairs or by Fourier: no N x N array."""

from attnflow.kernel_sums.dense import DenseSum, kernel_logits
from attnflow.kernel_sums.fourier import FourierSum
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums

__all__ = ["DenseSum", "FourierSum", "KernelSum", "RowSums", "Rows", "kernel_logits"]
