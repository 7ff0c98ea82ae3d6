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
    assert last_line(VERDICTS[:3]).endswith("Exit 0: all as expected.")


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
