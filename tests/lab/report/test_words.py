"""How runs and verdicts are put in words: every sentence in full."""

import dataclasses
from types import SimpleNamespace

import pytest

from attnflow.judge.verdicts import Verdict
from attnflow.lab.report.words import levels_in_words, settings_in_words, summary_in_words, verdict_in_words


def verdict(name, outcome="supported", **changes):
    return Verdict(
        id=name, source="RZ", kind="constant", control="control_of" in changes, verdict=outcome, predicted=1.0,
        measured=1.0, low=0.98, high=1.04, margin=0.05, levels=8, dropped=0, seconds=1.0, reason="measured",
        **({"control_of": None} | changes),
    )  # fmt: skip


CLAIMS = [verdict("a"), verdict("b"), verdict("c", "inconclusive")]
DERIVED = verdict("d", derivation=True)
CONTROL = verdict("e", "refuted", control_of="a")
BY_ITS_GAP = verdict("f", "refuted", control_of="a", truth=2.0, truth_margin=0.1, gap="supported")
UNDECIDED = dataclasses.replace(BY_ITS_GAP, id="g", gap="inconclusive")
BY_ANOTHER = dataclasses.replace(BY_ITS_GAP, id="h", gap="refuted")


def test_claims_derivations_and_controls_are_counted_apart():
    assert summary_in_words(CLAIMS) == (
        "3 claims measured: 2 supported, 0 refuted, 1 inconclusive, 0 invalid. In short: "
        "nothing other than expected, 1 undecided."
    )
    assert summary_in_words([DERIVED, verdict("r", "refuted"), CONTROL]) == (
        "1 claim measured: 0 supported, 1 refuted, 0 inconclusive, 0 invalid. 1 derivation, a formula against a "
        "formula without attention: 1 supported. Negative controls refuted, as they must be: 1 of 1. "
        "Not as expected: r."
    )
    assert summary_in_words([verdict("i", "invalid"), BY_ITS_GAP, UNDECIDED, BY_ANOTHER, CONTROL]) == (
        "1 claim measured: 0 supported, 0 refuted, 0 inconclusive, 1 invalid. Negative controls refuted, as they must "
        "be: 3 of 4, by the predicted gap 1 of 3. Not as expected: i, h."
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (CLAIMS[0], "supported"),
        (DERIVED, "supported, a derivation"),
        (CONTROL, "refuted, as a control must be"),
        (BY_ANOTHER, "control refuted, by another gap"),
        (verdict("s", "supported", control_of="a"), "control supported, not refuted"),
    ],
)
def test_a_verdict_is_told_as_a_reader_should_take_it(row, words):
    assert verdict_in_words(row) == words


def test_levels_are_told_with_those_that_were_dropped():
    assert levels_in_words(CLAIMS[0]) == "8"
    assert levels_in_words(dataclasses.replace(CLAIMS[0], dropped=2)) == "8 (2 dropped)"


def run(name, setting, *, quick_is_full=False):
    return SimpleNamespace(setting=setting, study=SimpleNamespace(name=name, quick_is_full=quick_is_full))


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        ([run("a", "full"), run("b", "full")], "Full run"),
        ([run("a", "quick"), run("b", "quick")], "Quick run"),
        ([run("a", None)], "Not run"),
        ([run("a", "quick"), run("b", "full"), run("c", "quick")], "Full run: b; Quick run: a, c"),
        # A study whose two runs are one does not make a quick run a mixed one, unless it is all there is.
        ([run("a", "quick"), run("b", "full", quick_is_full=True)], "Quick run"),
        ([run("b", "full", quick_is_full=True)], "Full run"),
        ([run("a", None), run("b", "full", quick_is_full=True)], "Not run"),
    ],
)
def test_which_runs_the_verdicts_come_from_is_told(runs, words):
    assert settings_in_words(runs) == words
