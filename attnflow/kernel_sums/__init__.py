"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j at a declared error, without an N x N array.

`PlannedSum` takes the method that is predicted to be the fastest, `DenseSum`, `CutoffSum`, `FourierSum`, `GpuSum` and
`DevicesSum` are the methods. Each is made from the keys and the logarithms of their weights, and then called with
values (N, c) and queries (Q, D). It returns `RowSums`, scaled by exp(-shift) and with a bound on the error of each
average. Derivatives are in `softmax_average`, over all pairs, and `planned_average`, by any method.

Example:
    >>> import numpy as np, attnflow as af
    >>> from attnflow.kernel_sums import PlannedSum
    >>> af.enable_x64()
    >>> keys = np.random.default_rng(0).normal(size=(1000, 2))
    >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    >>> given = dict(points=keys, log_weights=np.zeros(1000), dtype=np.dtype(float), rtol=1e-8)
    >>> sums = PlannedSum(attention, **given)(keys[:, :1], keys[:5])
    >>> average = sums.weighted / sums.total[:, None]
    >>> average.shape, bool((sums.error <= 1e-8).all())
    ((5, 1), True)
"""

from attnflow.kernel_sums.cutoff import CutoffSum
from attnflow.kernel_sums.dense import DenseSum, kernel_logits
from attnflow.kernel_sums.derivatives import Outputs, in_units, softmax_average
from attnflow.kernel_sums.devices import DevicesSum, choose_devices
from attnflow.kernel_sums.fourier import FourierSum
from attnflow.kernel_sums.gpu import GpuSum
from attnflow.kernel_sums.moments import Summation, planned_average
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
    "Summation",
    "choose_devices",
    "in_units",
    "kernel_logits",
    "planned_average",
    "softmax_average",
]
