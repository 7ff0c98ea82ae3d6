"""How values are declared: frozen dataclasses that JAX can trace.

`jax.tree_util.register_dataclass` rebuilds an object through `__init__`, whose checks cannot run on tracers; here
unflattening sets the fields directly, so a constructor may check and derive all it likes, once.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static() -> Any:
    """A field that is part of a value's structure (hashed and compared), not of its data."""
    return dataclasses.field(metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(static,))
def value(cls: type[T]) -> type[T]:
    """Declare a frozen dataclass registered as a pytree; fields marked `static()` are its structure."""
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(cls)  # type: ignore[arg-type]
    data = [f.name for f in fields if not f.metadata.get("static", False)]
    meta = [f.name for f in fields if f.metadata.get("static", False)]

    def flatten_with_keys(obj: Any) -> tuple[list, tuple]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(obj, name)) for name in data]
        return children, tuple(getattr(obj, name) for name in meta)

    def unflatten(structure: tuple, children: Any) -> Any:
        obj = object.__new__(cls)
        for name, child in (*zip(data, children, strict=True), *zip(meta, structure, strict=True)):
            object.__setattr__(obj, name, child)
        return obj

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten)
    cls.__eq__, cls.__hash__ = _equal, _hash  # type: ignore[assignment, method-assign]
    return cls


def _equal(self: Any, other: object) -> bool:
    """Values without data compare by their structure; `==` on arrays would have no truth value."""
    structures: list = [jax.tree.structure(self), jax.tree.structure(other)]
    return self is other or (not jax.tree.leaves(self) and structures[0] == structures[1])


def _hash(self: Any) -> int:
    return id(self) if jax.tree.leaves(self) else hash(jax.tree.structure(self))


def is_traced(*trees: Any) -> bool:
    """Whether JAX is tracing any of these: then only their shapes are known."""
    return any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(trees))


def is_known(*trees: Any) -> bool:
    """Whether the numbers are at hand: JAX may differentiate them, but neither compile nor batch."""
    return not is_traced(jax.lax.stop_gradient(jax.tree.leaves(trees)))


def still(array: Any) -> Any:
    """The numbers of an array that JAX differentiates, without their change."""
    return jax.lax.stop_gradient(array) if is_traced(array) else array


def freeze(obj: Any, **fields: Any) -> None:
    """Set fields of a frozen value; for use in its `__init__` or `__post_init__` only."""
    for name, content in fields.items():
        object.__setattr__(obj, name, content)
