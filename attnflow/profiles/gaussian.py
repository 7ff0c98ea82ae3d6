"""The Gaussian profile, e^{-s/2}: softmax attention as it is."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnflow._values import value
from attnflow.profiles.base import Profile


@value
class Gaussian(Profile):
    """The weights h(s) = e^{-s/2}: the exponent of softmax attention, -D / 2eps [RZ].

    Example:
        >>> import attnflow as af
        >>> af.Attention(af.SquaredDistance(), bandwidth=0.1).profile
        Gaussian()
    """

    is_smooth = is_exponential = True

    def log_weight(self, s: Any) -> Any:
        return -0.5 * s

    def logit(self, cost: Any, *, bandwidth: Any, unit: float = 1.0) -> Any:
        """Return -D / 2eps, with one multiplication of the cost."""
        return cost * (-0.5 * unit / bandwidth)

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        return logits


GAUSSIAN = Gaussian()  # one object, by which most profiles are told at once
