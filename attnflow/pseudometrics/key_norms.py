"""A kernel times a norm: the squared distance with a preference for keys of large norm."""

from __future__ import annotations

from typing import Any

import jax

from attnflow._checks import check_real
from attnflow._tracing import is_traced
from attnflow._values import freeze, static, value
from attnflow.errors import ConfigError
from attnflow.pseudometrics.base import Mapped, PseudoMetric
from attnflow.pseudometrics.plain import SquaredDistance


@value
class KernelTimesNorm(PseudoMetric):
    """A Gaussian kernel times a norm of the key, D(x, y) = |x - y|^2 - c |y|_P^P  [S].

        exp(-D / 2eps) = exp(-|x - y|^2 / 2eps) exp(c |y|_P^P / 2eps),    |y|_P^P = sum_i |y_i|^P

    With P = 2 and c = 1 it is the dot product but for a term of the query, which softmax does not feel. Its preference
    is of order 1/eps, so that off a sphere of that norm attention tends to a jump. One that stays finite, exp(b(y)), is
    a matter of KeyWeights; here it is c = 2 eps b, at one bandwidth.

    Args:
        power: P >= 1. For P < 2 the cost is not twice differentiable where a coordinate of a key is 0.
        coefficient: c.

    Raises:
        ConfigError: if the power is not a number of at least 1, or the coefficient not a finite number.

    Example:
        >>> import numpy as np, attnflow as af
        >>> float(af.KernelTimesNorm(4, coefficient=0.5)(np.array([1.0, 0.0]), np.array([0.0, 2.0])))
        -3.0
    """

    power: float = static()
    coefficient: Any

    is_examined = True

    def __init__(self, power: float, coefficient: Any) -> None:
        power = check_real(power, "power")
        if power < 1:
            raise ConfigError(f"`power` must be at least 1, got {power:g}. Pass 2 for the Euclidean norm.")
        known = coefficient if is_traced(coefficient) else check_real(coefficient, "coefficient")
        freeze(self, power=power, coefficient=known)

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return SquaredDistance()(x, y) - self.coefficient * sum(_power(y[i], self.power) for i in range(y.shape[0]))

    def mapped(self, center: Any) -> Mapped:
        """Return the points themselves, with c(y)."""
        return (
            SquaredDistance()
            .mapped(center)
            ._replace(column=lambda y: -self.coefficient * _power(y, self.power).sum(axis=1))
        )


def _power(y: Any, power: float) -> Any:
    """Return |y|^P; of an even power and of an absolute value JAX knows all derivatives, also at 0."""
    if power % 2 == 0:
        return y ** int(power)
    size = abs(y)
    return size if power == 1 else size**power if power < 2 else y**2 * size ** (power - 2)
