"""What `attnflow list` says, kept from one time to the next: only what has changed is loaded and read anew.

What is said of a study follows from its file and the modules beside it, from the code of attnflow, and from the records
that there are. The lines are kept with a digest of all of that in the user's cache folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

import platformdirs

from attnflow.errors import ResultFileError
from attnflow.lab.finding import StudyFile, check_distinct

MOST_FILES = 64  # one of each folder of studies and store
LIBRARIES = ("numpy", "scipy", "jax")
Entry = dict[str, Any]  # code: digest of what defines the study; name; claims; records: digest of them; lines


def listing(
    files: Sequence[StudyFile],
    folder: Path,
    store: Path,
    *,
    master_seed: int,
    describe: Callable[[Path], Entry],
    cache: Path | None = None,
) -> list[str]:
    """Return what is said of all studies, in the order of their files.

    Args:
        files: of the studies.
        folder: in which they are.
        store: the folder of records.
        master_seed: of the runs.
        describe: loads the study of a file, and returns its `name`, its `claims` (their ids) and the `lines` about it.
        cache: where the lines are kept; a place in the user's cache folder unless given.

    Raises:
        ConfigError: two studies or claims of one name.
    """
    known = cache or _place(folder, store, master_seed=master_seed)
    before, code = _read(known), _code()
    entries: dict[str, Entry] = {}
    for file in files:
        digest = _digest([*file.texts, code])
        entry = before.get(str(file.path), {})
        if entry.get("code") != digest or entry.get("records") != _records(store, entry["name"]):
            found = describe(file.path)
            entry = {**found, "code": digest, "records": _records(store, found["name"])}
        entries[str(file.path)] = entry
    ids = [id for entry in entries.values() for id in entry["claims"]]
    check_distinct([entry["name"] for entry in entries.values()], ids, folder=folder)
    if entries != {path: before.get(path) for path in entries}:
        _write(known, before | entries)
    return [line for entry in entries.values() for line in entry["lines"]]


def _place(folder: Path, store: Path, *, master_seed: int) -> Path:
    name = _digest([str(folder.absolute()), str(store.absolute()), str(master_seed)])[:16]
    return Path(platformdirs.user_cache_dir("attnflow")) / "lists" / f"{name}.json"


def _read(path: Path) -> dict[str, Entry]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):  # not there, or nothing that was written here
        return {}


def _write(path: Path, entries: dict[str, Entry]) -> None:
    """Keep the lines where that is possible; the oldest of too many files are removed."""
    here = {file: entry for file, entry in entries.items() if Path(file).is_file()}
    with suppress(OSError, ResultFileError):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(here), encoding="utf-8")
        files = sorted(path.parent.glob("*.json"), key=lambda file: file.stat().st_mtime)
        for old in files[:-MOST_FILES]:
            old.unlink(missing_ok=True)


def _records(store: Path, study: str) -> str:
    """Return a digest of which records there are of a study, and of when each was written."""
    found = sorted((store / "records" / study).glob("*.h5"))
    return _digest([f"{path.name} {(stat := path.stat()).st_size} {stat.st_mtime_ns}" for path in found])


def _code() -> str:
    """Return a digest of the files of attnflow as they are on the disk, and of what it computes with."""
    root = Path(__file__).parents[1]
    files = [f"{path} {(stat := path.stat()).st_size} {stat.st_mtime_ns}" for path in sorted(root.rglob("*.py*"))]
    return _digest([*files, *map(version, LIBRARIES)])


def _digest(texts: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(texts).encode()).hexdigest()
