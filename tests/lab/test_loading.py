"""Loading studies from files: what is found, and what is told of a file that is none."""

import pytest

from attnflow.errors import ConfigError
from attnflow.lab.loading import find_studies, load_study
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run

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
        ("def measure(:", "SyntaxError"),
        (FILE.replace("NAME", "../up"), "may hold only a-z"),
        (FILE.replace("NAME", "one").replace("1.5", "float('nan')"), "`n` in a case of study 'one'"),
        (FILE.replace("NAME", "one").replace("1.5", "2.5"), "twice"),
        (FILE.replace("NAME", "one").replace("quick=1", "quik=1"), "quik"),
    ],
    ids=["no study", "import", "syntax", "path", "nan", "twice", "misspelt"],
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
