"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j at a declared error, without an N x N array."""

from attnflow.kernel_sums.cutoff import CutoffSum
from attnflow.kernel_sums.dense import DenseSum, kernel_logits
from attnflow.kernel_sums.derivatives import Outputs, softmax_average
from attnflow.kernel_sums.devices import DevicesSum, choose_devices
from attnflow.kernel_sums.fourier import FourierSum
from attnflow.kernel_sums.gpu import GpuSum
from attnflow.kernel_sums.planner import METHODS, PlannedSum
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums

__all__ = [
    "METHODS",
    "CutoffSum",
    "DenseSum",
    "DevicesSum",
    "FourierSum",
    "GpuSum",
    "KernelSum",
    "Outputs",
    "PlannedSum",
    "RowSums",
    "Rows",
    "choose_devices",
    "kernel_logits",
    "softmax_average",
]
