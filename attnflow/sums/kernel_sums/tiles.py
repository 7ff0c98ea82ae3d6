"""Compiled loops over tiles of (query, key) pairs that stay in the cache; no array of all pairs.

Coordinates travel as separate one-dimensional arrays: slicing them out of an (N, D) or (D, N) array within a loop
costs a factor 4, because XLA then stops vectorising. Vectors of 512 bits and the exponential below are worth a factor
2.3 together (1.8 in single precision) over XLA's defaults.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.attention import Attention
from attnflow.pseudometrics.scalars import by_coordinate

QUERY_TILE = 64
LOG2E = 1 / math.log(2)

# Where the processor has no such vectors, the compiler takes the widest that it has.
compile_tiles = functools.partial(jax.jit, compiler_options={"xla_cpu_prefer_vector_width": 512})

Coordinates = tuple  # of one-dimensional arrays, one per coordinate


class Schedule(NamedTuple):
    """Which key tiles each query tile i visits: `tiles[first[i]:last[i]]`, or, where `tiles` is None, that range.

    Args:
        first, last: int32, one per query tile.
        tiles: int32, key tiles one after another for all query tiles; None for consecutive ones.
    """

    first: np.ndarray | jax.Array
    last: np.ndarray | jax.Array
    tiles: np.ndarray | jax.Array | None


def _polynomial(degree: int) -> list[float]:
    """2^t for |t| <= 1/2 as interpolated at Chebyshev's nodes."""
    series = np.polynomial.Chebyshev.interpolate(np.exp2, degree, domain=[-0.5, 0.5])
    return series.convert(kind=np.polynomial.Polynomial).coef.tolist()


# Degrees 11 and 6 leave 3e-18 and 2e-9; adding 1.5 * 2^mantissa puts an integer into the lowest bits.
_EXP2 = {
    np.dtype(np.float64): (_polynomial(11), 1.5 * 2.0**52, np.int64, 52, -1021.0),
    np.dtype(np.float32): (_polynomial(6), 1.5 * 2.0**23, np.int32, 23, -125.0),
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
    """Return the logits over log 2 of all pairs, from coordinate arrays: D x (q,), D x (k,) -> (q, k)."""
    typed = jax.tree.map(lambda leaf: jnp.asarray(leaf, queries[0].dtype), attention)
    logit = by_coordinate(functools.partial(typed.logit, unit=LOG2E), dim=len(queries), dtype=queries[0].dtype)
    rows = jax.vmap(lambda *x: jax.vmap(lambda *y: logit(x, y))(*keys))
    return rows(*queries).astype(queries[0].dtype)  # a constant in the cost may be of another dtype


def tile(array: jax.Array, index: jax.Array, size: int) -> jax.Array:
    """Return the index-th tile of an array."""
    return jax.lax.dynamic_slice_in_dim(array, index * size, size)


def without_self(exponents: jax.Array, own: jax.Array | None, key_tile: jax.Array) -> jax.Array:
    """Put minus infinity at the place `own` (q,) of each query among the keys."""
    if own is None:
        return exponents
    place = key_tile * exponents.shape[1] + jnp.arange(exponents.shape[1], dtype=own.dtype)
    return jnp.where(own[:, None] == place[None, :], -jnp.inf, exponents)


def walk(schedule: Schedule, start: jax.Array, visit: Callable) -> jax.Array:
    """Fold `visit(accumulated, query tile, key tile)` over the key tiles of each query tile; (query tiles * q, ...)."""

    def query_tile(i: jax.Array, out: jax.Array) -> jax.Array:
        def key_tile(p: jax.Array, accumulated: jax.Array) -> jax.Array:
            return visit(accumulated, i, p if schedule.tiles is None else schedule.tiles[p])

        folded = jax.lax.fori_loop(schedule.first[i], schedule.last[i], key_tile, tile(start, i, QUERY_TILE))
        return jax.lax.dynamic_update_slice_in_dim(out, folded, i * QUERY_TILE, 0)

    return jax.lax.fori_loop(0, len(schedule.first), query_tile, start)


@functools.partial(compile_tiles, static_argnames="key_tile")
def sum_tiles(
    attention: Attention, schedule: Schedule, queries: Coordinates, own: jax.Array | None, keys: Coordinates,
    columns: jax.Array, shift: jax.Array, *, key_tile: int,
) -> jax.Array:  # fmt: skip
    """Return sum_j exp(logit_ij - s_i) columns_j over the scheduled tiles, (Q, C); shift (Q,)."""

    def visit(accumulated: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        exponents = _tile_exponents(attention, queries, own, keys, i, j, key_tile)
        kernel = exp2(exponents - tile(shift * LOG2E, i, QUERY_TILE)[:, None])
        return accumulated + jnp.dot(kernel, tile(columns, j, key_tile), precision="highest")

    return walk(schedule, jnp.zeros((len(shift), columns.shape[1]), columns.dtype), visit)


@functools.partial(compile_tiles, static_argnames="key_tile")
def max_tiles(
    attention: Attention, schedule: Schedule, queries: Coordinates, own: jax.Array | None, keys: Coordinates,
    log_weights: jax.Array, *, key_tile: int,
) -> jax.Array:  # fmt: skip
    """Return max_j log w_j + logit_ij over the scheduled tiles, (Q,); infinite where a key with mass has NaN."""

    def visit(largest: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        exponents = _tile_exponents(attention, queries, own, keys, i, j, key_tile)
        return jnp.maximum(largest, largest_exponents(exponents, tile(log_weights * LOG2E, j, key_tile)))

    return walk(schedule, jnp.full_like(queries[0], -jnp.inf), visit) / LOG2E


def largest_exponents(exponents: jax.Array, log2_weights: jax.Array) -> jax.Array:
    """Return the largest of each row with its weight, (q,); infinite where that of a key with mass is NaN."""
    # XLA's max may lose a NaN, and then the average would be taken without that key.
    weighted = jnp.where(jnp.isnan(exponents), jnp.inf, exponents) + log2_weights[None, :]
    return jnp.where(jnp.isneginf(log2_weights)[None, :], -jnp.inf, weighted).max(axis=1)


def _tile_exponents(
    attention: Attention, queries: Coordinates, own: jax.Array | None, keys: Coordinates, i: jax.Array, j: jax.Array,
    key_tile: int,
) -> jax.Array:  # fmt: skip
    x = tuple(tile(c, i, QUERY_TILE) for c in queries)
    exponents = log2_kernel(attention, x, tuple(tile(c, j, key_tile) for c in keys))
    return without_self(exponents, None if own is None else tile(own, i, QUERY_TILE), j)
