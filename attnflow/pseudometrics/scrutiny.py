"""Whether a cost is what it says of itself, seen from its program and between some points."""

from __future__ import annotations

import functools
from collections.abc import Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from attnflow._lifting import shown
from attnflow._programs import trace
from attnflow._reads import reads_by_position
from attnflow._tracing import is_traced
from attnflow.errors import ConfigError, DataError
from attnflow.pseudometrics.base import PseudoMetric, check_dim, is_trusted

_PAIRED = 64  # points of which all pairs are looked at
_FAR, _LOW = 0.3, 0.1  # of the largest distance, and of the median of D / |x - y|^2 at such distances
_ROUNDING = 1e-8  # of the median cost: what is within it is rounding, as of |x|^2 - 2 x.y + |y|^2 far from the origin


def check_cost(cost: PseudoMetric, dim: int) -> None:
    """Raise an error unless JAX can compute a cost of two points (dim,).

    Raises:
        ConfigError: if the cost depends on a value that JAX is tracing and does not know of.
        DataError: if it is not written with jax.numpy for two points, not a scalar, or for points of another dimension.
    """
    check_dim(cost, dim)
    if not is_trusted(cost):  # of a thousand coordinates such a look takes a second
        _checked(cost, dim)


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


_check_cost_once = functools.lru_cache(maxsize=256)(_check_cost)
_check_cost_lately = functools.lru_cache(maxsize=8)(_check_cost)  # few parameters are kept, for ladders of bandwidths


def _checked(cost: PseudoMetric, dim: int) -> bool:
    if is_traced(cost) or not isinstance(cost, Hashable):
        return _check_cost(cost, dim)
    return (_check_cost_lately if jax.tree.leaves(cost) else _check_cost_once)(cost, dim)


def check_pairs(cost: PseudoMetric, points: Any) -> None:
    """Raise DataError unless a cost is between some of the points (N, D) what its class says it is.

    At most 64 points are paired, each with all: a cost that is negative, or asymmetric, between few of the pairs alone
    may pass. Costs whose own tests have examined that are taken on trust, and so are those that JAX traces.
    """
    if is_traced(cost, points):
        return
    cost.check(points)
    if is_trusted(cost):
        return
    reads = _checked(cost, points.shape[1])
    if not (reads or cost.vanishes_on_diagonal or cost.is_symmetric):
        return
    few, costs = costs_between(cost, points)
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


def costs_between(cost: PseudoMetric, points: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return 64 of the points (N, D), spread over the rows, and D between all pairs of them (64, 64)."""
    few = np.asarray(points)[np.linspace(0, len(points) - 1, _PAIRED).astype(int)]
    with jax.core.eval_context(), jax.disable_jit(False):
        return few, np.asarray(_all_pairs(cost, few))


def low_elsewhere(cost: PseudoMetric, points: np.ndarray, *, most: int) -> np.ndarray:
    """Return up to `most` of the points (n, D) for which a cost that is zero at y = x is low far from there as well.

    At most 64 points are paired. Whether the cost is zero there is for a search to tell.
    """
    few, costs = costs_between(cost, points)
    squares = np.sum((few[:, None] - few) ** 2, axis=2)
    far = squares > _FAR**2 * squares.max()
    if not far.any():
        return few[:0]
    ratios = np.where(far, costs, np.inf) / np.where(far, squares, 1.0)
    least = ratios.min(axis=1)
    low = np.flatnonzero(least < _LOW * np.median(ratios[far]))
    return few[low[np.argsort(least[low])][:most]]


@jax.jit
def _all_pairs(cost: PseudoMetric, points: jax.Array) -> jax.Array:
    def pair(x: jax.Array, y: jax.Array) -> jax.Array:
        return jaxpr_as_fun(trace(cost, x, y, scalar=True, strictly=True))(x, y)[0]

    return jax.vmap(lambda x: jax.vmap(lambda y: pair(x, y))(points))(points)


def _pair(points: np.ndarray, wrong: np.ndarray) -> str:
    i, j = np.argwhere(wrong)[0]
    return f"x = {shown(points[i])}, y = {shown(points[j])}"
