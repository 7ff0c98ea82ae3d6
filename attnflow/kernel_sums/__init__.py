"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j at a declared error, without an N x N array."""

from attnflow.kernel_sums.cutoff import CutoffSum
from attnflow.kernel_sums.dense import DenseSum, kernel_logits
from attnflow.kernel_sums.derivatives import Outputs, in_units, softmax_average
from attnflow.kernel_sums.devices import DevicesSum, choose_devices
from attnflow.kernel_sums.fourier import FourierSum
from attnflow.kernel_sums.gpu import GpuSum
from attnflow.kernel_sums.moments import Sums, planned_average
from attnflow.kernel_sums.planner import METHODS, PLANNED_PAIRS, PlannedSum
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums

__all__ = [
    "METHODS",
    "PLANNED_PAIRS",
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
    "Sums",
    "choose_devices",
    "in_units",
    "kernel_logits",
    "planned_average",
    "softmax_average",
]
