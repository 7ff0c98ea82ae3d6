"""Which array of a file is what: by its name, or as the caller says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from attnflow.errors import ConfigError, DataError
from attnflow.lab.probe.formats.opening import ArrayFile

# Each role by the letter that stands for it in formulas, with the names that are recognised, in small letters.
ROLES = {
    "X": ("x", "points", "tokens"),
    "Q": ("q", "queries"),
    "K": ("k", "keys"),
    "V": ("v", "values"),
    "L": ("logits",),
    **{f"{letter}{part}": (f"{letter}{part}".lower(),) for letter in "Wb" for part in "QKV"},
}
# How many axes one array of a role has; further axes in front of them count heads, and before these layers.
AXES = {role: 1 if role.startswith("b") else 2 for role in ROLES}
OPTIONS = {"points": "X", "queries": "Q", "keys": "K", "values": "V", "logits": "L", "tokens": "names"}
KNOWN = "X, X_l, Q, Q_h, Q_l, Q_l_h (l a layer, h a head; so K, V, logits, WQ, bQ, ...), tokens"
_NAME = re.compile(r"(?P<role>[A-Za-z]+)(?P<numbers>(_\d+){0,2})")


@dataclass(frozen=True)
class Part:
    """Where an array of one head is kept: in which arrays of the file, and at which place of their leading axes."""

    names: tuple[str, ...]
    place: tuple[int, ...] = ()


Place = tuple[int | None, int | None]  # a layer and a head, None where a file does not number them


@dataclass(frozen=True)
class Naming:
    """What the arrays of a file are.

    Attributes:
        parts: by role and by layer and head; what layers share has no number.
        tokens: the name of the array that holds the tokens' names, or None.
        unread: names of arrays that are none of these.
    """

    parts: Mapping[str, Mapping[Place, Part]]
    tokens: str | None
    unread: tuple[str, ...]


def name_arrays(file: ArrayFile, *, chosen: Mapping[str, str]) -> Naming:
    """Return what the arrays of a file are.

    Args:
        file: with its headers.
        chosen: what the caller says: for "points", "queries", "keys", "values", "logits" and "tokens" the name of an
            array, or several separated by commas, whose columns are put side by side. For those that are named,
            recognised names count no longer.

    Raises:
        ConfigError: if a chosen name is not in the file.
        DataError: if nothing is recognised, a suffix is unknown, or an array has too many axes.
    """
    said = {OPTIONS[option]: _chosen(file, option, names) for option, names in chosen.items()}
    found: dict[str, dict[Place, Part]] = {}
    tokens = said.pop("names", (None,))[0]
    taken = {name for names in said.values() for name in names} | {tokens}
    strange: dict[str, list[str]] = {}
    layered = "X" not in said and any(re.fullmatch(r"(x|points|tokens)_\d+", name.lower()) for name in file.arrays)
    for name, array in file.arrays.items():
        match = _NAME.match(name)
        role = match and next((role for role, names in ROLES.items() if match["role"].lower() in names), None)
        if name in taken or array.is_column or not role or not match:
            continue
        is_names = role == "X" and (array.are_words or len(array.shape) == 1) and match["role"].lower() == "tokens"
        if is_names and match.end() == len(name) and not match["numbers"]:
            tokens = tokens or name
        elif role in said or array.are_words or (len(array.shape) < AXES[role] and not array.refusal):
            continue  # a single number `k` is no keys
        elif match.end() < len(name):
            strange.setdefault(role, []).append(name)
        else:
            numbers = tuple(int(number) for number in match["numbers"].split("_")[1:])
            _add(found.setdefault(role, {}), file, name, role=role, numbers=numbers, layered=layered)
    for role, names in said.items():
        _add(found.setdefault(role, {}), file, *names, role=role)
    _add_the_only_one(found, file)
    _refuse_strange(found, strange, file)
    used = {name for parts in found.values() for part in parts.values() for name in part.names} | {tokens}
    unread = (name for name, array in file.arrays.items() if name not in used and not array.is_column)
    return Naming(found, tokens, tuple(unread))


def _chosen(file: ArrayFile, option: str, names: str) -> tuple[str, ...]:
    split = (names,) if names in file.arrays else tuple(name.strip() for name in names.split(","))
    for name in split:
        if name not in file.arrays:
            raise ConfigError(f"`--{option}` must name an array of {file.path.name}: {file.listed()}; got {name!r}.")
    return split


def _add(
    parts: dict[Place, Part],
    file: ArrayFile,
    *names: str,
    role: str,
    numbers: tuple[int, ...] = (),
    layered: bool = False,
) -> None:
    """Add an array, or each of those that it holds along leading axes, at its layer and head.

    One number after a name is that of a layer where the points of layers are numbered, otherwise that of a head.
    """
    name, shape = names[0], file.arrays[names[0]].shape
    least = 1 if len(names) > 1 else AXES[role]
    leading = len(shape) - least
    free = (1 if role == "X" else 2) - len(numbers)  # numbers that axes may still stand for
    if file.arrays[name].refusal:
        leading = 0  # which says more, once it is read
    if leading < 0 or leading > max(free, 0) or (leading and len(names) > 1):
        wanted = (
            "(N, D), in front one axis for layers" if role == "X" else f"{least} axes, in front those of layer and head"
        )
        raise DataError(f"{file.path.name}: {name!r} has shape {shape}. Save {wanted} at most, less those in its name.")
    places: list[Place]
    if role == "X":
        places = [(numbers[0] if numbers else None, None)] if not leading else [(n, None) for n in range(shape[0])]
    elif leading or len(numbers) == 2:
        before = (*[None] * (2 - len(numbers) - leading), *numbers)
        places = [(*before, *axes) for axes in np.ndindex(shape[:leading])]  # type: ignore[misc]
    else:
        number = numbers[0] if numbers else None
        places = [(number, None) if layered else (None, number)]
    for place, axes in zip(places, np.ndindex(shape[:leading]), strict=True):
        parts[place] = Part(names, axes)


def _add_the_only_one(found: dict[str, dict[Place, Part]], file: ArrayFile) -> None:
    """Take the only array of numbers for the points, whatever its name."""
    numbers = [name for name, array in file.arrays.items() if not array.are_words and not array.is_column]
    if not found and len(numbers) == 1:
        _add(found.setdefault("X", {}), file, numbers[0], role="X")


def _refuse_strange(found: Mapping[str, object], strange: Mapping[str, list[str]], file: ArrayFile) -> None:
    for role, names in strange.items():
        if role not in found:
            raise DataError(
                f"{file.path.name}: {names[0]!r} has a suffix that is not known. Known are {KNOWN}. Rename it, or say "
                "which array is what, such as `--points NAME`."
            )
    if not found:
        raise DataError(
            f"{file.path.name} holds {file.listed()}, none of which has a name that is known: {KNOWN}. Say which array "
            "is what, such as `--points NAME --queries NAME --keys NAME`."
        )
