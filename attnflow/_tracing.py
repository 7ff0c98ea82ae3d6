"""What JAX may trace: values that it takes apart into numbers and structure, and whether it is tracing them now."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from jax.tree_util import GetAttrKey, Partial

from attnflow._values import comparable
from attnflow._words import briefly

_KNOWN = (np.ndarray, float, int, type(None))


class Traceable:
    """A value whose numbers JAX can trace; a class needs no more than to inherit from this, a dataclass or not.

    Numbers with a fraction, arrays, traceable values and containers of these are data, which JAX differentiates and
    batches. Integers, words, functions and all else are structure, by which compiled programs are looked up; so is a
    field declared by `static()`, whatever it holds.
    """

    def __new__(cls, *_: Any, **__: Any) -> Self:
        _register(cls)  # type: ignore[arg-type]
        return super().__new__(cls)

    __repr__ = briefly


@functools.cache
def _register(cls: type) -> None:
    with contextlib.suppress(ValueError):  # where the class has registered itself, that holds
        jax.tree_util.register_pytree_with_keys(
            cls, _flatten_with_keys, lambda *parts: _unflatten(cls, *parts), flatten_func=_flatten
        )


@functools.cache
def register_fixed(cls: type) -> None:
    """Let objects of a class be arguments of what JAX compiles, as structure: it never looks into them."""
    with contextlib.suppress(ValueError):  # where the class has registered itself, that holds
        jax.tree_util.register_pytree_node(cls, lambda obj: ((), Fixed(obj)), lambda fixed, _: fixed.content)


class _Structure(NamedTuple):
    """The names of the data, and the names and contents of the rest."""

    data: tuple[str, ...]
    names: tuple[str, ...]
    rest: tuple[Fixed, ...]


class Fixed:
    """Something that JAX compares but never looks into; an array, which has no truth value, is itself alone."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Fixed):
            return False
        return self.content is other.content or comparable(self.content) == comparable(other.content)

    def __hash__(self) -> int:
        return hash(comparable(self.content))


def _structure(obj: Traceable) -> _Structure:
    """Return the structure of a value; that of a frozen dataclass is kept with it, because it is asked for often."""
    held = vars(obj)
    if "_structure" in held:
        return held["_structure"]
    fields: dict[str, dataclasses.Field] = {}
    if dataclasses.is_dataclass(obj):
        fields = {field.name: field for field in dataclasses.fields(obj)}
    contents = {name: getattr(obj, name) for name in fields or held if name != "_data"}
    # What was put together from parts is taken apart in the same way: JAX also puts in placeholders of its own.
    data = held.get("_data")
    if data is None:
        fixed = {name for name, field in fields.items() if field.metadata.get("static")}
        data = tuple(name for name, content in contents.items() if name not in fixed and _is_data(content))
    names = tuple(name for name in contents if name not in data)
    structure = _Structure(data, names, tuple(Fixed(contents[name]) for name in names))
    if fields and type(obj).__dataclass_params__.frozen:  # type: ignore[attr-defined]
        object.__setattr__(obj, "_structure", structure)
    return structure


def _flatten(obj: Traceable) -> tuple[list, _Structure]:
    structure = _structure(obj)
    return [getattr(obj, name) for name in structure.data], structure


def _flatten_with_keys(obj: Traceable) -> tuple[list, _Structure]:
    structure = _structure(obj)
    return [(GetAttrKey(name), getattr(obj, name)) for name in structure.data], structure


def _unflatten(cls: type, structure: _Structure, children: Any) -> Any:
    obj: Any = object.__new__(cls)
    rest = (fixed.content for fixed in structure.rest)
    for name, content in (*zip(structure.data, children, strict=True), *zip(structure.names, rest, strict=True)):
        object.__setattr__(obj, name, content)
    object.__setattr__(obj, "_data", structure.data)
    return obj


def _is_data(content: Any) -> bool:
    is_array = hasattr(content, "shape") and hasattr(content, "dtype")
    return is_array or isinstance(content, float | complex | np.number | Traceable | Partial | list | tuple | dict)


def is_traced(*trees: Any) -> bool:
    """Return whether JAX is tracing any of these: then only their shapes are known."""
    return any(
        isinstance(leaf, jax.core.Tracer)
        for tree in trees
        if not isinstance(tree, _KNOWN)  # most often: to take it apart would take longer
        for leaf in jax.tree.leaves(tree)
    )


def is_known(*trees: Any) -> bool:
    """Return whether the numbers are at hand: JAX may differentiate them, but neither compile nor batch."""
    return not is_traced(trees) or not is_traced(jax.lax.stop_gradient(jax.tree.leaves(trees)))


def primal(array: Any) -> Any:
    """Return the numbers of an array, or of several, that JAX differentiates, without their tangents."""
    return jax.lax.stop_gradient(array) if is_traced(array) else array
