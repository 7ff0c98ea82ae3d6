"""Ctrl-C from the first moment, and readers that stop reading: no traceback, and the exit codes of shells."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from attnflow import _interrupts
from attnflow.cli import main

ROOT = Path(__file__).resolve().parents[1]
DURING_IMPORTS = """
import os, signal, sys
import attnflow.__main__

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.exit(attnflow.__main__.main(["verify"]))
"""


@pytest.mark.parametrize("module", ["attnflow.lab", "jax"])
def test_an_interrupt_while_modules_are_loaded_ends_the_process_with_one_line(tmp_path, module):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "one.py").write_text("study = None\n")  # without a study JAX would not be loaded
    done = subprocess.run(
        [sys.executable, "-c", DURING_IMPORTS, module], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "attnflow: interrupted; repeat the command to resume\n"


@pytest.fixture
def handler():
    """The handler of SIGINT, put back afterwards."""
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_once_a_run_begins_an_interrupt_is_an_exception_again(handler):
    _interrupts.stop_at_once()
    assert signal.getsignal(signal.SIGINT) is _interrupts._stop
    _interrupts.raise_again()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_of_a_program_of_ones_own_is_left_alone(handler):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _interrupts.raise_again()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_pipe_that_is_closed_early_is_no_error(tmp_path, monkeypatch):
    """As by `attnflow new | true`, where nothing is written before the end: the reader is gone by then."""
    reading, writing = os.pipe()
    os.close(reading)
    monkeypatch.chdir(tmp_path)
    with os.fdopen(writing, "w") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        assert main(["new", "mine"]) == 0
        pipe.flush()  # nothing is left that could not be written
