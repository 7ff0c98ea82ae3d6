"""Reads by position in a traced program: JAX clamps those out of range, drops writes there, and says nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jax.lax import GatherScatterMode

# What positions are computed by, in NumPy: nothing is compiled to find out whether x[5] is there.
_ARITHMETIC: dict[str, Callable] = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "max": np.maximum, "min": np.minimum, "neg": np.negative,
    "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal, "eq": np.equal, "ne": np.not_equal,
    "and": np.bitwise_and, "or": np.bitwise_or, "not": np.invert, "sign": np.sign, "rem": np.fmod,
    "select_n": lambda which, *cases: np.choose(np.asarray(which, int), cases),
    "clamp": lambda low, values, high: np.clip(values, low, high),
}  # fmt: skip
SHAPING: dict[str, Callable] = {  # of numbers, or of anything else
    "convert_element_type": lambda values, *, new_dtype, **_: np.asarray(values, new_dtype),
    "concatenate": lambda *parts, dimension: np.concatenate(parts, dimension),
    "stack": lambda *parts, axis: np.stack(parts, axis),
    "split": lambda values, *, sizes, axis: np.split(values, np.cumsum(sizes)[:-1], axis),
    "slice": lambda values, *, start_indices, limit_indices, strides: values[
        tuple(map(slice, start_indices, limit_indices, strides or [None] * len(start_indices)))
    ],
    "squeeze": lambda values, *, dimensions: np.squeeze(values, dimensions),
    "reshape": lambda values, *, new_sizes, **_: np.reshape(values, new_sizes),
    "transpose": lambda values, *, permutation: np.transpose(values, permutation),
    "rev": lambda values, *, dimensions: np.flip(values, dimensions),
    "iota": lambda *, shape, dimension, dtype, **_: np.indices(shape, dtype)[dimension],
    "broadcast_in_dim": lambda values, *, shape, broadcast_dimensions, **_: _broadcast(
        values, shape, broadcast_dimensions
    ),
}
_BY_POSITION = ("dynamic_slice", "gather", "scatter")
INLINED = ("jit", "pjit", "closed_call")  # known positions stay known within


def strict(program: ClosedJaxpr) -> ClosedJaxpr:
    """Return the program with NaN for numbers read out of range, at positions that depend on its arguments.

    Positions of integers, which have no NaN, that depend on the arguments stay clamped. Where a position is asked to be
    clipped or filled, by `mode`, it is.

    Raises:
        IndexError: if a position that does not depend on the arguments is out of range.
    """
    if not reads_by_position(program.jaxpr):
        return program

    def run(*values: Any) -> list:
        return _run(program.jaxpr, program.consts, values)

    return jax.make_jaxpr(run)(
        *(jax.ShapeDtypeStruct(v.shape, v.dtype, weak_type=v.weak_type) for v in program.in_avals)
    )


def reads_by_position(jaxpr: Jaxpr) -> bool:
    """Return whether a program reads or writes at positions that are not checked when it is traced."""
    return any(
        eqn.primitive.name.startswith(_BY_POSITION) or any(map(reads_by_position, _inner(eqn))) for eqn in jaxpr.eqns
    )


def _inner(eqn: JaxprEqn) -> list[Jaxpr]:
    parts = [part for value in eqn.params.values() for part in (value if isinstance(value, tuple) else (value,))]
    found = [part.jaxpr if isinstance(part, ClosedJaxpr) else part for part in parts]
    return [part for part in found if isinstance(part, Jaxpr)]


def _run(jaxpr: Jaxpr, consts: Sequence, arguments: Sequence) -> list:
    """Return the values of a program; what is known beforehand stays a NumPy array."""
    held: dict[Any, Any] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

    def value(atom: Any) -> Any:
        return np.asarray(atom.val, atom.aval.dtype) if isinstance(atom, Literal) else held[atom]  # type: ignore[attr-defined]

    for eqn in jaxpr.eqns:
        found = _apply(eqn, [value(atom) for atom in eqn.invars])
        held.update(zip(eqn.outvars, found if eqn.primitive.multiple_results else [found], strict=True))
    return [value(atom) for atom in jaxpr.outvars]


def _apply(eqn: JaxprEqn, values: list) -> Any:
    name, params = eqn.primitive.name, eqn.params
    if name in INLINED:
        inner = params["jaxpr" if "jaxpr" in params else "call_jaxpr"]
        return _run(inner.jaxpr, inner.consts, values)
    if all(map(_is_known, values)):
        known = [np.asarray(value) for value in values]
        if name in _ARITHMETIC:
            return _ARITHMETIC[name](*known)
        if name in SHAPING:
            return SHAPING[name](*known, **params)
    if name == "dynamic_slice":
        return _slice(eqn, values)
    if name == "gather":
        return _gather(eqn, values)
    if name.startswith("scatter"):
        _check_writes(eqn, values)
    changed = {key: _strict_part(content) for key, content in params.items()}
    return eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(changed))


def _strict_part(content: Any) -> Any:
    if type(content) is tuple:  # of branches; other tuples have names
        return tuple(map(_strict_part, content))
    return strict(content) if isinstance(content, ClosedJaxpr) else content


def _slice(eqn: JaxprEqn, values: list) -> Any:
    operand, *starts = values
    sizes = eqn.params["slice_sizes"]
    read = eqn.primitive.bind(*values, **eqn.params)
    ends = [length - size for length, size in zip(operand.shape, sizes, strict=True)]
    for axis, (start, end) in enumerate(zip(starts, ends, strict=True)):
        if _is_known(start):
            _check_known(start, end, operand.shape[axis])
        elif jnp.issubdtype(operand.dtype, jnp.floating):
            read = jnp.where((start >= 0) & (start <= end), read, jnp.nan)
    return read


def _gather(eqn: JaxprEqn, values: list) -> Any:
    (operand, positions), params = values, dict(eqn.params)
    fill, mode = params["fill_value"], params["mode"]
    if mode == GatherScatterMode.CLIP or not (fill is None or np.isnan(fill)):
        return eqn.primitive.bind(*values, **params)
    if _is_known(positions):
        for place, axis in enumerate(params["dimension_numbers"].start_index_map):
            length = operand.shape[axis]
            _check_known(np.asarray(positions)[..., place], length - params["slice_sizes"][axis], length)
    elif jnp.issubdtype(operand.dtype, jnp.floating):
        params |= dict(mode=GatherScatterMode.FILL_OR_DROP, fill_value=None)
    return eqn.primitive.bind(*values, **params)


def _check_writes(eqn: JaxprEqn, values: list) -> None:
    operand, positions, _ = values
    numbers = eqn.params["dimension_numbers"]
    if eqn.params["mode"] != GatherScatterMode.CLIP and _is_known(positions):
        for place, axis in enumerate(numbers.scatter_dims_to_operand_dims):
            if axis in numbers.inserted_window_dims:
                _check_known(np.asarray(positions)[..., place], operand.shape[axis] - 1, operand.shape[axis])


def _check_known(starts: Any, last: int, length: int) -> None:
    outside = np.atleast_1d(starts)
    outside = outside[(outside < 0) | (outside > last)]
    if len(outside):
        position = int(outside[0])
        # A negative one has been counted from the end already.
        raise IndexError(f"entry {position if position >= 0 else position - length} of an axis of length {length}")


def _is_known(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def _broadcast(values: np.ndarray, shape: tuple[int, ...], axes: tuple[int, ...]) -> np.ndarray:
    wide = np.ones(len(shape), int)
    wide[list(axes)] = values.shape
    return np.broadcast_to(values.reshape(wide), shape)
