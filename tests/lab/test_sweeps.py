"""Records that workers measure are those of one process, whatever dies meanwhile; parts of a run make up the whole."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
import types

import pytest
from toy_study import study as toy_study

from attnflow.cli import main
from attnflow.errors import ConfigError, WorkerError
from attnflow.lab import sweeps
from attnflow.lab.launchers import Part
from attnflow.lab.loading import load_study
from attnflow.lab.provenance import code_digest, versions
from attnflow.lab.running import run_study
from attnflow.lab.store import Store, from_bytes
from attnflow.lab.workers import Order, dask_setup, measure_order

STUDY = '''
"""Numbers by chance, and what goes wrong meanwhile: as files say whose names are that of a case."""

import json
import os
import signal
from pathlib import Path

import jax
import psutil

import attnflow as af

HERE = Path(__file__).parent


@af.per_seed
def measure(case, key):
    with (HERE / "who.txt").open("a") as file:
        file.write(f"{case['h']} {os.getpid()}\\n")
    for name, again in (("once", False), ("always", True)):
        order = HERE / f"{name}-{case['h']}"
        if order.exists():
            pid, number = json.loads(order.read_text())
            if not again:
                order.unlink()
            os.kill(pid or os.getpid(), number)
            if number == signal.SIGKILL:
                signal.pause()
    if (HERE / "look").exists():
        (HERE / "look").unlink()
        processes = [psutil.Process(), *psutil.Process().parents()[:2]]
        seen = [each for process in processes for each in process.net_connections() if each.status == "LISTEN"]
        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        (HERE / "seen.json").write_text(json.dumps([[each.laddr.ip for each in seen], ignored]))
    return {"error": case["h"] * jax.random.normal(key)}


ladder = [{"h": 2.0**-k} for k in range(6)]
study = af.Study(name="halving", measure=measure, ladder=ladder, quick=4, seeds=2, claims=[])
'''


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "halving.py").write_text(STUDY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def order(folder, name, number, pid=0):
    """Let the measurement of a case send a signal to a process, its own unless told."""
    (folder / name).write_text(json.dumps([pid, number]))


def payloads(folder, out):
    tasks = load_study(folder / "halving.py").tasks(quick=False)
    return [record and record.payload_sha256 for record in map(Store(folder / out).find, tasks)]


def test_a_worker_that_dies_is_replaced_and_its_record_tried_once_more(folder, capsys):
    assert main(["run", "halving.py", "--out", "alone"]) == 0
    order(folder, "once-0.5", signal.SIGKILL)
    order(folder, "always-0.125", signal.SIGKILL)
    (folder / "look").touch()
    (folder / "who.txt").unlink()
    assert main(["run", "halving.py", "--out", "shared", "--workers", "2"]) == 3
    told = capsys.readouterr()
    assert "6 records computed, 0 reused, 1 failed." in told.out
    assert "failed: halving h=0.125 seeds 0-1: WorkerError: the worker that measured it died" in told.err
    assert "Traceback" not in told.err
    alone, shared = payloads(folder, "alone"), payloads(folder, "shared")
    assert [index for index in range(6) if alone[index] != shared[index]] == [3]
    tried = [line.split() for line in (folder / "who.txt").read_text().splitlines()]
    assert len({pid for case, pid in tried if case == "0.125"}) == 2  # no third worker dies of it
    assert str(os.getpid()) not in {pid for _, pid in tried}
    addresses, ignores_interrupts = json.loads((folder / "seen.json").read_text())
    assert len(addresses) > 3  # a worker and its page; here the scheduler and what looks after workers
    assert set(addresses) == {"127.0.0.1"}
    assert ignores_interrupts
    (folder / "always-0.125").unlink()
    assert main(["run", "halving.py", "--out", "shared"]) == 0
    assert "1 record computed, 5 reused" in capsys.readouterr().out
    assert payloads(folder, "shared") == alone


def start(*words):
    return subprocess.Popen([sys.executable, "-m", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def scheduler(folder):
    """A scheduler and one worker, of processes of their own."""
    host = ("--host", "127.0.0.1", "--no-dashboard")
    file = folder / "scheduler.json"
    processes = [start("distributed.cli.dask_scheduler", *host, "--port", "0", "--scheduler-file", str(file))]
    try:
        until = time.monotonic() + 60
        while not file.exists() and time.monotonic() < until:
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        options = ("--no-nanny", "--nthreads", "1", "--local-directory", str(folder / "dask"))
        processes.append(start("distributed.cli.dask_worker", address, *host, *options))
        yield types.SimpleNamespace(address=address, pid=processes[0].pid)
    finally:
        for process in processes:
            process.kill()
            process.wait()


def test_a_scheduler_that_dies_is_told_and_a_rerun_resumes(folder, scheduler, capsys):
    words = ["run", "halving.py", "--out", "far", "--scheduler", scheduler.address]
    order(folder, "once-0.5", signal.SIGINT, pid=os.getpid())  # Ctrl-C: what is at work is kept
    assert main(words) == 130
    assert "repeat the command to resume" in capsys.readouterr().err
    assert sum(payload is not None for payload in payloads(folder, "far")) == 2
    order(folder, "once-0.125", signal.SIGKILL, pid=scheduler.pid)
    assert main(words) == 3
    told = capsys.readouterr().err
    assert f"the scheduler at {scheduler.address} has gone" in told
    assert "it resumes" in told
    assert "other machines" not in told
    assert sum(payload is not None for payload in payloads(folder, "far")) == 3
    assert main(["run", "halving.py", "--out", "far"]) == 0
    assert "3 records computed, 3 reused" in capsys.readouterr().out
    assert main(["run", "halving.py", "--out", "alone"]) == 0
    assert payloads(folder, "far") == payloads(folder, "alone")


def test_where_no_scheduler_answers_the_run_says_how_to_start_one(folder, monkeypatch, capsys):
    monkeypatch.setattr(sweeps, "PATIENCE", 1.0)
    assert main(["run", "halving.py", "--scheduler", "tcp://127.0.0.1:1"]) == 3
    assert "no scheduler answers at tcp://127.0.0.1:1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--workers", "0"], "`--workers` must be an integer of at least 1"),
        (["--workers", "2", "--scheduler", "tcp://127.0.0.1:1"], "not both"),
        (["--scheduler", "127.0.0.1:8786"], "`--scheduler` must be tcp://host:port"),
        (["--scheduler", "tcp://here:port"], "`--scheduler` must be tcp://host:port"),
        (["--part", "0/4"], "`--part` must be I/N"),
        (["--part", "5/4"], "`--part` must be I/N"),
        (["--part", "half"], "`--part` must be I/N"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, capsys, words, message):
    assert main(["run", "halving.py", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (folder / "who.txt").exists()


def test_without_dask_its_extra_is_named(monkeypatch):
    monkeypatch.setattr(sweeps, "optional", lambda name: None)
    with pytest.raises(ConfigError, match=r"attnflow\[dask\]"), sweeps.sweep(workers=1):
        pass


def test_a_scheduler_that_others_can_reach_is_said_to_be_so(capsys):
    def told(*workers, address="tcp://127.0.0.1:8786"):
        client = types.SimpleNamespace(scheduler_info=lambda n_workers: {"workers": dict.fromkeys(workers)})
        sweeps._tell_who_listens(client, address)
        return capsys.readouterr().err

    assert told("tcp://127.0.0.1:1", "tcp://[::1]:2", "tcp://localhost:3") == ""
    assert "can reach tcp://10.0.0.7:8786, and" in told("tcp://127.0.0.1:1", address="tcp://10.0.0.7:8786")
    assert "can reach tcp://0.0.0.0:3, tcp://node:4, and" in told("tcp://0.0.0.0:3", "tcp://node:4")


def client_without_workers(**more):
    return types.SimpleNamespace(status="running", nthreads=dict, **more)


def test_a_scheduler_without_workers_is_not_waited_for_for_ever(folder, monkeypatch):
    monkeypatch.setattr(sweeps, "PATIENCE", 0.2)
    store, study = Store(folder / "out"), load_study(folder / "halving.py")
    store.prepare()
    with pytest.raises(WorkerError, match=r"has had no worker for 0\.2 s"):
        run_study(study, store, quick=True, way=sweeps.Sweep(client_without_workers(), "tcp://127.0.0.1:1"))


def test_a_study_without_a_file_is_refused(store):
    client = types.SimpleNamespace(status="running", nthreads=lambda: {"worker": 1})
    with pytest.raises(ConfigError, match="no file that workers could load"):
        run_study(toy_study(), store, quick=True, way=sweeps.Sweep(client, "tcp://127.0.0.1:1"))


@pytest.fixture
def asked(folder):
    """An order as a sweep gives it, carried out in this process."""
    task = load_study(folder / "halving.py").tasks(quick=True)[1]
    path, out = str(folder / "halving.py"), str(folder / "nowhere")
    return Order(task=task, path=path, out=out, code=code_digest(), versions=versions())


def test_a_worker_sends_the_bytes_that_the_store_would_write(folder, asked):
    record = from_bytes(measure_order(asked), path=folder / "sent")
    assert main(["run", "halving.py", "--out", "alone"]) == 0
    assert record.task.identity == asked.task.identity
    assert record.payload_sha256 == payloads(folder, "alone")[1]
    assert not (folder / "nowhere").exists()  # a store that it does not see


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda asked: {"versions": {**asked.versions, "jax": "0.1.2"}}, r"a worker has jax \S+ instead of 0\.1\.2"),
        (lambda asked: {"code": "f" * 64}, "another source of attnflow"),
        (lambda asked: {"path": "/nowhere/halving.py"}, "a worker sees no /nowhere/halving.py"),
        (lambda asked: {"task": dataclasses.replace(asked.task, source="f" * 64)}, "has been edited meanwhile"),
    ],
)
def test_a_worker_with_other_code_refuses_to_measure(asked, change, message):
    with pytest.raises(ConfigError, match=message):
        measure_order(dataclasses.replace(asked, **change(asked)))


def test_what_a_worker_sends_is_checked(folder, asked):
    other = measure_order(dataclasses.replace(asked, task=load_study(asked.path).tasks(quick=True)[0]))
    for data in (other, other[:-1], b"", None):
        future = types.SimpleNamespace(status="finished", result=lambda data=data: data)
        with pytest.raises(WorkerError, match="sent something else"):
            sweeps.Sweep(client_without_workers(), "tcp://h:1")._record(future, asked.task, path=folder / "file")


def test_workers_leave_interrupts_to_the_process_that_started_them():
    handler = signal.getsignal(signal.SIGINT)
    try:
        dask_setup(None)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 50])
def test_parts_are_together_the_whole_and_share_nothing(count):
    items = list(range(23))
    parts = [Part(index, count).of(items) for index in range(1, count + 1)]
    assert sorted(item for part in parts for item in part) == items
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_runs_of_all_parts_are_one_run(folder, capsys):
    for index in (3, 1, 2):
        assert main(["run", "halving.py", "--out", "parts", "--part", f"{index}/3"]) == 0
        assert "2 records computed, 0 reused" in capsys.readouterr().out
    assert main(["run", "halving.py", "--out", "parts"]) == 0
    assert "0 records computed, 6 reused" in capsys.readouterr().out
    assert main(["run", "halving.py", "--out", "alone"]) == 0
    assert payloads(folder, "parts") == payloads(folder, "alone")
