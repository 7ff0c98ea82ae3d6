"""The causal mask: a token attends to itself and to those before it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnflow._values import value
from attnflow.masks.base import Lists, Mask, Ranges


@value
class Causal(Mask):
    """The keys j <= i of the query i, by position in the sample.

    Example:
        >>> import numpy as np, attnflow as af
        >>> af.enable_x64()
        >>> causal = af.Attention(af.DotProduct(), bandwidth=1.0, mask="causal")
        >>> layer = af.EmpiricalAttention(causal, np.zeros((4, 2)) + np.arange(4)[:, None])
        >>> bool(abs(layer.layer(np.arange(4.0))[0]) < 1e-12)  # the first attends to itself alone
        True
    """

    def ranges(self, count: int) -> Ranges:
        return Ranges(np.zeros(count, np.int64), np.arange(count))

    def lists(self, count: int, nearest: Callable[[int], Lists]) -> Lists:
        return self.ranges(count).lists(np.arange(count))
