"""The exponential profile, e^{-s}."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnflow._values import value
from attnflow.profiles.base import Profile


@value
class Exponential(Profile):
    """The weights h(s) = e^{-s}: the Gaussian ones at half the bandwidth, so that the generator is halved.

    Example:
        >>> import attnflow as af
        >>> round(af.Exponential().scale(2), 12)
        0.5
    """

    is_smooth = is_exponential = True

    def log_weight(self, s: Any) -> Any:
        return -s

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        return logits
