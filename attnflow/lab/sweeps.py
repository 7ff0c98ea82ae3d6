"""Sweeps that outgrow one process: Dask hands each record to a worker, and this process writes what comes back.

So the store has one writer and its guarantee, and needs no folder that is shared. What a worker measures depends on the
task alone: records are the same bytes whoever measured them, and in whichever order.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attnflow._files import is_whole
from attnflow._optional import optional
from attnflow.errors import ConfigError, WorkerError
from attnflow.lab.measuring import Found
from attnflow.lab.provenance import code_digest, versions
from attnflow.lab.store import Record, Store, from_bytes
from attnflow.lab.study import Study, Task
from attnflow.lab.workers import Order, measure_order

PATIENCE = 30.0  # seconds for a scheduler to answer, and for a worker to come
LOOK = 1.0  # seconds after which it is seen whether there are workers


class Sweep:
    """Measures records on the workers of a scheduler, as many at a time as they have threads.

    No more are handed out: if a worker dies, it is clear which record it died of, and Ctrl-C waits for few.

    Args:
        client: of Dask, connected.
        address: of its scheduler.
    """

    def __init__(self, client: Any, address: str) -> None:
        self._client = client
        self._address = address

    def records(
        self, study: Study, store: Store, tasks: Iterable[Task], *, found: Found, debug: bool
    ) -> Iterator[tuple[Task, Record]]:
        """Yield each task with its record as it comes, see `Way`."""
        waiting = iter(tasks)
        at_work: dict[Any, Task] = {}
        is_over = False
        while True:
            while not is_over and len(at_work) < self._threads():
                task = next(waiting, None)
                is_over = task is None
                if task is not None:
                    record = found(task)
                    if record is not None:
                        yield task, record
                    else:
                        at_work[self._hand_out(study, store, task, debug=debug)] = task
            if not at_work:
                return
            for future in self._finished(at_work):
                task = at_work.pop(future)
                record = self._record(future, task, path=store.path(task))
                store.save(record)
                yield task, record

    def _hand_out(self, study: Study, store: Store, task: Task, *, debug: bool) -> Any:
        if study.path is None:
            raise ConfigError(f"study {study.name!r} has no file that workers could load. Write it into one.")
        order = Order(
            task=task, path=str(study.path.resolve()), out=str(store.folder.resolve()), code=code_digest(),
            versions=versions(), debug=debug,
        )  # fmt: skip
        return self._client.submit(measure_order, order, pure=False)

    def _threads(self) -> int:
        """Return how many records can be measured at a time, once a worker is there."""
        deadline = time.monotonic() + PATIENCE
        while True:
            self._check()
            try:
                threads = sum(self._client.nthreads().values())
            except OSError as error:
                raise self._gone() from error
            if threads:
                return threads
            if time.monotonic() > deadline:
                raise WorkerError(
                    f"the scheduler at {self._address} has had no worker for {PATIENCE:g} s. Start some with `dask "
                    f"worker {self._address}`, then repeat the command: it resumes."
                )
            time.sleep(0.1)

    def _finished(self, at_work: dict[Any, Task]) -> list[Any]:
        """Return those that are done, once there is one."""
        distributed = _distributed()
        while True:
            self._check()
            try:
                with self._client.as_current():
                    return list(distributed.wait(list(at_work), timeout=LOOK, return_when="FIRST_COMPLETED").done)
            except TimeoutError:
                self._threads()
            except (distributed.CancelledError, OSError) as error:
                raise self._gone() from error

    def _record(self, future: Any, task: Task, *, path: Path) -> Record:
        distributed = _distributed()
        if future.status == "error" and isinstance(future.exception(), distributed.KilledWorker):
            sentence = (
                "WorkerError: the worker that measured it died, and so did the one that tried again. Often it needs "
                "more memory than there is: pass fewer `--workers`."
            )
            return Record(task=task, arrays={}, provenance={"seconds": 0.0}, failed=sentence)
        if future.status == "error":
            raise future.exception()
        try:
            data = future.result()
        except (distributed.CancelledError, OSError) as error:
            raise self._gone() from error
        record = from_bytes(data, path=path) if isinstance(data, bytes) and is_whole(data) else None
        if record is None or record.task.identity != task.identity:
            raise WorkerError(f"a worker at {self._address} sent something else than the record of {task.identity}.")
        return record

    def _check(self) -> None:
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> WorkerError:
        return WorkerError(
            f"the scheduler at {self._address} has gone. Records that had come back are kept. Start it again, then "
            "repeat the command: it resumes."
        )


@contextmanager
def sweep(*, workers: int | None = None, scheduler: str | None = None) -> Iterator[Sweep]:
    """Let so many workers, started here, or those of a scheduler that runs already, measure records.

    What is started here listens on 127.0.0.1 only. Dask sends pickles between its processes, so whoever can connect to
    a scheduler or a worker can run what they like there: it must be a network of friends, or `tls://`.

    Args:
        workers: how many processes.
        scheduler: its address, such as "tcp://127.0.0.1:8786"; `workers` is None then.

    Raises:
        ConfigError: both or none, Dask is missing, or no address.
        WorkerError: no scheduler answers.
    """
    distributed = _distributed()
    if (workers is None) == (scheduler is None):
        raise ConfigError("pass `--workers N` or `--scheduler ADDRESS`, not both.")
    for name in ("distributed", "distributed.client"):  # what goes wrong is told by our own errors
        logging.getLogger(name).setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if scheduler is None:
            address = stack.enter_context(_cluster(distributed, workers)).scheduler_address
        else:
            address = _checked(scheduler)
        try:
            client = stack.enter_context(distributed.Client(address, timeout=PATIENCE / 3, set_as_default=False))
        except (OSError, TimeoutError) as error:
            raise WorkerError(
                f"no scheduler answers at {address}: {error or 'it took too long'}. Start one with `dask scheduler "
                "--host 127.0.0.1`, then repeat the command: it resumes."
            ) from error
        if scheduler is not None:
            _tell_who_listens(client, address)
        yield Sweep(client, address)


def _cluster(distributed: Any, workers: int | None) -> Any:
    return distributed.LocalCluster(
        n_workers=workers, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
        memory_limit=0,  # as for a run without workers: attnflow predicts what it needs
        silence_logs=logging.CRITICAL, preload=["attnflow.lab.workers"],
        scheduler_kwargs={"allowed_failures": 1},  # a record that kills two workers would kill a third
    )  # fmt: skip


def _checked(address: str) -> str:
    parts = urlsplit(address)
    try:
        is_address = parts.scheme in ("tcp", "tls") and parts.hostname and parts.port and not parts.path
    except ValueError:  # a port that is no number
        is_address = False
    if not is_address:
        raise ConfigError(f"`--scheduler` must be tcp://host:port, got {address!r}. `dask scheduler` prints it.")
    return address


def _tell_who_listens(client: Any, address: str) -> None:
    """Say on stderr where code can be run from elsewhere, if it can."""
    listening = [address, *client.scheduler_info(n_workers=-1)["workers"]]
    open_ones = [each for each in listening if not _is_local(urlsplit(each).hostname or "")]
    if open_ones:
        print(
            f"attnflow: {', '.join(open_ones)} listen beyond this machine; whoever reaches them can run code there",
            file=sys.stderr,
        )


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def _distributed() -> Any:
    module = optional("distributed")
    if module is None:
        raise ConfigError(
            "`--workers` and `--scheduler` need Dask, which is not installed. Install the extra: pip install "
            "'attnflow[dask]'."
        )
    return module
