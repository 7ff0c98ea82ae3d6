"""CITATION.cff names the version that is cited."""

import re
from pathlib import Path

import attnflow as af

ROOT = Path(__file__).parents[1]


def test_the_citation_names_the_version_of_the_package():
    cited = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert cited == [af.__version__]
