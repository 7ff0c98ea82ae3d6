"""What a record says about how it was made, and which records were made by other code than this."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jax

from attnflow.lab.store import Record

# What is in these rooms changes no record, but for the two files that say what a record is.
READERS = ("_parsing.py", "_commands.py", "_interrupts.py", "cli.py", "__main__.py", "judge/", "lab/")
WRITERS = ("lab/study.py", "lab/store.py")
PACKAGES = ("attnflow", "numpy", "scipy", "jax", "jaxlib", "h5py")


def provenance(*, seconds: float) -> dict[str, Any]:
    """Return what a record made now says about versions, code, machine and time; nothing that names a host or a user.

    Args:
        seconds: what the measurement took.

    Example:
        >>> sorted(provenance(seconds=0.1))[:4]
        ['blas_threads', 'code', 'cores', 'device']
    """
    return {
        "versions": versions(),
        "code": code_digest(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": jax.devices()[0].device_kind,
        "cores": os.cpu_count(),
        "blas_threads": 1,
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which the numbers of a record depend."""
    return {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES}


def different_code(records: Sequence[Record]) -> str | None:
    """Return a warning if some records were computed by another version of attnflow's code than this one, or None."""
    versions = Counter(str(record.provenance.get("code")) for record in records)
    others = sum(versions.values()) - versions[code_digest()]
    if not others:
        return None
    return (
        f"{others} of {len(records)} records were computed by another version of attnflow's code, "
        f"{len(versions | {code_digest(): 1})} versions in all. Pass a fresh `--out` to compute them all with this one."
    )


@functools.cache
def code_digest() -> str:
    """Return the sha256 of the source of attnflow, without the rooms that only read records."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root).as_posix()
        if name in WRITERS or not name.startswith(READERS):
            digest.update(f"{name}\n".encode() + path.read_bytes())
    return digest.hexdigest()


@functools.cache
def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"  # run from a source folder
