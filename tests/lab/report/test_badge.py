"""The badge says how many claims are supported, and in red that something is not as expected."""

import dataclasses
from xml.etree import ElementTree

import pytest
from reported_study import ran

from attnflow.judge.verdicts import Verdict
from attnflow.lab.report.badge import GREEN, ORANGE, RED, badge
from attnflow.lab.report.files import write

HOLDS = Verdict(
    id="a", source="RZ", kind="constant", control=False, control_of=None, verdict="supported", predicted=1.0,
    measured=1.0, low=0.98, high=1.04, margin=0.05, levels=8, dropped=0, seconds=1.0, reason="measured",
)  # fmt: skip
OPEN, FAILS = (dataclasses.replace(HOLDS, verdict=word) for word in ("inconclusive", "refuted"))
DERIVED = dataclasses.replace(HOLDS, derivation=True)
CONTROL = dataclasses.replace(HOLDS, control=True, control_of="a", verdict="refuted")
PASSES = dataclasses.replace(CONTROL, verdict="supported")


@pytest.mark.parametrize(
    ("verdicts", "words", "colour"),
    [
        ([HOLDS, HOLDS, DERIVED, CONTROL], "2 of 2 supported", GREEN),
        ([HOLDS, OPEN, CONTROL], "1 of 2 supported", ORANGE),
        ([HOLDS, FAILS], "1 of 2 supported", RED),
        ([HOLDS, PASSES], "1 of 1 supported", RED),
        ([], "none judged", ORANGE),
    ],
)
def test_the_badge_counts_claims_and_is_painted_by_what_is_worst(verdicts, words, colour):
    root = ElementTree.fromstring(badge(verdicts))
    texts = [element.text for element in root.iter() if element.tag.endswith("}text")]
    assert texts == ["claims", words]
    assert root.get("aria-label") == f"claims: {words}"
    assert {GREEN, ORANGE, RED} & {element.get("fill") for element in root.iter()} == {colour}


def test_it_lies_beside_the_page(folder, no_figures):
    study, store = ran()
    _, path = write({None: [study]}, store, "page.html")
    assert path.name == "badge.svg"
    assert "3 of 3 supported" in path.read_text(encoding="utf-8")
