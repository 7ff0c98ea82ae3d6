"""What of a study's file decides what is measured: records are named by it, and edits of the rest recompute nothing."""

import builtins
import dis
import types
from pathlib import Path

import pytest

from attnflow.lab.sources import measuring_part, source_digest

STUDIES = [
    path for path in sorted(Path(__file__).parents[2].glob("studies/*/*.py")) if "study = af.Study(" in path.read_text()
]
SOURCE = '''
"""A docstring."""
import numpy as np
FACTOR = 2.0

COLOURS = ["C0", "C1"]
TABLE = {}
TABLE["n"] = scale = 3.0

def of_table(n):
    return TABLE["n"] * n

def measure(case, keys):
    """What it does."""
    return {"error": FACTOR * np.ones(len(keys)) * of_table(case["n"])}  # a comment

def drawn(records):
    return COLOURS[0], FACTOR

study = Study(name="toy", measure=measure, ladder=[{"n": 1}], quick=1, claims=[], seeds=4)
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("A docstring", "Another one"),
        ("What it does", "What it did"),
        ("  # a comment", ""),
        ("FACTOR * np", "FACTOR  *  np"),
        ('[{"n": 1}]', '[{"n": 1}, {"n": 2}]'),
        ("claims=[]", "claims=[Claim()]"),
        ("seeds=4", "seeds=8, figures=[drawn]"),
        ("COLOURS[0], FACTOR", "COLOURS[1]"),
        ('["C0", "C1"]', '["C2"]'),
        ("def drawn", "import matplotlib\n\ndef drawn"),
        ("return COLOURS", "n = 2; return COLOURS"),
        ("COLOURS =", "n = 2; COLOURS ="),
    ],
)
def test_comments_words_and_declarations_do_not_change_the_source_digest(old, new):
    assert old in SOURCE
    assert source_digest(SOURCE.replace(old, new)) == source_digest(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("FACTOR = 2.0", "FACTOR = 2.1"),
        ("FACTOR * np", "FACTOR + np"),
        ("measure=measure", "measure=drawn"),
        ("as np", "as numpy"),
        ("= scale = 3.0", "= scale = 4.0"),
        ('TABLE["n"] *', 'TABLE["n"] +'),
        ("COLOURS =", "FACTOR, COLOURS ="),
        ("COLOURS =", "FACTOR += 1; COLOURS ="),
        ("COLOURS =", "np.random.seed(0); COLOURS ="),
        ("COLOURS =", "from os import *; COLOURS ="),
        ("def drawn", "@register\ndef drawn"),
        ("def drawn", "class Drawn(Base): pass\n\ndef drawn"),
        ("def of_table", "if True:\n    FACTOR = 3\n\ndef of_table"),
    ],
)
def test_code_changes_the_source_digest(old, new):
    assert old in SOURCE
    assert source_digest(SOURCE.replace(old, new)) != source_digest(SOURCE)


def test_a_function_that_holds_only_a_docstring_can_be_digested():
    assert source_digest('def f():\n    """Nothing."""\n') == source_digest("def f():\n    pass\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("study = Study(", "study = made("),
        ("study = Study(", "study = other = Study("),
        ("np.ones", "globals()['np'].ones"),
        ("measure=measure, ", "**{'measure': measure}, "),
    ],
)
def test_a_file_that_cannot_be_taken_apart_counts_whole(old, new):
    whole = SOURCE.replace(old, new)
    assert source_digest(whole.replace('["C0", "C1"]', '["C2"]')) != source_digest(whole)


def test_a_study_that_is_made_by_a_function_counts_with_what_is_passed():
    made = SOURCE.replace("study = Study(", "study = made(")
    assert source_digest(made.replace("seeds=4", "seeds=8")) != source_digest(made)


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_what_a_study_measures_with_holds_every_name_that_it_needs(path):
    part = measuring_part(path.read_text())
    code = compile(part, path.name, "exec")
    bound = {step.argval for step in dis.get_instructions(code) if step.opname.startswith("STORE")}
    of_python = {*dir(builtins), "__file__", "__name__", "__module__", "__qualname__", "__annotations__"}
    assert needed(code) - bound - of_python - in_classes(code) == set()
    assert "measure" in part


def test_of_a_study_from_which_another_imports_all_code_counts_but_its_declaration():
    def digest(old="", new=""):
        return source_digest(SOURCE.replace(old, new), whole=True)

    assert digest("COLOURS[0]", "COLOURS[1]") != digest()
    assert digest("seeds=4", "seeds=8") == digest("What it does", "What it did") == digest()


def test_figures_and_claims_are_no_part_of_what_a_study_measures_with():
    (path,) = [path for path in STUDIES if path.stem == "temp_curve"]
    text, part = path.read_text(), measuring_part(path.read_text())
    for name in ("def curves", "def claims", "def participation"):
        assert name in text
    assert "def curves" not in part
    assert "def claims" not in part
    assert "def participation" in part


def needed(code):
    """Return the global names that compiled code asks for."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"}}
    return own.union(*(needed(each) for each in code.co_consts if isinstance(each, types.CodeType)))


def in_classes(code):
    """Return what is bound outside the top of a file, in bodies of classes."""
    return {
        step.argval
        for each in code.co_consts
        if isinstance(each, types.CodeType)
        for step in dis.get_instructions(each)
        if step.opname == "STORE_NAME"
    }
