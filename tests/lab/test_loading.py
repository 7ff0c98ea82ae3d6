"""Loading studies from files: what is found, and what is told of a file that is none."""

import sys
import types

import pytest

from attnflow.errors import ConfigError
from attnflow.lab.loading import find_studies, load_study
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run
from attnflow.lab.sources import source_digest

FILE = """
import dataclasses
import numpy as np
from attnflow.lab.study import Study

@dataclasses.dataclass
class Helper:
    factor: float = 2.0

def measure(case, keys):
    return {"error": np.full(len(keys), Helper().factor * case["n"])}

study = Study(name="NAME", measure=measure, ladder=[{"n": 1.5}, {"n": 2.5}], quick=1, claims=[])
"""


def test_a_study_is_loaded_from_a_file_in_a_folder_with_spaces_and_accents(tmp_path, store):
    path = tmp_path / "é tude" / "one.py"
    path.parent.mkdir()
    path.write_text(FILE.replace("NAME", "one"), encoding="utf-8")
    loaded = load_study(path)
    run_study(loaded, store, quick=False)
    records = read_run(loaded, store, setting="full").records
    assert [record.arrays["error"].tolist() for record in records] == [[3.0], [5.0]]


def test_edited_code_never_meets_stale_records_but_edited_words_do(tmp_path, store):
    path = tmp_path / "one.py"
    path.write_text(FILE.replace("NAME", "one"))
    run_study(load_study(path), store, quick=False)
    path.write_text("# a comment\n" + FILE.replace("NAME", "one"))
    assert run_study(load_study(path), store, quick=False).computed == 0
    path.write_text(FILE.replace("NAME", "one").replace("2.0", "3.0"))
    assert run_study(load_study(path), store, quick=False).computed == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study = 3", "defines no `study`"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("import sys\nsys.exit(0)", r"it calls sys.exit\(0\). Take that out"),
        ("raise SystemExit('done')", r"it calls sys.exit\('done'\)"),
        ("exit()", r"it calls sys.exit\(None\)"),
        ("def measure(:", "SyntaxError"),
        (FILE.replace("NAME", "../up"), "may hold only a-z"),
        (FILE.replace("NAME", "one").replace("1.5", "float('nan')"), "`n` in a case of study 'one'"),
        (FILE.replace("NAME", "one").replace("1.5", "2.5"), "twice"),
        (FILE.replace("NAME", "one").replace("quick=1", "quik=1"), "quik"),
    ],
    ids=["no study", "import", "exit", "SystemExit", "exit()", "syntax", "path", "nan", "twice", "misspelt"],
)
def test_a_file_that_is_no_working_study_is_named_with_its_cause(tmp_path, text, message):
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"broken.py.*" + message):
        load_study(path)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.py: No such file"):
        load_study(tmp_path / "missing.py")
    with pytest.raises(ConfigError, match="no study in"):
        find_studies(tmp_path)


def test_the_studies_of_a_folder_have_different_names(tmp_path):
    for name in ("one.py", "two.py", "_shared.py"):
        (tmp_path / name).write_text(FILE.replace("NAME", name[:3]))
    assert [study.name for study in find_studies(tmp_path)] == ["one", "two"]
    (tmp_path / "three.py").write_text(FILE.replace("NAME", "one"))
    with pytest.raises(ConfigError, match="2 studies with the name 'one'"):
        find_studies(tmp_path)


# Modules beside a study

IMPORTING = """
import numpy as np
from attnflow.lab.study import Study
IMPORT

def measure(case, keys):
    LATE
    return {"error": np.full(len(keys), FACTOR * case["n"])}

def drawing(records):
    LATE
    return FACTOR

study = Study(name="NAME", measure=measure, ladder=[{"n": 1.5}], quick=1, claims=[], figures=[drawing])
"""


def importing(path, name, statement, factor, late="pass"):
    text = IMPORTING.replace("IMPORT", statement).replace("LATE", late).replace("FACTOR", factor)
    path.write_text(text.replace("NAME", name))
    return path


def measured(path, store):
    loaded = load_study(path)
    run_study(loaded, store, quick=False)
    (record,) = read_run(loaded, store, setting="full").records
    assert record.failed is None, record.failed
    return float(record.arrays["error"][0]) / 1.5


