"""The part of a study's file that decides what is measured, and its digest."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Sequence

from attnflow.lab.acting import Acting
from attnflow.lab.symbols import bound_by, names_of, origins, words_of

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
LOOKS_NAMES_UP = frozenset({
    "globals", "locals", "vars", "dir", "eval", "exec", "compile", "getattr", "setattr", "delattr", "attrgetter",
    "methodcaller", "get_type_hints", "builtins", "importlib", "inspect", "modules", "f_globals", "f_locals",
    "__import__", "__builtins__", "__name__", "__dict__", "__globals__", "__code__", "__closure__", "__defaults__",
    "__doc__",
})  # fmt: skip


def source_digest(source: str, *, whole: bool = False, declaration: bool = False) -> str:
    """Return the sha256 of what a file computes, see `measuring_part`."""
    return hashlib.sha256(measuring_part(source, whole=whole, declaration=declaration).encode()).hexdigest()


def measuring_part(source: str, *, whole: bool = False, declaration: bool = False) -> str:
    """Return the code of a study's file that `measure` reaches, without comments and docstrings.

    Args:
        source: text of the file.
        whole: whether all code is kept but the declaration of a study, as of a module from which others import.
        declaration: whether that is kept as well, as of a module whose study others read.

    Of `study = af.Study(...)` only `measure` counts: the ladder and the seeds are in each record's identity already,
    and claims and figures only read records. So a new case, a sharper sentence, another figure or a reformatted line
    recomputes nothing. What may act as the file is read counts, reached or not, see `Acting`. A file whose study is not
    declared so, that reads it before it is measured, or that looks names up as it runs, counts whole.
    """
    tree = ast.parse(source)
    if LOOKS_NAMES_UP & words_of(tree):
        return ast.unparse(tree)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    complete = ast.unparse(tree)
    declared = None if declaration else _declared(tree)
    if declared is None:
        return complete
    others = [node for node in tree.body if node is not declared]
    acting = Acting(tree)
    call = declared.value
    assert isinstance(call, ast.Call)
    if any(acting.changes(item.value) for item in call.keywords if item.arg != "measure"):
        return complete
    call.keywords = [item for item in call.keywords if item.arg == "measure"]
    if not whole:
        tree.body = _reached(tree.body, acting)
        others = [node for node in tree.body if node is not declared]
    return complete if "study" in set[str]().union(*map(names_of, others)) else ast.unparse(tree)


def reads_a_study(source: str) -> bool:
    """Return whether code may read the study of another file: what that declares counts then."""
    tree = ast.parse(source)
    elsewhere = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    elsewhere |= {node.name for node in ast.walk(tree) if isinstance(node, ast.alias)}
    return bool({"study", "*"} & elsewhere or LOOKS_NAMES_UP & words_of(tree))


def _declared(tree: ast.Module) -> ast.Assign | None:
    """Return the statement `study = af.Study(measure=..., ...)`, if that is how the file says what its study is."""
    found = None
    known = origins(tree)
    for node in tree.body:
        match node:
            case ast.Assign(
                targets=[ast.Name(id="study")],
                value=ast.Call(func=ast.Name(id=name), args=[], keywords=items),
            ) if known.get(name, "").startswith("attnflow.") and known[name].endswith(".Study"):
                pass
            case ast.Assign(
                targets=[ast.Name(id="study")],
                value=ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="Study"), args=[], keywords=items),
            ) if known.get(name, "").split(".")[0] == "attnflow":
                pass
            case _:
                if "study" in bound_by(node):
                    return None
                continue
        if found is not None or "measure" not in [item.arg for item in items]:
            return None
        found = node
    return found


def _reached(body: Sequence[ast.stmt], acting: Acting) -> list[ast.stmt]:
    """Return the statements that `study` needs, and those that may do something as the file is read."""
    waiting = [(node, bound_by(node)) for node in body]
    asked = {id(node): names_of(node) for node in body}
    reached = {"study"}
    kept: set[int] = set()
    while found := [pair for pair in waiting if acting.does_something(pair[0]) or reached & pair[1]]:
        waiting = [pair for pair in waiting if pair not in found]
        kept |= {id(node) for node, _ in found}
        reached |= set[str]().union(*(asked[id(node)] for node, _ in found))
    return [node for node in body if id(node) in kept]
