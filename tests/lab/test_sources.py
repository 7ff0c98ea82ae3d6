"""What of a study's file decides what is measured: records are named by it, and edits of the rest recompute nothing."""

import builtins
import dis
import types
from pathlib import Path

import pytest

import attnflow as af
from attnflow.lab.sources import measuring_part, source_digest

STUDIES = [
    path for path in sorted(Path(__file__).parents[2].glob("studies/*/*.py")) if "study = af.Study(" in path.read_text()
]
SOURCE = '''
"""A docstring."""
import numpy as np
from attnflow import Claim, Study
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
        ("def drawn(records):", "import matplotlib\n\ndef drawn(records):\n    matplotlib.figure()"),
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


@pytest.mark.parametrize(
    ("old", "new"),
    [  # what acts as the file is read, though what it binds is asked for by nothing that measures
        ("COLOURS =", "_ = np.random.seed(1); COLOURS ="),
        ("COLOURS =", "import switches; COLOURS ="),
        ('["C0", "C1"]', "np.random.random(3)"),
        ('["C0", "C1"]', "[(FACTOR := 3.0)]"),
        ('["C0", "C1"]', 'TABLE.pop("n", 1)'),
        ('["C0", "C1"]', 'list(map(TABLE.pop, "n"))'),
        ('["C0", "C1"]', "np.multiply(TABLE['n'], 2, out=TABLE['n'])"),
        ("COLOURS =", "ROWS = TABLE; ROWS['n'] = 4.0; COLOURS ="),
        ("COLOURS =", "ROWS = TABLE; ROWS |= {'n': 4.0}; COLOURS ="),
        ("COLOURS =", "ROWS = TABLE['n']; ROWS.n = 4.0; COLOURS ="),
        ("COLOURS =", "n = np; n.pi = 4.0; COLOURS ="),
        ("def drawn(records)", "def drawn(records, n=TABLE.pop('n'))"),
        ("def drawn(records)", "def drawn(records: (FACTOR := 3.0))"),
        ("seeds=4", "seeds=(FACTOR := 4)"),
    ],
)
def test_what_acts_as_the_file_is_read_changes_the_source_digest(old, new):
    added = SOURCE + "\nFACTOR = FACTOR\n"
    assert old in added
    assert source_digest(added.replace(old, new)) != source_digest(added)


def test_a_function_that_is_called_as_the_file_is_read_counts_with_all_that_it_calls():
    def digest(body):
        called = f"def colours():\n    {body}\n    return []\n\ndef through():\n    return colours()\n\nCOLOURS ="
        return source_digest(SOURCE.replace("COLOURS =", called).replace('["C0", "C1"]', "through()"))

    assert digest("pass") != digest("TABLE['n'] = 4.0")


def test_a_name_that_declares_elsewhere_may_act_where_the_file_gives_it_a_meaning_of_its_own():
    def digest(value):
        acting = f"def round(n):\n    TABLE['n'] = n\n\nCOLOURS = round({value}.0)"
        return source_digest(SOURCE.replace('COLOURS = ["C0", "C1"]', acting))

    assert digest(4) != digest(5)


def test_the_body_of_a_class_may_read_a_name_before_it_binds_it():
    held = SOURCE.replace("def measure", "class Held:\n    SCALE = SCALE\n\ndef measure")
    held = held.replace("COLOURS =", "SCALE = 2.0\nCOLOURS =").replace("FACTOR * np", "Held.SCALE * np")
    assert source_digest(held.replace("SCALE = 2.0", "SCALE = 3.0")) != source_digest(held)


def test_what_measure_reads_of_its_own_study_counts():
    reading = SOURCE.replace("FACTOR * np", "study.seeds * np")
    assert source_digest(reading.replace("seeds=4", "seeds=8")) != source_digest(reading)


@pytest.mark.parametrize("after", ["study = tuned(study)", "if True:\n    study = study", "study.seeds = 3"])
def test_a_study_that_is_bound_twice_counts_with_what_is_declared(after):
    twice = f"{SOURCE}\n{after}\n"
    assert source_digest(twice.replace("seeds=4", "seeds=8")) != source_digest(twice)


@pytest.mark.parametrize(
    "made",
    [
        "class Study(Study): pass",
        "def Study(**given): return given",
        "from mine import Study",
        "Study = partial(Study)",
    ],
)
def test_a_study_that_is_not_of_attnflow_counts_with_what_is_declared(made):
    own = SOURCE.replace("FACTOR = 2.0", f"{made}\nFACTOR = 2.0")
    assert source_digest(own.replace("seeds=4", "seeds=8")) != source_digest(own)


@pytest.mark.parametrize(
    "lookup",
    ["sys.modules[__name__].COLOURS", "measure.__globals__['COLOURS']", "operator.attrgetter('COLOURS')(n)",
     "inspect.getmodule(measure).COLOURS", "sys._getframe().f_globals['COLOURS']", "builtins.eval('COLOURS')"],
)  # fmt: skip
def test_a_name_that_is_looked_up_by_another_way_counts(lookup):
    text = SOURCE.replace("FACTOR * np", f"{lookup} * np")
    assert source_digest(text.replace('["C0", "C1"]', '["C2"]')) != source_digest(text)


def test_docstrings_count_where_they_are_read():
    text = SOURCE.replace("FACTOR * np", "float(measure.__doc__) * np")
    assert source_digest(text.replace("What it does", "3.0")) != source_digest(text)


def test_the_declaration_of_a_study_counts_where_another_file_reads_it():
    def digest(source, helper):
        return study_of(source=source, helpers=(helper,)).digest

    other = SOURCE.replace("seeds=4", "seeds=8")
    assert digest("from toy import measure", SOURCE) == digest("from toy import measure", other)
    for reading in ("from toy import study as theirs", "import toy; toy.study.seeds", "from toy import *"):
        assert digest(reading, SOURCE) != digest(reading, other)


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


def study_of(**given):
    made = af.Study(name="toy", measure=dict, ladder=[{"n": 1}], quick=1, claims=[])
    for name, value in given.items():  # as `load_study` does
        object.__setattr__(made, name, value)
    return made


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
