"""What the report and `attnflow show` say of a source."""

import re
from pathlib import Path

import pytest

from attnflow.lab.report import describing
from attnflow.lab.report.describing import references

BIBLIOGRAPHY = Path(__file__).parents[3] / "REFERENCES.bib"


@pytest.mark.parametrize(
    "entry",
    [
        "  author = {Ruan, T. and Zhang, S.},\n  title = {How {it} works},\n  year = {2024}",
        "  author  = {Ruan, T. and Zhang, S.},\n  title   = {How {it} works},\n  year={2024},",
    ],
)
def test_fields_may_be_aligned(tmp_path, monkeypatch, entry):
    monkeypatch.chdir(tmp_path)
    Path("REFERENCES.bib").write_text(f"@misc{{RZ,\n{entry}\n}}\n")
    assert references({"RZ"}) == [("RZ", "Ruan and Zhang (2024), How it works")]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("  author = {{Institute}},\n  title = {Library}", "Institute, Library"),
        ("  title = {Library},\n  year = {1999}", "(1999), Library"),
        ("  note = {lost}", ""),
    ],
)
def test_what_an_entry_lacks_is_left_out(tmp_path, monkeypatch, entry, text):
    monkeypatch.chdir(tmp_path)
    Path("REFERENCES.bib").write_text(f"@misc{{X,\n{entry}\n}}\n")
    assert references({"X"}) == [("X", text)]


def test_every_entry_of_our_bibliography_is_read(monkeypatch):
    monkeypatch.setattr(describing, "REFERENCES", BIBLIOGRAPHY)
    keys = set(re.findall(r"^@\w+\{(\w+),", BIBLIOGRAPHY.read_text(encoding="utf-8"), flags=re.MULTILINE))
    found = dict(references(keys))
    assert found.keys() == keys
    assert [key for key, text in found.items() if not re.match(r"\S.*\S, \S", text)] == []
