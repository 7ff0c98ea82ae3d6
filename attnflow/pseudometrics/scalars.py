"""A function of two points, taken apart into operations on single numbers.

A cost is written with vectors, (x - y) @ M @ (x - y). Batched over a tile of pairs, every step of that is an array
(q, k, D), which the compiler neither keeps in registers nor vectorises over pairs: 6 to 20 times slower than separate
coordinates. So what mixes both points is rewritten number by number; what belongs to one of them, as M @ y, stays as it
is written, and is computed for that point alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

from attnflow._reads import INLINED, SHAPING

_OPERATIONS = 512  # per pair at most: each takes a millisecond to compile, and by then arrays are as fast
_ELEMENTWISE = {
    *["abs", "acos", "acosh", "add", "add_any", "and", "asin", "asinh", "atan", "atan2", "atanh", "cbrt", "ceil"],
    *["clamp", "convert_element_type", "copy", "cos", "cosh", "digamma", "div", "eq", "erf", "erf_inv", "erfc"],
    *["exp", "exp2", "expm1", "floor", "ge", "gt", "integer_pow", "is_finite", "le", "lgamma", "log", "log1p"],
    *["logistic", "lt", "max", "min", "mul", "ne", "neg", "nextafter", "not", "or", "pow", "reduce_precision", "rem"],
    *["round", "rsqrt", "select_n", "sign", "sin", "sinh", "sqrt", "square", "stop_gradient", "sub", "tan", "tanh"],
    *["xor"],
}
_FOLDS: dict[str, Callable] = {
    "reduce_sum": lax.add, "reduce_prod": lax.mul, "reduce_max": lax.max, "reduce_min": lax.min,
    "reduce_and": lax.bitwise_and, "reduce_or": lax.bitwise_or,
}  # fmt: skip
_QUERY, _KEY, _BOTH = 1, 2, 3
_LONG = 16  # products of a query and a key: longer ones are faster as products of matrices
_FEW = 64  # multiplications with a key alone: fewer are fast for every pair as well


class _NotApartError(Exception):
    """A step that cannot be taken apart, or would be too many."""


def by_coordinate(function: Callable, *, dim: int, dtype: Any) -> Callable:
    """Return the map of the coordinates of two points, D numbers each, to the value of a function of two points (D,).

    All of JAX's transformations apply. A function that cannot be taken apart, or into more than 512 operations per
    pair, is computed as it is written, on stacked coordinates.

    Args:
        function: (x (D,), y (D,)) -> scalar, in jax.numpy.
        dim: D.
        dtype: of the coordinates.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> cost = by_coordinate(lambda x, y: jnp.sum((x - y) ** 2), dim=2, dtype="float32")
        >>> number = jax.ShapeDtypeStruct((), "float32")
        >>> jax.make_jaxpr(cost)((number, number), (number, number))
        { lambda ; a:f32[] b:f32[] c:f32[] d:f32[]. let
            e:f32[] = sub a c
            f:f32[] = sub b d
            g:f32[] = integer_pow[y=2] e
            h:f32[] = integer_pow[y=2] f
            i:f32[] = add g h
          in (i,) }
    """
    point = jax.ShapeDtypeStruct((dim,), dtype)
    program = jax.make_jaxpr(function)(point, point)
    numbers = [jax.ShapeDtypeStruct((), dtype)] * (2 * dim)
    try:
        apart = jax.make_jaxpr(lambda *given: _apart(program, given[:dim], given[dim:]))(*numbers)
    except _NotApartError:
        return lambda x, y: jaxpr_as_fun(program)(jnp.stack(x), jnp.stack(y))[0]
    return lambda x, y: jaxpr_as_fun(apart)(*x, *y)[0]


def _apart(program: ClosedJaxpr, x: Sequence, y: Sequence) -> Any:
    """Return the value of a program of two points, from the coordinates of both."""
    points = [_Value(_array(x, (len(x),)), _QUERY), _Value(_array(y, (len(y),)), _KEY)]
    (found,) = _Interpreter().run(program.jaxpr, [_Value(const) for const in program.consts], points)
    return _whole(found)


class _Value(NamedTuple):
    """An array of JAX, or a NumPy array of single numbers, and which of the two points it depends on."""

    content: Any
    sides: int = 0

    @property
    def is_apart(self) -> bool:
        return isinstance(self.content, np.ndarray) and self.content.dtype == object


class _Interpreter:
    """The steps of a program, one after another; those of both points in single numbers."""

    def __init__(self) -> None:
        self._left = _OPERATIONS

    def run(self, jaxpr: Jaxpr, consts: Sequence[_Value], arguments: Sequence[_Value]) -> list[_Value]:
        """Return the values of a program."""
        held: dict[Any, _Value] = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *arguments], strict=True))

        def value(atom: Any) -> _Value:
            return _Value(np.asarray(atom.val, atom.aval.dtype)) if isinstance(atom, Literal) else held[atom]  # type: ignore[attr-defined]

        for eqn in jaxpr.eqns:
            held.update(zip(eqn.outvars, self._apply(eqn, [value(atom) for atom in eqn.invars]), strict=True))
        return [value(atom) for atom in jaxpr.outvars]

    def _apply(self, eqn: JaxprEqn, values: list[_Value]) -> list[_Value]:
        name, params = eqn.primitive.name, eqn.params
        if name in INLINED:
            inner = params["jaxpr" if "jaxpr" in params else "call_jaxpr"]
            return self.run(inner.jaxpr, [_Value(const) for const in inner.consts], values)
        sides = functools.reduce(int.__or__, (each.sides for each in values), 0)
        is_apart = sides == _BOTH or any(each.is_apart for each in values)
        if is_apart and name in SHAPING and name not in _ELEMENTWISE:
            found = SHAPING[name](*map(_split, values), **params)
        elif self._stays_whole(eqn, values, sides):
            found = _bind(eqn, list(map(_whole, values)))
        else:
            found = self._mix(eqn, list(map(_split, values)))
        return [_Value(part, sides) for part in (found if eqn.primitive.multiple_results else [found])]

    def _stays_whole(self, eqn: JaxprEqn, values: list[_Value], sides: int) -> bool:
        """Return whether a step is taken as it is written: one of single numbers, or one that is faster so.

        The product of a query and a key is one of matrices where there are many. What belongs to one point is computed
        for it alone, but for a few multiplications with a key: the compiler would do them for every pair, on arrays.
        """
        is_product, is_apart = eqn.primitive.name == "dot_general", all(each.is_apart for each in values if each.sides)
        if sides != _BOTH:
            return not (is_product and is_apart and sides == _KEY and _terms(eqn) <= _FEW)
        if is_product and all(each.sides != _BOTH for each in values):
            return _terms(eqn) > _LONG or not is_apart
        is_single = not any(map(np.shape, [*(each.content for each in values), *_results(eqn)]))
        self._count(is_single)
        return is_single

    def _mix(self, eqn: JaxprEqn, values: list[np.ndarray]) -> np.ndarray:
        """Return a step of both points, in numbers."""
        name, params = eqn.primitive.name, eqn.params
        if name in _ELEMENTWISE:
            wide = np.broadcast_arrays(*values)  # some operands of `select_n` and `clamp` may be single numbers
            self._count(wide[0].size)
            return _array([_bind(eqn, each) for each in zip(*map(np.ravel, wide), strict=True)], wide[0].shape)
        if name in _FOLDS:
            return self._fold(_FOLDS[name], values[0], params["axes"])
        if name == "dot_general":
            dtype = _results(eqn)[0].dtype
            return self._dot(values[0], values[1], numbers=params["dimension_numbers"], dtype=dtype)
        raise _NotApartError

    def _count(self, operations: int) -> None:
        self._left -= operations
        if self._left < 0:
            raise _NotApartError

    def _fold(self, operation: Callable, values: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        """Return the fold over some axes, term by term."""
        kept = [axis for axis in range(values.ndim) if axis not in axes]
        shape = [values.shape[axis] for axis in kept]
        rows = values.transpose(*kept, *axes).reshape(math.prod(shape), -1)
        self._count(values.size)
        return _array([functools.reduce(operation, row) for row in rows], shape)

    def _dot(self, a: np.ndarray, b: np.ndarray, *, numbers: tuple, dtype: Any) -> np.ndarray:
        """Return the products of two arrays, summed over some axes of both, alike in others."""
        (over_a, over_b), (alike_a, alike_b) = numbers
        free_a, free_b = (
            [axis for axis in range(array.ndim) if axis not in (*over, *alike)]
            for array, over, alike in ((a, over_a, alike_a), (b, over_b, alike_b))
        )
        a, b = a.transpose(*alike_a, *free_a, *over_a), b.transpose(*alike_b, *free_b, *over_b)
        after_b = len(alike_a) + len(free_a)
        wide_a = np.expand_dims(a, tuple(range(after_b, after_b + len(free_b))))
        wide_b = np.expand_dims(b, tuple(range(len(alike_a), after_b)))
        terms = np.broadcast_arrays(wide_a, wide_b)
        self._count(terms[0].size)
        products = [
            lax.mul(*(lax.convert_element_type(number, dtype) for number in pair))
            for pair in zip(*map(np.ravel, terms), strict=True)
        ]
        summed = range(after_b + len(free_b), terms[0].ndim)
        return self._fold(lax.add, _array(products, terms[0].shape), summed)


def _results(eqn: JaxprEqn) -> list:
    """Return what is known of the results of a step: their shapes and types."""
    return [jax.ShapeDtypeStruct(atom.aval.shape, atom.aval.dtype) for atom in eqn.outvars]  # type: ignore[attr-defined]


def _terms(eqn: JaxprEqn) -> int:
    """Return how many numbers are multiplied in a product."""
    (over, _), _ = eqn.params["dimension_numbers"]
    lengths: tuple = eqn.invars[0].aval.shape  # type: ignore[attr-defined]
    return _results(eqn)[0].size * math.prod(lengths[axis] for axis in over)


def _bind(eqn: JaxprEqn, values: Sequence) -> Any:
    return eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))


def _array(numbers: Sequence, shape: Sequence[int]) -> np.ndarray:
    """Return numbers as an array of objects, which NumPy does not look into."""
    flat = np.empty(len(numbers), object)
    for place, number in enumerate(numbers):
        flat[place] = number
    return flat.reshape(shape)


def _whole(value: _Value) -> Any:
    """Return an array as JAX has it."""
    if not value.is_apart:
        return value.content
    shape = value.content.shape
    return lax.reshape(jnp.stack(list(value.content.flat)), shape) if shape else value.content.item()


def _split(value: _Value) -> np.ndarray:
    """Return an array as single numbers; those that are known stay known."""
    if value.is_apart:
        return value.content
    shape = np.shape(value.content)
    if not isinstance(value.content, jax.core.Tracer):
        return _array(list(np.ravel(value.content)), shape)
    flat = lax.reshape(value.content, (math.prod(shape),))
    return _array([lax.index_in_dim(flat, place, keepdims=False) for place in range(flat.size)], shape)
