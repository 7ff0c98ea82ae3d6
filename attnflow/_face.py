"""Faces of packages: names that are imported when they are first asked for."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType


class Face(ModuleType):
    """A package whose names are those of its `__init__.pyi`: `attnflow --help` needs no JAX."""

    _homes: dict[str, str]

    def __getattr__(self, name: str) -> object:
        if name in self._homes:
            value = getattr(import_module(self._homes[name]), name)
            self.__dict__[name] = value
            return value
        if not name.startswith("__") and find_spec(f"{self.__name__}.{name}"):
            return import_module(f"{self.__name__}.{name}")
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)

    def __setattr__(self, name: str, value: object) -> None:
        if name not in self._homes or not isinstance(value, ModuleType):  # `judge`: the function, not the room
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._homes})


def give_face(package: str, file: str) -> None:
    """Give a package the names of the `.pyi` file beside its `__init__.py`, which are its `__all__`."""
    module = sys.modules[package]
    lines = ast.parse(Path(file).with_suffix(".pyi").read_text(encoding="utf-8")).body
    homes = {line.names[0].name: line.module for line in lines if isinstance(line, ast.ImportFrom) and not line.level}
    module.__dict__.update(_homes=homes, __all__=sorted(homes))
    module.__class__ = Face


def version_of(package: str) -> str:
    """Return the version of a package that is installed, "0+source" of one that is only a folder of source."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "0+source"
