"""Several launchers of one run share its records and give the verdicts of one."""

import json
import sys
import types

import pytest

from attnflow.cli import main
from attnflow.lab import launchers as module
from attnflow.lab.launchers import default_jobs, in_order_of, launchers

STUDY = '''
"""Does an error halve?"""

import os
import time
from pathlib import Path

import attnflow as af


@af.per_seed
def measure(case, key):
    with Path("who.txt").open("a") as file:
        file.write(f"{case['h']} {os.getpid()}\\n")
    until = time.monotonic() + 120
    while Path("gate").exists() and time.monotonic() < until:  # until two processes have begun
        if len({line.split()[1] for line in Path("who.txt").read_text().splitlines()}) > 1:
            break
        time.sleep(0.05)
    time.sleep(0.05)
    return {"error": case["h"]}


study = af.Study(
    name="halving", measure=measure, ladder=[{"h": 2.0**-k} for k in range(16)], quick=16, claims=[
        af.Claim(id="rate", source="derived", statement="of order h", kind="exponent", quantity="error", size="h",
                 hypotheses="none", predicted=1.0),
    ],
)
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "halving.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def verify(*words):
    code = main(["verify", *words, "--json", "rows.json"])
    with open("rows.json", encoding="utf-8") as file:
        (row,) = json.load(file)
    return code, {name: value for name, value in row.items() if name != "seconds"}


@pytest.mark.parametrize("launcher", range(5))
def test_each_launcher_takes_everything_once(launcher):
    items = list(range(40))
    assert sorted(in_order_of(launcher, items)) == items
    assert in_order_of(launcher, items) == in_order_of(launcher, items)


def test_launchers_go_ways_of_their_own():
    orders = [in_order_of(launcher, range(40)) for launcher in range(5)]
    assert len({tuple(order) for order in orders}) == 5
    assert orders[1] == orders[0][::-1]


def test_two_processes_share_the_records_and_agree_with_one(folder):
    (folder / "gate").touch()
    code, row = verify("--jobs", "2")
    (folder / "gate").unlink()
    lines = (folder / "who.txt").read_text().splitlines()
    measured, by = zip(*(line.split() for line in lines), strict=True)
    assert len(set(measured)) == 16
    assert len(set(by)) == 2
    assert len(lines) <= 17  # where they meet, both may have begun
    alone = verify("--out", "alone")
    assert (code, row) == alone
    assert alone[0] == 0


def test_a_launcher_that_dies_leaves_its_part_to_the_others(folder, monkeypatch):
    monkeypatch.setattr(sys, "executable", "false")
    code, row = verify("--jobs", "3")
    assert code == 0
    assert row["levels"] == 16


def test_launchers_end_with_the_block(folder):
    with launchers(1, ["verify"]):
        pass
    lines = len((folder / "who.txt").read_text().splitlines()) if (folder / "who.txt").exists() else 0
    assert lines <= 1  # the record at hand


def test_a_run_that_is_soon_over_starts_no_other_process(folder, monkeypatch):
    started = []
    monkeypatch.setattr(module, "default_jobs", lambda: 3)
    monkeypatch.setattr(module.subprocess, "Popen", lambda *words, **_: started.append(words))
    assert verify()[0] == 0
    assert started == []


def test_unless_told_there_is_a_process_for_each_core_that_has_memory(monkeypatch):
    monkeypatch.setattr(module.os, "cpu_count", lambda: 7)
    for free, jobs in ((1e12, 7), (6.5e9, 3), (1e8, 1)):
        monkeypatch.setattr(module.psutil, "virtual_memory", lambda free=free: types.SimpleNamespace(available=free))
        assert default_jobs() == jobs


def test_no_jobs_are_refused(folder, capsys):
    assert main(["verify", "--jobs", "0"]) == 2
    assert "`--jobs` must be an integer of at least 1" in capsys.readouterr().err
