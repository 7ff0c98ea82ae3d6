"""How values are declared: frozen dataclasses, compared by what they are made of. Nothing here needs JAX."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, TypeVar, dataclass_transform

from attnflow._words import briefly

T = TypeVar("T")


def static() -> Any:
    """Return a field that is part of a value's structure, hashed and compared, and never traced."""
    return dataclasses.field(metadata={"static": True})


def derived(*, static: bool = False) -> Any:
    """Return a field that the constructor finds from what it is given, and that is not told."""
    return dataclasses.field(repr=False, metadata={"static": True} if static else None)


@dataclass_transform(frozen_default=True, field_specifiers=(static, derived))
def value(cls: type[T]) -> type[T]:
    """Declare a frozen dataclass whose values are equal if their fields are; arrays only if they are the same object.

    They are told briefly, unless the class says how itself; a `__repr__` that it inherits it must name once more.
    A constructor may check and derive all it likes; it sets the fields by `freeze`.
    """
    cls = dataclasses.dataclass(frozen=True, eq=False, repr=False)(cls)
    if "__repr__" not in vars(cls):
        cls.__repr__ = briefly  # type: ignore[method-assign]
    cls.__eq__, cls.__hash__ = _equal, _hash  # type: ignore[assignment, method-assign]
    return cls


def freeze(obj: Any, **fields: Any) -> None:
    """Set fields of a frozen value; for use in its `__init__` or `__post_init__` only."""
    for name, content in fields.items():
        object.__setattr__(obj, name, content)


def comparable(content: Any) -> Any:
    """Return what stands for some content in comparisons: itself, or, of an array, its identity."""
    if isinstance(content, functools.partial):  # two of one function are alike
        arguments = (*content.args, *(part for item in sorted(content.keywords.items()) for part in item))
        return (content.func, *map(comparable, arguments))
    try:
        hash(content)
    except TypeError:
        return id(content)
    return content


def _equal(self: Any, other: object) -> bool:
    return self is other or (type(self) is type(other) and _contents(self) == _contents(other))


def _hash(self: Any) -> int:
    return hash((type(self), _contents(self)))


def _contents(obj: Any) -> tuple:
    return tuple(comparable(getattr(obj, field.name)) for field in dataclasses.fields(obj))
