"""What the command line offers: each command its own options, quickly, and nothing that it does not use."""

import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from attnflow._parsing import parse
from attnflow.cli import COMMANDS, main
from attnflow.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]

SEEN = {"--studies", "--subject", "--out", "--seed"}  # of commands that read records
OPTIONS = {
    "new": {"--studies"},
    "list": SEEN,
    "show": SEEN | {"--set"},
    "run": SEEN | {"--quick", "--set", "--part", "--workers", "--scheduler"},
    "verify": SEEN | {"--quick", "--full", "--json", "--jobs", "--strict", "--bundle"},
    "plot": SEEN | {"--set", "--all", "--format", "-o"},
    "report": SEEN | {"-o", "--check", "--pages", "--bundle"},
    "export": SEEN | {"--set", "-o"},
    "bench": {"--out", "--quick", "--tokens", "--planner", "--growth", "--figure", "--json"},
    "doctor": {"--out", "--json"},
    "probe": {
        *("--points", "--queries", "--keys", "--values", "--logits", "--tokens"),
        *("--layer", "--head", "--bandwidth", "--json", "--html"),
    },
}


def help_of(capsys, *words):
    with pytest.raises(SystemExit, match="0"):
        main([*words, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_offers_the_options_that_it_uses_and_no_others(capsys, command):
    offered = set(re.findall(r"^  (--?[a-z]+)", help_of(capsys, command), flags=re.MULTILINE))
    assert offered - {"-h"} == OPTIONS[command] | {"--debug"}


def test_the_help_names_every_command(capsys):
    text = help_of(capsys)
    assert [name for name in COMMANDS if not re.search(rf"^    {name}\s", text, flags=re.MULTILINE)] == []


@pytest.mark.parametrize("command", ["list", "report", "bench"])
def test_an_option_of_another_command_is_refused(capsys, command):
    assert main([command, "--strict"]) == 2
    assert "`option` must be one of" in capsys.readouterr().err


def test_a_command_leaves_the_garbage_collector_as_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["list"]) == 2  # there is no study
    assert gc.isenabled()


def test_what_every_command_about_studies_imports_is_without_scipy_stats():
    code = "import sys, attnflow.lab.loading, attnflow.lab.plots; print('scipy.stats' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout == "False\n", done.stderr  # it takes .3 s, which `list` would spend before anything else


def test_an_option_before_the_command_is_refused_by_its_name():
    with pytest.raises(ConfigError, match="got '--debug'"):
        parse(["--debug", "list"])
