"""The table of verdicts as text: what it keeps on a narrow terminal, its colours, and its last line."""

import dataclasses

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
    assert last_line(VERDICTS).startswith("1 control refuted, 1 inconclusive, 1 invalid, 1 supported. Exit 1:")
    assert last_line([*VERDICTS, *VERDICTS]).startswith("2 controls refuted, 2 inconclusive,")
    derived = verdict(derivation=True, measures=())
    assert last_line([*VERDICTS, derived]).startswith(
        "1 control refuted, 1 inconclusive, 1 invalid, 1 supported, 1 der"
    )
    assert "2 derivations supported. Exit 0" in last_line([derived, derived])
    assert "Exit 3: partial" in last_line(VERDICTS, failures=2)
    assert last_line(VERDICTS[:3]).endswith("Exit 0: nothing other than expected, 1 undecided.")


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
        "1 control refuted, 2 supported, 1 derivation supported. Exit 0: all as expected."
    )
    assert last_line([VERDICTS[3]]) == (
        "1 invalid. Exit 1: a claim is refuted or invalid, or a control is not refuted by its gap."
    )
    assert last_line([verdict()], failures=1) == (
        "1 supported. Exit 3: partial, some cases failed; the same command tries them again."
    )
