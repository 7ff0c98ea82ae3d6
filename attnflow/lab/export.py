"""Gathering what was measured into one file, or one dataset, that says of itself what it holds.

All cases of a study make one table: the dimensions are `case` and `seed`, and of a quantity that is an array those of
its entries. The parameters of the cases are coordinates beside `case`. What a case does not measure is NaN, and so is
what an array lacks where those of other cases are longer.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import h5py
import numpy as np

from attnflow._labelled import needed_xarray
from attnflow.errors import ConfigError
from attnflow.lab.descriptions import attributes_of, facts_of, meaning
from attnflow.lab.store import Record, write_file
from attnflow.lab.study import Case, Scalar, canonical_json

if TYPE_CHECKING:
    from attnflow.lab.runs import Run

Measured = Sequence[tuple[Case, Mapping[str, np.ndarray]]]  # of each case the seeds and the quantities


class Variable(NamedTuple):
    """An array with the names of its dimensions and what is said of it."""

    dimensions: tuple[str, ...]
    values: np.ndarray
    attributes: Mapping[str, str]


class Table(NamedTuple):
    """All that was measured: the coordinates and the quantities by name, and what is said of all of them."""

    coordinates: dict[str, Variable]
    quantities: dict[str, Variable]
    attributes: dict[str, Any]


def export(run: Run, path: Path | str, *, parameters: Case | None = None) -> list[Path]:
    """Write what was measured into one HDF5 file or one CSV table, by the ending, and return what was written.

    HDF5: one dataset for each quantity, with dimension scales, laid out as netCDF4 is: `xarray.open_dataset(path,
    engine="h5netcdf")` and h5py read it. CSV: one line for each number: the study, the parameters of the case, the
    seed, the quantity, its index where it is an array, the value, and what the quantity is. What an HDF5 file says of
    itself stands beside the table, in FILE.csv-metadata.json, as many programs that read tables stop at comments.

    Args:
        run: of a study; failed cases are left out.
        path: ends in `.h5` or `.csv`.
        parameters: those of its own that were overridden.

    Raises:
        ConfigError: another ending, no folder for the file, or nothing to export.
        ResultFileError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".h5", ".csv"):
        raise ConfigError(f"`-o` must end in .h5 or .csv, got {path.name!r}.")
    if not path.absolute().parent.is_dir():
        raise ConfigError(f"`-o` is {path}, but {path.parent} is not a folder. Create it first.")
    if path.suffix == ".csv":
        columns, lines = _csv(run)
        beside = path.with_name(f"{path.name}-metadata.json")
        write_file(path, lines.encode())
        write_file(beside, _metadata(path.name, columns, facts_of(run, parameters)).encode())
        return [path, beside]
    write_file(path, _hdf5(table_of(run, parameters)))
    return [path]


def table_of(run: Run, parameters: Case | None = None) -> Table:
    """Return what was measured as arrays over cases and seeds, with all that is known about them.

    Raises:
        ConfigError: nothing was measured.
    """
    cases = _by_case(run)
    seeds = sorted({int(seed) for _, arrays in cases for seed in arrays["seed"]})
    names = [name for name in {name: None for _, arrays in cases for name in arrays} if name != "seed"]
    quantities: dict[str, Variable] = {}
    for name in names:
        ranks = sorted({arrays[name].ndim for _, arrays in cases if name in arrays})
        for rank in ranks:
            of_rank = [{**arrays} if name in arrays and arrays[name].ndim == rank else {} for _, arrays in cases]
            called = name if len(ranks) == 1 else f"{name}.{rank - 1}d"
            quantities[called] = _quantity(name, of_rank, called=called, rank=rank, seeds=seeds, run=run)
    coordinates = {
        "case": Variable(("case",), np.arange(len(cases)), {"long_name": "case of the ladder, coarse to fine"}),
        "seed": Variable(("seed",), np.array(seeds), {"long_name": "seed, folded from the master seed"}),
    }
    for variable in quantities.values():
        for axis, length in list(zip(variable.dimensions, variable.values.shape, strict=True))[2:]:
            coordinates[axis] = Variable((axis,), np.arange(length), {"long_name": "index"})
    for name in {name: None for case, _ in cases for name in case}:
        called = f"{name}_of_case" if name in coordinates or name in quantities else name.replace("/", "_")
        column = _column([case.get(name) for case, _ in cases])
        coordinates[called] = Variable(("case",), column, {"long_name": f"parameter {name} of the case"})
    return Table(coordinates, quantities, attributes_of(run, parameters))


def to_xarray(run: Run) -> Any:
    """Return what was measured as an `xarray.Dataset`.

    Raises:
        ConfigError: xarray is not installed, or nothing was measured.
    """
    xarray = needed_xarray()
    table = table_of(run)
    return xarray.Dataset(table.quantities, table.coordinates, table.attributes)


def _by_case(run: Run) -> Measured:
    """Return for each case its seeds and quantities, all records of the case one after another."""
    groups: dict[str, list[Record]] = {}
    for record in run.found:
        if record.failed is None:
            groups.setdefault(canonical_json(dict(record.task.case)), []).append(record)
    if not groups:
        raise ConfigError(f"there is no record to export. Run the study first: `attnflow run {run.study.name}`.")
    return [
        (
            group[0].task.case,
            {"seed": np.concatenate([np.asarray(record.task.seeds) for record in group])}
            | {name: np.concatenate([record.arrays[name] for record in group]) for name in group[0].arrays},
        )
        for group in groups.values()
    ]


