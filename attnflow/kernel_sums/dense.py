"""Exact kernel sums over all pairs, streamed in tiles.

The host cuts queries and keys into blocks of one fixed shape, so that a cost is compiled once, whatever N; inside a
block compiled loops walk over tiles that stay in the cache. Coordinates travel as separate one-dimensional arrays:
slicing them out of an (N, D) or (D, N) array within the loop costs a factor 4, because XLA then stops vectorising.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.attention import Attention
from attnflow.errors import DataError, DegenerateKernelError, PrecisionError
from attnflow.kernel_sums.rows import KernelSum, Rows, RowSums

QUERY_BLOCK, KEY_BLOCK = 1024, 16384
QUERY_TILE, KEY_TILE = 8, 1024
MATRIX_BLOCK = 512
TERM_ROUNDING = 600  # units in the last place that adding up a row may cost
MAX_COLUMNS = 32  # of one pass over the pairs; more channels take several passes


class DenseSum(KernelSum):
    """The sums sum_j w_j exp(logit_ij - s_i) [1, v_j] with logit = -D(x_i, y_j) / (2 eps), for any values v.

    A nonnegative cost needs no pass for the largest logit: s_i = 0, and only rows that underflow are summed again,
    shifted by their largest logit. Other costs take two passes.

    Args:
        attention: the cost and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic within a block; blocks are added in float64.
    """

    method = "dense"

    def __init__(self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype) -> None:
        self.attention = attention
        self.points = points
        self.dtype = dtype
        self._mass = np.exp(log_weights).sum()
        self._blocks = list(_slices(len(points), KEY_BLOCK))
        self._keys = [
            jax.device_put(
                (_coordinates(points[block], KEY_BLOCK, dtype), _pad(log_weights[block], KEY_BLOCK, -np.inf, dtype))
            )
            for block in self._blocks
        ]

    def of_rows(self, values: np.ndarray, rows: Rows) -> RowSums:
        columns = np.column_stack([np.ones(len(values)), values])
        if not self.attention.pseudometric.vanishes_on_diagonal:
            return self._with_error(*self._shifted_sums(rows, columns))
        shift = np.zeros(len(rows.points))
        sums = self._sums(rows, columns, shift)
        # Terms below the smallest normal number are lost; against a total above tiny / u^2 they weigh less than u^2.
        limits = np.finfo(self.dtype)
        lost = np.flatnonzero(~(sums[:, 0] >= limits.tiny / limits.eps**2))
        if len(lost):
            shift[lost], sums[lost] = self._shifted_sums(rows.take(lost), columns)
        return self._with_error(shift, sums)

    def _with_error(self, shift: np.ndarray, sums: np.ndarray) -> RowSums:
        """Rounding: u for each of about `TERM_ROUNDING` additions, and D + 4 times u |logit| in every exponential.

        The averages weigh a logit with p_j = w_j e^(logit_j) / sum, and sum_j p_j (shift - logit_j) is at most
        log(sum_j w_j / total), because the relative entropy of p with respect to w is not negative.
        """
        logits = np.abs(shift) + np.log(self._mass / sums[:, 0])
        roundings = TERM_ROUNDING + (self.points.shape[1] + 4) * float(logits.max())
        return RowSums(shift, sums[:, 0], sums[:, 1:], float(np.finfo(self.dtype).eps * roundings))

    def _shifted_sums(self, rows: Rows, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shift = np.full(len(rows.points), -np.inf)
        for i, largest in self._over_blocks(_block_max, rows, lambda i, j: self._keys[j]):
            shift[i] = np.maximum(shift[i], largest)
        undefined = int(np.isposinf(shift).sum())
        if undefined:
            raise DataError(
                f"the cost {type(self.attention.pseudometric).__name__} is NaN or -Inf for {undefined} queries, the "
                f"first {rows.points[np.argmax(shift)].tolist()}. It must be a number for every pair."
            )
        if np.isneginf(shift).any():
            raise DegenerateKernelError(
                f"{int(np.isneginf(shift).sum())} rows, the first at query {rows.points[np.argmin(shift)].tolist()}, "
                "have no key with mass at a finite cost: their average is 0/0. Give more points a positive weight."
            )
        return shift, self._sums(rows, columns, shift)

    def _sums(self, rows: Rows, columns: np.ndarray, shift: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(rows.points), columns.shape[1]))
        for start in range(0, columns.shape[1], MAX_COLUMNS):
            chunk = columns[:, start : start + MAX_COLUMNS]
            packed = [_pack_columns(chunk[block], self.dtype) for block in self._blocks]

            def arrays(i: slice, j: int, packed: list[np.ndarray] = packed) -> tuple:
                return *self._keys[j], packed[j], _pad(shift[i], QUERY_BLOCK, 0.0, self.dtype)

            for i, part in self._over_blocks(_block_sum, rows, arrays):
                sums[i, start : start + MAX_COLUMNS] += part[:, : chunk.shape[1]]
        return sums

    def _over_blocks(
        self, compiled: Callable, rows: Rows, arrays: Callable[[slice, int], tuple]
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """Every (query block, key block), on all cores, handed back in a fixed order: sums do not depend on timing."""

        def run(task: tuple[slice, int]) -> np.ndarray:
            i, j = task
            block = rows.take(i)
            key_count = self._blocks[j].stop - self._blocks[j].start
            tiles = _ceil_div(len(block.points), QUERY_TILE), _ceil_div(key_count, KEY_TILE)
            # Of each query, its own place among the keys of this block.
            own = None if block.own is None else _pad(block.own - j * KEY_BLOCK, QUERY_BLOCK, -1, np.dtype(np.int32))
            queries = _coordinates(block.points, QUERY_BLOCK, self.dtype)
            result = compiled(self.attention, queries, own, tiles, *arrays(i, j))
            if result.dtype != self.dtype:
                raise PrecisionError(
                    f"{self.dtype} is asked but JAX computed in {result.dtype}. Call attnflow.enable_x64() once; "
                    "a context manager does not reach worker threads."
                )
            return np.asarray(result)[: len(block.points)]

        tasks = list(itertools.product(_slices(len(rows.points), QUERY_BLOCK), range(len(self._blocks))))
        results = map(run, tasks) if len(tasks) == 1 else _threads().map(run, tasks)
        for (i, _), part in zip(tasks, results, strict=True):
            yield i, part


@functools.cache
def _threads() -> ThreadPoolExecutor:
    """One thread per core: a compiled loop runs on a single core and releases the interpreter."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="attnflow")


