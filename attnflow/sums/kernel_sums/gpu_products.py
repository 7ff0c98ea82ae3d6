"""Kernel sums in many dimensions on a GPU: a block of logits is one product of matrices, a block of sums another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from attnflow.attention import Attention
from attnflow.sums.kernel_sums.base import Rows
from attnflow.sums.kernel_sums.blocks import ceil_div, fill_up, pad, slices
from attnflow.sums.kernel_sums.gpu import gpu_device
from attnflow.sums.kernel_sums.products import ProductSum
from attnflow.sums.kernel_sums.rounding import column_scales
from attnflow.sums.kernel_sums.tiles import LOG2E

# Coordinates of a pair. On an H100 pairs one by one are faster up to 32 of them with one channel, level at 8 with 64.
MOST_BY_PAIRS = 8
KEYS = 2048  # of a block
QUERIES = (1024, 16384)  # at once, at least and at most: logits of a block then take up to .3 GB


class GpuProductSum(ProductSum):
    """The sums of ProductSum on a GPU, all keys of a chunk of queries in one program.

    Args:
        attention: the cost, which has factors, and the bandwidth.
        points: the keys y_j, shape (N, D).
        log_weights: log w_j, shape (N,); -inf for a point without mass.
        dtype: of the arithmetic.
        rtol: up to this the worst case of rounding is declared.

    Raises:
        ConfigError: if there is no GPU.
    """

    method = "gpu"

    def __init__(
        self, attention: Attention, *, points: np.ndarray, log_weights: np.ndarray, dtype: np.dtype, rtol: float
    ) -> None:
        super().__init__(attention, points=points, log_weights=log_weights, dtype=dtype, rtol=rtol)
        self._device = gpu_device()
        self._blocks = ceil_div(len(self._b), KEYS)
        self._term_rounding = KEYS // 2 + self._blocks
        self._on_device = self._put(fill_up(self._b, self._blocks * KEYS, dtype).reshape(self._blocks, KEYS, -1))

    def _put(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(array, self._device)

    def _chunks(self, rows: Rows) -> list[tuple[slice, int]]:
        """Return chunks of rows, and of how many queries the program is that takes each."""
        least, most = QUERIES
        return [
            (chunk, max(least, 1 << (chunk.stop - chunk.start - 1).bit_length()))
            for chunk in slices(len(rows.points), most)
        ]

    def _given(self, rows: Rows, chunk: slice, size: int) -> tuple[jax.Array, jax.Array | None]:
        """Return the factors of queries, and the place of each among the keys."""
        some = rows.take(chunk)
        a = fill_up(self._a(some.points) * (LOG2E / self.attention.bandwidth), size, self.dtype)
        own = None if some.own is None else self._put(pad(self._place[some.own], size, -1, np.dtype("i4")))
        return self._put(a), own

    def _sums(self, rows: Rows, columns: np.ndarray, shift: np.ndarray) -> np.ndarray:
        scales = column_scales(columns)
        padded = np.zeros((self._blocks * KEYS, columns.shape[1]), self.dtype)
        padded[: len(self._b)] = columns[self._massive] / scales
        f = self._put(padded.reshape(self._blocks, KEYS, -1))
        sums = np.empty((len(rows.points), columns.shape[1]))
        for chunk, size in self._chunks(rows):
            shifts = self._put(pad(shift[chunk] * LOG2E, size, 0.0, self.dtype))
            found = _sum_blocks(*self._given(rows, chunk, size), self._on_device, len(self._b), f, shifts)
            sums[chunk] = np.asarray(found)[: chunk.stop - chunk.start]
        return sums * scales

    def _largest(self, rows: Rows) -> np.ndarray:
        log_weights = pad(self._log_weights[self._massive] * LOG2E, self._blocks * KEYS, -np.inf, self.dtype)
        weights = self._put(log_weights.reshape(self._blocks, KEYS))
        largest = np.empty(len(rows.points))
        for chunk, size in self._chunks(rows):
            found = _largest_of_blocks(*self._given(rows, chunk, size), self._on_device, len(self._b), weights)
            largest[chunk] = np.asarray(found)[: chunk.stop - chunk.start]
        return largest / LOG2E


def _exponents(a: jax.Array, own: jax.Array | None, b: jax.Array, block: jax.Array, count: int) -> jax.Array:
    """Return the logits over log 2 of one block of keys, minus infinity at the own place of each query and beyond N."""
    place = block * len(b) + jnp.arange(len(b), dtype=jnp.int32)
    left_out = place >= count if own is None else (place >= count) | (own[:, None] == place)
    return jnp.where(left_out, -jnp.inf, jnp.dot(a, b.T, precision="highest"))


@jax.jit
def _sum_blocks(
    a: jax.Array, own: jax.Array | None, b: jax.Array, count: int, columns: jax.Array, shift: jax.Array
) -> jax.Array:
    """Return sum_j 2^(a_i . b_j - s_i) F_j, (Q, C), for b (blocks, n, K) and F (blocks, n, C)."""

    def add(sums: jax.Array, given: tuple) -> tuple[jax.Array, None]:
        block, b, columns = given
        kernel = jnp.exp2(_exponents(a, own, b, block, count) - shift[:, None])
        return sums + jnp.dot(kernel, columns, precision="highest"), None

    start = jnp.zeros((len(a), columns.shape[2]), a.dtype)
    return lax.scan(add, start, (jnp.arange(len(b), dtype=jnp.int32), b, columns))[0]


@jax.jit
def _largest_of_blocks(a: jax.Array, own: jax.Array | None, b: jax.Array, count: int, weights: jax.Array) -> jax.Array:
    """Return max_j a_i . b_j + w_j, (Q,), for b (blocks, n, K) and w (blocks, n)."""

    def larger(largest: jax.Array, given: tuple) -> tuple[jax.Array, None]:
        block, b, weights = given
        return jnp.maximum(largest, (_exponents(a, own, b, block, count) + weights).max(axis=1)), None

    start = jnp.full(len(a), -jnp.inf, a.dtype)
    return lax.scan(larger, start, (jnp.arange(len(b), dtype=jnp.int32), b, weights))[0]
