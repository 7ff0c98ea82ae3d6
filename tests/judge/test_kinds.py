"""Kinds of claims: each says everything that depends on it, and nobody else asks which kind a claim is."""

import ast
from pathlib import Path

import pytest

from attnflow.judge.claims import KINDS
from attnflow.lab import plots

ATTNFLOW = Path(plots.__file__).parents[2]


def comparisons_of_kinds(source):
    """The lines that compare something with the name of a kind of claim."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            words = [
                n.value
                for side in [node.left, *node.comparators]
                for n in ast.walk(side)
                if isinstance(n, ast.Constant)
            ]
            found += [node.lineno for word in words if isinstance(word, str) and word in KINDS]
        elif isinstance(node, ast.MatchValue) and isinstance(node.value, ast.Constant) and node.value.value in KINDS:
            found.append(node.value.lineno)
    return found


@pytest.mark.parametrize("path", sorted(ATTNFLOW.rglob("*.py")), ids=lambda path: path.relative_to(ATTNFLOW).as_posix())
def test_no_file_asks_which_kind_a_claim_is(path):
    assert comparisons_of_kinds(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "line",
    ['x = claim.kind == "exponent"', 'x = claim.kind in ("constant", "flag")', 'x = "flag" != verdict.kind',
     'match kind:\n    case "identity":\n        pass'],
)  # fmt: skip
def test_a_planted_comparison_is_caught(line):
    assert comparisons_of_kinds(line)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_each_kind_is_listed_under_its_name_and_names_a_figure_that_there_is(kind):
    assert KINDS[kind.name] is kind
    assert kind.figure is None or callable(getattr(plots, kind.figure))
