"""docs/probe.md says what the code says."""

import re

import pytest
from handbook import DOCUMENT, PARTS, part

from attnflow.lab.probe.formats.opening import OPENERS
from attnflow.lab.probe.naming import OPTIONS

NUMBER = re.compile(r"(?<![\w.])-?(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?")


def test_the_document_names_every_format_and_option():
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(f"`{ending}`" in text for ending in OPENERS)
    assert all(f"`--{option}" in text for option in OPTIONS)


@pytest.mark.parametrize("name", ["numbers", "verdicts"])
def test_definitions_and_rules_are_those_of_the_code(name):
    assert part(name, DOCUMENT.read_text(encoding="utf-8")) == PARTS[name](), "run python tests/lab/probe/handbook.py"


@pytest.mark.parametrize("name", ["heads", "head"])
def test_the_example_is_what_is_printed(name):
    written, printed = part(name, DOCUMENT.read_text(encoding="utf-8")), PARTS[name]()
    assert NUMBER.sub("#", written).split() == NUMBER.sub("#", printed).split(), (
        "run python tests/lab/probe/handbook.py"
    )
    numbers = [[float(found) for found in NUMBER.findall(text)] for text in (written, printed)]
    # Two or three digits are printed, the last of which another BLAS may round otherwise.
    assert numbers[0] == pytest.approx(numbers[1], rel=0.1, abs=0.011)
