"""Lifting a function of one ambient point to many points, compiled once per function."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import jaxpr_as_fun

from attnflow._programs import name_of, trace
from attnflow._reads import reads_by_position
from attnflow._tracing import is_traced
from attnflow.errors import ConfigError, DataError, ResourceError
from attnflow.precision import require_x64

# Few shapes of blocks reach the compiler, so that every function compiles once: a small one where a row is expensive
# (derivatives, searches), a large one for plain values, where the call costs more than the row.
BLOCK, VALUE_BLOCK = 512, 4096


def map_blocks(compiled: Callable[..., Any], *arrays: np.ndarray, block: int = BLOCK) -> Any:
    """Apply a compiled map of blocks of rows to arrays with N rows each; a pytree of arrays (N, ...).

    The last block is filled up by repeating its last row: padded work stays finite.
    """
    require_x64()
    count = len(arrays[0])
    parts = []
    for start in range(0, count, block):
        whole = start + block <= count  # nothing to fill up, and no copy
        rows = slice(start, start + block) if whole else np.minimum(np.arange(start, start + block), count - 1)
        try:
            # Of known points, also while JAX traces something else; compiled, also where JAX is told not to.
            with jax.core.eval_context(), jax.disable_jit(False):
                result = compiled(*(array[rows] for array in arrays))
        except jax.errors.UnexpectedTracerError as error:
            raise ConfigError(
                "a function was given that depends on a value which JAX is tracing. Pass its values at the points, "
                "such as jax.vmap(f)(points)."
            ) from error
        except FloatingPointError as error:  # where JAX is told to stop at NaN
            raise DataError(f"a function is NaN or Inf: {str(error).splitlines()[0]}") from error
        except jax.errors.JaxRuntimeError as error:
            words = str(error).splitlines()[0]
            if "RESOURCE_EXHAUSTED" in words:
                raise ResourceError(f"there is too little memory: {words}. Ask for fewer points at once.") from error
            raise DataError(
                f"a function failed while it was computed: {words}. Write it with jax.numpy, without calls to the host."
            ) from error
        parts.append(jax.tree.map(lambda leaf: np.asarray(leaf)[: count - start], result))  # noqa: B023
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


@functools.lru_cache(maxsize=512)
def lift(f: Callable, name: str = "f") -> Callable:
    """Return the compiled map (B, D) -> (B,) or (B, c) of a function of one point; NaN where it reads out of range."""

    def one(x: jax.Array) -> jax.Array:
        return jaxpr_as_fun(trace(f, x, name=name, strictly=True))(x)[0]

    return jax.jit(jax.vmap(one))


def check_function(f: object, name: str = "f") -> Callable:
    """Return a function of one point; raise ConfigError for anything else, such as an array of values."""
    if not callable(f):
        raise ConfigError(
            f"`{name}` must be a function of one point, got {type(f).__name__}. Pass a function written with jax.numpy."
        )
    return f


def examine(f: object, points: np.ndarray, *, name: str = "f") -> Callable:
    """Return a function of one point (D,), hashable; raise what `evaluate` would, mostly without compiling it.

    Raises:
        ConfigError: if f is no function.
        DataError: if f cannot be traced at such a point, or reads out of range at one of these.
    """
    known = check_function(f, name)
    point = jax.ShapeDtypeStruct(points.shape[1:], jnp.result_type(float))
    if reads_by_position(trace(known, point, name=name).jaxpr):
        evaluate(known, points, name=name)
    return _hashable(known)


def _hashable(f: Callable) -> Callable:
    """Return a function by which compiled programs can be looked up."""
    try:
        hash(f)
    except TypeError:
        return functools.partial(f)
    return f


def evaluate(f: Callable, points: np.ndarray, *, name: str = "f") -> np.ndarray:
    """Return f at every point: (N, D) -> (N,) for a scalar function, (N, c) for a vector function.

    Args:
        f: a function of one point.
        points: (N, D).
        name: what its user calls the argument, for a function without a name of its own.

    Raises:
        DataError: if f is not written with jax.numpy, returns more than one axis, or is not finite somewhere.
    """
    return evaluate_compiled(lift(_hashable(f), name), points, name=name_of(f, name))


def evaluate_traced(f: Callable, points: Any, *, name: str = "f") -> jax.Array:
    """Return f at every point where JAX may trace what f reads from outside; values are not known, and not checked.

    Args:
        f: a function of one point.
        points: (N, D).
        name: what its user calls the argument, for a function without a name of its own.

    Raises:
        DataError: if f is not written with jax.numpy, or returns more than one axis.
    """
    require_x64()
    return lift.__wrapped__(f, name)(jnp.asarray(points))  # not kept: it would keep what is traced


def evaluate_compiled(compiled: Callable[[np.ndarray], Any], points: np.ndarray, *, name: str) -> np.ndarray:
    """Return the values of a compiled map (B, D) -> (B,) or (B, c) at every point, checked as in `evaluate`."""
    if is_traced(points):
        require_x64()
        return compiled(points)
    values = map_blocks(compiled, points, block=VALUE_BLOCK)
    bad = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if bad.any():
        row = int(np.argmax(bad))
        raise DataError(
            f"`{name}` is NaN or Inf at {int(bad.sum())} points, the first at row {row}, {shown(points[row])}: it "
            "grows too fast, is not defined there, or reads an entry that it has not. Mend it, or leave the point out."
        )
    return values


def shown(point: np.ndarray) -> str:
    """Return a point in few words."""
    digits = np.array2string(point[:4], precision=4, separator=", ", floatmode="maxprec")
    return digits if len(point) <= 4 else f"{digits[:-1]}, ...]"
