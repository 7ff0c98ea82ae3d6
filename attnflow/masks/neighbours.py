"""The k nearest keys of every query."""

from __future__ import annotations

from collections.abc import Callable

from attnflow._checks import check_integer
from attnflow._values import freeze, value
from attnflow.masks.base import Lists, Mask


@value
class Neighbours(Mask):
    """The k keys of least cost for each query: of a dot product, its top k. The query itself counts as well.

    Of keys at one cost any may be taken. Other queries than the own points have their neighbours too.

    Args:
        k: how many, at least 1.

    Raises:
        ConfigError: if k is no such integer.

    Example:
        >>> import attnflow as af
        >>> few = af.Attention(af.SquaredDistance(), bandwidth=0.1, mask=af.Neighbours(32))
    """

    k: int

    is_by_position = False

    def __init__(self, k: int) -> None:
        freeze(self, k=check_integer(k, "k", minimum=1))

    def lists(self, count: int, nearest: Callable[[int], Lists]) -> Lists:
        return nearest(self.k)
