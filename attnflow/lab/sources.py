"""The part of a study's file that decides what is measured, and its digest."""

from __future__ import annotations

import ast
import hashlib
import symtable
from collections.abc import Iterator

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LOOKS_NAMES_UP = {"globals", "locals", "vars", "eval", "exec", "getattr", "__import__"}


def source_digest(source: str, *, whole: bool = False) -> str:
    """Return the sha256 of what a file computes, see `measuring_part`."""
    return hashlib.sha256(measuring_part(source, whole=whole).encode()).hexdigest()


def measuring_part(source: str, *, whole: bool = False) -> str:
    """Return the code of a study's file that `measure` reaches, without comments and docstrings.

    Args:
        source: text of the file.
        whole: whether all code is kept but the declaration of a study, as of a module from which others import.

    Of `study = Study(...)` only `measure` counts: the ladder and the seeds are in each record's identity already, and
    claims and figures only read records. So a new case, a sharper sentence, another figure or a reformatted line
    recomputes nothing. A file whose study is not declared so, or that looks names up as it runs, counts whole.
    """
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    declared = False
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="study")],
                value=ast.Call(func=ast.Name(id="Study") | ast.Attribute(attr="Study")) as declaration,
            ) if measure := [item for item in declaration.keywords if item.arg == "measure"]:
                declaration.keywords = measure
                declared = True
    if declared and not whole and not LOOKS_NAMES_UP & _names(tree):
        tree.body = _reached(tree.body)
    return ast.unparse(tree)


def _reached(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that `study` needs, and those that do something as the file is read."""
    waiting = list(body)
    reached = {"study"}
    kept: set[int] = set()
    while found := [node for node in waiting if _does_something(node) or reached & set(_bound(node))]:
        waiting = [node for node in waiting if node not in found]
        kept |= {id(node) for node in found}
        reached |= set[str]().union(*map(_names, found))
    return [node for node in body if id(node) in kept]


def _does_something(node: ast.stmt) -> bool:
    """Return whether a statement may act besides giving a value to names: a decorator may enter it into a table."""
    match node:
        case ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[]):
            return False
        case ast.ImportFrom(names=[ast.alias(name="*")]):
            return True
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.Import() | ast.ImportFrom():
            return False
    return True


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the names to which a statement gives a value, or a part of it."""
    match node:
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            yield name
        case ast.Import(names=aliases) | ast.ImportFrom(names=aliases):
            for alias in aliases:
                yield alias.asname or alias.name.split(".")[0]
        case ast.Assign(targets=targets):
            for target in targets:
                yield from _names(target)
        case ast.AnnAssign(target=target) | ast.AugAssign(target=target):
            yield from _names(target)


def _names(node: ast.AST) -> set[str]:
    """Return the names of the file that code asks for: not those of variables inside its functions."""
    return _of_file(symtable.symtable(ast.unparse(node), "study", "exec"))


def _of_file(table: symtable.SymbolTable) -> set[str]:
    is_file = table.get_type() == "module"
    found = {symbol.get_name() for symbol in table.get_symbols() if is_file or symbol.is_global()}
    return found.union(*map(_of_file, table.get_children()))
