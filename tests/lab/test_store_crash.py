"""A crash at any system call, replayed one by one; and real processes that are killed or meet on one folder.

Killing a process at random finds almost nothing: the windows are microseconds wide. So the seam to the operating system
is stopped at each of its calls in turn, and the disk is then put into the worst states a power cut may leave.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from attnflow._files import FileSystem
from attnflow.lab import store as store_module
from attnflow.lab.loading import load_study
from attnflow.lab.running import run_study
from attnflow.lab.runs import read_run
from attnflow.lab.store import Record, Store
from attnflow.lab.study import Task

ROOT = Path(__file__).resolve().parents[2]


def record(index):
    task = Task(study="toy", case={"n": index}, seeds=range(3), master_seed=0, source="abc")
    return Record(task=task, arrays={"error": np.random.default_rng(index).normal(size=(3, 40))}, provenance={})


RECORDS = [record(index) for index in range(3)]


class Crash(BaseException):
    """The process is gone: no handler of ordinary errors may see it."""


class CrashingFileSystem(FileSystem):
    """Stops for good before its call number `survived`; what was not synced by then is only in memory."""

    def __init__(self, survived, *, torn=False):
        self.left, self.torn = survived, torn
        self.calls = []
        self.paths = {}  # of open files
        self.volatile = set()  # files whose content was not synced
        self.pending = []  # renames whose folder was not synced: (source, target, content before)

    def _step(self, call):
        if self.left == 0:
            raise Crash(call)
        self.left -= 1
        self.calls.append(call)

    def make_folder(self, path):
        self._step("make_folder")
        super().make_folder(path)

    def open(self, path):
        self._step("open")
        descriptor = super().open(path)
        self.paths[descriptor] = path
        self.volatile.add(path)
        return descriptor

    def write(self, descriptor, data):
        if self.left == 0 and self.torn:
            super().write(descriptor, data[: len(data) // 2])
        self._step("write")
        return super().write(descriptor, data[:4000])  # several calls for each record

    def sync(self, descriptor):
        self._step("sync")
        super().sync(descriptor)
        self.volatile.discard(self.paths[descriptor])

    def close(self, descriptor):
        super().close(descriptor)  # the kernel closes what a dead process has open
        self._step("close")

    def rename(self, source, target):
        self._step("rename")
        self.pending.append((source, target, target.read_bytes() if target.exists() else None))
        super().rename(source, target)
        if source in self.volatile:
            self.volatile = self.volatile - {source} | {target}

    def remove(self, path):
        self._step("remove")
        super().remove(path)

    def sync_folder(self, path):
        self._step("sync_folder")
        super().sync_folder(path)
        self.pending = [rename for rename in self.pending if rename[1].parent != path]

    def cut_power(self, *, lose_names):
        """Lose the content that was not synced, and perhaps the renames that were not."""
        for path in self.volatile:
            if path.exists():
                path.write_bytes(b"")
        for source, target, before in reversed(self.pending) if lose_names else []:
            target.rename(source)
            if before is not None:
                target.write_bytes(before)


def save_all(folder, filesystem):
    """Save three records, the first of them twice; return those whose save came back."""
    saved = []
    try:
        store = Store(folder, filesystem=filesystem)
        store.prepare()
        for each in [*RECORDS, RECORDS[0]]:
            store.save(each)
            saved.append(each)
    except Crash:
        pass
    return saved


def all_calls(tmp_path):
    whole = CrashingFileSystem(10**9)
    assert len(save_all(tmp_path / "whole", whole)) == 4
    return whole.calls


def test_everything_a_save_does_goes_through_the_seam(tmp_path):
    public = {name for name in vars(FileSystem) if not name.startswith("_")}
    assert set(all_calls(tmp_path)) == public


def replay(tmp_path, *, torn=False, power_cut=False, lose_names=False):
    """Crash at every call in turn; then recover, and look at every record."""
    calls = all_calls(tmp_path)
    for survived in range(len(calls) + 1):
        folder = tmp_path / str(survived)
        crashing = CrashingFileSystem(survived, torn=torn)
        saved = save_all(folder, crashing)
        if power_cut:
            crashing.cut_power(lose_names=lose_names)

        store = Store(folder)
        store.prepare()
        for each in RECORDS:
            found = store.find(each.task)
            assert found is not None or each not in saved, f"lost after call {survived}"
            assert found is None or found.payload_sha256 == each.payload_sha256
        assert store.bad_files() == [], f"half a record after call {survived}"
        for each in RECORDS:
            store.save(each)
        assert all(store.find(each.task).payload_sha256 == each.payload_sha256 for each in RECORDS)
        assert not list(folder.rglob("*.tmp"))


@pytest.fixture
def crashed_processes_are_gone(monkeypatch):
    monkeypatch.setattr(store_module, "_is_alive", lambda pid: False)  # the crashed process is this one


STATES = [{}, {"torn": True}, {"power_cut": True}, {"power_cut": True, "lose_names": True}]


@pytest.mark.usefixtures("crashed_processes_are_gone")
@pytest.mark.parametrize("state", STATES, ids=["killed", "torn write", "power cut", "power cut loses names"])
def test_a_crash_at_any_call_leaves_each_record_whole_or_absent(tmp_path, state):
    replay(tmp_path, **state)


@pytest.mark.usefixtures("crashed_processes_are_gone")
@pytest.mark.parametrize("call", ["sync", "sync_folder"])
def test_the_replay_notices_a_store_that_forgets_to_sync(tmp_path, monkeypatch, call):
    def count_only(self, where):
        self._step(call)

    monkeypatch.setattr(CrashingFileSystem, call, count_only)
    with pytest.raises(AssertionError, match=r"lost after|half a record"):
        replay(tmp_path, power_cut=True, lose_names=True)


@pytest.mark.usefixtures("crashed_processes_are_gone")
def test_the_replay_notices_a_store_that_writes_under_the_final_name(tmp_path, monkeypatch):
    def write_in_place(path, data, *, filesystem):
        path.unlink(missing_ok=True)
        descriptor = filesystem.open(path)
        for begin in range(0, len(data), 4000):
            filesystem.write(descriptor, memoryview(data)[begin : begin + 4000])
        filesystem.close(descriptor)

    monkeypatch.setattr(store_module, "write_file", write_in_place)
    with pytest.raises(AssertionError, match=r"lost after|half a record"):
        replay(tmp_path)


HELD_STUDY = """
import os
import time
from pathlib import Path
import jax
import numpy as np
from attnflow.lab.study import Study

