"""Running what is missing of a study."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from attnflow.errors import AttnflowError
from attnflow.lab.launchers import in_order_of
from attnflow.lab.provenance import provenance
from attnflow.lab.runs import Run
from attnflow.lab.scratch import keeping_scratch, sweep_scratch
from attnflow.lab.store import Record, Store, check_arrays
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
    study: Study, store: Store, *, quick: bool, master_seed: int = 0, debug: bool = False, launcher: int = 0
) -> RunSummary:
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

    Raises:
        PrecisionError: float64 is off.
        ResultFileError: a record cannot be written.
    """
    require_x64()
    tasks = study.tasks(quick=quick, master_seed=master_seed)
    records = {task.digest: store.find(task) for task in tasks}
    missing = in_order_of(launcher, [task for task in tasks if not _is_done(records[task.digest])])
    sweep_scratch(store, [task for task in tasks if _is_done(records[task.digest])])
    failures: list[str] = []
    computed = 0
    terminal = sys.stderr.isatty()
    with (
        threadpool_limits(limits=1),
        _first_signal() as received,
        tqdm(total=len(missing), desc=study.name, unit="record", disable=not terminal) as bar,
    ):
        for task in missing:
            if received:
                break
            was_absent = records[task.digest] is None
            record = store.find(task) if was_absent else None  # another launcher may have measured it meanwhile
            if record is None or record.failed:
                with keeping_scratch(store, task):
                    record = _measure(study, task, debug=debug)
                    store.save(record)
            records[task.digest] = record
            computed += 1
            line = f"{study.name} {computed}/{len(missing)} {_label(task)}: {record.provenance['seconds']:.1f} s"
            if record.failed:
                failures.append(f"{study.name} {_label(task)}: {record.failed}")
                line += ", failed"
            bar.update()
            if not terminal:
                print(line, file=sys.stderr, flush=True)
    found = [record for record in records.values() if record is not None]
    run = Run.of(study, found, settings=("quick" if quick else "full",), master_seed=master_seed)
    return RunSummary(run, computed, len(tasks) - len(missing), tuple(failures), received[0] if received else None)


def _is_done(record: Record | None) -> bool:
    return record is not None and record.failed is None


def _measure(study: Study, task: Task, *, debug: bool) -> Record:
    start = time.perf_counter()
    arrays: dict[str, np.ndarray] = {}
    failed = None
    try:
        arrays = check_arrays(study.measure(dict(task.case), task.seed_keys()), rows=len(task.seeds))
    except (Exception, SystemExit) as error:  # a measurement that fails is data, and the sweep goes on
        if debug:
            raise
        name = "" if isinstance(error, AttnflowError) else f"{type(error).__name__}: "
        failed = f"{name}{error}"
    return Record(task=task, arrays=arrays, provenance=provenance(seconds=time.perf_counter() - start), failed=failed)


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
