"""What the README shows runs as it stands, in two screens, and prints what it says."""

import doctest
import re
from pathlib import Path

import attnflow as af

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
WRITTEN_BY_HAND = re.sub(r"<!-- claims.*?<!-- /claims[^>]*-->", "", README, flags=re.DOTALL)


def test_the_examples_print_what_the_readme_says_and_are_right():
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    test = parser.get_doctest(README, {}, "README", "README.md", 0)
    assert runner.run(test, clear_globs=False).failed == 0
    assert len(test.examples) > 20
    names = test.globs
    # f spans about four: sampling error with 4000 points and bias at eps = .05 are a few per cent of it
    for one, other in (("particles", "population"), ("population", "continuum")):
        assert (af.compare(names[one], names[other]) < 0.1).all()
    assert names["fit"].low < 1 < names["fit"].high  # the bias of one layer is of order eps


def test_the_readme_is_read_in_two_screens():
    words = re.sub(r"```.*?```", "", WRITTEN_BY_HAND, flags=re.DOTALL)
    assert len(words.split()) < 900
    assert len(WRITTEN_BY_HAND.splitlines()) < 130


def test_figures_and_files_that_the_readme_names_exist():
    links = re.findall(r"\]\(([^)#:]+)", README)
    files = re.findall(r"`((?:studies/[a-z]+/)?[A-Za-z_]+\.(?:md|bib|cff|py))`", README)
    assert len(links) > 20
    for path in links + files:
        assert (ROOT / path).exists(), path


def test_every_public_name_in_the_readme_is_there():
    names = {*re.findall(r"\baf\.([A-Za-z_0-9]+)", README)}
    for cell in re.findall(r"^\| [^|]+\|([^|]+)\|$", WRITTEN_BY_HAND, flags=re.MULTILINE):
        names |= set(re.findall(r"`([A-Za-z_]+)`", cell))
    assert "TokenFlow" in names
    for name in names:
        assert hasattr(af, name), name
