"""The square of a profile: the sum of squared weights is a kernel sum with it."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnflow._values import value
from attnflow.profiles.base import Profile


@value
class Squared(Profile):
    """The weights h(s)^2.

    Args:
        profile: h.
    """

    profile: Profile

    @property
    def edge(self) -> float:  # type: ignore[override]
        return self.profile.edge

    @property
    def is_smooth(self) -> bool:  # type: ignore[override]
        return self.profile.is_smooth

    @property
    def is_exponential(self) -> bool:  # type: ignore[override]
        return self.profile.is_exponential

    def log_weight(self, s: Any) -> Any:
        return 2 * self.profile.log_weight(s)

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        return 2 * self.profile.steepness(logits)
