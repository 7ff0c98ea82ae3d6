"""Lifting a function of one ambient point to many points, compiled once per function."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from attnflow._tracing import is_traced
from attnflow.errors import ConfigError, DataError
from attnflow.precision import require_x64

# Few shapes of blocks reach the compiler, so that every function compiles once: a small one where a row is expensive
# (derivatives, searches), a large one for plain values, where the call costs more than the row.
BLOCK, VALUE_BLOCK = 512, 4096


def map_blocks(compiled: Callable[..., Any], *arrays: np.ndarray, block: int = BLOCK) -> Any:
    """Apply a compiled map of blocks of rows to arrays with N rows each; a pytree of arrays (N, ...).

    The last block is filled up by repeating its last row: padded work stays finite.
    """
    count = len(arrays[0])
    parts = []
    for start in range(0, count, block):
        rows = np.minimum(np.arange(start, start + block), count - 1)
        try:
            with jax.core.eval_context():  # of known points, also while JAX traces something else
                result = compiled(*(array[rows] for array in arrays))
        except jax.errors.UnexpectedTracerError as error:
            raise ConfigError(
                "a function was given that depends on a value which JAX is tracing. Pass its values at the points, "
                "such as jax.vmap(f)(points)."
            ) from error
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf)[: count - start], result))  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=512)
def lift(f: Callable) -> Callable:
    """Return the compiled map (B, D) -> (B,) or (B, c) of a function of one point."""

    def one(x: jax.Array) -> jax.Array:
        result = at_point(f, x)
        try:
            return jnp.asarray(result, dtype=x.dtype)
        except (TypeError, ValueError) as error:
            raise DataError(f"`{_name(f)}` must return a number or a vector, got {type(result).__name__}.") from error

    return jax.jit(jax.vmap(one))


def _name(f: Callable) -> str:
    return getattr(f, "__name__", "f")


def at_point(f: Callable, x: jax.Array) -> Any:
    """Return f(x) while JAX compiles it.

    Raises:
        DataError: if f reads a coordinate that x lacks; JAX would take the last one in its place.
    """
    try:
        with np.errstate(all="ignore"):
            f(np.zeros(x.shape, x.dtype))
    except IndexError as error:
        raise DataError(
            f"`{_name(f)}` must be a function of one point, of shape {x.shape}, and reads an entry "
            f"that it has not: {error}. Pass a function of one point, not of a batch."
        ) from error
    except Exception:  # only JAX's points need to be understood
        pass
    return f(x)


def check_function(f: object) -> Callable:
    """Return a function of one point; raise ConfigError for anything else, such as an array of values."""
    if not callable(f):
        raise ConfigError(
            f"`f` must be a function of one point, got {type(f).__name__}. Pass a function written with jax.numpy."
        )
    return f


def evaluate(f: Callable, points: np.ndarray) -> np.ndarray:
    """Return f at every point: (N, D) -> (N,) for a scalar function, (N, c) for a vector function.

    Raises:
        DataError: if f is not written with jax.numpy, returns more than one axis, or is not finite somewhere.
    """
    hashable = f if isinstance(f, Hashable) else functools.partial(f)
    return evaluate_compiled(lift(hashable), points, name=_name(f))


def evaluate_compiled(compiled: Callable[[np.ndarray], Any], points: np.ndarray, *, name: str) -> np.ndarray:
    """Return the values of a compiled map (B, D) -> (B,) or (B, c) at every point, checked as in `evaluate`."""
    require_x64()
    if is_traced(points):
        return compiled(points)
    try:
        values = map_blocks(compiled, points, block=VALUE_BLOCK)
    except (jax.errors.TracerArrayConversionError, jax.errors.ConcretizationTypeError) as error:
        raise DataError(
            f"`{name}` must be a function of one point written with jax.numpy; it converted its argument to a NumPy or "
            "Python number. Replace np by jnp inside it."
        ) from error
    if values.ndim > 2:
        raise DataError(f"`{name}` must return a scalar or a vector for one point, got shape {values.shape[1:]}.")
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        raise DataError(f"`{name}` is NaN or Inf at {int(bad.sum())} points, the first at row {int(np.argmax(bad))}.")
    return values
