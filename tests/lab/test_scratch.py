"""A measurement that is killed goes on from what it has kept; one that finishes leaves nothing, and no two meet."""

import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from toy_study import study

import attnflow as af
from attnflow.lab import scratch
from attnflow.lab.loading import load_study
from attnflow.lab.running import run_study
from attnflow.lab.store import Store

ROOT = Path(__file__).parents[2]
STEPS = 6


class Killed(BaseException):
    """What nothing catches, as a signal is."""


def counting(stop_at=None, *, failing=False, seen=None):
    """A measurement of several steps which goes on from those that it finds, and returns how many it made itself."""

    def measure(case, keys):
        folder = af.scratch_folder()
        file = folder / "steps"
        found = int(file.read_text()) if file.exists() else 0
        for step in range(found, STEPS):
            if step == stop_at:
                if failing:
                    raise ArithmeticError("no")
                raise Killed
            (folder / "new").write_text(str(step + 1))
            (folder / "new").rename(file)
        if seen is not None:
            seen.append(folder)
        return {"made": np.full(len(keys), STEPS - found)}

    return study(measure=measure, ladder=[{"bandwidth": 0.4}], quick=1, claims=[], seeds=2, quick_seeds=2)


def run(a_study, store):
    """Run it, and return how many steps its record says were made in the run that finished it."""
    return int(run_study(a_study, store, quick=True).run.records[0].arrays["made"][0])


def left_in(store):
    return sorted(path.relative_to(store.folder / "scratch").as_posix() for path in store.folder.glob("scratch/*/*"))


def test_nothing_is_kept_where_nothing_is_measured():
    assert af.scratch_folder() is None


def test_the_folder_is_named_as_its_record_and_gone_with_it(store):
    seen = []
    assert run(counting(seen=seen), store) == STEPS
    (record,) = store.folder.glob("records/toy/*.h5")
    assert seen == [store.folder / "scratch" / "toy" / record.stem]
    assert not (store.folder / "scratch").exists()
    assert af.scratch_folder() is None


def test_without_being_asked_for_there_is_no_folder(store):
    def measure(case, keys):
        assert not (store.folder / "scratch").exists()
        return {"error": np.ones(len(keys))}

    assert run_study(study(measure=measure), store, quick=True).failures == ()


@pytest.mark.parametrize("error", [Killed, KeyboardInterrupt])
def test_a_measurement_that_is_broken_off_goes_on_from_what_it_has_kept(store, monkeypatch, error):
    monkeypatch.setattr(sys.modules[__name__], "Killed", error)
    for stop_at in (2, 4):
        with pytest.raises(error):
            run_study(counting(stop_at), store, quick=True)
    assert run(counting(), store) == STEPS - 4
    assert left_in(store) == []


def test_a_measurement_that_has_failed_begins_anew(store):
    assert run_study(counting(2, failing=True), store, quick=True).failures == (
        "toy bandwidth=0.4 seeds 0-1: ArithmeticError: no",
    )
    assert left_in(store) == []
    assert run(counting(), store) == STEPS


def test_what_another_version_of_the_code_has_kept_is_not_gone_on_from(store, monkeypatch):
    with pytest.raises(Killed):
        run_study(counting(4), store, quick=True)
    monkeypatch.setattr(scratch, "code_digest", lambda: "f" * 64)
    assert run(counting(), store) == STEPS


def test_two_that_measure_one_record_have_a_folder_each(store):
    seen, hold, held = [], threading.Event(), threading.Event()

    def measure(case, keys):
        folder = af.scratch_folder()
        seen.append(folder)
        if len(seen) == 1:
            held.set()
            assert hold.wait(60)
        assert folder.is_dir()
        return {"error": np.ones(len(keys))}

    a_study = study(measure=measure, ladder=[{"bandwidth": 0.4}], quick=1, claims=[], seeds=2, quick_seeds=2)
    other = threading.Thread(target=run_study, args=(a_study, store), kwargs={"quick": True})
    other.start()
    assert held.wait(60)
    run_study(a_study, store, quick=True)  # its record is there, and the other one is still at work
    assert seen[1] == seen[0].with_name(f"{seen[0].name}-1")
    assert left_in(store) == [f"toy/{seen[0].name}", f"toy/{seen[0].name}.lock"]
    run_study(a_study, store, quick=True)  # which sweeps, and touches nothing that is in use
    hold.set()
    other.join()
    assert left_in(store) == []


def test_the_folder_of_a_record_that_is_there_is_swept(store):
    with pytest.raises(Killed):
        run_study(counting(4), store, quick=True)
    (name,) = {path.split(".")[0] for path in left_in(store)}
    for path in ("", "-1"):  # as if there had been two
        (store.folder / "scratch" / f"{name}{path}").mkdir(exist_ok=True)
        (store.folder / "scratch" / f"{name}{path}.lock").touch()
    task = counting().tasks(quick=True)[0]
    scratch.sweep_scratch(store, [])
    assert len(left_in(store)) == 4
    scratch.sweep_scratch(store, [task])
    assert not (store.folder / "scratch").exists()


def test_a_lock_that_was_removed_meanwhile_is_taken_anew(store, monkeypatch):
    folder = store.folder / "scratch" / "toy" / "a"
    flock, raced = fcntl.flock, []

    def racing(descriptor, operation):
        flock(descriptor, operation)
        if not raced:
            raced.append(descriptor)
            folder.with_suffix(".lock").unlink()  # by the process that had the lock, as it ended

    monkeypatch.setattr(fcntl, "flock", racing)
    descriptor = scratch._lock(folder)
    assert raced
    assert os.path.samestat(os.fstat(descriptor), folder.with_suffix(".lock").stat())
    assert scratch._lock(folder) is None
    os.close(descriptor)


def test_a_folder_that_cannot_be_made_is_told_and_the_run_goes_on(store):
    (store.folder / "scratch").write_text("in the way")
    (failure,) = run_study(counting(), store, quick=True).failures
    assert "could not create" in failure
    assert "choose another `--out`" in failure


HELD = """
import sys, time
from pathlib import Path
import numpy as np
import attnflow as af
from attnflow.lab.study import Study

def measure(case, keys):
    file = af.scratch_folder() / "kept"
    found = file.exists()
    file.write_text("half of it")
    if not found:
        Path("ready").touch()
        time.sleep(600)
    return {"found": np.full(len(keys), found)}

study = Study(name="held", measure=measure, ladder=[{"n": 1}], quick=1, claims=[])
"""


def test_kill_9_and_the_same_command_again_goes_on(tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    process = subprocess.Popen(
        [sys.executable, "-m", "attnflow", "run", "held.py", "--out", "out"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    while not (tmp_path / "ready").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    store = Store(tmp_path / "out")
    summary = run_study(load_study(tmp_path / "held.py"), store, quick=True)
    assert summary.run.records[0].arrays["found"].tolist() == [True]
    assert not (tmp_path / "out" / "scratch").exists()
