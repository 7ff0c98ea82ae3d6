"""Kinds of claims: each says everything that depends on it, and nobody else asks which kind a claim is."""

import ast
from pathlib import Path

import pytest
from judged_ladders import make_claim

import attnflow
from attnflow.judge.claims import KINDS
from attnflow.judge.levels import Level
from attnflow.judge.verdicts import judge
from attnflow.lab.plots.claims import FIGURES

ATTNFLOW = Path(attnflow.__file__).parent


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
def test_each_kind_is_listed_under_its_name_and_judges_a_claim_that_states_everything(kind):
    assert KINDS[kind.name] is kind
    margin = 0.0 if kind.default_margin(1.0) == 0 else 0.5
    levels = [Level(size=2.0**-k, values=[1.0], deterministic=True) for k in range(1 if kind.name == "ordering" else 8)]
    stated = make_claim(kind=kind.name, predicted=1.0, margin=margin)
    assert judge(stated, levels).verdict == ("refuted" if kind.takes_logarithms else "supported")  # slope 0, value 1


def test_every_figure_that_a_kind_names_is_drawn_by_plots():
    assert {kind.figure for kind in KINDS.values()} - {None} == set(FIGURES)
