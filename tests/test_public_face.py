"""The public face: every name is there, whatever was imported before, and nothing is loaded that is not asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import attnflow as af

STUB = Path(af.__file__).with_suffix(".pyi")


def in_a_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_name_is_there_and_is_listed():
    lines = ast.parse(STUB.read_text(encoding="utf-8")).body
    names = [alias.asname for line in lines if not line.level for alias in line.names]  # the rest are rooms
    assert len(names) > 40
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(af, name).__name__ == name
    assert set(names) <= set(dir(af))


def test_a_name_that_is_not_there_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="module 'attnflow' has no attribute 'Sphre'"):
        af.Sphre  # noqa: B018
    assert not hasattr(af, "__wrapped__")


def test_a_room_can_be_reached_through_the_package():
    assert af.errors.ConfigError.__module__ == "attnflow.errors"


def test_judge_is_the_function_also_after_its_room_was_imported():
    code = "import attnflow.judge.claims, attnflow as af; from attnflow import judge; print(af.judge, judge)"
    assert in_a_fresh_process(code).count("<function judge at") == 2


def test_help_loads_neither_jax_nor_scipy():
    code = "import sys, attnflow.cli; print({'jax', 'scipy', 'matplotlib', 'h5py'} & set(sys.modules))"
    assert in_a_fresh_process(code) == "set()\n"
