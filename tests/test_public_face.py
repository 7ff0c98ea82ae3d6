"""The public face: every name is there, whatever was imported before, and nothing is loaded that is not asked for."""

import ast
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import attnflow as af
from attnflow._face import version_of

ROOT = Path(__file__).parents[1]
STUB = Path(af.__file__).with_suffix(".pyi")


def in_a_fresh_process(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_every_name_is_there_and_is_listed():
    lines = ast.parse(STUB.read_text(encoding="utf-8")).body
    imported = [line for line in lines if isinstance(line, ast.ImportFrom)]
    names = [alias.asname for line in imported if not line.level for alias in line.names]  # the rest are rooms
    assert len(names) > 40
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(af, name).__name__ == name
    assert set(names) <= set(dir(af))
    assert sorted(names) == af.__all__


def test_a_star_brings_these_names_and_no_others():
    got = {}
    exec("from attnflow import *", got)
    assert sorted(set(got) - {"__builtins__"}) == af.__all__


def test_every_error_is_there_and_is_an_attnflow_error():
    kinds = [kind for _, kind in inspect.getmembers(af.errors, inspect.isclass)]
    assert len(kinds) == 10
    for kind in kinds:
        assert getattr(af, kind.__name__) is kind
        assert issubclass(kind, af.AttnflowError)
        # What catches input errors of other libraries catches these too.
        assert kind is af.AttnflowError or issubclass(kind, (ValueError, ArithmeticError, OSError))


def test_the_version_is_that_of_the_package():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert af.__version__ == stated
    assert version_of("no_such_package_is_installed") == "0+source"


def test_its_types_are_told_to_those_who_install_it():
    assert (Path(af.__file__).parent / "py.typed").read_text(encoding="utf-8") == ""


def test_a_name_that_is_not_there_is_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="module 'attnflow' has no attribute 'Sphre'"):
        af.Sphre  # noqa: B018
    assert not hasattr(af, "__wrapped__")


def test_python_tells_the_nearest_name_where_one_is_mistyped():
    words = [sys.executable, "-c", "import attnflow as af; af.Sphare(2)"]
    told = subprocess.run(words, capture_output=True, text=True, check=False).stderr.splitlines()[-1]
    assert told == "AttributeError: module 'attnflow' has no attribute 'Sphare'. Did you mean: 'Sphere'?"


def test_a_room_can_be_reached_through_the_package():
    assert af.errors.ConfigError.__module__ == "attnflow.errors"


def test_judge_is_the_function_also_after_its_room_was_imported():
    code = "import attnflow.judge.claims, attnflow as af; from attnflow import judge; print(af.judge, judge)"
    assert in_a_fresh_process(code).count("<function judge at") == 2


def test_help_loads_neither_jax_nor_scipy():
    code = "import sys, attnflow.cli; print({'jax', 'scipy', 'matplotlib', 'h5py'} & set(sys.modules))"
    assert in_a_fresh_process(code) == "set()\n"
