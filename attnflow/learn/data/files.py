"""Files that are read: found by their names, plain or compressed, and named in every error."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from attnflow.errors import DataError

_LISTED = 10


def find(folder: Path, name: str) -> Path:
    """Return the file of that name in a folder, or that with .gz behind it.

    Raises:
        DataError: if the folder holds neither.
    """
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.is_file():
            return candidate
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: {name} was looked for there. Pass the folder that holds it.")
    there = sorted(path.name for path in folder.iterdir())
    more = f" and {len(there) - _LISTED} more" if len(there) > _LISTED else ""
    raise DataError(
        f"{folder} holds no file {name}, plain or .gz; it holds {', '.join(there[:_LISTED]) or 'nothing'}{more}. Pass "
        "the folder that holds it."
    )


def read(path: Path) -> bytes:
    """Return what a file holds, uncompressed.

    Raises:
        DataError: if it cannot be read or uncompressed.
    """
    try:
        return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__}: {error}. Fetch it anew.") from error


def read_text(path: Path) -> str:
    """Return the text of a file in UTF-8.

    Raises:
        DataError: if it cannot be read, or holds other bytes.
    """
    try:
        return read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8: {error}. Convert it first.") from error
