"""Tests compute in float64; attnflow never switches it on by itself. What is compiled is kept until the run ends.

The same program is then compiled once for all processes of a run: after caches are cleared, for functions written once
more in another file, in the other worker, in commands that are run. A program is looked up by all that it is.
"""

import os
import tempfile

import jax

import attnflow as af

af.enable_x64()

KEPT = "JAX_COMPILATION_CACHE_DIR"
if KEPT not in os.environ:  # else a worker, whose folder goes with the process that started it, or the user's choice
    folder = tempfile.TemporaryDirectory(prefix="attnflow-tests-")
    os.environ[KEPT] = folder.name
# What compiles more quickly is not worth a file.
seconds = os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
jax.config.update("jax_compilation_cache_dir", os.environ[KEPT])
jax.config.update("jax_persistent_cache_min_compile_time_secs", float(seconds))