def _logits(attention: Attention, queries: tuple, keys: tuple) -> jax.Array:
    """-D/2eps of all pairs, from coordinate arrays: D x (q,), D x (k,) -> (q, k)."""
    parameters = jax.tree.map(lambda leaf: jnp.asarray(leaf, queries[0].dtype), attention)
    cost = parameters.pseudometric

    def row(*x: jax.Array) -> jax.Array:
        return jax.vmap(lambda *y: cost(jnp.stack(x), jnp.stack(y)))(*keys)

    return jax.vmap(row)(*queries) * (-0.5 / parameters.bandwidth)


def _walk_tiles(
    attention: Attention, queries: tuple, own: jax.Array | None, tiles: tuple, keys: tuple, *,
    reduce: Callable, start: jax.Array,
) -> jax.Array:  # fmt: skip
    """Fold `reduce(accumulated, logits, query tile, key tile)` over key tiles, for each query tile."""

    def query_tile(i: jax.Array, out: jax.Array) -> jax.Array:
        x = tuple(_tile(c, i, QUERY_TILE) for c in queries)

        def key_tile(j: jax.Array, accumulated: jax.Array) -> jax.Array:
            logits = _logits(attention, x, tuple(_tile(c, j, KEY_TILE) for c in keys))
            if own is not None:
                place = j * KEY_TILE + jnp.arange(KEY_TILE, dtype=own.dtype)
                logits = jnp.where(_tile(own, i, QUERY_TILE)[:, None] == place, -jnp.inf, logits)
            return reduce(accumulated, logits, i, j)

        tile = jax.lax.fori_loop(0, tiles[1], key_tile, _tile(start, i, QUERY_TILE))
        return jax.lax.dynamic_update_slice_in_dim(out, tile, i * QUERY_TILE, 0)

    return jax.lax.fori_loop(0, tiles[0], query_tile, start)


