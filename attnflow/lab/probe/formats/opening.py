"""A file of arrays, whichever of the formats it has."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil

from attnflow.errors import AttnflowError, ConfigError, DataError, ResourceError
from attnflow.lab.probe.formats.hdf5 import open_hdf5
from attnflow.lab.probe.formats.numpy_files import open_npy, open_npz
from attnflow.lab.probe.formats.stored import Stored
from attnflow.lab.probe.formats.tables import open_csv
from attnflow.lab.probe.formats.tensors import open_safetensors

T = TypeVar("T")

OPENERS: dict[str, Callable[[Path], dict[str, Stored]]] = {
    ".npy": open_npy, ".npz": open_npz, ".csv": open_csv, ".h5": open_hdf5, ".hdf5": open_hdf5,
    ".safetensors": open_safetensors,
}  # fmt: skip
_ITEM = 8  # bytes of a number, all of which become float64
_LISTED = 12  # arrays in a message


@dataclass(frozen=True, eq=False)
class ArrayFile:
    """The arrays of a file by name, none of which has been read.

    Attributes:
        path: of the file.
        arrays: what the headers say.
    """

    path: Path
    arrays: dict[str, Stored]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an array; raise DataError if it is refused."""
        return self._checked(name).shape

    def numbers(self, name: str) -> np.ndarray:
        """Return an array of numbers as float64, without NaN and Inf.

        Raises:
            DataError: if it is refused, is none of numbers, or holds rows with NaN or Inf, which are counted.
        """
        if self._checked(name).are_words:
            raise DataError(f"{self.path.name}: {name!r} holds words. Name an array of numbers.")
        array = self._load(name).astype(np.float64)
        if array.size == 0:
            raise DataError(f"{self.path.name}: {name!r} is empty: shape {array.shape}. Save at least one row.")
        bad = np.argwhere(~np.isfinite(array).all(axis=-1))
        if len(bad):
            first = ", ".join(str(tuple(row) if len(row) > 1 else row[0]) for row in bad[:5].tolist())
            raise DataError(
                f"{self.path.name}: {name!r} has {len(bad)} rows with NaN or Inf, the first {first}. Remove or repair "
                "them in all arrays."
            )
        return array

    def words(self, name: str) -> tuple[str, ...]:
        """Return an array with one axis as words."""
        if len(self._checked(name).shape) != 1:
            raise DataError(
                f"{self.path.name}: {name!r} has shape {self.arrays[name].shape}. Names of tokens have one axis."
            )
        content = self._load(name).tolist()
        return tuple(word.decode(errors="replace") if isinstance(word, bytes) else str(word) for word in content)

    def check_memory(self, names: list[str], *, beside: float = 0.0) -> None:
        """Raise ResourceError if arrays, with so many bytes beside them, are more than there is memory for."""
        needed = beside + sum(_ITEM * math.prod(self._checked(name).shape) for name in names)
        free = psutil.virtual_memory().available
        if needed > free:
            raise ResourceError(
                f"{self.path.name}: {', '.join(map(repr, names[:_LISTED]))} need {needed / 1e9:.3g} GB of memory and "
                f"{free / 1e9:.3g} GB are free. Save fewer tokens, or choose one `--layer` and `--head`."
            )

    def listed(self) -> str:
        """Return the names and shapes of the arrays, for a message that a terminal shows."""
        names = list(self.arrays)
        some = [f"{name if name.isprintable() else repr(name)} {self.arrays[name].shape}" for name in names[:_LISTED]]
        return ", ".join(some) + (f" and {len(names) - _LISTED} more" if len(names) > _LISTED else "")

    def _checked(self, name: str) -> Stored:
        array = self.arrays[name]
        if array.refusal:
            raise DataError(f"{self.path.name}: {name!r} {array.refusal}.")
        return array

    def _load(self, name: str) -> np.ndarray:
        return _understood(self.path, self.arrays[name].load)


def open_arrays(path: Path) -> ArrayFile:
    """Return what the headers of a file say; the ending of its name is its format.

    Raises:
        ConfigError: if there is no such file, or the ending is another.
        DataError: if the file is empty, truncated, or not of the format.
    """
    if path.suffix.lower() not in OPENERS:
        raise ConfigError(f"`FILE` must end in {', '.join(OPENERS)}, got {path.name!r}. Convert it first.")
    if not path.is_file():
        raise ConfigError(f"`FILE` must be a file, but {path} is {'a folder' if path.is_dir() else 'not there'}.")
    if not path.stat().st_size:
        raise DataError(f"{path.name} is empty: 0 bytes. Write it again.")
    arrays = _understood(path, lambda: OPENERS[path.suffix.lower()](path))
    if not arrays:
        raise DataError(f"{path.name} holds no arrays.")
    return ArrayFile(path, arrays)


def _understood(path: Path, read: Callable[[], T]) -> T:
    """Return what is read; whatever a reader of so many formats raises becomes a DataError."""
    try:
        return read()
    except AttnflowError:
        raise
    except MemoryError as error:
        raise ResourceError(f"memory ran out while {path.name} was read. Save fewer tokens.") from error
    except Exception as error:
        words = " ".join(str(error).split())
        raise DataError(
            f"{path.name} cannot be read as {path.suffix}: {type(error).__name__}: {words}. It may be truncated or "
            "have another format: write it again."
        ) from error
