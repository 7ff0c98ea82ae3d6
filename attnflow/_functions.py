"""Lifting a function of one ambient point to many points, compiled once per function and block size."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow.errors import DataError
from attnflow.precision import require_x64

# Shapes that reach the compiler. Few, so that a study compiles once; the largest bounds the memory of one call.
BLOCK_SIZES = (64, 4096)


def blocks(count: int, sizes: tuple[int, ...] = BLOCK_SIZES) -> Iterator[tuple[slice, int]]:
    """Cut range(count) into slices, each with the padded size that it is compiled at."""
    size = next((s for s in sizes if s >= count), sizes[-1])
    for start in range(0, count, size):
        yield slice(start, min(start + size, count)), size


def pad_rows(array: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row until there are `size` rows: padded work stays finite."""
    return array if len(array) == size else np.concatenate([array, np.repeat(array[-1:], size - len(array), axis=0)])


def map_blocks(compiled: Callable[[np.ndarray], Any], points: np.ndarray) -> Any:
    """Apply a compiled map of a block of points (B, D) to all points; a pytree of arrays (N, ...)."""
    parts = []
    for rows, size in blocks(len(points)):
        result = compiled(pad_rows(points[rows], size))
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf)[: rows.stop - rows.start], result))  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=512)
def lift(f: Callable) -> Callable:
    """The compiled map (B, D) -> (B,) or (B, c) of a function of one point."""

    def one(x: jax.Array) -> jax.Array:
        return jnp.asarray(f(x), dtype=x.dtype)

    return jax.jit(jax.vmap(one))


def evaluate(f: Callable, points: np.ndarray) -> np.ndarray:
    """f at every point: (N, D) -> (N,) for a scalar function, (N, c) for a vector function.

    Raises:
        DataError: if f is not written with jax.numpy, returns more than one axis, or is not finite somewhere.
    """
    require_x64()
    try:
        values = map_blocks(lift(f), points)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise DataError(
            f"`{getattr(f, '__name__', f)}` must be a function of one point written with jax.numpy; it converted "
            "its argument to a NumPy or Python number. Replace np by jnp inside it."
        ) from error
    if values.ndim > 2:
        raise DataError(f"`f` must return a scalar or a vector for one point, got shape {values.shape[1:]}.")
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise DataError(f"`f` is NaN or Inf at {int(bad.sum())} points, the first at row {int(np.argmax(bad))}.")
    return values
