"""Kernel sums v -> sum_j w_j exp(-D(x_i, y_j) / 2eps) v_j at a declared error, without an N x N array.

`DenseSum`, `CutoffSum`, `FourierSum`, `GpuSum` and `DevicesSum` are the methods. Each is made from the keys and the
logarithms of their weights, and then called with values (N, c) and queries (Q, D). It returns `RowSums`, scaled by
exp(-shift) and with a bound on the error of each average.

Example:
    >>> import numpy as np, attnflow as af
    >>> from attnflow.sums.kernel_sums.dense import DenseSum
    >>> af.enable_x64()
    >>> keys = np.random.default_rng(0).normal(size=(1000, 2))
    >>> attention = af.Attention(af.SquaredDistance(), bandwidth=0.1)
    >>> given = dict(points=keys, log_weights=np.zeros(1000), dtype=np.dtype(float))
    >>> sums = DenseSum(attention, **given)(keys[:, :1], keys[:5])
    >>> average = sums.weighted / sums.total[:, None]
    >>> average.shape, bool((sums.error <= 1e-8).all())
    ((5, 1), True)
"""
