"""Arrays in IDX files, the format of MNIST: 0, 0, a type, a number of dimensions; sizes; numbers; big-endian."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from attnflow.errors import DataError
from attnflow.learn.data.files import read

# By the third byte of the file.
_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}


def read_idx(path: Path, *, dims: int) -> np.ndarray:
    """Return the array in an IDX file, plain or compressed (.gz).

    Args:
        path: of the file.
        dims: how many dimensions it must have.

    Raises:
        DataError: if it is no such file, is cut short or too long; with what was expected and what was found.
    """
    content = read(path)
    if len(content) < 4:
        raise _refusal(path, "4 bytes of magic number", f"{len(content)} bytes in all")
    zeros, kind, found = struct.unpack(">HBB", content[:4])
    if zeros or kind not in _TYPES or found != dims:
        expected = f"the magic number of an IDX file of {dims} dimensions, such as {0x800 + dims} of bytes"
        raise _refusal(path, expected, str(int.from_bytes(content[:4])))
    start = 4 + 4 * dims
    if len(content) < start:
        raise _refusal(path, f"{dims} sizes in {start} bytes", f"{len(content)} bytes in all")
    shape, dtype = struct.unpack(f">{dims}I", content[4:start]), np.dtype(_TYPES[kind])
    expected = math.prod(shape) * dtype.itemsize
    if len(content) - start != expected:
        short = "cut short" if len(content) - start < expected else "too long"
        sizes = " x ".join(map(str, shape))
        raise _refusal(path, f"{expected} bytes of {sizes} numbers", f"{len(content) - start}: it is {short}")
    if not all(shape):
        raise _refusal(path, "numbers", "an array of sizes " + " x ".join(map(str, shape)))
    return np.frombuffer(content, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))


def _refusal(path: Path, expected: str, found: str) -> DataError:
    return DataError(f"{path}: expected {expected}, found {found}. Fetch the file anew.")
