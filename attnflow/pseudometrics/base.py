"""What a pseudo-metric must offer: its cost for one pair."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import jax

from attnflow._pytree import static, value
from attnflow.errors import ConfigError


class PseudoMetric(ABC):
    """The cost D(x, y) of a query x and a key y; attention weighs a key by exp(-D(x, y) / (2 eps)).

    Attributes:
        vanishes_on_diagonal: whether D(x, x) = 0 <= D(x, y) for all y, so that no logit exceeds that of x itself.
    """

    vanishes_on_diagonal: bool = False

    @abstractmethod
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """D of one query x (D,) and one key y (D,), written in jax.numpy and smooth in y."""


@value
class CustomPseudoMetric(PseudoMetric):
    """Any cost written for one pair of points; it need not be symmetric, nor vanish at x = y.

    Weights h(|x - y|^2 / eps) of another profile than exp(-s/2) are the cost -2 eps log h, at this one bandwidth. It
    varies with eps, so that `LaplaceExpansion` does not see its limit: that is mu_2 / (m mu_0) times the Gaussian one,
    mu_j = int |z|^j h(|z|^2) dz in dimension m.

    Args:
        cost: (x (D,), y (D,)) -> scalar, in jax.numpy, smooth in y [RZ]. Every new function object is compiled anew:
            define it once and keep it.

    Raises:
        ConfigError: if `cost` is not a function.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> stretched = af.CustomPseudoMetric(lambda x, y: 4 * jnp.sum((x - y) ** 2))
    """

    cost: Callable = static()

    def __post_init__(self) -> None:
        if not callable(self.cost):
            raise ConfigError(f"`cost` must be a function of two points, got {type(self.cost).__name__}.")

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.cost(x, y)
