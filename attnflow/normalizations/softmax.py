"""Softmax: every row of the kernel divided by its sum."""

from __future__ import annotations

from attnflow._values import value
from attnflow.normalizations.base import Keys, Normalization


@value
class Softmax(Normalization):
    """Softmax normalisation, u = 0: the limit sees the density p itself [RZ].

    Example:
        >>> import attnflow as af
        >>> af.Attention(af.SquaredDistance(), bandwidth=0.1, normalization="softmax").normalization
        Softmax()
    """

    def log_key_weights(self, keys: Keys) -> float:
        return 0.0
