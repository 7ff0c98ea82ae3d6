"""The heads in a file: which there are, and the arrays of each, with projections applied to the points."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from attnflow.errors import ConfigError, DataError
from attnflow.lab.probe.formats.opening import ArrayFile, open_arrays
from attnflow.lab.probe.naming import Naming, Part, Place, name_arrays

_LISTED = 12  # heads in a message
_PLAIN = {"Q": "queries", "K": "keys", "V": "values"}


@dataclass(frozen=True, eq=False)
class HeadArrays:
    """What a file says of one head, or of points alone.

    Attributes:
        name: "7.0" for head 0 of layer 7; "layer 7", "head 0" or the file's name where it has fewer numbers.
        points: X, (N, D), or None.
        queries: Q, (N, d), or None.
        keys: K, (N, d), or None.
        values: V, (N, e), or None.
        logits: L, (N, N), or None.
        sources: the names of the arrays in the file.
    """

    name: str
    points: np.ndarray | None
    queries: np.ndarray | None
    keys: np.ndarray | None
    values: np.ndarray | None
    logits: np.ndarray | None
    sources: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class HeadFile:
    """A file of heads; each is read when it is asked for.

    Attributes:
        file: its arrays, unread.
        naming: which of them is what.
        places: layer and head of each, in order.
    """

    file: ArrayFile
    naming: Naming
    places: tuple[Place, ...]
    _kept: dict[str, tuple[tuple[str, ...], np.ndarray]] = field(default_factory=dict, repr=False)

    @property
    def tokens(self) -> tuple[str, ...] | None:
        """The names of the tokens, where the file has them."""
        return None if self.naming.tokens is None else self.file.words(self.naming.tokens)

    def name(self, place: Place) -> str:
        """Return what a head is called."""
        layer, head = place
        if layer is not None and head is not None:
            return f"{layer}.{head}"
        if layer is not None or head is not None:
            return f"layer {layer}" if head is None else f"head {head}"
        return self.file.path.stem

    def rows(self, place: Place) -> int:
        """Return the number of tokens of a head, as headers say."""
        parts = self._parts(place)
        return next(self._shape(parts[role])[0] for role in "QKLXV" if role in parts)

    def read(self, place: Place) -> HeadArrays:
        """Return the arrays of one head; queries, keys and values that are not there are the points, projected.

        Raises:
            DataError: if shapes do not fit together, or rows hold NaN or Inf.
            ResourceError: if there is not enough memory for them, before they are read.
        """
        parts = self._parts(place)
        self.file.check_memory(sorted({name for part in parts.values() for name in part.names}))
        self._check_shapes(parts, place)
        arrays = {role: self._array(role, part) for role, part in parts.items()}
        for role, name in _PLAIN.items():
            if role not in arrays and f"W{role}" in arrays:
                arrays[role] = arrays["X"] @ arrays[f"W{role}"].T + arrays.get(f"b{role}", 0.0)
                if not np.isfinite(arrays[role]).all():
                    raise DataError(f"{self.file.path.name}: the {name} of {self.name(place)} are beyond float64.")
        sources = tuple(name for part in parts.values() for name in part.names)
        return HeadArrays(self.name(place), *(arrays.get(role) for role in "XQKVL"), sources)  # type: ignore[arg-type, call-arg]

    def _parts(self, place: Place) -> dict[str, Part]:
        """Return the arrays that a head needs.

        Logits are all that softmax sees, so that queries and keys beside them are left out; so are projections of what
        is there, and biases without their projections.
        """
        layer, _ = place
        found = {}
        for role, parts in self.naming.parts.items():
            part = parts.get((layer, None), parts.get((None, None))) if role == "X" else parts.get(place)
            if part:
                found[role] = part
        if "L" in found:
            found = {role: part for role, part in found.items() if role[-1] not in "QK"}
        for role in _PLAIN:
            if role in found or f"W{role}" not in found:
                found.pop(f"W{role}", None)
                found.pop(f"b{role}", None)
        return found

    def _array(self, role: str, part: Part) -> np.ndarray:
        if self._kept.get(role, ((),))[0] != part.names:
            columns = [self.file.numbers(name) for name in part.names]
            self._kept[role] = (part.names, columns[0] if len(columns) == 1 else np.column_stack(columns))
        array: np.ndarray = self._kept[role][1][part.place]
        return array

    def _check_shapes(self, parts: Mapping[str, Part], place: Place) -> None:
        """Raise DataError unless all arrays have a row for each token, and projections fit the points."""
        shapes = {role: self._shape(part) for role, part in parts.items()}
        words = {role: f"{' and '.join(part.names)} {shapes[role]}" for role, part in parts.items()}
        where = f"{self.file.path.name}, {self.name(place)}"
        rows = {shapes[role][0] for role in "XQKVL" if role in shapes}
        if len(rows) > 1:
            listed = ", ".join(words[role] for role in "XQKVL" if role in words)
            raise DataError(f"{where}: {listed} have different numbers of rows. Save one row per token in each.")
        if "Q" in shapes and "K" in shapes and shapes["Q"][1] != shapes["K"][1]:
            raise DataError(f"{where}: {words['Q']} and {words['K']} have different widths. Save both as (N, d).")
        if "L" in shapes and shapes["L"][0] != shapes["L"][1]:
            raise DataError(f"{where}: {words['L']} must be square, a row and a column per token.")
        for role in _PLAIN:
            if f"W{role}" not in shapes:
                continue
            (out, into), width = shapes[f"W{role}"], shapes["X"][1]
            if into != width:
                hint = " Transpose it." if out == width else ""
                raise DataError(
                    f"{where}: {words[f'W{role}']} must have shape (d, {width}) for {words['X']}: X W' + b.{hint}"
                )
            if f"b{role}" in shapes and shapes[f"b{role}"] != (out,):
                raise DataError(f"{where}: {words[f'b{role}']} must have shape ({out},) for {words[f'W{role}']}.")
        if len({shapes[f"W{role}"][0] for role in "QK" if f"W{role}" in shapes}) > 1:
            raise DataError(f"{where}: {words['WQ']} and {words['WK']} must have the same number of rows, d.")

    def _shape(self, part: Part) -> tuple[int, ...]:
        shapes = [self.file.shape(name) for name in part.names]
        if len(shapes) == 1:
            return shapes[0][len(part.place) :]
        return (shapes[0][0], sum(shape[1] if len(shape) > 1 else 1 for shape in shapes))


def read_file(
    path: Path, *, chosen: Mapping[str, str] | None = None, layer: int | None = None, head: int | None = None
) -> HeadFile:
    """Return the heads in a file, of which only headers are read.

    Names are recognised: X (or points), Q (queries), K (keys), V (values), logits, WQ, WK, WV with bQ, bK, bV, and
    `tokens` for names; after them _l for points of a layer and _l_h for what belongs to a head. One array may hold all
    heads, (H, N, d), or all layers and heads, (L, H, N, d). Given WQ, the queries are X WQ' + bQ.

    Args:
        path: ends in .npy, .npz, .csv, .h5, .hdf5 or .safetensors.
        chosen: which array is what where names do not say it, such as {"points": "embedding"}.
        layer: only heads of this layer.
        head: only heads of this number.

    Raises:
        ConfigError: there is no such file, ending, array, layer or head.
        DataError: it cannot be read, or a head lacks something.

    Example:
        >>> import tempfile, pathlib
        >>> import numpy as np
        >>> from attnflow.lab.probe.reading import read_file
        >>> rng = np.random.default_rng(0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "heads.npz"
        ...     np.savez(path, X_0=rng.normal(size=(60, 8)), Q_0=rng.normal(size=(2, 60, 4)),
        ...              K_0=rng.normal(size=(2, 60, 4)))
        ...     heads = read_file(path)
        ...     print(heads.places, heads.read((0, 1)).queries.shape)
        ((0, 0), (0, 1)) (60, 4)
    """
    file = open_arrays(path)
    naming = name_arrays(file, chosen=chosen or {})
    of_heads = {place for role, parts in naming.parts.items() if role != "X" for place in parts}
    places = sorted(of_heads or naming.parts["X"], key=lambda place: [-1 if n is None else n for n in place])
    kept = [place for place in places if layer in (None, place[0]) and head in (None, place[1])]
    heads = HeadFile(file, naming, tuple(kept))
    if not kept:
        names = ", ".join(HeadFile(file, naming, ()).name(place) for place in places[:_LISTED])
        asked = " and ".join(f"`--{o}` {n}" for o, n in (("layer", layer), ("head", head)) if n is not None)
        raise ConfigError(f"{path.name} has no head with {asked}. It has {names}{', ...' * (len(places) > _LISTED)}.")
    for place in kept if of_heads else ():
        _check_complete(heads, place, path=path)
    rows = None if naming.tokens is None else file.arrays[naming.tokens].shape[0]
    if rows is not None and any(heads.rows(place) != rows for place in kept):
        wrong = next(heads.name(place) for place in kept if heads.rows(place) != rows)
        raise DataError(f"{path.name}: {naming.tokens!r} names {rows} tokens, {wrong} has another number.")
    return heads


def _check_complete(heads: HeadFile, place: Place, *, path: Path) -> None:
    parts = heads._parts(place)
    projected = [role for role in _PLAIN if f"W{role}" in parts]
    if projected and "X" not in parts:
        raise DataError(f"{path.name}: {heads.name(place)} has W{projected[0]} but no points. Save X of its layer too.")
    lacking = [role for role in "QK" if role not in parts and role not in projected]
    if lacking and "L" not in parts:
        raise DataError(
            f"{path.name}: {heads.name(place)} has {', '.join(map(repr, parts)) or 'nothing'} but neither "
            f"{' nor '.join(f'{role} nor W{role}' for role in lacking)}, nor logits. Save its queries and its keys."
        )
