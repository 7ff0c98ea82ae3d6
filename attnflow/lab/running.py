"""Running what is missing of a study."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from attnflow.lab.launchers import Part, in_order_of
from attnflow.lab.measuring import Here, Way
from attnflow.lab.runs import Run
from attnflow.lab.scratch import sweep_scratch
from attnflow.lab.store import Record, Store
from attnflow.lab.study import Study, Task
from attnflow.precision import require_x64


@dataclass(frozen=True)
class RunSummary:
    """What running a study did.

    Args:
        run: the study with its records, those that were found and those that were measured.
        computed, reused: numbers of records.
        failures: one sentence for each case that failed.
        signal: the signal that stopped it, or None.
    """

    run: Run
    computed: int = 0
    reused: int = 0
    failures: tuple[str, ...] = ()
    signal: int | None = None


def run_study(
    study: Study, store: Store, *, quick: bool, master_seed: int = 0, debug: bool = False, launcher: int = 0,
    part: Part | None = None, way: Way | None = None,
) -> RunSummary:  # fmt: skip
    """Measure what is missing of a study, record by record, and reuse what is on the disk already.

    An exception in one case becomes a failed record and the run goes on; a rerun tries it again. The first Ctrl-C or
    SIGTERM finishes the record at work, the second ends the process at once. Every record is read at most once.

    Args:
        study: what to measure.
        store: where the records go; `store.prepare()` has been called.
        quick: only the quick cases and seeds.
        master_seed: from which all seeds are folded.
        debug: let exceptions through.
        launcher: which of several processes this is; each takes the records in an order of its own.
        part: only this part of the records; all of them unless given.
        way: how they are measured; one by one in this process unless given.

    Raises:
        PrecisionError: float64 is off.
        ResultFileError: a record cannot be written.
        WorkerError: those who measure are gone for good; what they have measured is kept.
    """
    require_x64()
    tasks = study.tasks(quick=quick, master_seed=master_seed)
    tasks = tasks if part is None else part.of(tasks)
    records = {task.digest: store.find(task) for task in tasks}
    missing = in_order_of(launcher, [task for task in tasks if not _is_done(records[task.digest])])
    sweep_scratch(store, [task for task in tasks if _is_done(records[task.digest])])

    def found(task: Task) -> Record | None:
        """Return what another launcher has measured meanwhile."""
        record = store.find(task) if records[task.digest] is None else None
        return record if _is_done(record) else None

    failures: list[str] = []
    computed = 0
    terminal = sys.stderr.isatty()
    with (
        threadpool_limits(limits=1),
        _first_signal() as received,
        tqdm(total=len(missing), desc=study.name, unit="record", disable=not terminal) as bar,
    ):
        for task, record in (way or Here()).records(study, store, _until(missing, received), found=found, debug=debug):
            records[task.digest] = record
            computed += 1
            line = f"{study.name} {computed}/{len(missing)} {_label(task)}: {record.provenance['seconds']:.1f} s"
            if record.failed:
                failures.append(f"{study.name} {_label(task)}: {record.failed}")
                line += ", failed"
            bar.update()
            if not terminal:
                print(line, file=sys.stderr, flush=True)
    kept = [record for record in records.values() if record is not None]
    run = Run.of(study, kept, settings=("quick" if quick else "full",), master_seed=master_seed)
    return RunSummary(run, computed, len(tasks) - len(missing), tuple(failures), received[0] if received else None)


def _until(tasks: list[Task], received: list[int]) -> Iterator[Task]:
    """Yield the tasks until a signal has been received."""
    for task in tasks:
        if received:
            return
        yield task


def _is_done(record: Record | None) -> bool:
    return record is not None and record.failed is None


def _label(task: Task) -> str:
    case = " ".join(f"{name}={value}" for name, value in task.case.items())
    return case if task.seeds == range(1) else f"{case} seeds {task.seeds.start}-{task.seeds.stop - 1}"


@contextmanager
def _first_signal() -> Iterator[list[int]]:
    """Collect the first SIGINT or SIGTERM; a second one takes its ordinary course and ends the process at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # Python delivers signals to the main thread only
        return

    def note(number: int, frame: object) -> None:
        received.append(number)
        for each in previous:
            signal.signal(each, signal.SIG_DFL)
        os.write(2, b"\nfinishing this record; once more to stop at once\n")  # print may be at work already

    previous = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
