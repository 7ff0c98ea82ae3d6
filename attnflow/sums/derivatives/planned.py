"""Derivatives of averages that are planned: each is an average again, or a sum with keys and queries exchanged.

With R_i = (ybar_i, logZbar_i - ybar_i . y_i) and V_j = (v_j, 1) the logit l_ij = -|x_i - y_j|^2 / 2 has the cotangent
p_ij R_i . V_j, so those of points and values are moments of the kernel, linear sums that any method can take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from attnflow.errors import ConfigError
from attnflow.sums.derivatives.traced import Outputs
from attnflow.sums.kernel_sums.base import KernelSum, RowSums

BAND = 40.0  # of log-normalisers: the weights 1 / Z of the rows within one do not overflow, in any precision
# A key without mass may lie nearer than all others: its kernel must not overflow, nor its products with coordinates.
LARGEST_EXPONENT = 670.0


class Summation(NamedTuple):
    """How the kernel exp(-|x - y|^2 / 2) is summed.

    Args:
        over_keys: makes the sums over given keys with given logarithms of weights.
        over_queries: the same for queries in place of keys, by any method: some keys may be far from all of them.
        own: whether the queries are the keys.
        exclude_self: whether each query then leaves out itself.
    """

    over_keys: Callable[[np.ndarray, np.ndarray], KernelSum]
    over_queries: Callable[[np.ndarray, np.ndarray], KernelSum]
    own: bool
    exclude_self: bool

    def at_queries(self, x: np.ndarray, y: np.ndarray, log_weights: np.ndarray, columns: np.ndarray) -> RowSums:
        """Return the sums over the keys y (N, D) of columns (N, C), at x (Q, D)."""
        return self.over_keys(y, log_weights)(columns, None if self.own else x, exclude_self=self.exclude_self)

    def averages(self, x: np.ndarray, y: np.ndarray, weights: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
        """Return sum_j p_ij v_j (Q, C) and log Z_i (Q,)."""
        with np.errstate(divide="ignore"):
            sums = self.at_queries(x, y, np.log(weights), values)
        return [sums.weighted / sums.total[:, None], sums.shift + np.log(sums.total)]

    def pulled(self, x: np.ndarray, y: np.ndarray, log_normalizer: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return sum_i exp(l_ij) / Z_i columns_i, shape (N, C)."""
        result = np.zeros((len(y), columns.shape[1]))
        bands = np.floor((log_normalizer - log_normalizer.min()) / BAND)
        for band in np.unique(bands):
            # All rows stay, so that the place of a query is that of its key; those of other bands have no mass.
            rows = bands == band
            offset = log_normalizer[rows].min()
            alone = self.exclude_self and np.count_nonzero(rows) == 1  # without itself it would have no key with mass
            kernel_sum = self.over_queries(x, np.where(rows, offset - log_normalizer, -np.inf))
            sums = kernel_sum(columns, None if self.own else y, exclude_self=self.exclude_self and not alone)
            part = np.exp(np.minimum(sums.shift - offset, LARGEST_EXPONENT))[:, None] * sums.weighted
            if alone:
                part[rows] = 0.0
            result += part
        return result


def planned_average(sums: Summation, x: jax.Array, y: jax.Array, weights: Any, values: Any) -> Outputs:
    """Return the averages and log-normalisers of `softmax_average` for l = -|x - y|^2 / 2.

    It can be differentiated once, without jit and vmap, in a few times the time of an average. Moments of x or y are
    summed to the tolerance of the averages relative to the radius of the cloud, so that a derivative by points is exact
    to this tolerance times radius / sqrt(eps), relative to max |v| / sqrt(eps).

    Args:
        sums: how.
        x: queries, shape (Q, D).
        y: keys, shape (N, D).
        weights: w_j, shape (N,).
        values: v_j, shape (N, C).
    """
    dtype = jnp.result_type(x, y, weights, values)
    return Outputs(*_average.bind(*(jnp.asarray(array, dtype) for array in (x, y, weights, values)), sums=sums))


_average, _push, _pull = Primitive("planned_average"), Primitive("planned_tangent"), Primitive("planned_cotangent")


class _Point(NamedTuple):
    """Where the derivative is taken: the arguments and the result."""

    x: np.ndarray
    y: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    average: np.ndarray
    log_normalizer: np.ndarray


X, Y, WEIGHTS, VALUES = range(4)  # the places of the arguments
SIZE = len(_Point._fields)


def _average_impl(*given: np.ndarray, sums: Summation) -> list[np.ndarray]:
    return sums.averages(*given)


def _average_jvp(primals: tuple, tangents: tuple, *, sums: Summation) -> tuple[list, list]:
    outputs = _average.bind(*primals, sums=sums)
    varying = tuple(n for n, change in enumerate(tangents) if type(change) is not ad.Zero)
    changes = [tangents[n] for n in varying]
    return outputs, _push.bind(*primals, *outputs, *changes, sums=sums, varying=varying)


