"""The part of a study's file that decides what is measured, and its digest."""

from __future__ import annotations

import ast
import hashlib
import symtable

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
# Calls that make a value and do no more.
DECLARING = {"Claim", "control", "covered", "dict", "float", "int", "range", "round"}
LOOKING_UP = frozenset({
    "globals", "locals", "vars", "dir", "eval", "exec", "compile", "getattr", "setattr", "delattr", "attrgetter",
    "methodcaller", "get_type_hints", "builtins", "importlib", "inspect", "modules", "f_globals", "f_locals",
    "__import__", "__builtins__", "__name__", "__dict__", "__globals__", "__code__", "__closure__", "__defaults__",
    "__doc__",
})  # fmt: skip


def source_digest(source: str, *, whole: bool = False, declaration: bool = False) -> str:
    """Return the sha256 of what a file computes, see `measuring_part`."""
    return hashlib.sha256(measuring_part(source, whole=whole, declaration=declaration).encode()).hexdigest()


def measuring_part(source: str, *, whole: bool = False, declaration: bool = False) -> str:
    """Return the code of a study's file that counts for what it measures, without comments and docstrings.

    Args:
        source: text of the file.
        whole: whether all code is kept but the declaration of a study, as of a module from which others import.
        declaration: whether that is kept as well, as of a module whose study others read.

    Of `study = af.Study(...)` only `measure` counts: the ladder and the seeds are in each record's identity already,
    and claims and figures only read records. Functions, claims, constants and imports that nothing of the rest asks for
    do not count. So a new case, a sharper sentence, another figure or a reformatted line recomputes nothing. All else
    counts, whether `measure` asks for it or not: it may act as the file is read. A file whose study is declared in
    another way, or that looks names up as it runs, counts whole.
    """
    tree = ast.parse(source)
    if LOOKING_UP & _words(tree):
        return ast.unparse(tree)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    complete = ast.unparse(tree)
    declared = None if declaration else _declared(tree)
    if declared is None:
        return complete
    declared.keywords = [item for item in declared.keywords if item.arg == "measure"]
    if not whole:
        tree.body = _reached(tree.body)
    return ast.unparse(tree)


def reads_a_study(source: str) -> bool:
    """Return whether code may read the study of another file: what that declares counts then."""
    return bool(({"study", "*"} | LOOKING_UP) & _words(ast.parse(source), imported=True))


def _declared(tree: ast.Module) -> ast.Call | None:
    """Return the call in the one statement `study = af.Study(measure=..., ...)` if nothing else reads or binds that.

    What is passed besides is taken to declare, and not to act.
    """
    match [node for node in tree.body if "study" in _names(node)]:
        case [
            ast.Assign(
                targets=[ast.Name(id="study")],
                value=ast.Call(
                    func=ast.Name(id="Study" as root) | ast.Attribute(value=ast.Name(id=root), attr="Study"), args=[]
                ) as call,
            )
        ] if "measure" in [item.arg for item in call.keywords] and not _binds_inside(call):
            return call if _is_of_attnflow(root, tree) else None
    return None


def _is_of_attnflow(name: str, tree: ast.Module) -> bool:
    """Return whether the file has a name from an import of attnflow alone."""
    match [node for node in tree.body if name in _bound(node)]:
        case [ast.Import(names=[ast.alias(name=origin)])] | [ast.ImportFrom(module=str(origin))]:
            return origin.split(".")[0] == "attnflow"
    return False


def _reached(body: list[ast.stmt]) -> list[ast.stmt]:
    """Return the statements that may act, and those that they ask for, one through another."""
    asked = {id(node): _names(node) for node in body}
    own = set[str]().union(*(_bound(node) for node in body if not isinstance(node, ast.Import | ast.ImportFrom)))
    waiting = [node for node in body if _only_declares(node, body, harmless=DECLARING - own)]
    kept = [node for node in body if node not in waiting]
    reached = set[str]().union(*(asked[id(node)] for node in kept))
    while found := [node for node in waiting if reached & _bound(node)]:
        waiting = [node for node in waiting if node not in found]
        kept += found
        reached |= set[str]().union(*(asked[id(node)] for node in found))
    return [node for node in body if node in kept]


def _only_declares(node: ast.stmt, body: list[ast.stmt], *, harmless: set[str]) -> bool:
    """Return whether a statement gives names a value and does nothing else: a decorator may enter it into a table."""
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            parts = [node.args, *([node.returns] if node.returns else [])]
            return not node.decorator_list and not any(map(_binds_inside, parts)) and not _calls(*parts)
        case ast.Import() | ast.ImportFrom():  # one that nobody reads is there for what it does
            return any(_bound(node) & _names(other) for other in body if other is not node)
        case ast.Assign(targets=targets):
            plain = all(isinstance(target, ast.Name) for target in targets)
            return plain and not _binds_inside(node) and _calls(node) <= harmless
        case ast.AnnAssign(target=ast.Name()):
            return not _binds_inside(node) and _calls(node) <= harmless
    return False


def _calls(*nodes: ast.AST) -> set[str]:
    """Return the last words of what code calls; a call of anything but a name or an attribute has none."""
    called = [part.func for node in nodes for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {
        function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "") for function in called
    }


def _binds_inside(node: ast.AST) -> bool:
    """Return whether an expression gives a name a value, or waits."""
    return any(isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom) for part in ast.walk(node))


def _bound(node: ast.stmt) -> set[str]:
    """Return the names of the file to which a statement gives a value."""
    table = symtable.symtable(ast.unparse(node), "study", "exec")
    found = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned() or symbol.is_imported()}
    stars = isinstance(node, ast.ImportFrom) and node.names[0].name == "*"
    return set() if stars else found


def _names(node: ast.AST) -> set[str]:
    """Return the names of the file that code binds or asks for: not those of variables inside its functions."""
    return _of_file(symtable.symtable(ast.unparse(node), "study", "exec"))


def _of_file(table: symtable.SymbolTable) -> set[str]:
    kind = str(getattr(table.get_type(), "value", table.get_type()))
    found = {
        symbol.get_name()
        for symbol in table.get_symbols()
        # the body of a class may read a name of the file before it has one of its own: `FACTOR = FACTOR * 2`
        if kind == "module" or symbol.is_global() or (kind == "class" and symbol.is_referenced())
    }
    return found.union(*map(_of_file, table.get_children()))


def _words(tree: ast.AST, *, imported: bool = False) -> set[str]:
    """Return the names and attributes that code uses, or only attributes and what it imports by name."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=word):
                found.add(word)
            case ast.alias(name=name):
                found |= {name, *name.split(".")}
            case ast.Name(id=word) if not imported or word in LOOKING_UP:
                found.add(word)
            case ast.ImportFrom(module=str(module)) if not imported:
                found |= set(module.split("."))
    return found
