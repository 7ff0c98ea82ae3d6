r"""How much N frozen points slow a flow down: the mean of many layers to second order in the noise.

One layer is off by the noise d A, and repeated layers meet the same noise again: the mean of A_N^n is off by the sum
over pairs of layers of A^a E[d A A^{l-1} d A] A^b, and over single ones. On a flat torus with the uniform density all
of these are sums over waves, see the study `depth_noise`. For small eps, with u = eps^{1/2} q, a pair at distance l
weighs int u^2 e^{-l u^2/2} {(l - 1/2)(1 - e^{-u^2}) - e^{-u^2}} du, so that generators lose the share c / nb of
themselves, nb = N p (2 pi eps)^{m/2}, with s = 1 + m/2 and

    c(n) = -2^{-s} + sum_{l < n} (1 - l/n) 2 [(l - 1/2) l^{-s} - (l + 1/2) (l + 2)^{-s}],    c(inf) = 2 zeta(s) - 1.
"""

from __future__ import annotations

import numpy as np
from scipy.special import zeta


def slow_down(dim: int, layers: int | None) -> float:
    """Return c(n) in m dimensions, of queries apart from the keys; None for infinitely many layers.

    Example:
        >>> from attnflow.comparison.bandwidths.slow_down import slow_down
        >>> round(slow_down(1, None), 3), round(slow_down(1, 100_000), 2)
        (4.225, 4.17)
    """
    s = 1 + dim / 2
    if layers is None:
        return float(2 * zeta(s) - 1)
    lag = np.arange(1.0, layers)
    pairs = 2 * ((lag - 0.5) * lag**-s - (lag + 0.5) * (lag + 2) ** -s)
    return float(-(2**-s) + np.sum((1 - lag / layers) * pairs))
