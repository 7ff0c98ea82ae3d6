"""Gathering the records of a study into one file for figures of one's own."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np

from attnflow.errors import ConfigError
from attnflow.lab.store import Record, write_file
from attnflow.lab.study import Case, canonical_json


def export(records: Sequence[Record], path: Path | str) -> None:
    """Write records into one HDF5 file (everything) or one CSV table (one number per seed), by the ending.

    HDF5: one group per case, with the parameters as attributes, the datasets `seed` and one per quantity, one row per
    seed. CSV: one line per case and seed, a column for each parameter and each quantity that is one number per seed.

    Args:
        records: of one study; failed ones are left out.
        path: ends in `.h5` or `.csv`.

    Raises:
        ConfigError: another ending, no folder for the file, or nothing to export.
        ResultFileError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix not in (".h5", ".csv"):
        raise ConfigError(f"`-o` must end in .h5 or .csv, got {path.name!r}.")
    if not path.parent.is_dir():
        raise ConfigError(f"`-o` is {path}, but {path.parent} is not a folder. Create it first.")
    cases = _by_case([record for record in records if record.failed is None])
    if not cases:
        raise ConfigError("there is no record to export. Run the study first: `attnflow run FILE`.")
    write_file(path, _hdf5(cases) if path.suffix == ".h5" else _csv(cases).encode())


def _by_case(records: Sequence[Record]) -> list[tuple[Case, dict[str, np.ndarray]]]:
    """Return for each case its seeds and quantities, all records of the case one after another."""
    groups: dict[str, list[Record]] = {}
    for record in records:
        groups.setdefault(canonical_json(dict(record.task.case)), []).append(record)
    return [
        (
            group[0].task.case,
            {"seed": np.concatenate([np.asarray(record.task.seeds) for record in group])}
            | {name: np.concatenate([record.arrays[name] for record in group]) for name in group[0].arrays},
        )
        for group in groups.values()
    ]


def _hdf5(cases: Sequence[tuple[Case, dict[str, np.ndarray]]]) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        for index, (case, arrays) in enumerate(cases):
            group = file.create_group(f"case_{index:03d}")
            for name, value in case.items():
                group.attrs[name] = "null" if value is None else value
            for name, array in arrays.items():
                group[name] = array
    return buffer.getvalue()


def _csv(cases: Sequence[tuple[Case, dict[str, np.ndarray]]]) -> str:
    parameters = list({name: None for case, _ in cases for name in case})
    quantities = list({name: None for _, arrays in cases for name, array in arrays.items() if array.ndim == 1})
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*parameters, *quantities], restval="", lineterminator="\n")
    writer.writeheader()
    for case, arrays in cases:
        columns = {name: array.tolist() for name, array in arrays.items() if array.ndim == 1}
        for row in range(len(arrays["seed"])):
            writer.writerow({**case, **{name: column[row] for name, column in columns.items()}})
    return buffer.getvalue()
