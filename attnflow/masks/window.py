"""Local windows: a token attends to those at most so many places away."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from attnflow._checks import check_integer
from attnflow._values import freeze, value
from attnflow.masks.base import Lists, Mask, Ranges


@value
class Window(Mask):
    """The keys |i - j| <= width of the query i, by position in the sample.

    Args:
        width: how many places to either side, at least 0.

    Raises:
        ConfigError: if the width is no such integer.

    Example:
        >>> import attnflow as af
        >>> local = af.Attention(af.DotProduct(), bandwidth=1.0, mask=af.Window(128))
    """

    width: int

    is_symmetric = True

    def __init__(self, width: int) -> None:
        freeze(self, width=check_integer(width, "width", minimum=0))

    def ranges(self, count: int) -> Ranges:
        place = np.arange(count)
        return Ranges(np.maximum(place - self.width, 0), np.minimum(place + self.width, count - 1))

    def lists(self, count: int, nearest: Callable[[int], Lists]) -> Lists:
        return self.ranges(count).lists(np.arange(count))
