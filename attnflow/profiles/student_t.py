"""Student's profile: weights that fall like a power."""

from __future__ import annotations

from typing import Any

import numpy as np

from attnflow._checks import check_integer, check_positive
from attnflow._values import freeze, value
from attnflow.profiles.base import Profile, library_of


@value
class StudentT(Profile):
    """The weights h(s) = (1 + s/nu)^{-(nu + m)/2}: Student's t with nu degrees of freedom in m dimensions.

    The generator is nu / (nu - 2) times the Gaussian one, and there is none for nu <= 2: keys far away then count too
    much. The error of (A - I) f / eps is of order eps^{min(1, nu/2 - 1)}.

    Args:
        nu: degrees of freedom, positive; large ones come near the Gaussian profile.
        dim: m, that of the manifold, which neither a cost nor a set of points tells: 1, a curve, unless given.

    Raises:
        ConfigError: if nu is not positive and finite, or `dim` is no positive integer.

    Example:
        >>> import attnflow as af
        >>> round(af.StudentT(6.0, dim=2).scale(2), 12)
        1.5
    """

    nu: float
    dim: int

    is_smooth = True

    def __init__(self, nu: float, *, dim: int = 1) -> None:
        freeze(self, nu=check_positive(nu, "nu"), dim=check_integer(dim, "dim", minimum=1))

    def log_weight(self, s: Any) -> Any:
        return -0.5 * (self.nu + self.dim) * library_of(s).log1p(s / self.nu)

    def steepness(self, logits: np.ndarray) -> np.ndarray:
        return np.minimum(logits, (self.nu + self.dim) / 2)  # x / (1 + x) <= log(1 + x)
