"""Tests compute in float64; attnflow never switches it on by itself. What is compiled is kept for them and later runs.

The same program is then compiled once for all processes of a run: after caches are cleared, for functions written once
more in another file, in the other worker, in commands that are run. A program is looked up by all that it is.
"""

import contextlib
import ctypes
import gc
import os

from attnflow.lab.programs import FOLDER, SECONDS, WORTH_A_FILE, compile_quickly, keep_programs

# As commands do: in their folder, unless a worker or its user has another.
keep_programs()
compile_quickly()

import jax  # noqa: E402
import psutil  # noqa: E402
import pytest  # noqa: E402

import attnflow as af  # noqa: E402

af.enable_x64()
jax.config.update("jax_compilation_cache_dir", os.environ.get(FOLDER))
jax.config.update("jax_persistent_cache_min_compile_time_secs", float(os.environ.setdefault(SECONDS, WORTH_A_FILE)))

MUCH = 7e8  # bytes; one file adds 1.2e9 at most, and a worker that dropped nothing would come to 5e9


@pytest.fixture(autouse=True, scope="module")
def memory():
    """Drop what is compiled between files where it has become much: few programs serve two of them."""
    yield
    if psutil.Process().memory_info().rss > MUCH:
        jax.clear_caches()
        gc.collect()
        with contextlib.suppress(OSError, AttributeError):  # what is freed goes back to the system, with glibc
            ctypes.CDLL(None).malloc_trim(0)
