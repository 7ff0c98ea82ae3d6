"""Softmax averages in JAX that can be differentiated, batched and compiled, in the memory of a layer.

Automatic differentiation of the loop over tiles would store every tile. Here the tangent of a tile is written by hand,
linear in what varies, and marked to be computed again: JAX transposes it for reverse mode.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.custom_derivatives import SymbolicZero

from attnflow._tracing import is_traced, primal
from attnflow.attention import Attention
from attnflow.pseudometrics.finite import is_finite
from attnflow.pseudometrics.plain import SquaredDistance
from attnflow.pseudometrics.scalars import by_coordinate
from attnflow.sums.kernel_sums.products import LEAST_DIM
from attnflow.sums.kernel_sums.rounding import least_total
from attnflow.sums.kernel_sums.tiles import (
    LOG2E,
    QUERY_TILE,
    Coordinates,
    compile_tiles,
    exp2,
    largest_exponents,
    log2_kernel,
)

KEY_TILE = 256
PRODUCT_TILE = 512  # of queries and of keys, where a tile of logits is a product of matrices
# A key without mass may lie nearer than all others; its kernel must not overflow. Keys of tiny masses stay below this.
LARGEST_EXPONENT = {np.dtype(np.float64): 1000.0, np.dtype(np.float32): 110.0}
LEAST_EXPONENT = {np.dtype(np.float64): -1000.0, np.dtype(np.float32): -120.0}  # a pair with less has no weight


class Outputs(NamedTuple):
    """Averages (Q, C) and log-normalisers (Q,)."""

    average: jax.Array
    log_normalizer: jax.Array


class _Sums(NamedTuple):
    """What is computed of each row, (Q, C) and (Q,): averages, and log2 Z = shift + log2_total; the shift is fixed."""

    average: jax.Array
    log2_total: jax.Array
    shift: jax.Array


class _Inputs(NamedTuple):
    """What an average depends on, in tiles, with the columns w_j [1, v_j] of the keys; also its tangent.

    Queries and keys are coordinates or, in many dimensions, factors of the logits over log 2, (tiles, size, K).
    """

    attention: Attention
    queries: Any
    keys: Any
    columns: jax.Array


class _Places(NamedTuple):
    """Of each query the place of the key that is left out, and of each key its place, in tiles."""

    own: jax.Array | None
    keys: jax.Array | None


def softmax_average(
    attention: Attention, queries: Any, keys: Any, weights: Any, values: Any, *,
    own: jax.Array | None = None, dtype: np.dtype | None = None,
) -> Outputs:  # fmt: skip
    """Return y_i = sum_j p_ij v_j and log Z_i, p_ij = w_j exp(l_ij) / Z_i, Z_i = sum_j w_j exp(l_ij), l = -D / (2 eps).

    All of JAX's transformations apply, any number of times, by every floating-point argument:

        dy_i = sum_j exp(l_ij) / Z_i (w_j dv_j + (w_j dl_ij + dw_j) (v_j - y_i)).

    Args:
        attention: the cost and the bandwidth.
        queries: x_i, shape (Q, D).
        keys: y_j, shape (N, D).
        weights: w_j >= 0, shape (N,), the largest of order one; those under 2^-1000 (2^-110) are too small for dtype.
        values: v_j, shape (N, C).
        own: of each query, the place of the key that is left out, shape (Q,); None leaves none out.
        dtype: of the arithmetic, None for that of the keys. Coordinates are counted from the middle of the cloud first;
            from eight of them on, logits that are products are taken so, to rounding of the squared radius over eps.

    Returns:
        y (Q, C) and log Z (Q,); NaN in a row without a key that has mass, or with a cost that is not a number. What is
        left out, costs infinity or underflows has no part in derivatives either.
    """
    inputs, places = _prepared(attention, queries, keys, weights, values, own, dtype=np.dtype(dtype or keys.dtype))
    return _finished(_average(inputs, places), count=len(queries))


@functools.partial(jax.jit, static_argnames="dtype")  # one program, where each operation would be one of its own
def _prepared(
    attention: Attention, queries: Any, keys: Any, weights: Any, values: Any, own: Any, *, dtype: np.dtype
) -> tuple[_Inputs, _Places]:
    if attention.is_gaussian:
        queries, keys = in_units(attention.bandwidth, queries, keys)
        attention = Attention(SquaredDistance(), bandwidth=1.0)
    given = attention, queries, keys, weights, values
    attention, queries, keys, weights, values = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), given)
    columns = weights[:, None] * jnp.concatenate([jnp.ones_like(weights)[:, None], values], axis=1)
    squares = jnp.sum(primal(keys) ** 2, axis=1).max()
    factors = attention.factors(jnp.sqrt(jnp.where(squares > 0, squares, 1.0)))
    if factors is not None and keys.shape[1] >= LEAST_DIM:
        tile = min(PRODUCT_TILE, max(QUERY_TILE, 1 << (len(keys) - 1).bit_length()))
        sides = factors.of_queries(queries) * (LOG2E / attention.bandwidth), factors.of_keys(keys)
        attention = attention.replace(bandwidth=1.0)
        of_queries, of_keys = (_tiles(side, tile) for side in sides)
        inputs = _Inputs(attention, of_queries, of_keys, _tiles(columns, tile, fill=0.0))
    else:
        by_query, by_key = (tuple(_tiles(c, size) for c in points.T)
                            for points, size in ((queries, QUERY_TILE), (keys, KEY_TILE)))  # fmt: skip
        inputs = _Inputs(attention, by_query, by_key, _tiles(columns, KEY_TILE, fill=0.0))
    if own is None:
        return inputs, _Places(None, None)
    (_, tile), shape = _shape(inputs.queries), _shape(inputs.keys)
    return inputs, _Places(_tiles(own, tile), jnp.arange(math.prod(shape)).reshape(shape))


@functools.partial(jax.jit, static_argnames="count")
def _finished(sums: _Sums, *, count: int) -> Outputs:
    average, log2_total, shift = (jax.lax.collapse(array, 0, 2)[:count] for array in sums)
    return Outputs(average, (shift + log2_total) / LOG2E)


def in_units(bandwidth: Any, queries: Any, keys: Any) -> tuple[jax.Array, jax.Array]:
    """Count coordinates in units of sqrt(eps) from the middle of the cloud: then products do not cancel."""
    center, unit = primal(keys).mean(axis=0), bandwidth**0.5
    return (queries - center[None, :]) / unit, (keys - center[None, :]) / unit


def _shape(side: Any) -> tuple[int, int]:
    """Return how many tiles queries or keys are in, and of what size."""
    tiles, size = jax.tree.leaves(side)[0].shape[:2]
    return tiles, size


@jax.custom_jvp
def _average(inputs: _Inputs, places: _Places) -> _Sums:
    # Options of the compiler are for the outermost call only.
    return (_forward if is_traced(inputs, places) else _forward_compiled)(inputs, places)


@functools.partial(_average.defjvp, symbolic_zeros=True)
def _average_jvp(primals: tuple, tangents: tuple) -> tuple[_Sums, _Sums]:
    inputs, places = primals
    sums = _average(inputs, places)
    return sums, _tangent(inputs, places, sums, _Inputs(*map(_varying, tangents[0])))


def _varying(change: Any) -> Any:
    """Return the change of an argument; None where it does not vary, so that nothing is computed for it."""
    leaves, structure = jax.tree.flatten(change, is_leaf=lambda leaf: isinstance(leaf, SymbolicZero))
    if all(isinstance(leaf, SymbolicZero) for leaf in leaves):
        return None
    filled = [jnp.zeros(leaf.shape, leaf.dtype) if isinstance(leaf, SymbolicZero) else leaf for leaf in leaves]
    return jax.tree.unflatten(structure, filled)


def _forward(inputs: _Inputs, places: _Places) -> _Sums:
    limits, count = jnp.finfo(inputs.columns.dtype), _shape(inputs.queries)
    by_query, by_key = (inputs.queries, places.own), (inputs.keys, places.keys, inputs.columns)

    def exponents(queries: tuple, keys: tuple) -> jax.Array:
        return _exponents(inputs.attention, queries[:2], keys)

    def larger(largest: jax.Array, queries: tuple, keys: tuple) -> jax.Array:
        return jnp.maximum(largest, largest_exponents(exponents(queries, keys), jnp.log2(keys[2][:, 0])))

    def add(sums: jax.Array, queries: tuple, keys: tuple) -> jax.Array:
        return sums + _product(_kernel(_difference(exponents(queries, keys), queries[2])), keys[2])

    def sums(shift: jax.Array) -> jax.Array:
        start = jnp.zeros((count[1], inputs.columns.shape[-1]), limits.dtype)
        return _over_tiles(add, start, (*by_query, shift), by_key)

    def largest() -> jax.Array:
        return _over_tiles(larger, jnp.full(count[1], -jnp.inf, limits.dtype), by_query, by_key)

    def shifted(shift: jax.Array) -> jax.Array:
        return jnp.where(jnp.isinf(shift)[..., None], jnp.nan, sums(shift))

    if inputs.attention.pseudometric.vanishes_on_diagonal or _is_plain(inputs.attention):
        least = least_total(limits.dtype) * jnp.maximum(inputs.columns[..., 0].max(), 1.0)

        def is_due(state: tuple) -> jax.Array:
            """Return whether a pass is: the first one without shifts, which few sums need."""
            passes, _, total = state
            # Of a plain cost no logit is large, up to where kernels are cut off, if no total is.
            enough = (total[..., 0] >= least) & (total[..., 0] < 2.0 ** (LARGEST_EXPONENT[np.dtype(limits.dtype)] / 2))
            return (passes == 0) | ((passes == 1) & ~enough.all())

        def one_pass(state: tuple) -> tuple:
            passes, shift, _ = state
            shift = jax.lax.cond(passes == 0, lambda: shift, largest)
            return passes + 1, shift, shifted(shift)  # one loop in the program for both passes

        nothing = jnp.zeros(count, limits.dtype)
        _, shift, total = jax.lax.while_loop(
            is_due, one_pass, (0, nothing, jnp.zeros((*count, inputs.columns.shape[-1]), limits.dtype))
        )
    else:
        shift = largest()
        total = shifted(shift)
    return _Sums(total[..., 1:] / total[..., :1], jnp.log2(total[..., 0]), shift)


_forward_compiled = compile_tiles(_forward)


@jax.jit
def _tangent(inputs: _Inputs, places: _Places, at: _Sums, change: _Inputs) -> _Sums:
    factored = inputs.attention.is_gaussian or not isinstance(inputs.queries, tuple)
    query_factors, key_factors = _factors(inputs, change) if factored else (None, None)
    cost, dtype = inputs.attention.pseudometric, inputs.columns.dtype
    spare = None
    if not (factored or is_finite(cost, dim=len(inputs.keys), dtype=dtype)):
        spare = _heaviest_pair(inputs, places, at)

    def add(sums: jax.Array, queries: tuple, keys: tuple) -> jax.Array:
        x, own, shift, log2_total, dx, query_factors = queries
        y, place, columns, dy, key_factors, columns_change = keys
        raw = jax.lax.stop_gradient(_exponents(inputs.attention, (x, own), (y, place, columns)))
        present = _difference(raw, shift) - log2_total[:, None] > LEAST_EXPONENT[np.dtype(raw.dtype)]
        at, change_at = (inputs.attention, x, y), (change.attention, dx, dy)
        if factored:
            exponents = log2_kernel(*at)
            products = [_product(a, b.T) for a, b in zip(query_factors, key_factors, strict=True)]
            logits: jax.Array | float = sum(products, start=0.0)
        else:
            weighty, masked = present, jnp.isneginf(raw)
            if own is not None:  # the cost may be singular at oneself, and a copy without mass fills the last tile
                weighty, masked = (present & (columns[:, 0] > 0)[None, :]), masked | (columns[:, 0] == 0)[None, :]
            exponents, logits = _logits_and_changes(at, change_at, weighty, masked.any(), spare)
            exponents = jnp.where(weighty, exponents, raw)
        relative = jnp.where(present, _difference(exponents, shift) - log2_total[:, None], -jnp.inf)
        kernel = jnp.where(present, _kernel(relative), 0.0)
        sums += _product(kernel * logits, columns)
        return sums if columns_change is None else sums + _product(kernel, columns_change)

    start = jnp.zeros((_shape(inputs.queries)[1], inputs.columns.shape[-1]), inputs.columns.dtype)
    by_query = inputs.queries, places.own, at.shift, at.log2_total, change.queries, query_factors
    by_key = inputs.keys, places.keys, inputs.columns, change.keys, key_factors, change.columns
    sums = _over_tiles(jax.checkpoint(add), start, by_query, by_key)
    return _Sums(sums[..., 1:] - at.average * sums[..., :1], sums[..., 0] * LOG2E, jnp.zeros_like(at.shift))


def _factors(inputs: _Inputs, change: _Inputs) -> tuple[list[jax.Array], list[jax.Array]]:
    """Thin matrices a, b with dl = sum a b^T for l = -|x - y|^2 / 2, -(x - y) . (dx - dy), and for products."""
    if not isinstance(inputs.queries, tuple):
        moved = [(change.queries, inputs.keys), (inputs.queries, change.keys)]
        present = [(a / LOG2E, b) for a, b in moved if a is not None and b is not None]
        return [a for a, _ in present], [b for _, b in present]
    x, y = (jnp.stack(side, axis=-1) for side in (inputs.queries, inputs.keys))
    by_query, by_key = [], []
    if change.queries is not None:
        dx = jnp.stack(change.queries, axis=-1)
        by_query.append(jnp.concatenate([dx, -(x * dx).sum(axis=-1, keepdims=True)], axis=-1))
        by_key.append(jnp.insert(y, y.shape[-1], 1.0, axis=-1))
    if change.keys is not None:
        dy = jnp.stack(change.keys, axis=-1)
        by_query.append(jnp.insert(x, x.shape[-1], 1.0, axis=-1))
        by_key.append(jnp.concatenate([dy, -(y * dy).sum(axis=-1, keepdims=True)], axis=-1))
    return by_query, by_key


def _logits_and_changes(
    at: tuple, change: tuple, present: jax.Array, masked: jax.Array, spare: tuple | None
) -> tuple[jax.Array, jax.Array | float]:
    """Return log2 exp(l) of a tile of pairs for any cost and dl, (q, k) each; of a pair that is not present, anything.

    In a tile with a masked pair all that are not present are put in the place of the `spare` one: what their costs
    would do to a derivative, such as infinity times zero, is never computed, in any mode of differentiation. It costs a
    map in the cost one evaluation for each pair, so that other tiles go without; the branch that is not taken must be
    finite too, because batching computes both.
    """
    varying = [n for n, part in enumerate(change) if part is not None]

    def changed(exponents: Callable) -> tuple[jax.Array, jax.Array | float]:
        def of_varying(*parts: Any) -> jax.Array:
            given = list(at)
            for n, part in zip(varying, parts, strict=True):
                given[n] = part
            return exponents(*given)

        if not varying:
            return exponents(*at), 0.0
        found, moved = jax.jvp(of_varying, [at[n] for n in varying], [change[n] for n in varying])
        return found, moved / LOG2E

    if spare is None:
        return changed(log2_kernel)
    spare_x, spare_y = map(tuple, spare)

    def pairwise(attention: Attention, x: Coordinates, y: Coordinates) -> jax.Array:
        logit = by_coordinate(functools.partial(attention.logit, unit=LOG2E), dim=len(x), dtype=x[0].dtype)

        def pair(here: jax.Array, x: Coordinates, y: Coordinates) -> jax.Array:
            instead = jax.tree.map(lambda number, spare: jnp.where(here, number, spare), (x, y), (spare_x, spare_y))
            return logit(*instead)

        over_keys = jax.vmap(pair, in_axes=(0, None, 0))
        return jax.vmap(over_keys, in_axes=(0, 0, None))(present, x, y).astype(x[0].dtype)

    def factored(attention: Attention, x: Coordinates, y: Coordinates) -> jax.Array:
        x = tuple(jnp.where(masked, instead, c) for instead, c in zip(spare_x, x, strict=True))
        y = tuple(jnp.where(masked, instead, c) for instead, c in zip(spare_y, y, strict=True))
        return log2_kernel(attention, x, y)

    return jax.lax.cond(masked, lambda: changed(pairwise), lambda: changed(factored))


def _heaviest_pair(inputs: _Inputs, places: _Places, at: _Sums) -> tuple[jax.Array, jax.Array]:
    """Return a query and a key (D,) of finite logit: the largest in the row of the largest normaliser."""
    inputs, at = jax.lax.stop_gradient((inputs, at))
    normalizers = (at.shift + at.log2_total).reshape(-1)
    row = jnp.argmax(jnp.where(jnp.isfinite(normalizers), normalizers, -jnp.inf))
    x = tuple(coordinate.reshape(-1)[row][None] for coordinate in inputs.queries)
    own = None if places.own is None else places.own.reshape(-1)[row][None]

    def tile(keys: tuple) -> jax.Array:
        exponents = _exponents(inputs.attention, (x, own), keys)[0]
        return jnp.where(jnp.isfinite(exponents) & (keys[2][:, 0] > 0), exponents, -jnp.inf)

    key = jnp.argmax(jax.lax.map(tile, (inputs.keys, places.keys, inputs.columns)).reshape(-1))
    return jnp.concatenate(x), jnp.stack([coordinate.reshape(-1)[key] for coordinate in inputs.keys])


def _is_plain(attention: Attention) -> bool:
    """Whether the cost is finite and smooth for all pairs, as no other is known to be: a product of factors."""
    return attention.factors(1.0) is not None


def _exponents(attention: Attention, queries: tuple, keys: tuple) -> jax.Array:
    """log2 exp(logit_ij) of a tile (q, k), from coordinates and places; minus infinity for what is left out."""
    (x, own), (y, place, columns) = queries, keys
    exponents = log2_kernel(attention, x, y)
    if not _is_plain(attention):  # of a key without mass nothing is asked
        exponents = jnp.where((columns[:, 0] == 0)[None, :] & ~(exponents < jnp.inf), -jnp.inf, exponents)
    return exponents if own is None else jnp.where(own[:, None] == place[None, :], -jnp.inf, exponents)


def _difference(exponents: jax.Array, shift: jax.Array) -> jax.Array:
    """Return exponents (q, k) less their shifts (q,), exactly: huge equal logits must cancel.

    The maximum keeps the compiler from contracting a product in the exponents with the difference.
    """
    return jnp.maximum(exponents, jnp.finfo(exponents.dtype).min) - shift[:, None]


def _kernel(exponents: jax.Array) -> jax.Array:
    return exp2(jnp.minimum(exponents, LARGEST_EXPONENT[np.dtype(exponents.dtype)]))


def _over_tiles(visit: Callable, start: jax.Array, by_query: Any, by_key: Any) -> jax.Array:
    """Fold `visit(folded, queries, keys)` over the key tiles of every query tile, (query tiles, *start.shape)."""

    def query_tile(_: None, queries: Any) -> tuple[None, jax.Array]:
        return None, jax.lax.scan(lambda folded, keys: (visit(folded, queries, keys), None), start, by_key)[0]

    return jax.lax.scan(query_tile, None, by_query)[1]


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b, precision="highest")


def _tiles(array: jax.Array, size: int, fill: float | None = None) -> jax.Array:
    """In tiles (tiles, size, ...), the last one filled up by the last entry or by `fill`."""
    widths = ((0, -len(array) % size), *[(0, 0)] * (array.ndim - 1))
    filled = jnp.pad(array, widths, mode="edge") if fill is None else jnp.pad(array, widths, constant_values=fill)
    return filled.reshape(-1, size, *array.shape[1:])
