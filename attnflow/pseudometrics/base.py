"""What a pseudo-metric must offer: its cost for one pair."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from attnflow._tracing import Traceable, is_traced
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, DataError


class PseudoMetric(Traceable, ABC):
    """The cost D(x, y) of a query x and a key y; attention weighs a key by exp(-D(x, y) / (2 eps)).

    Attributes:
        vanishes_on_diagonal: whether D(x, x) = 0 <= D(x, y) for all y, so that no logit exceeds that of x itself.
        is_symmetric: whether D(x, y) = D(y, x) for all x and y; said by the class, not tested.

    Parameters that are numbers or arrays are seen by JAX; a subclass needs no registration.

    Example:
        >>> import jax.numpy as jnp, attnflow as af
        >>> class Weighted(af.PseudoMetric):
        ...     vanishes_on_diagonal = is_symmetric = True
        ...
        ...     def __init__(self, matrix):
        ...         self.matrix = matrix
        ...
        ...     def __call__(self, x, y):
        ...         return (x - y) @ self.matrix @ (x - y)
        >>> attention = af.Attention(Weighted(jnp.diag(jnp.array([1.0, 4.0]))), bandwidth=0.1)
    """

    vanishes_on_diagonal: bool = False
    is_symmetric: bool = False

    @abstractmethod
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return D of one query x (D,) and one key y (D,), written in jax.numpy and smooth in y."""


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

    Raises:
        ConfigError: if `cost` is not a function.

    Example:
        >>> import jax, jax.numpy as jnp, attnflow as af
        >>> stretched = af.CustomPseudoMetric(lambda x, y: 4 * jnp.sum((x - y) ** 2))
        >>> def cost(matrix, x, y):
        ...     return jnp.sum((matrix @ (x - y)) ** 2)
        >>> learned = af.CustomPseudoMetric(jax.tree_util.Partial(cost, jnp.eye(3)))
    """

    cost: Callable

    def __post_init__(self) -> None:
        if not callable(self.cost):
            raise ConfigError(f"`cost` must be a function of two points, got {type(self.cost).__name__}.")
        freeze(self, cost=self.cost if isinstance(self.cost, Partial) else Partial(self.cost))

    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        return self.cost(x, y)


def check_cost(cost: PseudoMetric, dim: int) -> None:
    """Raise an error unless JAX can compute a cost of two points (dim,).

    Raises:
        ConfigError: if the cost depends on a value that JAX is tracing and does not know of.
        DataError: if it is not written with jax.numpy for two points, or not a scalar.
    """
    (_check_cost if jax.tree.leaves(cost) else _check_cost_once)(cost, dim)


def _check_cost(cost: PseudoMetric, dim: int) -> None:
    name = type(cost).__name__
    point = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
    try:
        program = jax.make_jaxpr(cost)(point, point)
    except (jax.errors.JAXTypeError, TypeError, ValueError) as error:
        raise DataError(
            f"the cost {name} must be a scalar function of two points of shape ({dim},), written with jax.numpy: "
            f"{str(error).splitlines()[0]}"
        ) from error
    shapes = [value.shape for value in program.out_avals]
    if shapes != [()]:
        raise DataError(f"the cost {name} must be a scalar for a pair of points, got shapes {shapes}.")
    if is_traced(program.consts) and not is_traced(cost):
        raise ConfigError(
            f"the cost {name} depends on a value which JAX is tracing. Make it a parameter: "
            "CustomPseudoMetric(jax.tree_util.Partial(cost, parameters))."
        )


_check_cost_once = functools.lru_cache(maxsize=256)(_check_cost)  # parameters are not kept
