"""Imports point down only: the rooms of the package, from the ground up."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "attnflow"

# Each storey may import itself and what is below it; rooms that share a storey in different columns may not meet.
GROUND = ["errors", "_checks", "_pytree", "precision", "_functions", "_optional", "processes"]
GEOMETRY = ["manifolds", "densities", "pseudometrics", "attention", "trajectories"]
SUMS = ["measures", "kernel_sums", "normalizations", "empirical", "population"]
EQUATIONS = ["expansions", "discretizations", "semigroups", "continuum"]
JUDGE = ["comparison", "rates", "claims"]
STUDIES = ["study", "store", "runner", "export", "table", "plots", "report", "bench", "cli", "__main__"]
ORDER = [*GROUND, *GEOMETRY, *SUMS, *EQUATIONS, *JUDGE, *STUDIES]
FORBIDDEN = [(SUMS, EQUATIONS), (EQUATIONS, SUMS), (JUDGE, [*SUMS, *EQUATIONS, *GEOMETRY[:4]])]
WITHOUT_JAX = {"errors", "_checks", "trajectories", "comparison", "rates", "claims"}
LATE_IMPORTS_ALLOWED = {"cli"}


def room_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[0]


def imports_of(path: Path) -> list[tuple[str, bool]]:
    """The modules that a file imports and whether it does so at its top level."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = {id(node) for node in tree.body}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            submodules = node.names if node.module == "attnflow" else []
            names = [f"attnflow.{alias.name}" for alias in submodules] or [node.module]
            found += [(name, id(node) in top) for name in names]
    return found


FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def rooms_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name, _ in imports_of(path) if name.startswith("attnflow.")}


def is_allowed(room: str, imported: str) -> bool:
    if imported == room:
        return True
    if any(room in above and imported in apart for above, apart in FORBIDDEN):
        return False
    return room in STUDIES or ORDER.index(imported) < ORDER.index(room) or (room in GEOMETRY and imported in GEOMETRY)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path):
    assert {r for r in rooms_imported(path) if not is_allowed(room_of(path), r)} == set()


def test_the_two_columns_never_meet_and_the_check_could_fail():
    assert not is_allowed("continuum", "population")
    assert not is_allowed("kernel_sums", "expansions")
    assert not is_allowed("rates", "densities")
    assert not is_allowed("manifolds", "continuum")
    assert is_allowed("continuum", "expansions")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_the_judge_knows_no_jax_and_late_imports_are_rare(path):
    for name, at_top in imports_of(path):
        if room_of(path) in WITHOUT_JAX:
            assert name.split(".")[0] != "jax"
        assert at_top or room_of(path) in LATE_IMPORTS_ALLOWED, f"{name} is imported inside a function"


def test_every_room_has_a_storey():
    assert {room_of(path) for path in FILES} <= set(ORDER)


def test_studies_import_only_the_public_face():
    for path in (PACKAGE.parent / "studies").glob("*.py"):
        assert {name for name, _ in imports_of(path) if name.startswith("attnflow.")} <= {"attnflow.plots"}, path.name
