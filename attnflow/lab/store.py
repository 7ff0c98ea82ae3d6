"""Records on disk: one immutable HDF5 file per task, whole or absent whatever happens.

HDF5 files that are appended to in place do not survive a crash. So each record is built in memory, written under a
temporary name, synced, renamed, and its folder synced. The first 512 bytes (HDF5's user block, skipped by HDF5 readers)
hold the sha256 of all that follows, which is checked before HDF5 parses a single byte.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from attnflow._files import HEADER_SIZE, FileSystem, is_whole, sealed, this_host, write_file
from attnflow.errors import ConfigError, DataError, ResultFileError, SchemaError
from attnflow.lab.study import Task

SCHEMA = 1
STALE_AFTER = 3600.0  # seconds; a temporary file lives for milliseconds
KINDS = {"b": "bool", "i": "int64", "u": "uint64", "f": "float64"}


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What was measured for one task.

    Args:
        task: the case, seeds and source it answers.
        arrays: by quantity, each with one row per seed; empty if the measurement failed.
        provenance: versions, device, time, seconds: what may differ between equal measurements.
        failed: why there is no measurement, or None.
    """

    task: Task
    arrays: Mapping[str, np.ndarray]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    failed: str | None = None

    @cached_property
    def payload_sha256(self) -> str:
        """sha256 over names, types, shapes and bytes of the arrays."""
        digest = hashlib.sha256()
        for name, array in sorted(self.arrays.items()):
            digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def check_arrays(arrays: object, *, rows: int) -> dict[str, np.ndarray]:
    """Return what `measure` returned as arrays of plain numbers with one row per seed.

    Args:
        arrays: {quantity: array (rows, ...)}.
        rows: the number of seeds.

    Raises:
        DataError: no mapping, a name that is no plain word, an array of objects, a wrong number of rows.

    Example:
        >>> from attnflow.lab.store import check_arrays
        >>> check_arrays({"error": [1, 2, 3]}, rows=3)
        {'error': array([1, 2, 3])}
    """
    if not isinstance(arrays, Mapping) or not arrays:
        raise DataError(f"`measure` must return a dict of arrays by quantity, got {type(arrays).__name__}: {arrays!r}.")
    checked = {}
    for name, value in arrays.items():
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
            raise DataError(
                f"`measure` returned the quantity {name!r}. Name it with letters, digits, `_`, `-` and `.`."
            )
        array = np.asarray(value)
        if array.dtype.kind not in KINDS:
            raise DataError(f"`{name}` must hold real numbers, got {array.dtype}. Objects are never stored.")
        if array.ndim == 0 or array.shape[0] != rows:
            raise DataError(f"`{name}` must have one row per key, {rows} of them, got the shape {array.shape}.")
        checked[name] = np.ascontiguousarray(array, dtype=KINDS[array.dtype.kind])
    return checked


class Store:
    """A folder of records: `<folder>/records/<study>/<sha256 of the task>.h5`.

    Args:
        folder: created by `prepare` if its parent exists.
        filesystem: the seam to the operating system.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> from attnflow.lab.store import Record, Store
        >>> from attnflow.lab.study import Task
        >>> task = Task(study="toy", case={"n": 1}, seeds=range(2), master_seed=0, source="digest of the code")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     store = Store(folder)
        ...     store.prepare()
        ...     _ = store.save(Record(task=task, arrays={"error": np.array([0.5, 0.25])}))
        ...     store.find(task).arrays["error"]
        array([0.5 , 0.25])
    """

    def __init__(self, folder: Path | str, *, filesystem: FileSystem | None = None) -> None:
        self.folder = Path(folder)
        self.filesystem = filesystem or FileSystem()

    def prepare(self) -> None:
        """Make the folder ready for writing, and sweep what killed runs have left. Call it before computing.

        Raises:
            ConfigError: the parent is missing, or nothing can be written there.
        """
        if not self.folder.parent.is_dir():
            raise ConfigError(
                f"`--out` is {self.folder}, but {self.folder.parent} is not a folder. Create it, or pass another one."
            )
        probe = self.folder / f".probe.{os.getpid()}.{this_host()}.{time.time_ns()}.tmp"
        try:
            self._make_folder(self.folder)
            self._make_folder(self.folder / "records")
            self.filesystem.close(self.filesystem.open(probe))
            self.filesystem.remove(probe)
        except OSError as error:
            raise ConfigError(
                f"`--out` is {self.folder}, where nothing can be written: {error.strerror or error}. "
                "Pass a folder that is writable."
            ) from error
        for path in [*self.folder.glob(".*.tmp"), *self.folder.glob("records/*/.*.tmp")]:
            if _is_stale(path):
                self.filesystem.remove(path)

    def path(self, task: Task) -> Path:
        """Return where the record of a task is or will be."""
        return self.folder / "records" / task.study / f"{task.digest[:32]}.h5"

    def save(self, record: Record) -> Path:
        """Write a record, whole or not at all.

        Raises:
            ResultFileError: the disk is full or refuses; earlier records are intact.
        """
        path = self.path(record.task)
        try:
            self._make_folder(path.parent)
        except OSError as error:
            raise ResultFileError(f"could not create {path.parent}: {error.strerror or error}.") from error
        write_file(path, to_bytes(record), filesystem=self.filesystem)
        return path

    def find(self, task: Task) -> Record | None:
        """Return the record of a task, or None if there is none that is whole.

        A truncated, altered or foreign file is set aside under the ending `.bad`, so that it is computed again.

        Raises:
            SchemaError: it was written by a newer attnflow.
            ResultFileError: it is whole but answers another task, or links to other files.
        """
        path = self.path(task)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ResultFileError(f"could not read {path}: {error.strerror or error}.") from error
        if not is_whole(data):
            self._set_aside(path)
            return None
        record = from_bytes(data, path=path)
        if record.task.identity != task.identity:
            raise ResultFileError(
                f"{path} is whole but holds another record than its name says: {record.task.identity}. "
                "It was renamed or copied by hand. Move it away and repeat the command."
            )
        return record

    def bad_files(self) -> list[Path]:
        """Return the files that were set aside because they were truncated, altered or foreign."""
        return sorted(self.folder.glob("records/*/*.bad"))

    def _set_aside(self, path: Path) -> None:
        try:
            self.filesystem.rename(path, path.with_suffix(".bad"))
            self.filesystem.sync_folder(path.parent)
        except FileNotFoundError:
            pass  # another launcher was first
        except OSError as error:
            raise ResultFileError(
                f"{path} is damaged and could not be set aside: {error.strerror or error}. Remove it by hand."
            ) from error

    def _make_folder(self, path: Path) -> None:
        if not path.is_dir():
            self.filesystem.make_folder(path)
            self.filesystem.sync_folder(path.parent)


