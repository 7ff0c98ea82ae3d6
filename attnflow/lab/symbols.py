"""Names in code: those that it asks the file for, those to which it gives a value, and all words that it uses."""

from __future__ import annotations

import ast
import symtable
from collections.abc import Iterator


def names_of(node: ast.AST) -> set[str]:
    """Return the names of the file that code asks for: not those of variables inside its functions."""
    return _of_file(symtable.symtable(ast.unparse(node), "study", "exec"))


def bound_by(node: ast.AST) -> set[str]:
    """Return the names of the file to which code gives a value, or a part of it, or may do so when it is called."""
    top = symtable.symtable(ast.unparse(node), "study", "exec")
    found = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    for part in ast.walk(node):
        match part:
            case ast.Attribute(ctx=ast.Store()) | ast.Subscript(ctx=ast.Store()):
                found |= names_of(part.value)
            case ast.Global(names=names):
                found |= set(names)
    return found


def words_of(tree: ast.AST) -> set[str]:
    """Return all names that code uses, also of attributes and of what it imports."""
    return {word for node in ast.walk(tree) for word in _words(node)}


def origins(tree: ast.Module) -> dict[str, str]:
    """Return for each name that is imported, and bound by nothing else, what it is: `np` is `numpy`."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for node in tree.body:
        pairs: list[tuple[str, str]] = []
        match node:
            case ast.Import(names=aliases):
                pairs = [(each.asname or (word := each.name.split(".")[0]), each.name if each.asname else word)
                         for each in aliases]  # fmt: skip
            case ast.ImportFrom(names=aliases, module=module, level=0):
                pairs = [(each.asname or each.name, f"{module}.{each.name}") for each in aliases]
            case _:
                twice |= bound_by(node) if _binds_names(node) else set()
        for name, origin in pairs:
            twice |= {name} if found.get(name, origin) != origin else set()
            found[name] = origin
    return {name: origin for name, origin in found.items() if name not in twice}


def _binds_names(node: ast.stmt) -> bool:
    """Return whether a statement gives names a value of their own: `np.x = 1` leaves `np` what it is."""
    match node:
        case ast.Assign(targets=targets):
            return any(isinstance(part, ast.Name | ast.Tuple | ast.List) for part in targets)
    return not isinstance(node, ast.Expr)


def _words(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=word) | ast.Attribute(attr=word):
            yield word
        case ast.alias(name=name):
            yield from name.split(".")
        case ast.ImportFrom(module=str(module)):
            yield from module.split(".")


def _of_file(table: symtable.SymbolTable) -> set[str]:
    kind = str(getattr(table.get_type(), "value", table.get_type()))
    found = {
        symbol.get_name()
        for symbol in table.get_symbols()
        # the body of a class may read a name of the file before it has one of its own: `FACTOR = FACTOR * 2`
        if kind == "module" or symbol.is_global() or (kind == "class" and symbol.is_referenced())
    }
    return found.union(*map(_of_file, table.get_children()))
