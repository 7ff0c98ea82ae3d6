"""What `attnflow doctor` finds, what it calls slow, and what it says to do."""

import json
import subprocess

import pytest

from attnflow.cli import main
from attnflow.lab import doctor
from attnflow.lab.doctor import examine, report, slow
from attnflow.lab.launchers import MEMORY
from attnflow.sums.planning import machine


@pytest.fixture(scope="module")
def facts(tmp_path_factory):
    return examine(tmp_path_factory.mktemp("folder") / "not" / "yet")


@pytest.fixture
def quiet(facts):
    """A machine on which nothing is slow."""
    return facts | {
        "cores": {"seen": 8, "usable": 8, "load": 0.1}, "blas": {"libraries": ["openblas"], "threads": 1},
        "memory": {"total": 64e9, "free": 32e9}, "records": {"folder": "/records", "free": 1e12},
        "programs": {"folder": "/programs", "files": 3, "bytes": 1e6, "writable": True}, "compiles_quickly": True,
        "has_nvidia_driver": False, "devices": ["cpu"],
        "calibration": {"pair64": 1.0, "pair32": 0.5}, "extras": {"dask": []},
    }  # fmt: skip


def test_a_quiet_machine_has_no_complaints(quiet):
    assert slow(quiet) == []
    assert "nothing here makes it slow" in report(quiet, width=100)


@pytest.mark.parametrize(
    ("change", "remedy"),
    [
        ({"blas": {"libraries": ["mkl"], "threads": 4}}, "Set OPENBLAS_NUM_THREADS=1."),
        ({"cores": {"seen": 8, "usable": 8, "load": 7.0}}, "trust processor seconds only"),
        ({"cores": {"seen": 8, "usable": 2, "load": 0.0}}, "Pass --jobs 2."),
        ({"memory": {"total": 4e9, "free": MEMORY / 2}}, "Pass --jobs 1."),
        ({"records": {"folder": "/records", "free": 1e6}}, "Pass --out on another disk."),
        ({"programs": {"folder": None, "files": 0, "bytes": 0, "writable": False}}, "Set JAX_COMPILATION_CACHE_DIR"),
        ({"compiles_quickly": False}, "Install 0.10."),
        ({"has_nvidia_driver": True}, "Install attnflow[cuda13]."),
        ({"calibration": None}, "longer, once."),
    ],
)
def test_each_thing_that_is_slow_has_a_line_with_its_remedy(quiet, change, remedy):
    (line,) = slow(quiet | change)
    assert remedy in line
    assert line in " ".join(report(quiet | change, width=60).split())


def test_a_gpu_that_jax_sees_is_no_complaint(quiet):
    assert slow(quiet | {"has_nvidia_driver": True, "devices": ["NVIDIA H100"]}) == []


@pytest.mark.parametrize("width", [60, 100])
def test_lines_fit_the_terminal(quiet, width):
    long = {"extras": {"test": [f"package{index}" for index in range(40)]}}
    assert max(map(len, report(quiet | long, width=width).splitlines())) <= width


def test_the_command_prints_and_writes_what_is_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json", "doctor.json"]) == 0
    assert "calibration" in capsys.readouterr().out
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert found["records"]["folder"] == str(tmp_path / ".attnflow")
    assert found["records"]["free"] > 0
    assert found["versions"]["jax"]
    assert isinstance(found["slow"], list)
    assert not (tmp_path / ".attnflow").exists()  # it looks and leaves nothing


def test_nothing_is_measured(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "cache_file", lambda: tmp_path / "none.json")
    monkeypatch.setattr(machine, "calibrate", lambda: pytest.fail("it calibrates"))
    assert examine(tmp_path)["calibration"] is None


def test_the_folder_of_programs_is_counted_and_tried(tmp_path):
    assert doctor._programs("") == {"folder": None, "files": 0, "bytes": 0, "writable": False}
    (tmp_path / "program").write_bytes(b"12345")
    assert doctor._programs(str(tmp_path)) == {"folder": str(tmp_path), "files": 1, "bytes": 5, "writable": True}
    assert doctor._programs(str(tmp_path / "new"))["writable"]
    assert not doctor._programs(str(tmp_path / "program" / "new"))["writable"]


def test_the_revision_is_that_of_the_source_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    assert doctor._revision() is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    assert len(doctor._revision()) == 12


def test_packages_of_an_extra_are_sought_through_other_packages(monkeypatch):
    requirements = {
        "attnflow": [
            "numpy>=2",
            'jax[cuda]; extra == "cuda"',
            'dask[far, fast]>=1; extra == "dask"',
            'pytest; extra == "test"',
        ],
        "jax": ['jax-plugin<=1; extra == "cuda"', 'other; extra == "cuda12"'],
        "dask": ['far; extra == "far"', 'fast; extra == "fast"'],
    }
    monkeypatch.setattr(doctor.importlib.metadata, "requires", requirements.get)
    monkeypatch.setattr(doctor, "_has", lambda name: name in ("jax", "dask", "fast", "pytest"))
    assert doctor._missing("attnflow", "cuda") == {"jax-plugin"}
    assert doctor._missing("attnflow", "dask") == {"far"}
    assert doctor._missing("attnflow", "test") == set()