def to_bytes(record: Record) -> bytes:
    """Return the record as the image of an HDF5 file, headed by the sha256 of the rest."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=HEADER_SIZE) as file:
        file.attrs["schema"] = SCHEMA
        file.attrs["identity"] = record.task.identity
        file.attrs["failed"] = record.failed or ""
        payload = file.create_group("payload")
        payload.attrs["sha256"] = record.payload_sha256
        for name, array in sorted(record.arrays.items()):
            payload.create_dataset(name, data=array, fletcher32=array.size > 0)
        file.create_group("provenance").attrs["json"] = json.dumps(dict(record.provenance), sort_keys=True)
    body = buffer.getvalue()[HEADER_SIZE:]
    return sealed(body)


def from_bytes(data: bytes, *, path: Path) -> Record:
    """Return the record held by the bytes of a whole file; the path is for messages.

    Raises:
        SchemaError: it was written by another schema.
        ResultFileError: it holds links, objects, or a payload that is not the one it declares.
    """
    with h5py.File(io.BytesIO(data), "r") as file:
        schema = int(file.attrs.get("schema", 0))
        if schema != SCHEMA:
            raise SchemaError(
                f"{path} has schema {schema}, this attnflow reads {SCHEMA}. "
                + ("Update attnflow, or pass another `--out`." if schema > SCHEMA else "It is no record of attnflow.")
            )
        arrays = _arrays(file.id, path=path)
        identity = json.loads(file.attrs["identity"])
        record = Record(
            task=Task(**{**identity, "seeds": range(*identity["seeds"])}),
            arrays={place[-1]: array for place, array in arrays.items() if place[0] == "payload"},
            provenance=json.loads(file["provenance"].attrs["json"]),
            failed=str(file.attrs["failed"]) or None,
        )
        if record.payload_sha256 != file["payload"].attrs["sha256"]:
            raise ResultFileError(f"{path}: the payload does not have the sha256 it declares. Move the file away.")
    return record


def _arrays(group: h5py.h5g.GroupID, *, path: Path, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], np.ndarray]:
    """Return all arrays of a group and of the groups in it, by their places; raise ResultFileError for what is none.

    Each is opened once, without what h5py's own classes do around it: a command reads a thousand records.
    """
    found: dict[tuple[str, ...], np.ndarray] = {}
    for name in group:
        here = (*place, name.decode())
        is_hard = group.links.get_info(name).type == h5py.h5l.TYPE_HARD
        item = h5py.h5o.open(group, name) if is_hard else None
        if isinstance(item, h5py.h5g.GroupID):
            found |= _arrays(item, path=path, place=here)
        elif isinstance(item, h5py.h5d.DatasetID) and _is_plain(item):
            found[here] = np.empty(item.shape, item.dtype)
            item.read(h5py.h5s.ALL, h5py.h5s.ALL, found[here])
        else:
            raise ResultFileError(
                f"{path}: /{'/'.join(here)} is a link, or no array of numbers. Records hold neither: it is a foreign "
                "file. Move it away."
            )
    return found


def _is_plain(dataset: h5py.h5d.DatasetID) -> bool:
    """Return whether a file holds the numbers of a dataset itself."""
    made = dataset.get_create_plist()
    is_here = made.get_external_count() == 0 and made.get_layout() != h5py.h5d.VIRTUAL
    return bool(is_here and dataset.dtype.kind in KINDS)


def _is_stale(temporary: Path) -> bool:
    """Return whether the process that writes a temporary file is certainly gone: `.<name>.<pid>.<host>.<time>.tmp`."""
    try:
        pid, host = temporary.name.split(".")[-4:-2]
        if host == this_host() and not _is_alive(int(pid)):
            return True
        return time.time() - temporary.stat().st_mtime > STALE_AFTER
    except (ValueError, FileNotFoundError):
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
