"""A profile of compact support: keys beyond sqrt(eps) have no weight at all."""

from __future__ import annotations

from typing import Any

from attnflow._values import value
from attnflow.profiles.base import Profile, library_of


@value
class Compact(Profile):
    """The weights h(s) = max(1 - s, 0) of Epanechnikov: a key at a cost of eps or more has none.

    A query without a key nearer than that has no average: DegenerateKernelError.

    Example:
        >>> import attnflow as af
        >>> round(af.Compact().scale(2), 12)  # 1 / (m + 4)
        0.166666666667
    """

    edge = 1.0

    def log_weight(self, s: Any) -> Any:
        library = library_of(s)
        inside = s < 1
        return library.where(inside, library.log1p(-library.where(inside, s, 0.0)), -library.inf)
