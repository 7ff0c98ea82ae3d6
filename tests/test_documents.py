"""What the documents show runs as it stands, and says what they print."""

import doctest
from pathlib import Path

import pytest

DOCUMENTS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("name", ["tour.md", "conventions.md", "choosing.md"])
def test_the_examples_of_a_document_print_what_it_says(name):
    failed, tried = doctest.testfile(str(DOCUMENTS / name), module_relative=False)
    assert tried > 4
    assert failed == 0
