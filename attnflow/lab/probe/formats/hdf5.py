"""Arrays in an HDF5 file. What leads out of the file is refused: it would read whatever its author likes from here."""

from __future__ import annotations

import posixpath
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from attnflow.lab.probe.formats.stored import Stored, stored

_MOST_LINKS = 64  # that lead to one another; more are a circle


def open_hdf5(path: Path) -> dict[str, Stored]:
    """Return the arrays of an HDF5 file by their paths in it, without the first slash."""
    with h5py.File(path, "r") as file:
        return _walk(file["/"], path=path, seen=[])


def _walk(group: h5py.Group, *, path: Path, seen: list[h5py.Group]) -> dict[str, Stored]:
    """Return what hangs below a group; each group is walked through once, as links make circles."""
    seen.append(group)
    found: dict[str, Stored] = {}
    for name in group:
        place = posixpath.join(group.name, name).strip("/")
        item = _inside(group.file, place)
        if isinstance(item, str):
            found[place] = Stored((), partial(_load, path, place), refusal=item)
        elif isinstance(item, h5py.Dataset):
            found[place] = _described(item, path=path, place=place)
        elif isinstance(item, h5py.Group) and item not in seen:
            found |= _walk(item, path=path, seen=seen)
    return found


def _inside(file: h5py.File, place: str) -> h5py.HLObject | str:
    """Return what is at a place of the file, or why that is not in the file."""
    item, steps, links = file["/"], place.split("/"), 0
    while steps:
        step = steps.pop(0)
        link = item.get(step, getlink=True) if isinstance(item, h5py.Group) else None
        if isinstance(link, h5py.ExternalLink):
            return f"is a link into another file, {link.filename!r}. Copy the array into this one"
        if isinstance(link, h5py.SoftLink) and links < _MOST_LINKS:
            links += 1
            target = posixpath.normpath(posixpath.join(item.name, link.path))
            item, steps = file["/"], [*target.strip("/").split("/"), *steps]
        elif isinstance(link, h5py.HardLink):
            item = item[step]
        else:
            return "is a link that leads nowhere. Copy the array itself"
    return item


def _described(dataset: h5py.Dataset, *, path: Path, place: str) -> Stored:
    load = partial(_load, path, place)
    if dataset.external or dataset.is_virtual:
        return Stored((), load, refusal="keeps its numbers in other files. Copy them into this one")
    if dataset.shape is None:
        return Stored((), load, refusal="is empty. Save numbers")
    if h5py.check_string_dtype(dataset.dtype):
        return Stored(dataset.shape, load, are_words=True)
    if h5py.check_ref_dtype(dataset.dtype):
        return Stored((), load, refusal="holds references to objects. Save numbers")
    return stored(dataset.shape, dataset.dtype, load)


def _load(path: Path, place: str) -> np.ndarray:
    with h5py.File(path, "r") as file:
        dataset = file[place]
        return np.asarray(dataset.asstr()[()] if h5py.check_string_dtype(dataset.dtype) else dataset[()])
