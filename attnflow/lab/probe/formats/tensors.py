"""Arrays in a .safetensors file, which holds numbers only."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from attnflow._optional import optional
from attnflow.errors import ConfigError
from attnflow.lab.probe.formats.stored import BFLOAT16, Stored, stored

_TYPES: dict[str, Any] = {"BOOL": "bool", "F64": "f8", "F32": "f4", "F16": "f2", "BF16": BFLOAT16} | {
    f"{sign}{8 * size}": f"{code}{size}" for sign, code in (("I", "i"), ("U", "u")) for size in (1, 2, 4, 8)
}


def open_safetensors(path: Path) -> dict[str, Stored]:
    """Return the arrays of a .safetensors file by their names.

    Raises:
        ConfigError: if the package safetensors is not installed.
    """
    found = {}
    with _package().safe_open(path, framework="numpy") as file:
        for name in file.keys():  # noqa: SIM118 it is no mapping
            header = file.get_slice(name)
            shape, kind, load = tuple(header.get_shape()), header.get_dtype(), partial(_load, path, name)
            if kind in _TYPES:
                found[name] = stored(shape, np.dtype(_TYPES[kind]), load)
            else:
                found[name] = Stored(shape, load, refusal=f"has the type {kind}. Save real numbers")
    return found


def _load(path: Path, name: str) -> np.ndarray:
    with _package().safe_open(path, framework="numpy") as file:
        return np.asarray(file.get_tensor(name))


def _package() -> Any:
    package = optional("safetensors")
    if package is None:
        raise ConfigError(
            "reading .safetensors needs safetensors, which is not installed. Run pip install 'attnflow[probe]'."
        )
    return package