def _push_impl(*given: np.ndarray, sums: Summation, varying: tuple[int, ...]) -> list[np.ndarray]:
    """Return the tangents of the averages and log-normalisers, from those of the arguments that vary."""
    at, changes = _Point(*given[:SIZE]), dict(zip(varying, given[SIZE:], strict=True))
    columns, averages = _with_one(at.values), _with_one(at.average)

    def moments(factors: np.ndarray) -> np.ndarray:
        """sum_j p_ij factors_jd (v_j, 1)_c, shape (Q, D, C + 1)."""
        return _unfold(sums.averages(at.x, at.y, at.weights, _fold(factors, columns))[0], factors)

    # With dl = -(x - y) . (dx - dy): sum_j p_ij dl_ij (v_j, 1)
    change = np.zeros_like(averages)
    if X in changes:
        dx = changes[X]
        change += np.einsum("id,idc->ic", dx, moments(at.y)) - (at.x * dx).sum(axis=1)[:, None] * averages
    if Y in changes:
        dy = changes[Y]
        moved = moments(np.column_stack([dy, (at.y * dy).sum(axis=1)]))
        change += np.einsum("id,idc->ic", at.x, moved[:, :-1]) - moved[:, -1]
    if WEIGHTS in changes:
        part = sums.at_queries(at.x, at.y, np.zeros(len(at.y)), changes[WEIGHTS][:, None] * columns)
        change += np.exp(part.shift - at.log_normalizer)[:, None] * part.weighted
    of_average = change[:, :-1] - at.average * change[:, -1:]
    if VALUES in changes:
        of_average += sums.averages(at.x, at.y, at.weights, changes[VALUES])[0]
    return [of_average, change[:, -1]]


def _push_transpose(cotangents: list, *given: Any, sums: Summation, varying: tuple[int, ...]) -> list:
    back = _pull.bind(*given[:SIZE], *map(ad.instantiate_zeros, cotangents), sums=sums, varying=varying)
    asked = map(ad.is_undefined_primal, given[SIZE:])
    return [None] * SIZE + [part if wanted else None for part, wanted in zip(back, asked, strict=True)]


def _pull_impl(*given: np.ndarray, sums: Summation, varying: tuple[int, ...]) -> list[np.ndarray]:
    """Return the cotangents of the arguments that vary, from those of the averages and log-normalisers."""
    at, of_average, of_normalizer = _Point(*given[:SIZE]), *given[SIZE:]
    columns = _with_one(at.values)
    rise = np.column_stack([of_average, of_normalizer - (of_average * at.average).sum(axis=1)])
    back = {}
    if X in varying:
        moments = _unfold(sums.averages(at.x, at.y, at.weights, _fold(at.y, columns))[0], at.y)
        back[X] = np.einsum("ic,idc->id", rise, moments) - at.x * of_normalizer[:, None]
    if varying != (X,):
        parts = np.column_stack([rise, _fold(at.x, rise)]) if Y in varying else rise
        pulled = sums.pulled(at.x, at.y, at.log_normalizer, parts)
        at_keys, moved = pulled[:, : rise.shape[1]], pulled[:, rise.shape[1] :]
        if Y in varying:
            differences = _unfold(moved, at.x) - at.y[:, :, None] * at_keys[:, None, :]
            back[Y] = at.weights[:, None] * np.einsum("jc,jdc->jd", columns, differences)
        back[WEIGHTS] = (columns * at_keys).sum(axis=1)
        back[VALUES] = at.weights[:, None] * at_keys[:, :-1]
    return [back[n] for n in varying]


def _with_one(values: np.ndarray) -> np.ndarray:
    return np.column_stack([values, np.ones(len(values))])


def _fold(factors: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """All products (n, D) x (n, C) as columns, (n, D C)."""
    return (factors[:, :, None] * columns[:, None, :]).reshape(len(factors), -1)


def _unfold(table: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """(n, D C) as (n, D, C) for factors of D columns."""
    return table.reshape(len(table), factors.shape[1], -1)


def _once(*_: Any, **__: Any) -> Any:
    raise ConfigError(
        'a sum by `method` = "cutoff", "fourier" or "gpu", or one of many pairs by "auto", can be differentiated once, '
        'and neither compiled nor batched. Sums over all pairs can: pass method="dense".'
    )


def _on_host(impl: Callable) -> Callable:
    def run(*given: jax.Array, **how: Any) -> list[jax.Array]:
        with np.errstate(under="ignore"):  # distant keys
            results = impl(*(np.asarray(array, np.float64) for array in given), **how)
        return [jnp.asarray(result, given[0].dtype) for result in results]

    return run


def _define() -> None:
    """Register the rules by which JAX treats the three."""
    for primitive, impl in ((_average, _average_impl), (_push, _push_impl), (_pull, _pull_impl)):
        primitive.multiple_results = True
        primitive.def_impl(_on_host(impl))
        ad.primitive_jvps[primitive] = _once
        batching.primitive_batchers[primitive] = _once
        mlir.register_lowering(primitive, _once)
    ad.primitive_jvps[_average] = _average_jvp
    ad.primitive_transposes[_push] = _push_transpose
    _push.def_abstract_eval(lambda *given, **_: given[VALUES + 1 : SIZE])
    _pull.def_abstract_eval(lambda *given, varying, **_: [given[n] for n in varying])


_define()