@pytest.mark.parametrize(
    ("statement", "factor", "late"),
    [
        ("import shared", "shared.factor", "pass"),
        ("from shared import factor as times", "times", "pass"),
        ("import shared", "shared.through_another()", "pass"),
        ("", "shared.factor", "import shared"),
        ("", "shared.through_another_late()", "import shared"),
        ("from tools.deep import factor as times", "times", "pass"),
        ("import tools", "tools.deep.factor", "import tools.deep"),
        ("from tools import relative", "relative", "pass"),
        ("import numpy.linalg, shared", "shared.factor", "pass"),
    ],
)
def test_a_module_beside_a_study_is_found_and_belongs_to_what_the_study_computes(
    tmp_path, store, statement, factor, late
):
    (tmp_path / "tools").mkdir()
    (tmp_path / "other.py").write_text("factor = 4.0")
    shared = "import other\nfactor = 4.0\ndef through_another(): return other.factor\n"
    shared += "def through_another_late():\n    from another import factor\n    return factor"
    (tmp_path / "shared.py").write_text(shared)
    (tmp_path / "another.py").write_text("factor = 4.0")
    (tmp_path / "tools" / "__init__.py").write_text("from .deep import factor as relative")
    (tmp_path / "tools" / "deep.py").write_text("factor = 4.0")
    path = importing(tmp_path / "one.py", "one", statement, factor, late)
    assert measured(path, store) == 4.0
    assert load_study(path).figures[0]([]) == 4.0
    for file in [*tmp_path.glob("*.py"), *tmp_path.glob("tools/*.py")]:
        if file != path:  # of the same length and second: a cache of bytecode would not see it
            file.write_text(file.read_text().replace("4.0", "5.0"))
    assert measured(path, store) == 5.0  # and no record of the old text is met
    assert not list(tmp_path.rglob("__pycache__"))


def test_of_a_study_that_another_imports_also_counts_what_it_does_not_measure_with_itself(tmp_path, store):
    first = importing(tmp_path / "one.py", "one", "unused = 4.0", "3.0")
    second = importing(tmp_path / "two.py", "two", "from one import unused", "unused")
    assert measured(second, store) == 4.0
    before = load_study(first).digest
    first.write_text(first.read_text().replace("4.0", "5.0"))
    assert measured(second, store) == 5.0
    assert load_study(first).digest == before


def test_modules_of_one_name_in_two_folders_are_told_apart(tmp_path, store):
    for folder, factor in (("a", "2.0"), ("b", "3.0")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "shared.py").write_text(f"factor = {factor}")
        importing(tmp_path / folder / f"{folder}.py", folder, "import shared", "shared.factor")
        importing(tmp_path / folder / f"{folder}late.py", f"{folder}late", "", "shared.factor", "import shared")
    found = find_studies(tmp_path)
    assert [study.name for study in found] == ["a", "alate", "b", "blate"]
    values = []
    for study in found:
        run_study(study, store, quick=False)
        values.append(float(read_run(study, store, setting="full").records[0].arrays["error"][0]) / 1.5)
    assert values == [2.0, 2.0, 3.0, 3.0]
    assert "shared" not in sys.modules


def test_what_python_has_loaded_under_that_name_is_there_again_afterwards(tmp_path, store, monkeypatch):
    foreign = types.ModuleType("shared")
    foreign.factor = 7.0
    monkeypatch.setitem(sys.modules, "shared", foreign)
    (tmp_path / "shared.py").write_text("factor = 4.0")
    assert measured(importing(tmp_path / "one.py", "one", "import shared", "shared.factor"), store) == 4.0
    assert sys.modules["shared"] is foreign


def test_a_module_that_a_study_imports_is_no_study_unless_it_defines_one(tmp_path):
    (tmp_path / "shared.py").write_text("factor = 2.0")
    importing(tmp_path / "one.py", "one", "import shared", "shared.factor")
    assert [study.name for study in find_studies(tmp_path)] == ["one"]
    importing(tmp_path / "two.py", "two", "from one import measure as theirs", "3.0")
    assert [study.name for study in find_studies(tmp_path)] == ["one", "two"]
    (tmp_path / "lonely.py").write_text("factor = 2.0")
    with pytest.raises(ConfigError, match=r"lonely.py defines no `study`"):
        find_studies(tmp_path)


def test_names_of_the_standard_library_and_of_attnflow_keep_their_meaning(tmp_path, store):
    for name in ("statistics", "attnflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not this one')")
    path = importing(tmp_path / "one.py", "one", "import attnflow, statistics", "statistics.mean([1.0, 3.0])")
    assert measured(path, store) == 2.0


@pytest.mark.parametrize("text", ["def f(:", "raise ValueError('of its own')", "import sys; sys.exit(0)"])
def test_a_module_that_does_not_load_is_told_by_the_study(tmp_path, text):
    (tmp_path / "shared.py").write_text(text)
    with pytest.raises(ConfigError, match=r"one.py is no working study"):
        load_study(importing(tmp_path / "one.py", "one", "import shared", "shared.factor"))


def test_a_study_without_modules_beside_it_keeps_its_digest(tmp_path):
    path = tmp_path / "one.py"
    path.write_text(FILE.replace("NAME", "one"))
    loaded = load_study(path)
    assert (loaded.helpers, loaded.digest, loaded.room) == ((), source_digest(path.read_text()), tmp_path.name)
