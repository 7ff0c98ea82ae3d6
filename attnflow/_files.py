"""Files that are whole or absent whatever happens, and that tell whether they are as they were written.

A file is written under a temporary name, synced, renamed, and its folder synced. The first 512 bytes of a sealed one
hold the sha256 of all that follows, which is checked before anything else of it is read.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from pathlib import Path

from attnflow.errors import ResultFileError

HEADER_SIZE = 512  # the smallest user block that HDF5 allows


class FileSystem:
    """The few system calls through which everything reaches the disk: one seam, to be replayed call by call."""

    def make_folder(self, path: Path) -> None:
        """Create a folder."""
        path.mkdir(exist_ok=True)

    def open(self, path: Path) -> int:
        """Create a file that is not there yet and open it for writing."""
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)

    def write(self, descriptor: int, data: memoryview) -> int:
        """Write some of the data and return how many bytes."""
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        """Force a file or a folder to the disk."""
        os.fsync(descriptor)

    def close(self, descriptor: int) -> None:
        """Close a file."""
        os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Give a file its final name, atomically."""
        os.replace(source, target)

    def remove(self, path: Path) -> None:
        """Remove a file."""
        os.unlink(path)

    def sync_folder(self, path: Path) -> None:
        """Force the names in a folder to the disk."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def write_file(path: Path, data: bytes, *, filesystem: FileSystem | None = None) -> None:
    """Write a file whole or not at all.

    Raises:
        ResultFileError: the disk is full or refuses; the temporary file is removed, an earlier file is untouched.
    """
    filesystem = filesystem or FileSystem()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{this_host()}.{time.time_ns()}.tmp")
    try:
        try:
            descriptor = filesystem.open(temporary)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[filesystem.write(descriptor, rest) :]
                filesystem.sync(descriptor)
            finally:
                filesystem.close(descriptor)
            filesystem.rename(temporary, path)
        except OSError:
            if temporary.exists():
                filesystem.remove(temporary)
            raise
        filesystem.sync_folder(path.parent)
    except OSError as error:
        raise ResultFileError(
            f"could not write {path}: {error.strerror or error}. Earlier files are intact. "
            "Free some space or choose another place, then repeat the command: it resumes."
        ) from error


def sealed(body: bytes) -> bytes:
    """Return the bytes headed by their sha256.

    Example:
        >>> is_whole(sealed(b"all")), is_whole(sealed(b"all")[:-1])
        (True, False)
    """
    return _header(body) + body


def is_whole(data: bytes) -> bool:
    """Return whether the bytes are a sealed file as it was written."""
    return len(data) > HEADER_SIZE and data[:HEADER_SIZE] == _header(data[HEADER_SIZE:])


def _header(body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return f"attnflow record\nsha256 of the bytes from {HEADER_SIZE} on: {digest}\n".encode().ljust(HEADER_SIZE, b"\0")


def this_host() -> str:
    """Return a word that tells this machine from others without naming it."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
