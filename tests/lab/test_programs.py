"""What the command line compiles is kept for the next command; where that is impossible nothing else changes."""

import os
import subprocess
import sys
from pathlib import Path

import platformdirs
import pytest

from attnflow import _xla
from attnflow.lab import programs
from attnflow.lab.programs import FOLDER, SECONDS, compile_quickly, default_folder, keep_programs, make_room

ROOT = Path(__file__).parents[2]
COMPILE = """
from attnflow.lab.programs import keep_programs
keep_programs()
import jax
print(jax.jit(lambda x: jax.numpy.sin(x) + 3)(0.0))
"""


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of its own, for a user who has told JAX nothing."""
    monkeypatch.setattr(platformdirs, "user_cache_dir", lambda name: str(tmp_path / name))
    # Set before it is deleted, so that what the test sets is undone.
    for name in (FOLDER, SECONDS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return tmp_path


def test_programs_are_kept_in_the_cache_folder_of_the_user(cache):
    keep_programs()
    assert Path(os.environ[FOLDER]).is_relative_to(cache / "attnflow" / "programs")
    assert float(os.environ[SECONDS]) == 0.1


@pytest.mark.parametrize("chosen", ["", "elsewhere"])
def test_what_the_user_has_told_jax_is_kept(cache, monkeypatch, chosen):
    monkeypatch.setenv(FOLDER, chosen)
    keep_programs()
    assert os.environ[FOLDER] == chosen
    assert SECONDS not in os.environ
    assert not (cache / "attnflow").exists()


def test_a_folder_that_cannot_be_made_is_no_error(cache):
    (cache / "attnflow").write_text("a file where the folder should be")
    keep_programs()
    assert FOLDER not in os.environ


def test_a_folder_that_cannot_be_written_is_not_used(cache, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    keep_programs()
    assert FOLDER not in os.environ


def test_flags_for_xla_are_added_to_those_of_the_user(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_parallel_codegen_split_count=7 --xla_other=1")
    for _ in range(2):
        compile_quickly()
        words = os.environ["XLA_FLAGS"].split()
        assert words[:2] == ["--xla_cpu_parallel_codegen_split_count=7", "--xla_other=1"]
        assert words[2:] == ["--xla_cpu_use_fusion_emitters=false"]


def test_a_version_of_xla_that_may_not_know_the_flags_is_told_nothing(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "")
    monkeypatch.setattr(_xla, "version", lambda _: "1.0.3")
    compile_quickly()
    assert os.environ["XLA_FLAGS"] == ""


def test_machines_that_share_a_home_share_no_programs(monkeypatch):
    here = default_folder()
    monkeypatch.setattr(programs.platform, "node", lambda: "another")
    assert default_folder() != here
    assert default_folder().parent == here.parent


def test_processors_that_can_do_different_things_share_no_programs(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("model\t: one\nflags\t: fpu avx512f\n")
    assert programs.instructions(tmp_path / "cpuinfo").endswith("fpu avx512f")
    assert programs.instructions(tmp_path / "nowhere") == programs.platform.processor()
    here = default_folder()
    monkeypatch.setattr(programs, "instructions", lambda: "fpu")
    assert default_folder() != here


def test_the_oldest_programs_give_way(tmp_path, monkeypatch):
    monkeypatch.setattr(programs, "MOST_BYTES", 100)
    for age, name in enumerate("cab"):  # not in the order of their names
        (tmp_path / name).write_bytes(bytes(30))
        os.utime(tmp_path / name, (1e9 + age, 1e9 + age))
    make_room(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3  # 90 bytes are allowed
    (tmp_path / "d").write_bytes(bytes(30))
    make_room(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"d"}  # 50 bytes, one file of 30


def test_a_program_that_cannot_be_read_is_compiled_anew_in_silence(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != FOLDER}
    environment |= {"XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path), SECONDS: "0", "PYTHONPATH": str(ROOT)}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", COMPILE], env=environment, capture_output=True, text=True, check=True
        )
        assert (done.stdout, done.stderr) == ("3.0\n", "")
        kept = [path for path in tmp_path.rglob("jit_*") if path.is_file()]
        assert kept
        for path in kept:
            path.write_bytes(path.read_bytes()[:40])
