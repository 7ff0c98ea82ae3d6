"""What a probe is asked about, checked: one entry per head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import psutil

from attnflow._checks import check_finite, check_positive
from attnflow.errors import ConfigError, DataError, ResourceError
from attnflow.lab.probe.sources import Given, Logits, Products
from attnflow.lab.probe.spectra import MOST_TOKENS

FEWEST = 50  # tokens: of fewer, halves and nulls are wider than what they measure
MOST = 65536  # tokens: a pass over their pairs takes a quarter of an hour of a core
PAIR_SECONDS = 2.5e-7  # of a core, measured with 576 coordinates and values
COPIES, MATRICES = 8, 6  # of coordinates and values, and of the matrix of a spectrum, held at a time
SHOWN = 5


class Head(NamedTuple):
    """One head to probe.

    Args:
        name: such as "head 0".
        scale: how its logits are made, such as "L = Q K'/8".
        logits: L.
        points: coordinates of its tokens, shape (N, D), or None.
        values: what is passed on, shape (N, c), or None.
    """

    name: str
    scale: str
    logits: Logits
    points: np.ndarray | None
    values: np.ndarray | None


def read_heads(
    points: object, *, queries: object = None, keys: object = None, values: object = None, logits: object = None,
    bandwidth: object = None, names: Sequence[str] | None = None,
) -> list[Head]:  # fmt: skip
    """Return the heads that arguments of `probe` describe, none for points alone.

    Raises:
        ConfigError: if queries come without keys, or with logits, or a bandwidth with logits.
        DataError: if shapes do not fit together, numbers are not finite or there are too few tokens.
        ResourceError: if there are too many tokens.
    """
    _check_combination(queries, keys, values, logits, bandwidth, points)
    given = {
        name: _read(content, name)
        for name, content in dict(points=points, queries=queries, keys=keys, values=values, logits=logits).items()
        if content is not None
    }
    count = _check_counts(given)
    if "points" in given:
        check_columns(given["points"])
    _check_memory(given, count)
    if "queries" not in given and "logits" not in given:
        return []
    heads = _count_heads(given, names)
    scale = _scale(given, bandwidth)
    found = []
    for number in range(heads):
        own = {name: array if array.ndim == 2 else array[number] for name, array in given.items()}
        name = f"head {number}" if names is None else str(names[number])
        matrix = Given(own["logits"]) if "logits" in own else Products(own["queries"], own["keys"], scale)
        words = "L as given" if "logits" in own else f"L = Q K'/{scale:g}"
        found.append(Head(name, words, matrix, own.get("points"), own.get("values")))
    assert all(head.logits.count == count for head in found)
    return found


def check_tokens(tokens: object, count: int) -> tuple[str, ...] | None:
    """Return the names of the tokens, as many as there are, or None.

    Raises:
        DataError: if there are more or fewer.
    """
    if tokens is None:
        return None
    names = tuple(map(str, np.asarray(tokens).ravel()))
    if len(names) != count:
        raise DataError(f"`tokens` must have {count} names, one per token, got {len(names)}.")
    return names


def _check_combination(
    queries: object, keys: object, values: object, logits: object, bandwidth: object, points: object
) -> None:
    if (queries is None) != (keys is None):
        missing, there = ("queries", "keys") if queries is None else ("keys", "queries")
        raise ConfigError(f"`{missing}` must be given with `{there}`. Pass both, `logits`, or `points` alone.")
    if logits is not None and queries is not None:
        raise ConfigError("`logits` must come without `queries` and `keys`, which would make other ones. Drop either.")
    if logits is not None and bandwidth is not None:
        raise ConfigError(
            f"`bandwidth` must be left out where `logits` are given, got {bandwidth!r}. Divide them by it."
        )
    if logits is None and queries is None:
        if points is None:
            raise ConfigError("`points` must be given where there are neither `queries` and `keys` nor `logits`.")
        if values is not None:
            raise ConfigError("`values` must come with `queries` and `keys`, or with `logits`. Drop them.")


def _read(content: object, name: str) -> np.ndarray:
    """Return a finite array (N, ...) or (H, N, ...); rows that are not finite are counted and named."""
    array = np.asarray(content)
    if array.dtype.kind in "fiu" and array.ndim in (2, 3):
        bad = ~np.isfinite(array).all(axis=-1)
        if bad.any():
            rows = np.flatnonzero(bad if bad.ndim == 1 else bad.any(axis=0))
            shown = ", ".join(map(str, rows[:SHOWN])) + (", ..." if len(rows) > SHOWN else "")
            raise DataError(
                f"`{name}` must be finite, got NaN or Inf in {len(rows)} of {bad.shape[-1]} rows: {shown}. Drop those "
                "tokens from every array."
            )
    array = check_finite(content, name)
    if array.ndim not in (2, 3) or not array.size:
        raise DataError(f"`{name}` must have shape (N, d), or (H, N, d) for several heads, got {array.shape}.")
    return array


def _check_counts(given: dict[str, np.ndarray]) -> int:
    first = next(iter(given))
    count = given[first].shape[-2]
    for name, array in given.items():
        if array.shape[-2] != count:
            raise DataError(
                f"`{name}` must have as many rows as `{first}`, got shapes {array.shape} and {given[first].shape}. "
                "Queries, keys and values are of the same tokens here."
            )
    if "logits" in given and given["logits"].shape[-1] != count:
        raise DataError(f"`logits` must be square, got shape {given['logits'].shape}. Rows are queries, columns keys.")
    if "queries" in given and given["queries"].shape[-1] != given["keys"].shape[-1]:
        raise DataError(
            f"`keys` must have as many columns as `queries`, got shapes {given['keys'].shape} and "
            f"{given['queries'].shape}."
        )
    if count < FEWEST:
        hint = " Transpose it: rows are tokens." if given[first].shape[-1] >= FEWEST and first != "logits" else ""
        raise DataError(f"`{first}` must have at least {FEWEST} rows, got shape {given[first].shape}.{hint}")
    if count > MOST:
        raise ResourceError(
            f"`{first}` has {count} rows, of at most {MOST}: their {count**2:.1e} pairs would take about "
            f"{PAIR_SECONDS * count**2 / 60:.0f} minutes of a core. Take every {-(-count // MOST)}th token."
        )
    return count


def _check_memory(given: dict[str, np.ndarray], count: int) -> None:
    columns = sum(given[name].shape[-1] for name in ("points", "values") if name in given)
    matrices = MATRICES * count if count <= MOST_TOKENS else 0
    wanted = 8.0 * count * (COPIES * columns + matrices)
    free = float(psutil.virtual_memory().available)
    if wanted > free:
        raise ResourceError(
            f"`points` has {count} rows and {columns} columns with its values, which take {wanted / 1e9:.1f} GB of "
            f"{free / 1e9:.1f} GB that are free. Take fewer tokens, or fewer columns."
        )


def check_columns(points: np.ndarray) -> None:
    """Raise DataError, with their numbers, if columns of points (N, D) or (H, N, D) are constant."""
    flat = np.flatnonzero((np.ptp(points, axis=-2) == 0).reshape(-1, points.shape[-1]).any(axis=0))
    if len(flat):
        shown = ", ".join(map(str, flat[:SHOWN])) + (", ..." if len(flat) > SHOWN else "")
        raise DataError(
            f"`points` must vary in every column, got {len(flat)} constant of {points.shape[-1]}: {shown}. Drop those "
            "columns, which tell no tokens apart."
        )


def _count_heads(given: dict[str, np.ndarray], names: Sequence[str] | None) -> int:
    axes = {name: len(array) for name, array in given.items() if array.ndim == 3}
    if len(set(axes.values())) > 1:
        told = ", ".join(f"`{name}` {heads}" for name, heads in axes.items())
        raise DataError(f"arrays must have as many heads along their first axis as one another, got {told}.")
    heads = next(iter(axes.values()), 1)
    if names is not None and len(names) != heads:
        raise DataError(f"`names` must have {heads} entries, one per head, got {len(names)}.")
    return heads


def _scale(given: dict[str, np.ndarray], bandwidth: object) -> float:
    if bandwidth is not None:
        return check_positive(bandwidth, "bandwidth")
    return float(np.sqrt(given["queries"].shape[-1])) if "queries" in given else 1.0
