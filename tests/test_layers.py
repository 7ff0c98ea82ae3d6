"""Imports point down only: a few rules about rooms, checked on every file and on files planted to break them."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up: a room may import what stands to its left or below. Rooms of one wing never import the other.
ORDER = [
    *[
        "errors",
        "_files",
        "_checkpoints",
        "_face",
        "_words",
        "_interrupts",
        "_checks",
        "_values",
        "_tracing",
        "_xla",
        "_compiling",
        "precision",
        "_reads",
        "_programs",
        "_lifting",
        "_optional",
        "_labelled",
        "_drawing",
        "_html",
        "_extrapolation",
    ],
    *[
        "distributed",
        "trajectories",
        "integrators",
        "measures",
        "manifolds",
        "resolution",
        "densities",
        "pseudometrics",
    ],
    *["features", "profiles", "normalizations", "masks", "attention", "heads"],
    *["sums", "equations", "comparison"],
    *["judge", "lab", "learn", "_parsing", "_commands", "cli", "__main__"],
]
WINGS = {"sums", "equations"}
JUDGE_MAY_IMPORT = {"errors", "_words", "_checks", "_values", "_drawing", "_html", "judge"}
WITHOUT_JAX = {
    "errors",
    "_face",
    "_words",
    "_checks",
    "_values",
    "_xla",
    "_drawing",
    "_html",
    "_labelled",
    "_extrapolation",
    "trajectories",
    "integrators",
    "comparison",
    "judge",
}
LATE_IMPORTS_ALLOWED = {"cli", "_commands", "_optional"}
FACE_OF_STUDIES = {"attnflow", "attnflow.lab.plots"}

FILES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for folder in ("attnflow", "studies")
    for path in (ROOT / folder).rglob("*.py")
}


def imports_of(source):
    """The modules that a file imports and whether it does so at its top level."""
    tree = ast.parse(source)
    top = {id(node) for node in tree.body}
    for node in tree.body:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":  # for readers of types alone
            top |= {id(inner) for inner in node.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            rooms = {f"attnflow.{alias.name}" for alias in node.names if alias.name in ORDER}
            names = rooms if node.module == "attnflow" and rooms else {node.module}
            names |= {f"{node.module}.{alias.name}" for alias in node.names if node.module == "attnflow.lab"}
            found += [(name, id(node) in top) for name in names]
    return found


def room_of(name):
    """The room of a file or of a module: what comes after `attnflow`."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def breach(room, imported):
    """Why a room may not import another, or None."""
    if room == imported:
        return None
    if {room, imported} == WINGS:
        return f"the wings {room} and {imported} meet"
    if room == "judge" and imported not in JUDGE_MAY_IMPORT:
        return f"the judge imports {imported}"
    if ORDER.index(imported) > ORDER.index(room):
        return f"{room} imports {imported}, which stands above it"
    return None


def breaches(file, source):
    """Every rule that a file breaks, in words."""
    found = []
    if file.startswith("studies/"):
        ours = {name for name, _ in imports_of(source) if name.split(".")[0] == "attnflow"}
        return [f"a study imports {name}" for name in ours - FACE_OF_STUDIES - {"attnflow.lab"}]
    room = room_of(file)
    for name, at_top in imports_of(source):
        if room in WITHOUT_JAX and name.split(".")[0] == "jax":
            found.append(f"{room} imports JAX")
        if not at_top and room not in LATE_IMPORTS_ALLOWED:
            found.append(f"{name} is imported inside a function")
        if name.startswith("attnflow.") and room != "__init__":
            found.append(breach(room, room_of(name)))
    return [words for words in found if words]


@pytest.mark.parametrize("file", FILES)
def test_every_file_keeps_the_rules(file):
    assert breaches(file, FILES[file]) == []


def test_every_room_has_a_storey():
    assert {room_of(file) for file in FILES if file.startswith("attnflow/")} - {"__init__"} <= set(ORDER)


@pytest.mark.parametrize(
    ("file", "source", "words"),
    [
        ("attnflow/manifolds/sphere.py", "from attnflow.equations import continuum", "manifolds imports equations"),
        ("attnflow/densities/base.py", "from attnflow import attention", "densities imports attention, which stands"),
        ("attnflow/equations/continuum.py", "from attnflow.sums.population import x", "sums meet"),
        ("attnflow/sums/planning/costs.py", "import attnflow.equations.semigroups.dense", "equations meet"),
        ("attnflow/judge/rates.py", "import jax.numpy as jnp", "judge imports JAX"),
        ("attnflow/judge/claims.py", "from attnflow.measures import DiscreteMeasure", "the judge imports measures"),
        ("attnflow/sums/empirical.py", "def f():\n    import json", "json is imported inside a function"),
        ("attnflow/lab/store.py", "from attnflow.cli import main", "lab imports cli, which stands above it"),
        ("studies/noise/noise.py", "from attnflow.sums.empirical import EmpiricalAttention", "a study imports attnfl"),
    ],
)
def test_a_planted_import_is_caught(file, source, words):
    assert file in FILES
    assert breaches(file, FILES[file]) == []
    (found,) = breaches(file, f"{source}\n{FILES[file]}" if "def f" not in source else f"{FILES[file]}\n{source}")
    assert words in found
