"""No command reads a record twice, or one that it has just written."""

from collections import Counter
from pathlib import Path

import pytest

from attnflow.cli import main
from attnflow.lab import store as store_module

TOY = """
import numpy as np
from attnflow.judge.claims import Claim
from attnflow.lab.study import Study

def measure(case, keys):
    if case["n"] == BROKEN:
        raise ArithmeticError("no")
    return {"error": np.full(len(keys), 1 / case["n"])}

BROKEN = 0
study = Study(
    name="NAME", measure=measure, ladder=[{"n": 8 * 2**i} for i in range(8)], quick=6,
    claims=[Claim(
        id="NAME/rate", source="RZ", statement="of order 1/n", kind="exponent", quantity="error", size="n",
        hypotheses="none", predicted=-1.0,
    )],
)
"""
QUICK, FULL = 6, 8  # records of each of two studies


@pytest.fixture
def reads(tmp_path, monkeypatch):
    """How often each record was read since the last `clear`, in a folder with two studies."""
    (tmp_path / "studies").mkdir()
    for name in ("one", "two"):
        (tmp_path / "studies" / f"{name}.py").write_text(TOY.replace("NAME", name))
    monkeypatch.chdir(tmp_path)
    counts, read_bytes, parse = Counter(), Path.read_bytes, store_module.from_bytes

    def counted(path):
        if path.suffix == ".h5" and path.exists():
            counts[path.name] += 1
        return read_bytes(path)

    def parsed(data, *, path):
        counts[f"{path.name}, parsed"] += 1
        return parse(data, path=path)

    monkeypatch.setattr(Path, "read_bytes", counted)
    monkeypatch.setattr(store_module, "from_bytes", parsed)
    return counts


def once(records):
    """What `reads` must hold when each of so many records was read and parsed once."""
    return [1] * (2 * records)


def test_a_first_verify_reads_nothing_and_a_second_one_each_record_once(reads):
    assert main(["verify"]) == 0
    assert not reads
    assert main(["verify"]) == 0
    assert list(reads.values()) == once(2 * QUICK)


def test_verify_after_more_cases_reads_only_what_was_there(reads):
    main(["verify"])
    assert main(["verify", "--full"]) == 0
    assert list(reads.values()) == once(2 * QUICK)


def test_verify_reads_only_the_studies_of_the_claims_that_are_named(reads):
    main(["verify"])
    assert main(["verify", "one"]) == 0
    assert list(reads.values()) == once(QUICK)


@pytest.mark.parametrize(("size", "records"), [("--quick", QUICK), ("--full", FULL)])
def test_a_command_about_all_studies_reads_each_record_once(reads, size, records):
    Path("README.md").write_text("<!-- claims -->\n<!-- /claims -->\n", encoding="utf-8")
    main(["verify", size])
    for words in (["list"], ["plot", "--all"], ["report"], ["report", "--check"]):
        reads.clear()
        assert main(words) == 0
        assert list(reads.values()) == once(2 * records), words


def test_export_and_run_read_each_record_of_one_study_once(reads):
    main(["verify", "--full"])
    for words in (["export", "one"], ["run", "studies/one.py"]):
        reads.clear()
        assert main(words) == 0
        assert list(reads.values()) == once(FULL)


def test_a_failed_record_is_read_once_and_measured_again(reads, monkeypatch):
    study = Path("studies/one.py")
    study.write_text(study.read_text().replace("BROKEN = 0", "BROKEN = 16"))
    assert main(["run", str(study)]) == 3
    reads.clear()
    assert main(["run", str(study)]) == 3
    assert list(reads.values()) == once(FULL)
