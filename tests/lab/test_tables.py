"""The table of verdicts as text: what it keeps on a narrow terminal, its colours, and its last line."""

import dataclasses
import itertools

import pytest

from attnflow.judge.verdicts import Verdict
from attnflow.lab.tables import last_line, verdict_table


def verdict(**changes):
    fields = {
        "id": "noise-const/circle", "source": "RZ", "kind": "constant", "control": False, "control_of": None,
        "verdict": "supported", "predicted": 1.0, "measured": 1.0123456, "low": 0.98, "high": 1.04, "margin": 0.05,
        "levels": 8, "dropped": 1, "seconds": 12.3, "reason": "limit of 8 levels, 400 seeds",
    }  # fmt: skip
    return Verdict(**{**fields, **changes})


VERDICTS = [
    verdict(),
    verdict(id="RZ3-control/circle", verdict="refuted", control=True, control_of="RZ3/circle"),
    verdict(id="bias/line", verdict="inconclusive", reason="a long reason " * 9),
    verdict(id="depth", verdict="invalid", measured=None, low=None, high=None, reason="nothing was measured"),
]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_table_fits_the_terminal_and_keeps_what_matters(width):
    table = verdict_table(VERDICTS, width=width)
    assert max(map(len, table.splitlines())) <= width
    for word in ("noise-const/circle", "refuted (control)", "inconclusive", "1.012", "nothing was measured"):
        assert word in table
    assert ("seconds" in table) == (width == 120)


def test_reasons_are_given_where_a_verdict_is_not_as_expected():
    table = verdict_table(VERDICTS, width=80)
    assert "limit of 8 levels, 400 seeds" not in table
    assert " ".join(table.split()).count("a long reason") == 9


def test_colour_is_green_as_expected_yellow_inconclusive_and_red_otherwise():
    table = verdict_table(VERDICTS, width=80, colour=True)
    codes = [line.split("\033[")[1][:2] for line in table.splitlines() if "\033[" in line]
    assert codes == ["32", "32", "33", "31"]
    assert "\033" not in verdict_table(VERDICTS, width=80)


def test_the_last_line_counts_and_says_what_the_exit_code_means():
    assert last_line(VERDICTS) == (
        "1 of 3 claims supported, 1 undecided, 1 invalid; 1 of 1 control refuted. "
        "Exit 1: a claim is refuted or invalid, or a control is not refuted by its gap."
    )
    derived = verdict(derivation=True, measures=())
    assert "; 2 of 2 derivations supported; 2 of 2 controls refuted. " in last_line(
        [*VERDICTS, *VERDICTS, *[derived] * 2]
    )
    assert last_line([derived, derived]) == "2 of 2 derivations supported. Exit 0: all as expected."
    assert "Exit 3: partial" in last_line(VERDICTS, failures=2)
    assert last_line(VERDICTS[:3]).endswith("Exit 0: nothing other than expected, 1 undecided.")


SUPPORTED, CONTROL, OPEN = VERDICTS[:3]
OPEN_GAP = dataclasses.replace(CONTROL, truth=0.5, truth_margin=0.1, gap="inconclusive")


@pytest.mark.parametrize("larger", [False, True])
@pytest.mark.parametrize("left", [0, 2])
@pytest.mark.parametrize("failures", [0, 1])
@pytest.mark.parametrize(
    "rows", [each for count in range(4) for each in itertools.combinations([*VERDICTS, OPEN_GAP], count)]
)
def test_all_is_as_expected_only_where_something_was_judged_and_nothing_is_open(rows, failures, left, larger):
    words = last_line(rows, failures=failures, left=left, larger=larger)
    whole = bool(rows) and all(row in (SUPPORTED, CONTROL) for row in rows) and not failures and not left
    assert ("all as expected" in words) == whole
    undecided = sum(row in (OPEN, OPEN_GAP) for row in rows)
    if "nothing other than expected" in words:
        assert (f"{undecided} undecided" in words) == (undecided > 0)
        assert words.endswith(": verify --full.") == (left > 0 or (larger and undecided > 0))


def test_what_a_quick_run_leaves_open_is_told_with_what_decides_it():
    rows = [*[SUPPORTED] * 65, *[OPEN] * 11, *[CONTROL] * 39, OPEN_GAP]
    assert last_line(rows, larger=True) == (
        "65 of 76 claims supported, 11 undecided; 40 of 40 controls refuted, 1 by a gap that is undecided. "
        "Exit 0: nothing other than expected, 12 undecided at quick size: verify --full."
    )
    assert last_line([], left=2) == "no claims. Exit 0: nothing other than expected, 2 not judged: verify --full."


