"""A folder in which a measurement keeps what it needs to go on from, if it is killed before its record is written.

It belongs to one record and to one process at a time: `<store>/scratch/<study>/<name of the record>`. A file beside it,
of the same name with the ending `.lock`, is locked for as long as a process is at work; the system sets it free when
the process ends, however it does. A second process that measures the same record at the same time has a folder of its
own, with a number behind the name, and finds there again what it has kept.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path

from attnflow.errors import ResultFileError
from attnflow.lab.provenance import code_digest
from attnflow.lab.store import Store
from attnflow.lab.study import Task


class _Scratch:
    """The folders of one record, of which a process takes the first that no other has, when it first asks for one."""

    def __init__(self, first: Path) -> None:
        self._first = first
        self._taken: tuple[Path, int] | None = None

    def take(self) -> Path:
        """Return the folder that this process has."""
        if self._taken is None:
            try:
                self._taken = self._free()
            except OSError as error:
                raise ResultFileError(
                    f"could not create {self._first}: {error.strerror or error}. "
                    "Free some space or choose another `--out`, then repeat the command: it resumes."
                ) from error
        return self._taken[0]

    def leave(self, *, remove: bool) -> None:
        """Set the folder free for other processes; remove it first if the record is there."""
        if self._taken is not None:
            folder, lock = self._taken
            if remove:
                _remove(folder)
            os.close(lock)

    def _free(self) -> tuple[Path, int]:
        """Return a folder and its lock; what another version of the code has kept in it is removed."""
        others = (self._first.with_name(f"{self._first.name}-{number}") for number in count(1))
        folders = (folder for more in ([self._first], others) for folder in more)
        folder, lock = next((folder, lock) for folder in folders if (lock := _lock(folder)) is not None)
        if os.pread(lock, 64, 0).decode() != code_digest():
            shutil.rmtree(folder, ignore_errors=True)
            os.pwrite(lock, code_digest().encode(), 0)
        folder.mkdir(exist_ok=True)
        return folder, lock


_AT_WORK: ContextVar[_Scratch | None] = ContextVar("scratch", default=None)


def scratch_folder() -> Path | None:
    """Return the folder in which the measurement at work may keep files until its record is written; None elsewhere.

    A measurement that was killed finds there what it has kept when it is run again by the same version of the code. A
    file should be written under another name and renamed when it is whole, as the next kill may come at any time. The
    folder is removed once the record is written, also the record that the measurement has failed.

    Raises:
        ResultFileError: it cannot be created.

    Example:
        >>> import attnflow as af
        >>> af.scratch_folder() is None  # nothing is measured
        True
    """
    scratch = _AT_WORK.get()
    return None if scratch is None else scratch.take()


@contextmanager
def keeping_scratch(store: Store, task: Task) -> Iterator[None]:
    """Let `scratch_folder` be that of a record while it is measured and written; an exception leaves it as it is."""
    scratch = _Scratch(_place(store, task))
    token = _AT_WORK.set(scratch)
    finished = False
    try:
        yield
        finished = True
    finally:
        _AT_WORK.reset(token)
        scratch.leave(remove=finished)


def sweep_scratch(store: Store, tasks: Iterable[Task]) -> None:
    """Remove what killed processes have left for tasks whose records are there, unless another is at work on them."""
    for task in tasks:
        first = _place(store, task)
        for path in first.parent.glob(f"{first.name}*.lock"):
            folder = path.with_suffix("")
            lock = _lock(folder)
            if lock is not None:
                _remove(folder)
                os.close(lock)


def _place(store: Store, task: Task) -> Path:
    return store.folder / "scratch" / task.study / store.path(task).stem


def _lock(folder: Path) -> int | None:
    """Return the descriptor of a folder's lock, or None if another process has it."""
    path = folder.with_suffix(".lock")
    while True:  # once more if another process has removed it meanwhile
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return None
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    return descriptor
            os.close(descriptor)


def _remove(folder: Path) -> None:
    """Remove a folder and its lock, which this process has, and the folders above that are empty then."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(".lock").unlink(missing_ok=True)
    with suppress(OSError):  # they are not empty
        folder.parent.rmdir()
        folder.parent.parent.rmdir()
