"""A function that a user gives, as JAX sees it: traced once, and what is wrong with it told by our errors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jax.tree_util import Partial

from attnflow._reads import strict
from attnflow.errors import AttnflowError, DataError

_POINTS = {1: "one point", 2: "two points"}


def name_of(f: Callable, name: str = "f") -> str:
    """Return the name by which a function is told to its user: its own where it has one."""
    while isinstance(f, functools.partial | Partial):
        f = f.func
    own = getattr(f, "__name__", type(f).__name__)
    return name if own == "<lambda>" else own


def at_point(f: Callable, *points: jax.Array, name: str = "f", scalar: bool = False) -> jax.Array:
    """Return f(x), or f(x, y), while JAX compiles it: a number or, unless `scalar`, a vector, of the points' type.

    Raises:
        DataError: if f is not written with jax.numpy for points of this shape, fails, reads a coordinate that a point
            lacks (JAX would take the last one in its place), or returns anything else.
    """
    program = trace(f, *points, name=name, scalar=scalar)
    return jaxpr_as_fun(program)(*points)[0]


def trace(f: Callable, *points: Any, name: str = "f", scalar: bool = False, strictly: bool = False) -> ClosedJaxpr:
    """Return the program of f at points of these shapes, with one result; raise the errors of `at_point`.

    Args:
        f: the function.
        points: arrays, of which only shape and type matter.
        name: what its user calls the argument.
        scalar: whether a vector is refused.
        strictly: whether reads out of range at positions that depend on the point become NaN.
    """
    label, what = name_of(f, name), f"a function of {_POINTS[len(points)]}"

    def numbers(*given: jax.Array) -> jax.Array:
        return _numbers(f(*given), label, scalar=scalar, dtype=given[0].dtype)

    shape = points[0].shape
    try:
        program = jax.make_jaxpr(numbers)(*(jax.ShapeDtypeStruct(point.shape, point.dtype) for point in points))
        checked = strict(program)
    except (AttnflowError, jax.errors.UnexpectedTracerError):
        raise
    except jax.errors.TracerBoolConversionError as error:
        raise DataError(
            f"`{label}` must be {what} written with jax.numpy; it branches on a value (`if`, `and`, `while`, `max`), "
            "which JAX cannot trace. Use jnp.where or jnp.maximum inside it."
        ) from error
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError,
            jax.errors.TracerIntegerConversionError) as error:  # fmt: skip
        raise DataError(
            f"`{label}` must be {what} written with jax.numpy; it converted its argument to a NumPy or "
            "Python number. Replace np by jnp inside it."
        ) from error
    except jax.errors.NonConcreteBooleanIndexError as error:
        raise DataError(
            f"`{label}` must be {what} written with jax.numpy; it picks entries by a condition, and JAX must know how "
            "many. Use jnp.where inside it."
        ) from error
    except IndexError as error:
        raise DataError(
            f"`{label}` must be {what} of shape {shape}, and reads out of bounds: {_first_line(error)}. Pass "
            "a function of single points, not of a batch, that reads their coordinates only."
        ) from error
    except Exception as error:
        raise DataError(
            f"`{label}` must be {what} of shape {shape}, written with jax.numpy; it raised "
            f"{type(error).__name__}: {_first_line(error)}. Try it on jnp.zeros({shape})."
        ) from error
    return checked if strictly else program


def _numbers(result: Any, label: str, *, scalar: bool, dtype: Any) -> jax.Array:
    """Return what a function has returned as a number or a vector; raise DataError for all else."""
    wanted = "be a scalar" if scalar else "return a number or a vector"
    try:
        array = jnp.asarray(result)
    except Exception as error:  # of words NumPy takes some for types, and warns
        raise DataError(f"`{label}` must {wanted}, got {type(result).__name__}. Return a jax.numpy array.") from error
    if not _is_real(array.dtype):
        raise DataError(f"`{label}` must {wanted}, got {array.dtype}. Return real numbers, such as its real part.")
    if array.ndim > (0 if scalar else 1) or array.size == 0:
        raise DataError(f"`{label}` must {wanted} for one point, got shape {array.shape}. Flatten or sum it.")
    return array.astype(dtype)


def _is_real(dtype: Any) -> bool:
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0].rstrip(".")