def test_a_derivation_and_a_control_with_another_gap_are_told_in_the_table():
    control = VERDICTS[1]
    missed = dataclasses.replace(control, truth=0.5, truth_margin=0.1, gap="refuted", reason="it is another gap")
    open_gap = dataclasses.replace(missed, gap="inconclusive")
    derived = verdict(id="zeta", derivation=True, measures=())
    table = verdict_table([missed, open_gap, derived], width=120)
    for words in ("refuted (control, gap missed)", "refuted (control, gap inconclusive)", "supported (derivation)"):
        assert words in table
    assert table.count("it is another gap") == 1  # the missed one is not as expected, and says why
    assert last_line([missed]).endswith(
        "Exit 1: a claim is refuted or invalid, or a control is not refuted by its gap."
    )


WHOLE = """\
claim               verdict            measured  predicted  interval      margin  levels         seconds
noise-const/circle  supported          1.0123    1          [0.98, 1.04]  0.05    8 (1 dropped)  12.3
RZ3-control/circle  refuted (control)  1.0123    1          [0.98, 1.04]  0.05    8 (1 dropped)  12.3
bias/line           inconclusive       1.0123    1                        0.05    8              12.3
    no interval
depth               invalid            -         1                        0.05    8 (1 dropped)  12.3
    nothing was measured"""

NARROW = """\
claim               verdict            measured
noise-const/circle  supported          1.0123
RZ3-control/circle  refuted (control)  1.0123
bias/line           inconclusive       1.0123
    no interval
depth               invalid            -
    nothing was measured"""


def test_the_table_letter_by_letter():
    rows = [*VERDICTS[:2], dataclasses.replace(VERDICTS[2], low=None, high=None, dropped=0, reason="no interval")]
    rows.append(VERDICTS[3])
    width = len(WHOLE.splitlines()[0])
    assert verdict_table(rows, width=200) == verdict_table(rows, width=width) == WHOLE
    without = verdict_table(rows, width=width - 1)
    assert "seconds" not in without
    assert [line for line in without.splitlines() if line != line.rstrip()] == []
    width = len(NARROW.splitlines()[0])
    assert verdict_table(rows, width=width) == NARROW
    assert verdict_table(rows, width=20).splitlines()[0] == NARROW.splitlines()[0]  # three columns are never dropped
    assert verdict_table([], width=80) == "claim  verdict"


def test_long_reasons_go_on_below_themselves():
    reasons = verdict_table(VERDICTS[2:3], width=60).splitlines()[2:]
    assert len(reasons) > 1
    assert all(line.startswith("    ") and line[4] != " " for line in reasons)


def test_colours_are_put_around_the_verdict_alone():
    line = verdict_table(VERDICTS[:1], width=200, colour=True).splitlines()[1]
    assert line.startswith("noise-const/circle  \033[32msupported\033[0m  1.0123")


def test_the_last_line_word_by_word():
    assert last_line([]) == "no claims. Exit 0: nothing was judged."
    derived = verdict(derivation=True, measures=())
    assert last_line([derived, VERDICTS[1], verdict(), verdict()]) == (
        "2 of 2 claims supported; 1 of 1 derivation supported; 1 of 1 control refuted. Exit 0: all as expected."
    )
    assert last_line([VERDICTS[3]]) == (
        "0 of 1 claim supported, 1 invalid. "
        "Exit 1: a claim is refuted or invalid, or a control is not refuted by its gap."
    )
    assert last_line([verdict()], failures=1) == (
        "1 of 1 claim supported. Exit 3: partial, some cases failed; the same command tries them again."
    )
    missed = dataclasses.replace(OPEN_GAP, gap="refuted")
    assert last_line([missed]).startswith("1 of 1 control refuted, 1 by another gap. Exit 1: ")


def test_what_is_missing_and_what_an_interval_excludes_stand_below_their_rows():
    rows = [
        dataclasses.replace(OPEN, reason="slope of 8 levels", missing="about 1.8 times the seeds"),
        dataclasses.replace(OPEN_GAP, missing="for its gap about 3 times the seeds"),
        dataclasses.replace(SUPPORTED, remark="supported within 0.05; the interval excludes 1 exactly"),
    ]
    lines = verdict_table(rows, width=120).splitlines()
    assert lines[2] == "    slope of 8 levels; missing: about 1.8 times the seeds"
    assert lines[4] == "    missing: for its gap about 3 times the seeds"
    assert lines[6] == "    supported within 0.05; the interval excludes 1 exactly"
