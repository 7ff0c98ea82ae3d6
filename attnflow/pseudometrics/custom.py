"""Any cost, written by its user for one pair of points."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

import jax
from jax.tree_util import Partial

from attnflow._values import freeze, value
from attnflow.errors import ConfigError
from attnflow.pseudometrics.base import PseudoMetric


@value
class CustomPseudoMetric(PseudoMetric):
    """Any cost written for one pair of points; it need not be symmetric, nor vanish at x = y.

    Weights h(|x - y|^2 / eps) of another profile than exp(-s/2) are the cost -2 eps log h, at this one bandwidth. It
    varies with eps, so that `LaplaceExpansion` does not see its limit: that is mu_2 / (m mu_0) times the Gaussian one,
    mu_j = int |z|^j h(|z|^2) dz in dimension m.

    Args:
        cost: (x (D,), y (D,)) -> scalar, in jax.numpy, smooth in y [RZ]. Every new function object is compiled anew:
            define it once and keep it. Parameters, by which JAX can differentiate, go in front of x and y:
            `jax.tree_util.Partial(cost, parameters)`.
        vanishes_on_diagonal: whether D(x, x) = 0 <= D(x, y) for all y: that saves one of two passes over all pairs, and
            LaplaceExpansion the search for minimisers. It is tested between some of the points.
        is_symmetric: whether D(x, y) = D(y, x), which `spectrum` asks for; tested likewise.

    Vectors may be used freely: x - y, sums and products of few coordinates are taken apart before they are compiled,
    and what belongs to one point alone is computed once for it.

    Raises:
        ConfigError: if `cost` is not a function, or a flag is not a truth value.

    Example:
        >>> import jax, jax.numpy as jnp, attnflow as af
        >>> stretched = af.CustomPseudoMetric(lambda x, y: 4 * jnp.sum((x - y) ** 2), vanishes_on_diagonal=True)
        >>> def cost(matrix, x, y):
        ...     return jnp.sum((matrix @ (x - y)) ** 2)
        >>> learned = af.CustomPseudoMetric(jax.tree_util.Partial(cost, jnp.eye(3)))
    """

    cost: Callable
    vanishes_on_diagonal: bool = field(default=False, kw_only=True)
    is_symmetric: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.cost):
            raise ConfigError(f"`cost` must be a function of two points, got {type(self.cost).__name__}.")
        for name in ("vanishes_on_diagonal", "is_symmetric"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"`{name}` must be True or False, got {getattr(self, name)!r}.")
        freeze(self, cost=self.cost if isinstance(self.cost, Partial) else Partial(self.cost))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.cost(x, y)
