"""What may do something as a file is read, besides giving a value to names."""

from __future__ import annotations

import ast
from collections.abc import Sequence

from attnflow.lab.symbols import bound_by, names_of, origins

# These make a value and do nothing else, as do functions of mathematics; whatever else is called may act.
MAKERS = frozenset({
    "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "int",
    "len", "list", "map", "max", "min", "pow", "range", "repr", "reversed", "round", "set", "slice", "sorted",
    "str", "sum", "tuple", "zip",
})  # fmt: skip
READERS = frozenset({
    "all", "any", "astype", "control", "copy", "count", "format", "fromkeys", "get", "index", "items", "join",
    "keys", "lower", "max", "mean", "min", "ravel", "replace", "reshape", "round", "split", "std", "strip", "sum",
    "title", "tolist", "upper", "values",
})  # fmt: skip
MATHEMATICS = ("math", "cmath", "fractions", "numpy", "scipy")
CHANGES = (  # what a word begins with that tells of a change, of a container or of how something computes
    "add", "append", "clear", "copyto", "disable", "discard", "enable", "extend", "fill", "insert", "pop", "put",
    "register", "remove", "reverse", "save", "seed", "set", "shuffle", "sort", "update", "write",
)  # fmt: skip


class Acting:
    """Tells which code of a file may act as the file is read: change what other code holds, or how it computes.

    Giving a name a value does not act if the value calls only claims, Python's own makers of values, mathematics,
    methods that read, and functions of the file that change nothing of it, and if something in the file reads the name:
    `_ = seeded(1)` and `import switches` are there for what they do. All else may act: a decorator may enter a function
    into a table, and after `rows = TABLE` both `rows["n"] = 3` and `rows += [3]` change what another name holds.

    Args:
        tree: the file.
    """

    def __init__(self, tree: ast.Module) -> None:
        self._origins = origins(tree)
        self._functions: dict[str, list[ast.FunctionDef]] = {}
        self._bound: set[str] = set()
        for node in tree.body:
            if isinstance(node, ast.FunctionDef):
                self._functions.setdefault(node.name, []).append(node)
            else:
                self._bound |= bound_by(node)
        self._asked: set[str] = set()
        self._read = [(id(node), names_of(node) - _only_bound(node)) for node in tree.body]

    def does_something(self, node: ast.stmt) -> bool:
        """Return whether a statement of the file may act."""
        match node:
            case ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[]):
                evaluated = [*node.args.defaults, *filter(None, node.args.kw_defaults), *_annotations(node)]
                return any(map(self.acts, evaluated))
            case ast.ImportFrom(module="__future__"):
                return False
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return True
            case ast.Import() | ast.ImportFrom():
                return not self._is_read(node)
            case ast.Assign(targets=targets, value=value):
                return self._gives(targets, [value], node)
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                return self._gives([target], [annotation, *([] if value is None else [value])], node)
        return True

    def acts(self, code: ast.AST) -> bool:
        """Return whether evaluating an expression may act."""
        return any(map(self._may_act, ast.walk(code)))

    def changes(self, code: ast.AST) -> bool:
        """Return whether evaluating an expression may act, if nothing imported does unless its name tells of it.

        This is asked of what a study declares: its claims and labels are often made by what it imports.
        """
        return any(
            self._may_act(node) and not (isinstance(node, ast.Call) and self._is_imported(node.func))
            for node in ast.walk(code)
        )

    def _gives(self, targets: Sequence[ast.expr], values: Sequence[ast.expr], node: ast.stmt) -> bool:
        if any(isinstance(part, ast.Attribute | ast.Subscript) for target in targets for part in ast.walk(target)):
            return True
        calls = any(isinstance(part, ast.Call) for value in values for part in ast.walk(value))
        return any(map(self.acts, values)) or (calls and not self._is_read(node))

    def _is_read(self, node: ast.stmt) -> bool:
        bound = bound_by(node)
        return any(bound & names for place, names in self._read if place != id(node))

    def _may_act(self, node: ast.AST) -> bool:
        match node:
            case ast.Call(func=function, keywords=items):
                return not self._is_harmless(function) or "out" in {item.arg for item in items}
            case ast.Attribute(ctx=ast.Load()) if _tells_of_change(self._path(node)):  # passed to what calls it
                return True
        return isinstance(node, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom)

    def _changes_the_file(self, name: str) -> bool:
        """Return whether a function of the file may change what the file holds: itself, or one that it calls."""
        if name in self._asked:  # it calls itself
            return False
        self._asked.add(name)
        try:
            return any(map(self._holds_a_change, self._functions[name]))
        finally:
            self._asked.discard(name)

    def _holds_a_change(self, function: ast.FunctionDef) -> bool:
        of_file = names_of(function)
        for node in ast.walk(function):
            match node:
                case ast.Global():
                    return True
                case ast.Attribute(ctx=ast.Store() | ast.Del()) | ast.Subscript(ctx=ast.Store() | ast.Del()):
                    if _root(node) in of_file:
                        return True
                case ast.Call(func=ast.Attribute() as called) if _root(called) in of_file:
                    if _tells_of_change(self._path(called)):
                        return True
                case ast.Call(func=ast.Name(id="next"), args=[ast.Name(id=name), *_]) if name in of_file:
                    return True
                case ast.Name(id=name, ctx=ast.Load()) if name in of_file and name in self._functions:
                    if self._changes_the_file(name):
                        return True
        return False

    def _is_imported(self, function: ast.expr) -> bool:
        return _root(function) in self._origins and not _tells_of_change(self._path(function))

    def _path(self, function: ast.expr) -> list[str]:
        """Return the words of a dotted name, `np` as what it is."""
        first, *rest = ast.unparse(function).split(".")
        return [*self._origins.get(first, first).split("."), *rest]

    def _is_harmless(self, function: ast.expr) -> bool:
        match function:
            case ast.Name(id=name) if name in self._functions:
                return name not in self._bound and not self._changes_the_file(name)
            case ast.Name(id=name) if name in self._origins:
                return _makes_a_value(self._path(function))
            case ast.Name(id=name):
                return name in MAKERS and name not in self._bound
            case ast.Attribute(attr=word):
                return _makes_a_value(self._path(function)) if _root(function) in self._origins else word in READERS
        return False


def _makes_a_value(path: Sequence[str]) -> bool:
    if path[0] == "attnflow":
        return path[-1] in ("Claim", "covered")
    return path[0] in MATHEMATICS and not _tells_of_change(path)


def _tells_of_change(words: Sequence[str]) -> bool:
    """Return whether a dotted word is by its name one that changes something: random numbers change a generator."""
    if words[0] in MATHEMATICS and words[-1] in ("append", "insert", "sort"):  # of arrays, which they copy
        return False
    hidden_state = "random" in words and words[0] != "jax" and words[-1] != "default_rng"
    return hidden_state or words[-1].startswith(CHANGES)


def _root(node: ast.expr) -> str:
    """Return the name of which an expression is a part, `TABLE` of `TABLE["n"].rows`; nothing if it is of none."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _annotations(function: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    arguments = function.args
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
    found = [each.annotation for each in every if each is not None]
    return [each for each in [*found, function.returns] if each is not None]


def _only_bound(node: ast.stmt) -> set[str]:
    """Return the names that a statement gives a value without reading them."""
    read = {part.id for part in ast.walk(node) if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Store)}
    return bound_by(node) - read
