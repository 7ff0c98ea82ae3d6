"""Profiles: how the weight of a key falls with its cost, log h(s) at s = D / eps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def gaussian(cost: Any, *, bandwidth: Any, unit: float = 1.0) -> Any:
    """Return log h(s) = -s/2 at s = D / eps, in units of `unit`: the exponent of softmax attention [RZ].

    Args:
        cost: D, of any shape.
        bandwidth: eps.
        unit: 1 for the natural logarithm; 1 / log 2 makes it the logarithm to base 2.
    """
    return cost * (-0.5 * unit / bandwidth)


PROFILES: dict[str, Callable] = {"gaussian": gaussian}
