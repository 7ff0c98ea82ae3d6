"""Normalisation by powers of the kernel density."""

from __future__ import annotations

from typing import Any

from attnflow._checks import check_real
from attnflow._tracing import is_traced
from attnflow._values import freeze, value
from attnflow.normalizations.base import Keys, Normalization


@value
class AlphaNormalization(Normalization):
    """Keys weighed by q^{-alpha}, q their kernel density at the same bandwidth: u = -alpha log q [CL].

    For the squared distance the limit is 1/2 Lap f + (1 - alpha) <grad log p, grad f>: alpha = 0 is softmax, alpha = 1
    pure heat flow, whatever the density.

    Args:
        alpha: the power, any real number.

    Raises:
        ConfigError: if alpha is not a finite number.

    Example:
        >>> import attnflow as af
        >>> heat = af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization=af.AlphaNormalization(1.0))
    """

    alpha: float

    def __init__(self, alpha: float) -> None:
        freeze(self, alpha=alpha if is_traced(alpha) else check_real(alpha, "alpha"))

    def log_key_weights(self, keys: Keys) -> Any:
        return -self.alpha * keys.log_total(0.0)