@jax.jit
def _block_sum(
    attention: Attention, queries: tuple, own: jax.Array | None, tiles: tuple, keys: tuple, log_weights: jax.Array,
    columns: jax.Array, shift: jax.Array,
) -> jax.Array:  # fmt: skip
    """sum_j exp(logit_ij + log w_j - s_i) columns_j of one block, (QUERY_BLOCK, C)."""

    def reduce(accumulated: jax.Array, logits: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        exponents = logits + (_tile(log_weights, j, KEY_TILE) - _tile(shift, i, QUERY_TILE)[:, None])
        kernel, tile = jnp.exp(exponents), _tile(columns, j, KEY_TILE)
        if columns.shape[1] > 2:
            return accumulated + jnp.dot(kernel, tile, precision="highest")
        # Two products with a vector are a sixth faster than one with a thin matrix.
        return accumulated + jnp.stack([jnp.dot(kernel, v, precision="highest") for v in tile.T], axis=1)

    start = jnp.zeros((QUERY_BLOCK, columns.shape[1]), columns.dtype)
    return _walk_tiles(attention, queries, own, tiles, keys, reduce=reduce, start=start)


@jax.jit
def _block_max(
    attention: Attention, queries: tuple, own: jax.Array | None, tiles: tuple, keys: tuple, log_weights: jax.Array
) -> jax.Array:
    """max_j (logit_ij + log w_j) of one block, (QUERY_BLOCK,); infinite where one of them is NaN."""

    def reduce(largest: jax.Array, logits: jax.Array, i: jax.Array, j: jax.Array) -> jax.Array:
        logits = logits + _tile(log_weights, j, KEY_TILE)
        # XLA's max may lose a NaN, and then the average would be taken without that key.
        return jnp.maximum(largest, jnp.where(jnp.isnan(logits), jnp.inf, logits).max(axis=1))

    start = jnp.full(QUERY_BLOCK, -jnp.inf, log_weights.dtype)
    return _walk_tiles(attention, queries, own, tiles, keys, reduce=reduce, start=start)


def kernel_logits(attention: Attention, points: np.ndarray) -> np.ndarray:
    """The logits -D(x_i, x_j) / (2 eps) of all pairs as a matrix (N, N), for spectra of few points."""
    blocks = [
        (rows, _coordinates(points[rows], MATRIX_BLOCK, points.dtype)) for rows in _slices(len(points), MATRIX_BLOCK)
    ]
    logits = np.empty((len(points), len(points)))
    for (rows, x), (columns, y) in itertools.product(blocks, blocks):
        block = logits[rows, columns]
        block[:] = np.asarray(_block_logits(attention, x, y))[: block.shape[0], : block.shape[1]]
    return logits


_block_logits = jax.jit(_logits)


def _tile(array: jax.Array, index: jax.Array, size: int) -> jax.Array:
    return jax.lax.dynamic_slice_in_dim(array, index * size, size)


def _slices(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _coordinates(points: np.ndarray, size: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """One array per coordinate, filled up to `size` with the last point: padded work stays finite."""
    return tuple(_pad(column, size, column[-1], dtype) for column in points.T)


def _pad(array: np.ndarray, size: int, fill: float, dtype: np.dtype) -> np.ndarray:
    padded = np.full(size, fill, dtype)
    padded[: len(array)] = array
    return padded


def _pack_columns(columns: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """(n, c) filled up with zeros to a block; four columns or a larger power of two: few shapes to compile."""
    packed = np.zeros((KEY_BLOCK, max(4, 1 << (columns.shape[1] - 1).bit_length())), dtype)
    packed[: len(columns), : columns.shape[1]] = columns
    return packed


def _ceil_div(a: int, b: int) -> int:
    return -(-a // b)