def _quantity(
    name: str, cases: Sequence[Mapping[str, np.ndarray]], *, called: str, rank: int, seeds: Sequence[int], run: Run
) -> Variable:
    """Return one quantity of all cases and seeds; it has whole numbers or truth values only where none is missing."""
    found = [arrays[name] for arrays in cases if arrays]
    longest = tuple(max(array.shape[axis] for array in found) for axis in range(1, rank))
    values = np.full((len(cases), len(seeds), *longest), np.nan)
    places = {seed: place for place, seed in enumerate(seeds)}
    for case, arrays in enumerate(cases):
        if arrays:
            rows = [places[int(seed)] for seed in arrays["seed"]]
            place: Any = (case, rows, *(slice(length) for length in arrays[name].shape[1:]))
            values[place] = arrays[name]
    attributes = {"long_name": meaning(name, run.study), "units": "1"}
    kinds = {array.dtype.kind for array in found}
    if len(kinds) == 1 and kinds <= {"b", "i", "u"} and not np.isnan(values).any():
        values = values.astype(bool if kinds == {"b"} else np.int64)
    return Variable(("case", "seed", *(f"{called}_{axis}" for axis in range(rank - 1))), values, attributes)


def _column(values: Sequence[Scalar]) -> np.ndarray:
    """Return a parameter of all cases: numbers, with NaN where a case lacks it, or else words, empty where it does."""
    present = [value for value in values if value is not None]
    if present and all(isinstance(value, bool) for value in values):
        return np.array(values, dtype=bool)
    if present and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        whole = len(present) == len(values) and all(isinstance(value, int) for value in values)
        return np.array([np.nan if value is None else value for value in values], dtype=np.int64 if whole else float)
    words = ["" if value is None else value if isinstance(value, str) else json.dumps(value) for value in values]
    return np.array(words, dtype=object)


def _hdf5(table: Table) -> bytes:
    """Return the image of a file whose dimensions are those that netCDF4 knows."""
    buffer = io.BytesIO()
    beside = " ".join(name for name, variable in table.coordinates.items() if variable.dimensions != (name,))
    with h5py.File(buffer, "w", track_order=True) as file:
        for name, variable in (table.coordinates | table.quantities).items():
            truths = variable.values.dtype.kind == "b"  # netCDF4 has none: xarray takes them from an attribute
            kept = variable.values.astype(np.int8) if truths else variable.values
            words = {"dtype": h5py.string_dtype()} if kept.dtype.kind == "O" else {}
            large = {"compression": "gzip", "shuffle": True} if kept.ndim > 2 and kept.size else {}
            made = file.create_dataset(name, data=kept, **words, **large)
            made.attrs.update(variable.attributes)
            if truths:
                made.attrs["dtype"] = "bool"
            if name in table.quantities and beside:
                made.attrs["coordinates"] = beside
            if variable.dimensions == (name,):
                made.make_scale(name)
        for name, variable in (table.coordinates | table.quantities).items():
            for axis, dimension in enumerate(variable.dimensions):
                file[name].dims[axis].label = dimension
                if dimension != name:
                    file[name].dims[axis].attach_scale(file[dimension])
        file.attrs.update(table.attributes)
    return buffer.getvalue()


def _csv(run: Run) -> tuple[list[tuple[str, str]], str]:
    """Return the columns, each with what it is, and the table."""
    cases = _by_case(run)
    parameters = list({name: None for case, _ in cases for name in case})
    rank = max(array.ndim for _, arrays in cases for array in arrays.values()) - 1
    indices = [f"index_{axis}" for axis in range(rank)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    columns = [
        ("study", "name of the study"),
        *((name, f"parameter {name} of the case") for name in parameters),  # which may be called like another column
        ("seed", "folded from the master seed"),
        ("quantity", "what was measured"),
        *((name, "of the entry, where the quantity is an array") for name in indices),
        ("value", "without a unit; truth values are 0 and 1"),
        ("label", "of the quantity, formulas in TeX between dollars"),
    ]
    writer.writerow([name for name, _ in columns])
    for case, arrays in cases:
        first = [run.study.name, *("" if case.get(name) is None else case[name] for name in parameters)]
        for name, array in arrays.items():
            if name == "seed":
                continue
            label, rest = meaning(name, run.study), [""] * (rank - array.ndim + 1)
            numbers = array.astype(int) if array.dtype.kind == "b" else array
            for row, seed in enumerate(arrays["seed"].tolist()):
                for place in itertools.product(*map(range, array.shape[1:])):
                    value = numbers[(row, *place)].item()
                    writer.writerow([*first, seed, name, *place, *rest, value, label])
    return columns, buffer.getvalue()


def _metadata(name: str, columns: Sequence[tuple[str, str]], facts: Mapping[str, Any]) -> str:
    """Return what is known of a table, in the JSON of the W3C recommendation CSV on the Web."""
    described = [{"titles": column, "dc:description": words} for column, words in columns]
    table = {
        "@context": "http://www.w3.org/ns/csvw", "url": quote(name), "dc:title": facts["title"],
        "tableSchema": {"columns": described}, "notes": [facts],
    }  # fmt: skip
    return json.dumps(table, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
