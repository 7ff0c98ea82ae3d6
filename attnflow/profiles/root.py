"""The profile e^{-sqrt s}: weights that fall exponentially with the distance."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnflow._values import value
from attnflow.profiles.base import Profile, library_of


@value
class Root(Profile):
    """The weights h(s) = e^{-sqrt s}, e^{-|x - y| / sqrt eps} for the squared distance, with a cusp at the query.

    Example:
        >>> import attnflow as af
        >>> round(af.Root().scale(2), 12)  # m + 1
        3.0
    """

    def log_weight(self, s: Any) -> Any:
        library = library_of(s)
        # At the cusp the derivative is that of both sides together, zero, and not infinity times zero.
        return -library.where(s == 0, 0.0, library.sqrt(library.where(s == 0, 1.0, s)))

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        return logits / 2
