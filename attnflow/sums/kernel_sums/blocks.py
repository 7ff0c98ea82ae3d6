"""How sums are cut: blocks of one fixed shape, filled up, and shared out to one thread per core."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np

from attnflow.errors import ConfigError, PrecisionError


def slices(count: int, size: int) -> Iterator[slice]:
    """Return 0..count cut into slices of `size`, the last one shorter."""
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def coordinates(points: np.ndarray, size: int, dtype: np.dtype) -> tuple[np.ndarray, ...]:
    """Return one array per coordinate, filled up to `size` with the last point: padded work stays finite."""
    return tuple(pad(column, size, column[-1], dtype) for column in points.T)


def fill_up(rows: np.ndarray, size: int, dtype: np.dtype) -> np.ndarray:
    """Return rows (n, K) filled up to `size` with the last one."""
    filled = np.empty((size, rows.shape[1]), dtype)
    filled[: len(rows)], filled[len(rows) :] = rows, rows[-1]
    return filled


def pad(array: np.ndarray, size: int, fill: float, dtype: np.dtype) -> np.ndarray:
    """Return the array filled up to `size`."""
    padded = np.empty(size, dtype)
    padded[: len(array)], padded[len(array) :] = array, fill
    return padded


def weighed_columns(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return w_j [1, v_j], (N, 1 + c), each column in one piece."""
    columns = np.empty((1 + values.shape[1], len(values)))
    columns[0] = weights
    np.multiply(values.T, weights, out=columns[1:])
    return columns.T


def pack_columns(columns: np.ndarray, size: int, dtype: np.dtype, *, scales: np.ndarray | float = 1.0) -> np.ndarray:
    """Return columns (n, c) over their scales (c,), filled up with zeros to `packed_count` of them."""
    packed = np.zeros((size, packed_count(columns.shape[1])), dtype)
    for column, place, scale in zip(columns.T, packed.T, np.broadcast_to(scales, columns.shape[1]), strict=False):
        np.divide(column, scale, out=place[: len(column)], casting="same_kind")  # all at once is slower by 10
    return packed


def packed_count(columns: int) -> int:
    """Return how many columns are summed for so many: few numbers, each compiled once, and four are as fast as two."""
    return max(4, 1 << (columns - 1).bit_length()) if columns <= 64 else 8 * ceil_div(columns, 8)


def ceil_div(a: int, b: int) -> int:
    """Return a / b, rounded up."""
    return -(-a // b)


def in_threads(run: Callable, tasks: list, *, dtype: np.dtype) -> Iterable[np.ndarray]:
    """Return the results in the order of the tasks, so that sums do not depend on timing; one thread per core.

    A compiled loop runs on a single core and releases the interpreter.
    """

    def checked(task: object) -> np.ndarray:
        with jax.default_device(processor()):  # these loops are for processors, also where a GPU is
            result = run(task)
        if result.dtype != dtype:
            raise PrecisionError(
                f"{dtype} is asked but JAX computed in {result.dtype}. Call attnflow.enable_x64() once; "
                "a context manager does not reach worker threads."
            )
        return np.asarray(result)

    return map(checked, tasks) if len(tasks) == 1 else threads().map(checked, tasks)


@functools.cache
def processor() -> jax.Device:
    """Return JAX's first processor; raise ConfigError where JAX was told to see none."""
    try:
        return jax.devices("cpu")[0]
    except RuntimeError as error:
        raise ConfigError(
            "JAX sees no processor, on which points are sorted and summed. Start with JAX_PLATFORMS=cuda,cpu in place "
            "of cuda."
        ) from error


@functools.cache
def threads() -> ThreadPoolExecutor:
    """Return as many threads as cores."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="attnflow")
