"""What a long computation has reached, on the disk: whole or absent, found again by the same call only."""

from __future__ import annotations

import hashlib
import io
import re
import time
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from attnflow._files import HEADER_SIZE, is_whole, sealed, write_file
from attnflow.errors import ConfigError

PERIOD = 30.0  # seconds between two files; so much is lost when a process is killed
PACKAGES = ("attnflow", "numpy", "scipy", "jax", "jaxlib")
State = Mapping[str, np.ndarray]


class Checkpoint:
    """One file in a folder, named by what is computed, or nothing.

    Several processes of one computation find the same file, which the first of them writes.

    Args:
        folder: that exists; None keeps nothing.
        given: what the computation depends on, pytrees of arrays and words; asked for only where something is kept.

    Raises:
        ConfigError: if the folder is none.
    """

    def __init__(self, folder: Path | str | None, given: Callable[[], Iterable[Any]]) -> None:
        if folder is not None and not Path(folder).is_dir():
            raise ConfigError(f"`checkpoint` must be a folder that exists, got {str(folder)!r}. Create it first.")
        self._path = None if folder is None else Path(folder) / f"evolution-{_digest(given())[:32]}.checkpoint"
        self._written = time.monotonic()

    def load(self) -> State:
        """Return the state that was kept last, empty if there is none that is whole.

        Raises:
            ConfigError: if the processes of a computation see different files.
        """
        if self._path is None:
            return {}
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            data = b""
        data = data if is_whole(data) else b""
        _check_agreement(data, self._path)
        if not data:
            return {}
        with np.load(io.BytesIO(data[HEADER_SIZE:]), allow_pickle=False) as file:
            return dict(file)

    def keep(self, state: Callable[[], State]) -> None:
        """Write the state in the place of the last if that is some time ago.

        Raises:
            ResultFileError: if the disk is full or refuses; the last one is untouched.
        """
        if self._path is None or time.monotonic() - self._written < PERIOD or jax.process_index() > 0:
            return
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **state())  # type: ignore[arg-type]
        write_file(self._path, sealed(buffer.getvalue()))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Remove the file: what it was kept for is done."""
        if self._path is not None and jax.process_index() == 0:
            self._path.unlink(missing_ok=True)


NOTHING_KEPT = Checkpoint(None, tuple)


def _digest(given: Iterable[Any]) -> str:
    """Return a sha256 of arrays, of words, and of the versions of what computes with them."""
    digest = hashlib.sha256(repr([_version(package) for package in PACKAGES]).encode())
    for each in given:
        digest.update(re.sub(r" at 0x[0-9a-f]+", "", repr(jax.tree.structure(each))).encode())
        for leaf in jax.tree.leaves(each):
            if isinstance(leaf, str):
                digest.update(re.sub(r" at 0x[0-9a-f]+", "", leaf).encode())
            else:
                array = np.asarray(leaf)
                digest.update(f"{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _check_agreement(data: bytes, path: Path) -> None:
    if jax.process_count() == 1:
        return
    mine = np.frombuffer(hashlib.sha256(data).digest(), np.uint8)
    if (multihost_utils.process_allgather(mine) != mine).any():
        raise ConfigError(
            f"the processes see different files {path.name}. `checkpoint` must be a folder that all of them share."
        )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"  # run from a source folder
