"""What a pseudo-metric must offer: its cost for one pair."""

from __future__ import annotations

import functools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import field
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun
from jax.tree_util import Partial

from attnflow._lifting import shown
from attnflow._programs import trace
from attnflow._reads import reads_by_position
from attnflow._tracing import Traceable, is_traced
from attnflow._values import freeze, value
from attnflow.errors import ConfigError, DataError

_PAIRED = 64  # points of which all pairs are looked at
_ROUNDING = 1e-8  # of the median cost: what is within it is rounding, as of |x|^2 - 2 x.y + |y|^2 far from the origin


class Factors(NamedTuple):
    """Maps of points (n, D) to rows (n, K), in the library that the points are of, NumPy or JAX."""

    of_queries: Callable
    of_keys: Callable


class PseudoMetric(Traceable, ABC):
    """The cost D(x, y) of a query x and a key y; attention weighs a key by exp(-D(x, y) / (2 eps)).

    Attributes:
        vanishes_on_diagonal: whether D(x, x) = 0 <= D(x, y) for all y, so that no logit exceeds that of x itself.
        is_symmetric: whether D(x, y) = D(y, x) for all x and y.
        is_examined: whether the tests of this very class have shown both, and that it is smooth; otherwise that is
            tested between some of the points that it is used on, see `check_pairs`, and at the minimisers.

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
    is_examined: bool = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__call__" in vars(cls) and "factors" not in vars(cls):
            cls.factors = PseudoMetric.factors  # type: ignore[method-assign]  # another cost has other factors

    @abstractmethod
    def __call__(self, x: jax.Array, y: jax.Array) -> jax.Array:
        """Return D of one query x (D,) and one key y (D,), written in jax.numpy and smooth in y."""

    def factors(self, radius: Any) -> Factors | None:
        """Return maps a, b of points (n, D) to rows (n, K) with D(x_i, y_j) = -2 a_i . b_j, or None if there are none.

        Sums in many dimensions are then products of matrices.

        Args:
            radius: the size of the keys, by which a and b can be balanced: rounding is relative to |a_i| |b_j|.
        """
        return None


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


def check_cost(cost: PseudoMetric, dim: int) -> None:
    """Raise an error unless JAX can compute a cost of two points (dim,).

    Raises:
        ConfigError: if the cost depends on a value that JAX is tracing and does not know of.
        DataError: if it is not written with jax.numpy for two points, or not a scalar.
    """
    if not is_trusted(cost):  # of a thousand coordinates such a look takes a second
        (_check_cost if jax.tree.leaves(cost) else _check_cost_once)(cost, dim)


def _check_cost(cost: PseudoMetric, dim: int) -> bool:
    """Return whether the cost reads by position, which `check_pairs` must see done."""
    point = jax.ShapeDtypeStruct((dim,), jnp.result_type(float))
    program = trace(cost, point, point, scalar=True)
    if is_traced(program.consts) and not is_traced(cost):
        raise ConfigError(
            f"the cost {type(cost).__name__} depends on a value which JAX is tracing. Make it a parameter: "
            "CustomPseudoMetric(jax.tree_util.Partial(cost, parameters))."
        )
    return reads_by_position(program.jaxpr)


_check_cost_once = functools.lru_cache(maxsize=256)(_check_cost)  # parameters are not kept


def is_trusted(cost: PseudoMetric) -> bool:
    """Return whether what a cost says of itself has been shown by tests of its very class, or of what it is made of."""
    shown = vars(type(cost)).get("is_examined", False)
    return cost.is_examined if isinstance(shown, property) else bool(shown)


def check_pairs(cost: PseudoMetric, points: Any) -> None:
    """Raise DataError unless a cost is between some of the points (N, D) what its class says it is.

    At most 64 points are paired, each with all: a cost that is negative, or asymmetric, between few of the pairs alone
    may pass. Costs whose own tests have examined that are taken on trust, and so are those that JAX traces.
    """
    if is_trusted(cost) or is_traced(cost, points):
        return
    reads = (_check_cost if jax.tree.leaves(cost) else _check_cost_once)(cost, points.shape[1])
    if not (reads or cost.vanishes_on_diagonal or cost.is_symmetric):
        return
    few = np.asarray(points)[np.linspace(0, len(points) - 1, _PAIRED).astype(int)]
    with jax.core.eval_context(), jax.disable_jit(False):
        costs = np.asarray(_all_pairs(cost, few))
    name = type(cost).__name__
    if reads and np.isnan(costs).any():
        raise DataError(
            f"the cost {name} is no number, or reads out of bounds, for {_pair(few, np.isnan(costs))}. Let it read "
            "entries that are there."
        )
    finite = np.isfinite(costs)
    tolerance = _ROUNDING * float(np.median(np.abs(costs[finite]))) if finite.any() else 0.0
    negative = np.where(finite, costs, 0.0) < -tolerance
    own = np.diag(np.abs(np.diag(np.where(finite, costs, 0.0))) > tolerance)
    for wrong, equation in ((own, "D(x, x) = 0"), (negative, "D(x, y) >= 0")):
        if cost.vanishes_on_diagonal and wrong.any():
            raise DataError(
                f"{name} says `vanishes_on_diagonal`, that is {equation}, but D = "
                f"{costs[tuple(np.argwhere(wrong)[0])]:.6g} for {_pair(few, wrong)}. Correct the cost, or set "
                "`vanishes_on_diagonal = False`."
            )
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        skew = np.where(finite | finite.T, np.abs(costs - costs.T), 0.0) > tolerance
    if cost.is_symmetric and skew.any():
        raise DataError(
            f"{name} says `is_symmetric`, but D(x, y) - D(y, x) = "
            f"{(costs - costs.T)[tuple(np.argwhere(skew)[0])]:.6g} for {_pair(few, skew)}. Correct the cost, or set "
            "`is_symmetric = False`."
        )


@jax.jit
def _all_pairs(cost: PseudoMetric, points: jax.Array) -> jax.Array:
    def pair(x: jax.Array, y: jax.Array) -> jax.Array:
        return jaxpr_as_fun(trace(cost, x, y, scalar=True, strictly=True))(x, y)[0]

    return jax.vmap(lambda x: jax.vmap(lambda y: pair(x, y))(points))(points)


def _pair(points: np.ndarray, wrong: np.ndarray) -> str:
    i, j = np.argwhere(wrong)[0]
    return f"x = {shown(points[i])}, y = {shown(points[j])}"
