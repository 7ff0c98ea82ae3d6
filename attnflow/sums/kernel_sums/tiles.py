"""Compiled loops over tiles of (query, key) pairs that stay in the cache; no array of all pairs.

Coordinates travel as separate one-dimensional arrays: slicing them out of an (N, D) or (D, N) array within a loop
costs a factor 4, because XLA then stops vectorising. Vectors of 512 bits and the exponential below are worth a factor
2.3 together (1.8 in single precision) over XLA's defaults. Where a logit is a product of factors of query and key these
travel as rows (n, K) instead, and a tile of logits is one product of matrices.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.attention import Attention
from attnflow.pseudometrics.scalars import by_coordinate

QUERY_TILE = 64
LEAST_HELD = -1000.0  # exponents of 2 that a matrix keeps
LOG2E = 1 / math.log(2)

# Where the processor has no such vectors, the compiler takes the widest that it has.
compile_tiles = functools.partial(jax.jit, compiler_options={"xla_cpu_prefer_vector_width": 512})

Coordinates = tuple | jax.Array | np.ndarray  # one-dimensional arrays, one per coordinate; or factors, (n, K)


class Schedule(NamedTuple):
    """Which key tiles each query tile i visits: `tiles[first[i]:last[i]]`, or, where `tiles` is None, that range.

    Args:
        first, last: int32, one per query tile.
        tiles: int32, key tiles one after another for all query tiles; None for consecutive ones.
    """

    first: np.ndarray | jax.Array
    last: np.ndarray | jax.Array
    tiles: np.ndarray | jax.Array | None


# 2^t for |t| <= 1/2, interpolated at Chebyshev's nodes in fifty digits: off by 3e-16 and 2e-8 of it.
_POLYNOMIAL64 = (
    1.0, 0.69314718055995, 0.24022650695910097, 0.05550410866444772, 0.009618129107606888, 0.0013333558230164974,
    0.0001540353044173605, 1.5252657260200837e-05, 1.321544258792169e-06, 1.0208690299958306e-07, 7.072585949269223e-09,
)  # fmt: skip
_POLYNOMIAL32 = (
    1.0, 0.6931471824645996, 0.24022650718688965, 0.05550327152013779, 0.009618056938052177, 0.0013400427997112274,
    0.00015461444854736328,
)  # fmt: skip
# Adding 1.5 * 2^mantissa puts an integer into the lowest bits.
_EXP2 = {
    np.dtype(np.float64): (_POLYNOMIAL64, 1.5 * 2.0**52, np.int64, 52, -1021.0),
    np.dtype(np.float32): (_POLYNOMIAL32, 1.5 * 2.0**23, np.int32, 23, -125.0),
}


@jax.custom_jvp
def exp2(t: jax.Array) -> jax.Array:
    """Return 2^t to a unit in the last place, for t under 1024 (128); at least the smallest normal number, 1e-307."""
    coefficients, magic, integer, mantissa, smallest = _EXP2[np.dtype(t.dtype)]
    t = jnp.maximum(t, t.dtype.type(smallest))
    whole = jnp.round(t)
    fraction = t - whole
    power = t.dtype.type(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        power = power * fraction + t.dtype.type(coefficient)
    exponent = jax.lax.bitcast_convert_type(whole + t.dtype.type(magic), integer) << mantissa
    return jax.lax.bitcast_convert_type(jax.lax.bitcast_convert_type(power, integer) + exponent, t.dtype)


exp2.defjvps(lambda change, power, _: change * power / LOG2E)  # JAX would take the derivative of bits to be zero


def log2_kernel(attention: Attention, queries: Coordinates, keys: Coordinates) -> jax.Array:
    """Return the logits over log 2 of all pairs, from coordinate arrays: D x (q,), D x (k,) -> (q, k).

    From factors (q, K), (k, K) they are the products: these already hold the cost, the bandwidth and the unit.
    """
    if not isinstance(queries, tuple) and not isinstance(keys, tuple):
        return jnp.dot(queries, keys.T, precision="highest")
    typed = jax.tree.map(lambda leaf: jnp.asarray(leaf, queries[0].dtype), attention)
    logit = by_coordinate(functools.partial(typed.logit, unit=LOG2E), dim=len(queries), dtype=queries[0].dtype)
    rows = jax.vmap(lambda *x: jax.vmap(lambda *y: logit(x, y))(*keys))
    return rows(*queries).astype(queries[0].dtype)  # a constant in the cost may be of another dtype


def tile(arrays: Any, index: jax.Array, size: int) -> Any:
    """Return the index-th tile of an array, or of each of several."""
    return jax.tree.map(lambda array: jax.lax.dynamic_slice_in_dim(array, index * size, size), arrays)


class Within(NamedTuple):
    """Of each query the first and the last key that is kept, (q,), and its own place where that is left out."""

    first: np.ndarray | jax.Array
    last: np.ndarray | jax.Array
    own: np.ndarray | jax.Array | None


def without_self(exponents: jax.Array, own: Any, key_tile: jax.Array) -> jax.Array:
    """Put minus infinity at the place `own` (q,) of each query among the keys, or at all that are not `Within`."""
    if own is None:
        return exponents
    place = key_tile * exponents.shape[1] + jnp.arange(exponents.shape[1], dtype=np.int32)
    if isinstance(own, Within):
        kept = (own.first[:, None] <= place[None, :]) & (place[None, :] <= own.last[:, None])
        return without_self(jnp.where(kept, exponents, -jnp.inf), own.own, key_tile)
    return jnp.where(own[:, None] == place[None, :], -jnp.inf, exponents)


def walk(schedule: Schedule, start: jax.Array, visit: Callable) -> jax.Array:
    """Fold `visit(accumulated, query tile, key tile)` over the key tiles of each query tile; (query tiles * q, ...)."""
    size = len(start) // len(schedule.first)

    def query_tile(i: jax.Array, out: jax.Array) -> jax.Array:
        def key_tile(p: jax.Array, accumulated: jax.Array) -> jax.Array:
            return visit(accumulated, i, p if schedule.tiles is None else schedule.tiles[p])

        folded = jax.lax.fori_loop(schedule.first[i], schedule.last[i], key_tile, tile(start, i, size))
        return jax.lax.dynamic_update_slice_in_dim(out, folded, i * size, 0)

    return jax.lax.fori_loop(0, len(schedule.first), query_tile, start)


@functools.partial(compile_tiles, static_argnames="key_tile")
def sum_tiles(
    attention: Attention, schedule: Schedule, queries: Coordinates, own: Within | jax.Array | None, keys: Coordinates,
    columns: jax.Array, shift: jax.Array, *, key_tile: int,
) -> jax.Array:  # fmt: skip
    """Return sum_j exp(logit_ij - s_i) columns_j over the scheduled tiles, (Q, C); shift (Q,)."""
    size = len(shift) // len(schedule.first)

    def visit(accumulated: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        x, place = tile((queries, own), i, size)
        exponents = without_self(log2_kernel(attention, x, tile(keys, j, key_tile)), place, j)
        kernel = exp2(exponents - tile(shift * LOG2E, i, size)[:, None])
        return accumulated + jnp.dot(kernel, tile(columns, j, key_tile), precision="highest")

    return walk(schedule, jnp.zeros((len(shift), columns.shape[1]), columns.dtype), visit)


@functools.partial(compile_tiles, static_argnames="key_tile")
def max_tiles(
    attention: Attention, schedule: Schedule, queries: Coordinates, own: Within | jax.Array | None, keys: Coordinates,
    log_weights: jax.Array, *, key_tile: int,
) -> jax.Array:  # fmt: skip
    """Return max_j log w_j + logit_ij over the scheduled tiles, (Q,); infinite where a key with mass has NaN."""
    count = len(jax.tree.leaves(queries)[0])
    size = count // len(schedule.first)

    def visit(largest: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        x, place = tile((queries, own), i, size)
        exponents = without_self(log2_kernel(attention, x, tile(keys, j, key_tile)), place, j)
        return jnp.maximum(largest, largest_exponents(exponents, tile(log_weights * LOG2E, j, key_tile)))

    return walk(schedule, jnp.full(count, -jnp.inf, log_weights.dtype), visit) / LOG2E


@compile_tiles
def kernel_tile(attention: Attention, queries: Coordinates, keys: Coordinates, shift: jax.Array) -> jax.Array:
    """Return exp(logit_ij - s_i) of all pairs, (q, k), 0 where that is under 1e-301; shift (q,).

    NumPy's products of smaller numbers with others take ten times as long. NaN stays.
    """
    exponents = log2_kernel(attention, queries, keys) - (shift * LOG2E)[:, None]
    return jnp.where(exponents < LEAST_HELD, 0.0, exp2(exponents))


def largest_exponents(exponents: jax.Array, log2_weights: jax.Array) -> jax.Array:
    """Return the largest of each row with its weight, (q,); infinite where that of a key with mass is NaN."""
    # XLA's max may lose a NaN, and then the average would be taken without that key.
    weighted = jnp.where(jnp.isnan(exponents), jnp.inf, exponents) + log2_weights[None, :]
    return jnp.where(jnp.isneginf(log2_weights)[None, :], -jnp.inf, weighted).max(axis=1)
