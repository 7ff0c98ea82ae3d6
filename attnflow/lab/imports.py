"""What a study imports from its own folder: found there whatever else has that name, and part of what it computes."""

from __future__ import annotations

import ast
import functools
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

KEPT = sys.stdlib_module_names | {"attnflow"}  # these names mean what they mean everywhere


class Helpers:
    """The modules beside a study that it imports, by whatever way from one to the next.

    They are in reach only while the study is loaded or runs, so that studies in other folders may have helpers of the
    same names, and each study has its own copy of what it imports.

    Args:
        path: of the study.
        source: its text.

    Attributes:
        files: of the modules, sorted; of a package all its files.
        texts: what they hold.
    """

    def __init__(self, path: Path, source: str) -> None:
        self._folder = path.parent
        self._names: set[str] = set()
        self._modules: dict[str, types.ModuleType] = {}
        found: dict[Path, str] = {}
        waiting = [source]
        while waiting:
            for name in _imported(waiting.pop()) - self._names - KEPT:
                files = [file for file in _files(self._folder / name) if file.resolve() != path.resolve()]
                if files:
                    self._names.add(name)
                    new = {file: text_of(file) for file in files}
                    found |= new
                    waiting += new.values()
        self.files = tuple(sorted(found))
        self.texts = tuple(found[file] for file in self.files)

    @contextmanager
    def in_reach(self) -> Iterator[None]:
        """Let `import` find the modules beside the study before any other of their names."""
        hidden = self._taken()
        sys.modules.update(self._modules)
        finder = _Finder(self._folder, self._names)
        sys.meta_path.insert(0, finder)
        try:
            yield
        finally:
            sys.meta_path.remove(finder)
            self._modules = self._taken()
            sys.modules.update(hidden)

    def reaching(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with the modules in reach whenever it is called; itself if there are none."""
        if not self._names:
            return function

        @functools.wraps(function)
        def reached(*arguments: Any, **named: Any) -> Any:
            with self.in_reach():
                return function(*arguments, **named)

        return reached

    def _taken(self) -> dict[str, types.ModuleType]:
        """Take the modules of these names, and what is below them, out of those that Python has loaded."""
        return {name: sys.modules.pop(name) for name in list(sys.modules) if name.split(".")[0] in self._names}


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, folder: Path, names: set[str]) -> None:
        self._folder, self._names = folder, names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.split(".")[0] not in self._names:
            return None
        place = self._folder.joinpath(*fullname.split("."))
        package, module = place / "__init__.py", place.with_name(f"{place.name}.py")
        if package.is_file():
            loader = _Loader(fullname, str(package))
            return importlib.util.spec_from_loader(fullname, loader, is_package=True)
        return importlib.util.spec_from_loader(fullname, _Loader(fullname, str(module))) if module.is_file() else None


class _Loader(importlib.machinery.SourceFileLoader):
    """Reads the text anew: bytecode on the disk is told from an edit of the same second and length by nothing."""

    def get_code(self, fullname: str) -> types.CodeType:
        return self.source_to_code(self.get_data(self.path), self.path)


def text_of(path: Path) -> str:
    """Return what a file holds, nothing if it cannot be read: whoever loads it is told why."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


@functools.cache
def _imported(source: str) -> frozenset[str]:
    """Return the first words of all that a module imports, wherever in its text."""
    try:
        nodes = _statements(ast.parse(source).body)
    except (SyntaxError, ValueError):  # as told by whoever loads it
        return frozenset()
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom) and node.level == 0}
    return frozenset(name.split(".")[0] for name in names)


def _statements(body: list[Any]) -> list[Any]:
    """Return all statements of a module, those within others too; expressions, which are most of a tree, hold none."""
    found, waiting = [], list(body)
    while waiting:
        found.append(waiting.pop())
        for part in ("body", "orelse", "finalbody", "handlers", "cases"):
            waiting += getattr(found[-1], part, [])
    return found


def _files(place: Path) -> list[Path]:
    """Return the files of the module or package of this place, none if there is none."""
    if (place / "__init__.py").is_file():
        return sorted(place.rglob("*.py"))
    module = place.with_name(f"{place.name}.py")
    return [module] if module.is_file() else []
