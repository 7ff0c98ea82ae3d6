"""Measuring one record, and the ways in which many are measured."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import numpy as np

from attnflow.errors import AttnflowError
from attnflow.lab.provenance import provenance
from attnflow.lab.scratch import keeping_scratch
from attnflow.lab.store import Record, Store, check_arrays
from attnflow.lab.study import Study, Task

Found = Callable[[Task], Record | None]


class Way(Protocol):
    """How many records are measured: by whom, and in which order they come."""

    def records(
        self, study: Study, store: Store, tasks: Iterable[Task], *, found: Found, debug: bool
    ) -> Iterator[tuple[Task, Record]]:
        """Yield each task with its record, which is in the store by then.

        Args:
            study: what is measured.
            store: where the records go.
            tasks: taken one by one, when somebody is free for the next.
            found: the record of a task that needs no measuring any more, or None.
            debug: let the exceptions of a measurement through.

        Raises:
            WorkerError: nobody is left who measures.
        """


class Here:
    """In this process, one after another."""

    def records(
        self, study: Study, store: Store, tasks: Iterable[Task], *, found: Found, debug: bool
    ) -> Iterator[tuple[Task, Record]]:
        """Yield each task with its record, see `Way`."""
        for task in tasks:
            record = found(task)
            if record is None:
                with keeping_scratch(store, task):
                    record = measure_record(study, task, debug=debug)
                    store.save(record)
            yield task, record


def measure_record(study: Study, task: Task, *, debug: bool = False) -> Record:
    """Return the record of a task, also where its measurement fails: that is data, and a sweep goes on.

    Args:
        study: whose `measure` is called.
        task: one of its tasks.
        debug: let the exception through.
    """
    start = time.perf_counter()
    arrays: dict[str, np.ndarray] = {}
    failed = None
    try:
        arrays = check_arrays(study.measure(dict(task.case), task.seed_keys()), rows=len(task.seeds))
    except (Exception, SystemExit) as error:
        if debug:
            raise
        name = "" if isinstance(error, AttnflowError) else f"{type(error).__name__}: "
        failed = f"{name}{error}"
    return Record(task=task, arrays=arrays, provenance=provenance(seconds=time.perf_counter() - start), failed=failed)
