"""Arrays that NumPy has saved: .npy holds one, .npz several, of which each is an .npy in a zip archive."""

from __future__ import annotations

import math
import zipfile
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from attnflow.errors import DataError
from attnflow.lab.probe.formats.stored import Stored, stored

_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def open_npy(path: Path) -> dict[str, Stored]:
    """Return the array of an .npy file, under the file's name."""
    with path.open("rb") as file:
        shape, dtype = _header(file, size=path.stat().st_size, name=path.name)
    return {path.stem: stored(shape, dtype, partial(np.load, path, allow_pickle=False))}


def open_npz(path: Path) -> dict[str, Stored]:
    """Return the arrays of an .npz file by their names."""
    found = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            with archive.open(member) as file:
                shape, dtype = _header(file, size=member.file_size, name=f"{path.name}: {name!r}")
            found[name] = stored(shape, dtype, partial(_load, path, name))
    return found


def _load(path: Path, name: str) -> np.ndarray:
    with np.load(path, allow_pickle=False) as file:
        return np.asarray(file[name])


def _header(file: IO[bytes], *, size: int, name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Return shape and type; raise DataError where the file is too short for them."""
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise DataError(f"{name} has version {version} of NumPy's format, which is for arrays of records only.")
    shape, _, dtype = _HEADERS[version](file)
    needed = file.tell() + math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and size < needed:
        raise DataError(f"{name} is truncated: {size} bytes of {needed}. Copy or write the file again.")
    return shape, dtype