def hold():
    ready, gate = Path(f"ready-{os.getpid()}"), Path("gate")
    ready.touch()
    while not gate.exists():
        time.sleep(0.005)

def measure(case, keys):
    if case["n"] == int(os.environ.get("HOLD_AT", 0)):
        hold()
    draws = [np.random.default_rng(np.asarray(jax.random.key_data(key))).normal(size=case["n"]) for key in keys]
    return {"error": np.array([draw.mean() for draw in draws]), "draws": np.array(draws)}

study = Study(
    name="held", measure=measure, ladder=[{"n": n} for n in range(4, 16)], quick=6, claims=[], seeds=40, quick_seeds=8,
)
"""


class Launcher:
    """Starts `attnflow run` as processes of their own, which stop where they are told until the gate opens."""

    def __init__(self, folder):
        self.folder, self.out = folder, folder / "out"
        (folder / "held.py").write_text(HELD_STUDY)

    def start(self, *, hold_at=0):
        return subprocess.Popen(
            [sys.executable, "-m", "attnflow", "run", "held.py", "--out", "out"], cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OPENBLAS_NUM_THREADS": "1", "HOLD_AT": str(hold_at)},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def start_and_hold(self, hold_at):
        process = self.start(hold_at=hold_at)
        while not (self.folder / f"ready-{process.pid}").exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.005)
        return process

    def open_gate(self):
        (self.folder / "gate").touch()

    def records(self):
        return list(self.out.glob("records/*/*.h5"))

    def payloads(self):
        return payloads(self.folder / "held.py", self.out)


def payloads(path, out):
    """The bytes of every array of every record."""
    records = read_run(load_study(path), Store(out), setting="full").records
    return [(r.task.identity, {name: array.tobytes() for name, array in r.arrays.items()}) for r in records]


@pytest.fixture
def launcher(tmp_path):
    return Launcher(tmp_path)


@pytest.fixture
def uninterrupted(launcher, tmp_path):
    store = Store(tmp_path / "uninterrupted")
    store.prepare()
    run_study(load_study(tmp_path / "held.py"), store, quick=False)
    return payloads(tmp_path / "held.py", store.folder)


def test_a_killed_run_resumes_and_ends_with_the_bytes_of_an_uninterrupted_one(launcher, uninterrupted):
    for hold_at in (6, 11):
        process = launcher.start_and_hold(hold_at)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert len(launcher.records()) == 2 * (hold_at - 4)  # two records for each case
    last = launcher.start()
    summary, progress = last.communicate()
    assert last.returncode == 0, progress
    assert summary == "10 records computed, 14 reused, 0 failed.\n"
    assert launcher.payloads() == uninterrupted
    assert not list(launcher.out.rglob("*.tmp")) + list(launcher.out.rglob("*.bad"))


def test_two_launchers_on_one_folder_end_with_the_bytes_of_one(launcher, uninterrupted):
    processes = [launcher.start_and_hold(4), launcher.start_and_hold(4)]
    launcher.open_gate()
    for process in processes:
        _, progress = process.communicate()
        assert process.returncode == 0, progress
    assert launcher.payloads() == uninterrupted
    assert not list(launcher.out.rglob("*.tmp")) + list(launcher.out.rglob("*.bad"))


def wait_for_answer(process):
    """Until the process has said that it heard the signal."""
    return next(line for line in process.stderr if "once more to stop at once" in line)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_finishes_the_record_at_work_and_exits_resumable(launcher, number, code):
    process = launcher.start_and_hold(6)
    process.send_signal(number)
    wait_for_answer(process)
    launcher.open_gate()
    _, progress = process.communicate()
    assert process.returncode == code
    assert "repeat the command to resume" in progress
    assert "Traceback" not in progress
    assert len(launcher.records()) == 5  # four before the signal, and the one at work


def test_a_second_signal_ends_the_run_at_once(launcher):
    process = launcher.start_and_hold(6)
    process.send_signal(signal.SIGINT)
    wait_for_answer(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT  # which a shell shows as 130
    assert len(launcher.records()) == 4
